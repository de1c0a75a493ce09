"""How many calls may be in flight at once: as many as allowed, fewer while the service says that it is too many.

    async with limit.slot():          # waits for a place; a retry goes before calls that were never sent
        ...
    limit.record_throttled(sent_at, retry_after=2.0) or limit.record_success()

Additive increase, multiplicative decrease (D.-M. Chiu and R. Jain, 1989): a service that says "too many" gets three
quarters of the calls, and for every round of answers a twentieth of the most allowed is added again.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

SHRINK = 0.75
GROW = 1 / 20


class AdaptiveLimit:
    """Shared by all calls of a run: at most `max_size` in flight."""

    def __init__(self, max_size: int):
        self.max_size, self.size = max_size, float(max_size)
        self.in_flight = 0
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._shrunk_at = self._closed_until = 0.0
        self._opening: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, is_retry: bool = False) -> AsyncIterator[None]:
        """A place among those in flight; a retry goes before all that wait for their first try."""
        await self._enter(is_retry)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._admit()

    def record_success(self) -> None:
        """A call was answered: the limit grows."""
        self.size = min(self.max_size, self.size + self.max_size * GROW / self.size)
        self._admit()

    def record_throttled(self, sent_at: float, retry_after: float) -> None:
        """Shrinks once for all calls that were sent before it last shrank; none is sent for `retry_after` seconds."""
        now = time.monotonic()
        if sent_at > self._shrunk_at:
            self.size, self._shrunk_at = max(1.0, self.size * SHRINK), now
        self._closed_until = max(self._closed_until, now + retry_after)

    def _is_open(self) -> bool:
        return self.in_flight < int(self.size) and time.monotonic() >= self._closed_until

    async def _enter(self, is_retry: bool) -> None:
        if self._is_open() and not self._waiting:
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not is_retry, next(self._numbers), place))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.in_flight -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._is_open():
            *_, place = heapq.heappop(self._waiting)
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
        self._look_again_when_open()

    def _look_again_when_open(self) -> None:
        """While it is closed there may be no call in flight whose end would admit the next: a timer does."""
        closed = self._closed_until - time.monotonic()
        if self._waiting and closed > 0 and self._opening is None:
            self._opening = asyncio.get_running_loop().call_later(closed, self._open)

    def _open(self) -> None:
        """A timer may come too early by our own clock: `_admit` then sets another."""
        self._opening = None
        self._admit()
