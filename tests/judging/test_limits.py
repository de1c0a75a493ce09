import asyncio
import time
import types

import pytest

from tasks.judging import limits
from tasks.judging.limits import DOWN_AFTER, Limit, Outage


async def enter(limit, name, order, seconds=0.0, again=False):
    async with limit.turn(again):
        order.append(name)
        await asyncio.sleep(seconds)


async def test_no_more_are_under_way_than_allowed_and_everyone_gets_a_turn():
    limit, most = Limit(3), [0]

    async def one():
        async with limit.turn():
            most[0] = max(most[0], limit.under_way)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == [3]
    assert limit.under_way == 0


async def test_a_call_that_tries_again_goes_before_new_ones():
    limit, order = Limit(1), []
    waiting = [asyncio.create_task(enter(limit, name, order, 0.01)) for name in ("first", "new", "newer")]
    await asyncio.sleep(0)
    await asyncio.gather(enter(limit, "again", order, again=True), *waiting)
    assert order == ["first", "again", "new", "newer"]


async def test_a_cancelled_call_gives_its_place_back():
    limit, order = Limit(1), []
    held = asyncio.create_task(enter(limit, "held", order, 10))
    gone = asyncio.create_task(enter(limit, "gone", order))
    await asyncio.sleep(0.01)
    gone.cancel()
    held.cancel()
    await asyncio.wait_for(enter(limit, "next", order), 1)
    assert order == ["held", "next"]


async def test_too_many_shrinks_the_limit_once_for_all_that_were_under_way_and_answers_let_it_grow_back():
    limit = Limit(100)
    sent = time.monotonic()
    for _ in range(30):
        limit.throttled(sent, 0.0)
    assert limit.size == 75
    limit.throttled(time.monotonic(), 0.0)
    assert limit.size == pytest.approx(56.25)
    for _ in range(1000):
        limit.answered()
    assert limit.size == 100


async def test_the_limit_never_falls_below_one_call():
    limit = Limit(4)
    for _ in range(40):
        limit.throttled(time.monotonic(), 0.0)
    assert limit.size == 1
    await asyncio.wait_for(enter(limit, "x", []), 1)


async def test_no_call_is_sent_before_the_time_that_the_service_asked_for():
    limit, started = Limit(5), time.monotonic()
    limit.throttled(started, 0.2)
    await asyncio.gather(*(enter(limit, i, []) for i in range(8)))
    assert 0.2 <= time.monotonic() - started < 2


async def test_a_timer_that_comes_too_early_by_the_limits_own_clock_strands_no_call(monkeypatch):
    started = time.monotonic()
    slow = types.SimpleNamespace(monotonic=lambda: started + (time.monotonic() - started) / 2)
    monkeypatch.setattr(limits, "time", slow)
    limit = Limit(5)
    limit.throttled(started, 0.1)
    await asyncio.wait_for(asyncio.gather(*(enter(limit, i, []) for i in range(8))), 2)


# ---- outages


def outage(longest=60.0, first_probe=0.02):
    said = []
    return Outage("the service", longest, first_probe, said.append), said


async def ask(one, until=None):
    """A call that is sent, and ends when `until` is set; whether it was sent at all."""
    async with one.asking() as is_there:
        asyncio.current_task().set_name("asks")
        if until:
            await until.wait()
        return is_there


def fail(one, times, first=True):
    for _ in range(times):
        one.failed(first, "529")


async def test_one_call_that_fails_again_and_again_is_no_outage():
    one, said = outage()
    fail(one, 100, first=False)
    fail(one, DOWN_AFTER - 1)
    one.is_there()
    fail(one, DOWN_AFTER - 1)
    assert one.since is None
    assert said == []


async def test_while_a_service_is_down_one_call_at_a_time_asks_and_the_others_go_on_when_it_is_back():
    one, said = outage()
    fail(one, DOWN_AFTER)
    let_go = asyncio.Event()
    waiting = [asyncio.create_task(ask(one, let_go)) for _ in range(10)]
    await asyncio.sleep(0.1)
    assert sum(task.get_name() == "asks" for task in waiting) == 1
    one.is_there()
    let_go.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [True] * 10
    assert [words.split(";")[0].split(" after")[0] for words in said] == [
        "the service is down (529)",
        "the service is back",
    ]


async def test_a_service_that_stays_down_ends_the_wait():
    one, _ = outage(longest=0.2)
    fail(one, DOWN_AFTER)
    async with one.asking() as is_there:
        assert is_there
        fail(one, 1)
    await asyncio.sleep(0.25)
    assert await asyncio.wait_for(ask(one), 1) is False


async def test_a_call_that_asks_for_all_and_is_cancelled_leaves_the_asking_to_the_next():
    one, _ = outage()
    fail(one, DOWN_AFTER)
    asking = asyncio.create_task(ask(one, asyncio.Event()))
    await asyncio.sleep(0.1)
    next_one = asyncio.create_task(ask(one))
    await asyncio.sleep(0.05)
    assert not next_one.done()
    asking.cancel()
    assert await asyncio.wait_for(next_one, 1) is True
