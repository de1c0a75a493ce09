"""One service as all calls to it share it: a limit, a circuit breaker, and when what failed is sent again.

service = Service("http://127.0.0.1:8000/v1", in_flight=50)
reply = await service.ask(send, to_fault)
"""

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TypeVar

from tasks.catalog import UserError
from tasks.services.circuit_breaker import CircuitBreaker
from tasks.services.limits import AdaptiveLimit
from tasks.services.retries import LONGEST_WAIT, USUAL, Fault, RetryPolicy

Reply = TypeVar("Reply")
Result = TypeVar("Result")
LONGEST_REPLY = 600.0
"""Seconds after which a try is over, even if bytes still arrive; no service allows a longer reply in one piece."""
SPARE_FILES = 256
"""Files that may be open beside the connections."""


class ServiceDown(UserError):
    """The service was down for longer than it is waited for."""


class CallFailed(Exception):
    """Every try failed."""

    def __init__(self, errors: list[str], is_busy: bool = False, is_refused: bool = False):
        super().__init__(errors[-1])
        self.errors, self.is_busy, self.is_refused = errors, is_busy, is_refused
        """errors: what each try met, in order. is_busy: the service is there and has too much to do. is_refused: the
        same call would be refused again."""


class Service:
    """Of one address; another one that says "too many", or is down, holds up no calls to it."""

    def __init__(
        self,
        name: str,
        in_flight: int,
        max_outage: float = 1800,
        warn: Callable[[str], None] = lambda _: None,
        initial_backoff: float = 1.0,
        setting: str = "",
        longest_reply: float = 0.0,
    ):
        """Seconds: `initial_backoff` to a first retry, `max_outage` in all, which the `setting` of this name says.

        `longest_reply` is for a service whose replies take longer than LONGEST_REPLY.
        """
        self.limit = AdaptiveLimit(in_flight)
        self.breaker = CircuitBreaker(name, max_outage, 2 * initial_backoff, warn)
        self._initial_backoff, self._setting, self._longest_reply = initial_backoff, setting, longest_reply

    async def ask(
        self,
        send: Callable[[], Awaitable[Reply]],
        to_fault: Callable[[Exception], Fault],
        settle: Callable[[Reply], Awaitable[Result]],
        retries: RetryPolicy = USUAL,
        allowed: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        is_retry: bool = False,
    ) -> Result:
        """What `settle` makes of the reply; until then the call counts as in flight, so that a kill costs no more.

        `allowed` is entered before each try, and may refuse it. Raises CallFailed, ServiceDown, and what `to_fault`
        raises, which is no fault of the service.
        """
        faults = list[Fault]()
        while True:
            slot = self.limit.slot(is_retry=bool(faults) or is_retry)
            async with slot, self._while_it_is_up(), allowed():
                sent_at = time.monotonic()
                try:
                    async with asyncio.timeout(self._longest_reply or LONGEST_REPLY):
                        reply = await send()
                except Exception as error:  # the SDK's, a timeout, no message, or a mistake of ours: to_fault knows
                    wait = self._wait_after(self._to_fault(error, to_fault), retries, faults, sent_at)
                else:
                    self.limit.record_success()
                    self.breaker.record_success()
                    return await settle(reply)
            await asyncio.sleep(wait)

    def _to_fault(self, error: Exception, to_fault: Callable[[Exception], Fault]) -> Fault:
        """Raises what is no fault of the service; calls that wait for the word of this one go on."""
        if isinstance(error, TimeoutError):
            return Fault(f"no whole reply within {self._longest_reply or LONGEST_REPLY:,.0f} s", is_transient=True)
        try:
            return to_fault(error)
        except Exception:
            self.breaker.record_success()
            raise

    def _wait_after(self, fault: Fault, retries: RetryPolicy, faults: list[Fault], sent_at: float) -> float:
        """Seconds until the next try; the fault is added to those that the call has met, but not during an outage.

        Raises CallFailed where the retry policy gives up.
        """
        was_down, is_first_try = self.breaker.opened_at is not None, not faults
        if fault.is_throttled:
            self.limit.record_throttled(sent_at, min(LONGEST_WAIT, fault.retry_after or 0.0))
        if fault.shows_service_up:
            self.breaker.record_success()
        else:
            self.breaker.record_failure(is_first_try, fault.reason[:120])
        if was_down and fault.is_transient:
            return 0.0
        faults.append(fault)
        wait = retries.wait_after(faults, self._initial_backoff, jitter=random.uniform(0.75, 1.25))
        if wait is None:
            raise CallFailed([met.reason for met in faults], fault.is_busy, not fault.is_transient) from None
        return wait

    @asynccontextmanager
    async def _while_it_is_up(self) -> AsyncIterator[None]:
        """Waits for a service that is down, no longer than `max_outage`."""
        async with self.breaker.permission() as is_allowed:
            if not is_allowed:
                by = f" ({self._setting})" if self._setting else ""
                raise ServiceDown(
                    f"{self.breaker.name} has been down for over {self.breaker.max_outage:,.0f} s{by}; nothing is "
                    "lost: resume the run when it is back"
                )
            yield


def allow_open_files(connections: int) -> None:
    """Each connection is an open file, of which many systems allow 1,024 unless they are asked."""
    count = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count and soft != resource.RLIM_INFINITY:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
