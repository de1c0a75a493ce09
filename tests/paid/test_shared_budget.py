import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, closing

import pytest

from tasks.paid import shared_budget
from tasks.paid.budget import BudgetSpent, CostUnknown
from tasks.paid.shared_budget import SharedBudget, reserved_by, spent_by
from tasks.paid.store import Store
from tests.fakes.postgresql import serve_postgresql

PAY = """
import asyncio, sys
from tasks.paid.budget import BudgetSpent
from tasks.paid.shared_budget import SharedBudget
from tasks.paid.store import Store
from tests.fakes.postgresql import serve_postgresql

async def main(run, most, usd, calls):
    budget = SharedBudget(Store(), run, "study", cap=1.0)
    await budget.join()
    async def one():
        async with budget.reserve(most):
            await asyncio.sleep(0.01)
            await budget.record("judging", "m", {}, usd)
    done = await asyncio.gather(*(one() for _ in range(calls)), return_exceptions=True)
    print(sum(isinstance(error, BudgetSpent) for error in done), sum(error is None for error in done))

asyncio.run(main(sys.argv[1], 0.1, 0.04, 40))
"""
"""What a process of a run does: forty calls, each of which may cost 0.1 and costs 0.04, under a cap of 1."""
HOLD = PAY.partition("async def main")[0] + (
    """
async def main():
    budget = SharedBudget(Store(), "killed", "study", cap=1.0)
    await budget.join()
    async with budget.reserve(0.9):
        print("holds", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
)


def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


async def a_budget(run, cap=1.0):
    budget = SharedBudget(Store(), run, "study", cap, resume="spillover study s max_cost_usd=...")
    await budget.join()
    return budget


async def pay(budget, most, usd):
    async with budget.reserve(most):
        await budget.record("judging", "m", {"calls": 1}, usd)


def test_two_processes_together_never_pass_the_cap_of_their_account():
    pay_in_two_processes()


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_nor_do_they_on_postgresql(monkeypatch):
    with serve_postgresql("answers") as url:
        monkeypatch.setenv("SPILLOVER_STORE", url("answers"))
        pay_in_two_processes()


def pay_in_two_processes():
    processes = [start(PAY, name) for name in ("one", "other")]
    said = [[*map(int, process.communicate()[0].split())] for process in processes]
    paid = sum(done for _, done in said)
    store = Store()
    with store.engine.begin() as connection:
        assert spent_by(connection, "study") == pytest.approx(0.04 * paid)
        assert reserved_by(connection, "study") == pytest.approx(0)
    store.close()
    assert [sum(counts) for counts in said] == [40, 40]
    assert paid == 23, "0.92 are spent, and a call that may cost 0.1 is not begun"


async def test_what_a_killed_process_had_reserved_is_free_again_and_what_a_living_one_has_is_not(monkeypatch):
    monkeypatch.setattr(shared_budget, "LOOK_AGAIN", 0.01)
    process = start(HOLD)
    assert process.stdout
    assert process.stdout.readline() == "holds\n"
    budget = await a_budget("one")
    waiting = asyncio.create_task(pay(budget, 0.5, 0.5))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert budget.affordable([0.04, 0.04, 0.04]) == 2
    process.kill()
    process.communicate()
    await waiting
    assert budget.usd == 0.5


async def test_a_lease_of_another_machine_counts_until_it_runs_out(monkeypatch):
    elsewhere = await a_budget("elsewhere")
    monkeypatch.setattr(shared_budget, "_this_process", lambda: "another-host 1 1.00")
    async with elsewhere.reserve(0.8):
        with elsewhere.store.engine.begin() as connection:
            assert reserved_by(connection, "study") == pytest.approx(0.8)
            monkeypatch.setattr("time.time", lambda: 4e9)
            assert reserved_by(connection, "study") == 0


async def test_a_container_that_shares_its_hosts_name_is_not_looked_for_among_this_ones_processes():
    process = start("import os\nos.readlink = lambda *_, **__: 'pid:[1]'\n" + HOLD)
    assert process.stdout
    assert process.stdout.readline() == "holds\n"
    process.kill()
    process.communicate()
    budget = await a_budget("one")
    with budget.store.engine.begin() as connection:
        assert reserved_by(connection, "study") == pytest.approx(0.9), "until its lease runs out"


async def test_a_clock_that_was_set_makes_no_living_process_a_gone_one(monkeypatch):
    budget, this_process = await a_budget("one"), shared_budget._this_process()
    machine, pid, began = this_process.rsplit(" ", 2)
    monkeypatch.setattr(shared_budget, "_this_process", lambda: f"{machine} {pid} {float(began) - 5:.2f}")
    async with budget.reserve(0.8):
        with budget.store.engine.begin() as connection:
            assert reserved_by(connection, "study") == pytest.approx(0.8)


async def test_what_waits_for_a_locked_database_is_set_aside_once_and_freed_once(monkeypatch):
    monkeypatch.setattr("tasks.paid.database.BUSY_SECONDS", 0)
    budget, is_locked = await a_budget("one"), threading.Event()
    budget.store.warn = lambda _: is_locked.set()
    async with budget.reserve(0.3):
        async with until_tried_again(budget.store, is_locked):
            held = asyncio.create_task(pay_slowly(budget, is_owed=True))
        assert await reserved_in_the_end(budget) == pytest.approx(0.7)
        async with until_tried_again(budget.store, is_locked):
            held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        assert await reserved_in_the_end(budget) == pytest.approx(0.3)


@asynccontextmanager
async def until_tried_again(store, is_locked):
    """Has another program hold the database until the writer has met that."""
    is_locked.clear()
    with closing(sqlite3.connect(store.engine.url.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        assert await asyncio.to_thread(is_locked.wait, 30)


async def reserved_in_the_end(budget):
    return await budget.store.change(lambda connection: reserved_by(connection, "study"))


async def test_what_any_run_of_the_account_spent_counts_and_the_error_names_the_command_that_goes_on():
    first, second = await a_budget("first"), await a_budget("second")
    await pay(first, 0.7, 0.7)
    with pytest.raises(BudgetSpent, match=r"max_cost_usd is \$1.00, \$0.7000 are spent .* `spillover study s"):
        await pay(second, 0.4, 0.4)
    await pay(second, 0.3, 0.3)
    assert (first.usd, second.usd) == (0.7, 0.3), "each knows its own"
    await pay(await a_budget("third", cap=0), 5.0, 5.0)


async def test_spending_without_a_price_stops_all_runs_under_a_cap():
    await pay(await a_budget("first", cap=0), None, None)
    with pytest.raises(CostUnknown, match="for want of a price"):
        await pay(await a_budget("second"), 0.1, 0.1)


async def test_a_call_that_is_cancelled_while_it_waits_or_holds_leaves_nothing_reserved():
    budget = await a_budget("one")
    calls = [asyncio.create_task(pay_slowly(budget)) for _ in range(5)]
    await asyncio.sleep(0.1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    with budget.store.engine.begin() as connection:
        assert reserved_by(connection, "study") == 0


async def pay_slowly(budget, is_owed=False):
    async with budget.reserve(0.4, is_owed):
        await asyncio.sleep(60)


async def test_what_was_sent_before_is_set_aside_for_all_runs_and_never_refused():
    one, other = await a_budget("one"), await a_budget("other")
    async with one.reserve(5.0, is_owed=True):
        assert other.affordable([0.1] * 5) == 1
    assert other.affordable([0.1] * 5) == 5
