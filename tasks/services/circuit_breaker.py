"""Whether one service is down: then one call at a time tries whether it is back, and all others wait for it.

    async with breaker.permission() as is_allowed:      # waits while the service is down
        ...
    breaker.record_failure(is_first_try=True, reason="529 ...") or breaker.record_success()

A circuit breaker (M. T. Nygard, Release It!, 2007): closed while calls are answered, open during an outage, half open
while one call tries.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

OPENS_AFTER = 8
"""So many calls in a row that fail at their first try, with none answered between them, are an outage."""
LONGEST_PAUSE = 30.0
"""Seconds between two trials."""


class CircuitBreaker:
    """Of one service, shared by all calls to it."""

    def __init__(self, name: str, max_outage: float, first_pause: float, warn: Callable[[str], None]):
        self.name, self.max_outage, self.warn = name, max_outage, warn
        self.opened_at: float | None = None
        """When the outage began, by the monotonic clock; None while the service is up."""
        self._first_pause = self._pause = first_pause
        self._failures = 0
        self._first_failure = self._next_trial = 0.0
        self._is_half_open = False
        self._changed = asyncio.Event()

    def record_failure(self, is_first_try: bool, reason: str) -> None:
        """A call got no answer. One call that fails again and again is not an outage: only first tries count."""
        now = time.monotonic()
        if self._is_half_open:
            self._is_half_open, self._next_trial = False, now + self._pause
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        elif is_first_try and self.opened_at is None:
            self._first_failure = self._first_failure if self._failures else now
            self._failures += 1
            if self._failures >= OPENS_AFTER:
                self.opened_at, self._next_trial = self._first_failure, now + self._pause
                self.warn(f"{self.name} is down ({reason}); waiting for it, {self.max_outage:,.0f} s at most")
        self._wake_waiting()

    def record_success(self) -> None:
        """The service answered, were it only that this is too much, or a mistake of ours."""
        self._failures, self._is_half_open, self._pause = 0, False, self._first_pause
        if self.opened_at is not None:
            self.warn(f"{self.name} is back after {time.monotonic() - self.opened_at:,.0f} s")
            self.opened_at = None
            self._wake_waiting()

    @asynccontextmanager
    async def permission(self) -> AsyncIterator[bool]:
        """Waits while the service is down; True when it is up, or when this call is the one that tries.

        False when it was down for longer than `max_outage` seconds. A trial that ends without a word from the service
        (it was cancelled) leaves the next one to another call.
        """
        is_allowed, is_trial = await self._wait_while_open()
        try:
            yield is_allowed
        finally:
            if is_trial and self._is_half_open:
                self._is_half_open = False
                self._wake_waiting()

    async def _wait_while_open(self) -> tuple[bool, bool]:
        """Whether the call may be sent, and whether it is the trial."""
        while self.opened_at is not None:
            now = time.monotonic()
            if now - self.opened_at > self.max_outage:
                return False, False
            if not self._is_half_open and now >= self._next_trial:
                self._is_half_open = True
                return True, True
            left = self.opened_at + self.max_outage - now if self._is_half_open else self._next_trial - now
            await self._change_within(max(left, 0.01))
        return True, False

    def _wake_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
