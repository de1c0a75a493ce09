import asyncio

from tasks.services.circuit_breaker import OPENS_AFTER, CircuitBreaker


def a_breaker(max_outage=60.0):
    said: list[str] = []
    return CircuitBreaker("the service", max_outage, 0.02, said.append), said


async def ask(breaker, until=None):
    """A call that is sent, and ends when `until` is set; whether it was sent at all."""
    async with breaker.permission() as is_allowed:
        if task := asyncio.current_task():
            task.set_name("asks")
        if until:
            await until.wait()
        return is_allowed


def fail(breaker, times, is_first_try=True):
    for _ in range(times):
        breaker.record_failure(is_first_try, "529")


async def test_one_call_that_fails_again_and_again_is_no_outage():
    breaker, said = a_breaker()
    fail(breaker, 100, is_first_try=False)
    fail(breaker, OPENS_AFTER - 1)
    breaker.record_success()
    fail(breaker, OPENS_AFTER - 1)
    assert breaker.opened_at is None
    assert said == []


async def test_while_a_service_is_down_one_call_at_a_time_asks_and_the_others_go_on_when_it_is_back():
    breaker, said = a_breaker()
    fail(breaker, OPENS_AFTER)
    let_go = asyncio.Event()
    waiting = [asyncio.create_task(ask(breaker, let_go)) for _ in range(10)]
    await asyncio.sleep(0.1)
    assert sum(task.get_name() == "asks" for task in waiting) == 1
    breaker.record_success()
    let_go.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [True] * 10
    assert [words.split(";")[0].split(" after")[0] for words in said] == [
        "the service is down (529)",
        "the service is back",
    ]


async def test_a_service_that_stays_down_ends_the_wait():
    breaker, _ = a_breaker(max_outage=60)
    fail(breaker, OPENS_AFTER)
    async with breaker.permission() as is_allowed:
        assert is_allowed
        fail(breaker, 1)
    assert breaker.opened_at is not None
    breaker.opened_at -= 61
    assert await asyncio.wait_for(ask(breaker), 30) is False


async def test_a_call_that_asks_for_all_and_is_cancelled_leaves_the_asking_to_the_next():
    breaker, _ = a_breaker()
    fail(breaker, OPENS_AFTER)
    asking = asyncio.create_task(ask(breaker, asyncio.Event()))
    await asyncio.sleep(0.1)
    next_one = asyncio.create_task(ask(breaker))
    await asyncio.sleep(0.05)
    assert not next_one.done()
    asking.cancel()
    assert await asyncio.wait_for(next_one, 30) is True
