import asyncio

import pytest

from tasks.services.retries import Fault, RetryPolicy
from tasks.services.service import CallFailed, Service, ServiceDown

TOO_MANY = Fault("429 too many", is_transient=True, status=429)
BAD = Fault("400 bad", is_transient=False, status=400)
LOST = Fault("connection lost", is_transient=True)


class Scripted(Exception):
    """One fault of a service."""


def play(*faults):
    """A `send` that meets these faults, then answers with how often it was called, and what reads its errors."""
    met = list(faults)
    calls = [0]

    async def send():
        calls[0] += 1
        if met:
            raise Scripted(met.pop(0))
        return calls[0]

    return send, lambda error: error.args[0]


async def settled(reply):
    return reply


def service(**settings):
    return Service("the service", in_flight=4, initial_backoff=0.001, **settings)


async def test_a_fault_that_passes_is_tried_again_and_the_reply_is_settled():
    send, to_fault = play(TOO_MANY, LOST)
    assert await service().ask(send, to_fault, settled) == 3


async def test_a_fault_that_stays_ends_the_call_and_says_whether_another_try_would_help():
    with pytest.raises(CallFailed) as refused:
        await service().ask(*play(BAD), settled)
    assert (refused.value.errors, refused.value.is_refused, refused.value.is_busy) == (["400 bad"], True, False)
    with pytest.raises(CallFailed) as busy:
        await service().ask(*play(*[TOO_MANY] * 3), settled, RetryPolicy(max_throttled_tries=3))
    assert (len(busy.value.errors), busy.value.is_refused, busy.value.is_busy) == (3, False, True)


async def test_what_is_no_fault_of_the_service_is_raised_as_it_is():
    def none_of_mine(error):
        raise error

    async def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await service().ask(broken, none_of_mine, settled)


async def test_a_service_that_stays_down_names_the_setting_that_says_how_long_it_is_waited_for():
    down = service(max_outage=0.05, setting="judging.max_outage")
    calls = [down.ask(*play(*[LOST] * 100), settled) for _ in range(12)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(e, ServiceDown) and "over 0 s (judging.max_outage); nothing" in str(e) for e in errors)


async def test_a_call_counts_as_in_flight_until_its_reply_is_settled():
    busy, seen = service(), []

    async def settle(reply):
        seen.append(busy.limit.in_flight)
        return reply

    await busy.ask(*play(), settle)
    assert (seen, busy.limit.in_flight) == ([1], 0)
