import asyncio

import pytest

from tasks.paid.budget import Budget, BudgetSpent, CostUnknown
from tasks.paid.store import Store, StoredReply


async def pay(budget, most, usd, seconds=0.0):
    async with budget.reserve(most):
        await asyncio.sleep(seconds)
        await budget.record("judging", "m", {"calls": 1, "input": 10}, usd)


async def test_what_was_spent_is_known_to_every_later_budget_of_the_run_and_to_no_other():
    await pay(Budget(Store(), "a"), 1.0, 0.25)
    await pay(Budget(Store(), "a"), 1.0, 0.5)
    again = Budget(Store(), "a")
    assert again.usd == 0.75
    assert again.summary() == {"judging": {"usd": 0.75, "calls": 2, "input": 20}, "usd": 0.75}
    assert (again.words(), Budget(Store(), "b").words()) == ("($0.75)", "")


async def test_a_price_that_is_unknown_makes_the_sum_unknown():
    budget = Budget(Store(), "a")
    await pay(budget, None, 0.25)
    await pay(budget, None, None)
    assert (budget.usd, budget.words()) == (None, "(cost unknown)")
    await budget.record("training", "m", {}, 0.5)
    assert (budget.usd, budget.words()) == (None, "($0.50 and what has no known price)")
    assert budget.summary()["judging"] == {"usd": None, "calls": 2, "input": 20}


async def test_calls_wait_for_what_others_hold_back_and_are_refused_only_when_nothing_more_can_be_freed():
    budget = Budget(Store(), "a", cap=1.0, resume="spillover run x max_cost_usd=...")
    under_way = [0, 0]

    async def one():
        async with budget.reserve(0.4):
            under_way[0] += 1
            under_way[1] = max(under_way)
            await asyncio.sleep(0.01)
            await budget.record("judging", "m", {}, 0.1)
            under_way[0] -= 1

    done = await asyncio.gather(*(one() for _ in range(20)), return_exceptions=True)
    refused = [error for error in done if isinstance(error, BudgetSpent)]
    assert under_way[1] == 2
    assert budget.usd == pytest.approx(0.7)
    assert len(refused) == 13
    assert str(refused[0]) == (
        "max_cost_usd is $1.00, $0.7000 are spent and the next step may cost $0.4000; nothing is lost: raise it and go "
        "on with `spillover run x max_cost_usd=...`"
    )


async def test_a_cost_that_is_unknown_cannot_be_held_below_a_limit_and_says_of_which_stage():
    budget = Budget(Store(), "a", cap=1.0)
    await pay(budget, 0.1, None)
    for resumed in (budget, Budget(Store(), "a", cap=5.0)):
        with pytest.raises(CostUnknown, match=r"what was spent so far is not known: the service of judging gave no"):
            await pay(resumed, 0.1, 0.1)
    await pay(Budget(Store(), "a"), 0.1, 0.1)


async def test_without_a_limit_nothing_waits():
    budget = Budget(Store(), "a")
    async with budget.reserve(1e9), budget.reserve(1e9):
        assert budget.affordable([1e9, 1e9]) == 2


def test_what_can_be_paid_now_is_counted_from_the_first_on():
    budget = Budget(Store(), "a", cap=1.0)
    assert budget.affordable([0.4, 0.4, 0.4]) == 2
    assert budget.affordable([2.0, 0.1]) == 1


def test_spending_is_committed_with_what_it_paid_for_or_not_at_all():
    store, budget = Store(), Budget(Store(), "a")
    spent = budget.spending("judging", "m", {}, 0.5)
    with pytest.raises(TypeError):
        store.put([StoredReply("k", "judgment", {"x": object()})], [spent])
    assert (store.get(["k"]), store.spending("a")) == ({}, [])
    store.put([StoredReply("k", "judgment", {})], [spent])
    assert store.spending("a") == [spent]
