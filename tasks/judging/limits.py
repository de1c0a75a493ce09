"""How many calls may be under way at once, and whether a service is there at all.

    async with limit.turn():          # waits for a place; a call that tries again goes before new ones
        ...
    limit.throttled(sent, retry_after=2.0) or limit.answered()

Additive increase, multiplicative decrease (D.-M. Chiu and R. Jain, 1989): a service that says "too many" gets three
quarters of the calls, and for every round of answers a twentieth of the most allowed is added again.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

SHRINK = 0.75
GROW = 1 / 20
DOWN_AFTER = 8
"""So many calls in a row that fail for the first time, and none answered, are a service that is down."""
LONGEST_PROBE = 30.0


class Limit:
    """Shared by all calls of a run: at most `most` under way, fewer while the service says that it is too many."""

    def __init__(self, most: int):
        self.most, self.size = most, float(most)
        self.under_way = 0
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._shrunk = self._closed_until = 0.0
        self._opening: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, again: bool = False) -> AsyncIterator[None]:
        """A place among those under way; with `again` before all that wait for their first try."""
        await self._enter(again)
        try:
            yield
        finally:
            self.under_way -= 1
            self._admit()

    def answered(self) -> None:
        self.size = min(self.most, self.size + self.most * GROW / self.size)
        self._admit()

    def throttled(self, sent: float, retry_after: float) -> None:
        """Shrinks once for all calls that were sent before the last shrinking; no call is sent for `retry_after` s."""
        now = time.monotonic()
        if sent > self._shrunk:
            self.size, self._shrunk = max(1.0, self.size * SHRINK), now
        self._closed_until = max(self._closed_until, now + retry_after)

    def _is_open(self) -> bool:
        return self.under_way < int(self.size) and time.monotonic() >= self._closed_until

    async def _enter(self, again: bool) -> None:
        if self._is_open() and not self._waiting:
            self.under_way += 1
            return
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not again, next(self._numbers), place))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.under_way -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._is_open():
            *_, place = heapq.heappop(self._waiting)
            if not place.done():
                self.under_way += 1
                place.set_result(None)
        self._look_again_when_open()

    def _look_again_when_open(self) -> None:
        """While it is closed nobody may be under way whose end would admit the next; a timer may come too early."""
        closed = self._closed_until - time.monotonic()
        if self._waiting and closed > 0 and self._opening is None:
            self._opening = asyncio.get_running_loop().call_later(closed, self._open)

    def _open(self) -> None:
        self._opening = None
        self._admit()


class Outage:
    """Whether one service is down. Then one call at a time asks whether it is back, and the others wait for it."""

    def __init__(self, name: str, longest: float, first_probe: float, say: Callable[[str], None]):
        self.name, self.longest, self.say = name, longest, say
        self.since: float | None = None
        self._first_probe = self._pause = first_probe
        self._failed = 0
        self._first_failure = self._next_probe = 0.0
        self._is_probed = False
        self._changed = asyncio.Event()

    def failed(self, first: bool, reason: str) -> None:
        """A call got no answer; `first` when it had not failed before. One that fails alone is not an outage."""
        now = time.monotonic()
        if self._is_probed:
            self._is_probed, self._next_probe = False, now + self._pause
            self._pause = min(LONGEST_PROBE, self._pause * 2)
        elif first and self.since is None:
            self._first_failure = self._first_failure if self._failed else now
            self._failed += 1
            if self._failed >= DOWN_AFTER:
                self.since, self._next_probe = self._first_failure, now + self._pause
                self.say(f"{self.name} is down ({reason}); waiting for it, {self.longest:,.0f} s at most")
        self._tell_waiting()

    def is_there(self) -> None:
        """The service answered, were it only that this is too much, or a mistake of ours."""
        self._failed, self._is_probed, self._pause = 0, False, self._first_probe
        if self.since is not None:
            self.say(f"{self.name} is back after {time.monotonic() - self.since:,.0f} s")
            self.since = None
            self._tell_waiting()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[bool]:
        """Waits while the service is down; True when it is up, or when this call is the one that asks whether it is.

        False when it was down too long. A call that ends without a word of the service's leaves the asking to others.
        """
        is_there, asks = await self._wait_while_down()
        try:
            yield is_there
        finally:
            if asks and self._is_probed:
                self._is_probed = False
                self._tell_waiting()

    async def _wait_while_down(self) -> tuple[bool, bool]:
        """Whether the call may be sent, and whether it is the one that asks for all."""
        while self.since is not None:
            now = time.monotonic()
            if now - self.since > self.longest:
                return False, False
            if not self._is_probed and now >= self._next_probe:
                self._is_probed = True
                return True, True
            left = self.since + self.longest - now if self._is_probed else self._next_probe - now
            await self._change_within(max(left, 0.01))
        return True, False

    def _tell_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
