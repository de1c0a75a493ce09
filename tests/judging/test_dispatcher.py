import asyncio
import json
import sqlite3
import time
import traceback

import pytest

from tasks.catalog import UserError, data_folder
from tasks.judging.asking import to_calls
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.providers import to_probe
from tasks.paid.budget import Budget, BudgetSpent, CostUnknown
from tasks.paid.store import Store, StoreFailed
from tasks.services.service import ServiceDown
from tests.fakes.judging import attempts, judged, some_cases, stored_reply
from tests.fakes.messages_api import DRIP, DROP, MessagesAPI, Raw, Say, Status, judgment, message
from tests.fakes.nouns import CLAUDE

# ---- faults


@pytest.mark.parametrize(
    "fault", [Status(429, {"retry-after": "0.05"}), Status(529), Status(500), DROP, Say('{"reasoning": "cut of')]
)
async def test_a_passing_fault_is_tried_again_and_the_answer_is_scored(serve, fault):
    api = serve(lambda seen, body: fault if seen == 0 else judgment(3))
    rows, _ = await judged(some_cases(2))
    assert [r.score for r in rows] == [3] * 4
    assert len(api.requests) == 8


async def test_the_services_own_retry_after_is_waited_for(serve):
    times = []

    def script(seen, body):
        times.append(time.monotonic())
        return Status(429, {"retry-after": "0.4"}) if seen == 0 else judgment(3)

    serve(script)
    await judged(some_cases()[:1])
    assert times[1] - times[0] >= 0.4


async def test_a_retry_after_of_nothing_does_not_use_up_the_tries_at_once(serve):
    api = serve(lambda seen, body: Status(500, {"retry-after": "0"}) if seen < 4 else judgment(3))
    started = time.monotonic()
    rows, _ = await judged(some_cases()[:1])
    assert ([r.score for r in rows], len(api.requests)) == ([3], 5)
    assert time.monotonic() - started > 0.01 * (1 + 2 + 4 + 8) * 0.75


async def test_a_refused_request_is_not_repeated_and_a_refused_key_stops_the_run_at_once(serve):
    api = serve(lambda seen, body: Status(400))
    rows, _ = await judged(some_cases()[:1])
    assert (rows[0].state, len(api.requests)) == ("failed", 1)
    api = serve(lambda seen, body: Status(401))
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY: the service refused it"):
        await judged(some_cases(100), in_flight=5)
    assert len(api.requests) <= 10, "calls that were not under way yet are never sent"


async def test_a_key_that_is_refused_while_the_service_is_waited_for_stops_all_that_wait(serve):
    api: MessagesAPI = serve(lambda seen, body: Status(401 if len(api.requests) > 20 else 529))
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY: the service refused it"):
        await asyncio.wait_for(judged(some_cases(60), in_flight=20), 60)


async def test_each_waiting_call_raises_an_error_of_its_own_and_a_short_one(serve):
    serve(lambda seen, body: Status(401))
    calls = [call for call, _ in to_calls(some_cases(300))]
    async with Dispatcher(Store(), 5, initial_backoff=0.01) as dispatcher:
        errors = await asyncio.gather(*map(dispatcher.send, calls), return_exceptions=True)
    assert {type(error) for error in errors} == {UserError}
    assert len({id(error) for error in errors}) == 600
    assert max(len(traceback.format_exception(e)) for e in errors if isinstance(e, UserError)) < 12


async def test_a_fault_of_our_own_is_not_taken_for_one_of_the_service(serve, monkeypatch):
    api = serve(lambda seen, body: judgment(1))

    def wrong(*_):
        raise ValueError("a bug of ours")

    monkeypatch.setattr("tasks.judging.claude.body", wrong)
    with pytest.raises(ValueError, match="a bug of ours"):
        await asyncio.wait_for(judged(some_cases(20)), 60)
    assert api.requests == []


async def test_a_reply_that_drips_is_given_up_and_asked_for_again(serve, monkeypatch):
    monkeypatch.setattr("tasks.services.service.LONGEST_REPLY", 0.3)
    serve(lambda seen, body: DRIP if seen == 0 else judgment(3))
    rows, _ = await asyncio.wait_for(judged(some_cases()[:1]), 60)
    assert [r.score for r in rows] == [3]


# ---- the store


async def test_a_store_that_fails_stops_all_calls_and_costs_at_most_those_under_way(serve, monkeypatch):
    api, put, rows = serve(lambda seen, body: judgment(2)), Store.put, [0]

    def full(self, new, spent=()):
        rows[0] += len(new)
        if rows[0] > 20:
            raise OSError(28, "No space left on device")
        put(self, new, spent)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(StoreFailed, match=r"could not be written .*No space left on device.* resume the run"):
        await judged(some_cases(250), in_flight=8)
    held = Store().get(call.key for call, _ in to_calls(some_cases(250)))
    assert len(api.requests) - len(held) <= 8


async def test_a_store_that_another_program_has_locked_is_waited_for_while_the_calls_go_on(serve, monkeypatch):
    monkeypatch.setattr("tasks.paid.database.BUSY_SECONDS", 0)
    api = serve(lambda seen, body: judgment(2))
    said: list[str] = []
    Store().put([])
    with sqlite3.connect(data_folder() / "store" / "answers.db", check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        running = asyncio.create_task(judged(some_cases(50), in_flight=60, warn=said.append))
        while len(api.requests) < 60 or not said:
            assert not running.done(), "the calls under way did not wait for the lock"
            await asyncio.sleep(0.01)
        other.rollback()
        rows, _ = await asyncio.wait_for(running, 60)
    other.close()
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 100
    assert "the answer store cannot be written (database is locked); waited" in said[0]


# ---- other runs


async def test_of_two_runs_that_ask_the_same_at_once_one_pays_and_both_have_the_reply(serve, prices):
    api = serve(lambda seen, body: judgment(3), seconds=0.2)
    budgets = [Budget(Store(), run) for run in ("one", "two")]
    both = await asyncio.gather(*(judged(some_cases(40), in_flight=30, budget=budget) for budget in budgets))
    assert len(api.requests) == 80
    assert [{row.score for row in rows} for rows, _ in both] == [{3}, {3}]
    assert sum(budget.spent.get("judging", {}).get("calls", 0) for budget in budgets) == 80


async def test_a_reply_that_cannot_be_read_is_asked_for_once_more_by_one_of_two_runs(serve):
    api = serve(lambda seen, body: Say("no number") if seen == 0 else judgment(4), seconds=0.05)
    both = await asyncio.gather(judged(some_cases(5)), judged(some_cases(5)))
    assert [{row.score for row in rows} for rows, _ in both] == [{4}, {4}]
    assert len(api.requests) == 20


async def test_a_call_whose_sender_fails_is_sent_by_the_run_that_waited_for_it(serve):
    api = serve(lambda seen, body: Status(400) if seen == 0 else judgment(4), seconds=0.1)
    rows = [row for rows, _ in await asyncio.gather(*(judged(some_cases()[:1]) for _ in range(2))) for row in rows]
    assert sorted(row.state for row in rows) == ["failed", "scored"]
    assert len(api.requests) == 2


async def test_what_another_process_stored_while_a_call_waited_for_its_turn_is_not_paid(serve, monkeypatch):
    monkeypatch.setattr("tasks.judging.dispatcher.LOOK_EVERY", 0.0)
    cases, other = some_cases(3), Store()

    def script(seen, body):
        if len(api.requests) == 1:
            other.put([stored_reply(case, '{"score": 5}') for case in cases[1:]])
        return judgment(1)

    api = serve(script)
    rows, budget = await judged(cases, in_flight=1)
    assert [row.score for row in rows] == [1] + 5 * [5]
    assert (len(api.requests), budget.spent["judging"]["calls"]) == (1, 1)


async def test_a_reply_that_another_run_had_cut_off_is_asked_for_anew_where_it_may_be_longer(serve, monkeypatch):
    monkeypatch.setattr("tasks.judging.dispatcher.LOOK_EVERY", 0.0)
    cases = some_cases(1, CLAUDE.model_copy(update={"max_tokens": 2048}))

    def script(seen, body):
        if len(api.requests) == 1:
            Store().put([stored_reply(cases[1], '{"sc', "max_tokens")])
        return judgment(1)

    api = serve(script)
    rows, _ = await judged(cases, in_flight=1)
    assert [row.score for row in rows] == [1, 1]
    assert attempts(cases[1]) == ['{"sc', judgment(1).text]


# ---- a first call


def probe_of(model, base_url):
    return to_probe(CLAUDE.model_copy(update={"model": model, "base_url": base_url}))


async def probed(api):
    store = Store()
    async with Dispatcher(store, 1, Budget(store, "r"), initial_backoff=0.01) as dispatcher:
        await dispatcher.probe(probe_of("m", api.url))
    return store


async def test_a_first_call_is_tiny_paid_for_and_kept(serve, prices):
    api = serve(lambda seen, body: judgment(1))
    store = await probed(api)
    assert [body["max_tokens"] for body in api.probes] == [16]
    assert probe_of("m", api.url).key in store.get([probe_of("m", api.url).key])
    assert probe_of("m", api.url).key not in (probe_of("n", api.url).key, probe_of("m", "http://other").key)
    assert Budget(store, "r").spent["judging"]["calls"] == 1


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (Status(401), "SPILLOVER_JUDGE_KEY: the service refused it for m"),
        (Status(404), "has no model 'm'"),
        (Status(400, words="odd"), "does not answer a first call for m .*odd.*; nothing is spent: start the service"),
        (DROP, "does not answer a first call for m"),
        (Raw(b"<html>a proxy</html>"), "does not answer a first call for m .*is no message"),
    ],
)
async def test_a_service_that_does_not_answer_a_first_call_is_refused_with_its_reason(serve, says, words):
    api = serve(lambda seen, body: judgment(1), probe=says)
    with pytest.raises(UserError, match=words):
        await asyncio.wait_for(probed(api), 60)


@pytest.mark.parametrize("says", [Status(429), Status(529), Status(500), Say("", "refusal"), Say("", "max_tokens")])
async def test_a_service_that_has_too_much_to_do_is_there(serve, says):
    await asyncio.wait_for(probed(serve(lambda seen, body: judgment(1), probe=says)), 60)


# ---- limits


async def test_no_more_calls_are_under_way_than_allowed(serve):
    api = serve(lambda seen, body: judgment(1))
    await judged(some_cases(40), in_flight=7)
    assert api.most_in_flight == 7


async def test_more_calls_than_a_pool_of_the_transport_holds_by_itself_are_under_way(serve):
    api = serve(lambda seen, body: judgment(1), seconds=4.0)
    await judged(some_cases(550), in_flight=1_100)
    assert api.most_in_flight == 1_100


async def test_a_service_that_says_too_many_gets_fewer_calls_at_once(serve):
    """Ten at once are too many for this one: it is asked far less often in vain than a limit that stays would."""
    refused: list[int] = []

    def script(seen, body):
        if api.in_flight > 10:
            refused.append(1)
            return Status(429, {"retry-after": "0.02"})
        return judgment(1)

    api = serve(script, seconds=0.02)
    rows, _ = await judged(some_cases(150), in_flight=60)
    assert {r.state for r in rows} == {"scored"}
    assert len(refused) < 200


async def test_a_service_that_is_down_is_waited_for_with_a_reason_and_no_call_is_lost(serve):
    down, said = [True], list[str]()
    api: MessagesAPI = serve(lambda seen, body: Status(529) if down[0] and len(api.requests) > 30 else judgment(1))

    async def come_back():
        while not said:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        down[0] = False

    (rows, _), _ = await asyncio.gather(judged(some_cases(60), in_flight=20, warn=said.append), come_back())
    assert {r.state for r in rows} == {"scored"}
    assert "is down (529 OverloadedError: scripted 529)" in said[0]
    assert "waiting for it" in said[0]
    assert "is back after" in said[1]
    assert len(api.requests) < 120 + 20 + 40, "while it is down, one call at a time asks"


async def test_a_service_that_stays_down_ends_the_run_and_what_was_paid_is_kept(serve):
    api: MessagesAPI = serve(lambda seen, body: Status(529) if len(api.requests) > 20 else judgment(1))
    with pytest.raises(ServiceDown, match=r"has been down for over 0 s \(judging.max_outage\); nothing is lost"):
        await judged(some_cases(60), in_flight=10, max_outage=0.3)
    serve(lambda seen, body: judgment(1))
    rows, budget = await judged(some_cases(60))
    assert {r.state for r in rows} == {"scored"}
    assert budget.spent["judging"]["calls"] == 120


# ---- money


async def test_the_cost_is_that_of_the_tokens_used(serve, prices):
    serve(lambda seen, body: judgment(1))
    _, budget = await judged(some_cases(5))
    assert budget.usd == pytest.approx(10 * (100 * 3 + 20 * 15) / 1e6)


async def test_of_a_server_of_ones_own_the_price_is_unknown_until_it_is_given(serve, prices, data):
    api = serve(lambda seen, body: judgment(1))
    own = CLAUDE.model_copy(update={"base_url": api.url})
    _, budget = await judged(some_cases(judge=own))
    assert budget.usd is None
    (data / "prices.yaml").write_text(f"'{api.url}': {{claude-sonnet-4-6: {{input: 0, output: 0}}}}\n")
    assert some_cases(judge=own)[0].call.prices() == {"input": 0, "output": 0}


async def test_a_limit_on_the_cost_is_never_passed_and_a_raised_one_goes_on_without_asking_twice(serve, prices):
    api = serve(lambda seen, body: judgment(1))
    one = (100 * 3 + 20 * 15) / 1e6
    call = some_cases()[0].call
    most = call.most_cost(call.prices())
    assert most > 10 * one, "what is held back is what the call could cost at most"
    cap = most + 30 * one
    with pytest.raises(BudgetSpent, match="max_cost_usd"):
        await judged(some_cases(40), budget=Budget(Store(), "r", cap=cap))
    asked = len(api.requests)
    assert 25 <= asked <= 31
    assert Budget(Store(), "r").usd == pytest.approx(asked * one)
    assert asked * one <= cap
    rows, budget = await judged(some_cases(40), budget=Budget(Store(), "r", cap=1.0))
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 80
    assert budget.usd == pytest.approx(80 * one)


async def test_an_unknown_cost_under_a_limit_stops_the_run_with_its_reason(serve, prices):
    uncounted = message("m", judgment(4).text, usage="500")
    api = serve(lambda seen, body: Raw(json.dumps(uncounted).encode()))
    with pytest.raises(CostUnknown, match="gave no count of tokens that is one"):
        await judged(some_cases(40), in_flight=4, budget=Budget(Store(), "r", cap=10.0))
    assert len(api.requests) <= 8
    rows, _ = await judged(some_cases(40), budget=Budget(Store(), "another run"))
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 80, "what was answered is not asked again"
