import asyncio
import time
import types

import pytest

from tasks.services import limits
from tasks.services.limits import AdaptiveLimit


async def enter(limit, name, order, seconds=0.0, is_retry=False):
    async with limit.slot(is_retry):
        order.append(name)
        await asyncio.sleep(seconds)


async def test_no_more_are_under_way_than_allowed_and_everyone_gets_a_turn():
    limit, most = AdaptiveLimit(3), [0]

    async def one():
        async with limit.slot():
            most[0] = max(most[0], limit.in_flight)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == [3]
    assert limit.in_flight == 0


async def test_a_call_that_tries_again_goes_before_new_ones():
    limit, order = AdaptiveLimit(1), list[str]()
    waiting = [asyncio.create_task(enter(limit, name, order, 0.01)) for name in ("first", "new", "newer")]
    await asyncio.sleep(0)
    await asyncio.gather(enter(limit, "again", order, is_retry=True), *waiting)
    assert order == ["first", "again", "new", "newer"]


async def test_a_cancelled_call_gives_its_place_back():
    limit, order = AdaptiveLimit(1), list[str]()
    held = asyncio.create_task(enter(limit, "held", order, 10))
    gone = asyncio.create_task(enter(limit, "gone", order))
    await asyncio.sleep(0.01)
    gone.cancel()
    held.cancel()
    await asyncio.wait_for(enter(limit, "next", order), 30)
    assert order == ["held", "next"]


async def test_too_many_shrinks_the_limit_once_for_all_that_were_under_way_and_answers_let_it_grow_back():
    limit = AdaptiveLimit(100)
    sent = time.monotonic()
    for _ in range(30):
        limit.record_throttled(sent, 0.0)
    assert limit.size == 75
    limit.record_throttled(time.monotonic(), 0.0)
    assert limit.size == pytest.approx(56.25)
    for _ in range(1000):
        limit.record_success()
    assert limit.size == 100


async def test_the_limit_never_falls_below_one_call():
    limit = AdaptiveLimit(4)
    for _ in range(40):
        limit.record_throttled(time.monotonic(), 0.0)
    assert limit.size == 1
    await asyncio.wait_for(enter(limit, "x", []), 30)


async def test_no_call_is_sent_before_the_time_that_the_service_asked_for():
    limit, started = AdaptiveLimit(5), time.monotonic()
    limit.record_throttled(started, 0.2)
    await asyncio.gather(*(enter(limit, i, []) for i in range(8)))
    assert time.monotonic() - started >= 0.2


async def test_a_timer_that_comes_too_early_by_the_limits_own_clock_strands_no_call(monkeypatch):
    started = time.monotonic()
    slow = types.SimpleNamespace(monotonic=lambda: started + (time.monotonic() - started) / 2)
    monkeypatch.setattr(limits, "time", slow)
    limit = AdaptiveLimit(5)
    limit.record_throttled(started, 0.1)
    await asyncio.wait_for(asyncio.gather(*(enter(limit, i, []) for i in range(8))), 30)
