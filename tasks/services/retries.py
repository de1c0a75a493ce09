"""When a call that failed is sent again, and when it is given up; of replies that cannot be read see asking.py.

    RetryPolicy().wait_after([fault], initial_backoff=1.0, jitter=1.0)     # 1.0: seconds until the next try, or None

Pure: nothing here knows a clock, a network or a provider.
"""

from typing import NamedTuple

MAX_TRIES = 6
MAX_THROTTLED_TRIES = 40
"""Tries that are answered with "too many calls" before a call has failed: at the longest waits over half an hour."""
LONGEST_WAIT = 60.0
"""Seconds between two tries."""
TOO_MANY_REQUESTS, OVERLOADED = 429, 529
"""Calls beyond what we may send, and more than the service can bear: the second is a trouble of the service's."""


class Fault(NamedTuple):
    """What went wrong with one try, in words that are the same for every provider."""

    reason: str
    is_transient: bool
    """Whether the same call may succeed later: too many calls, an error of the server, a lost or broken reply."""
    status: int | None = None
    """HTTP status; None where no response came."""
    retry_after: float | None = None
    """Seconds that the service asks to be left alone."""

    @property
    def is_throttled(self) -> bool:
        """Whether there were too many calls, which is not this call's fault."""
        return self.status in (TOO_MANY_REQUESTS, OVERLOADED)

    @property
    def shows_service_up(self) -> bool:
        """Whether a service that says this is there and well."""
        return self.status == TOO_MANY_REQUESTS or not self.is_transient

    @property
    def is_busy(self) -> bool:
        """Whether a service is there that has too much to do, or an error of its own."""
        return self.is_transient and self.status is not None


class RetryPolicy(NamedTuple):
    """How often one call is tried; tries that were throttled are counted apart from the others."""

    max_tries: int = MAX_TRIES
    max_throttled_tries: int = MAX_THROTTLED_TRIES

    def wait_after(self, faults: list[Fault], initial_backoff: float, jitter: float) -> float | None:
        """Seconds until the next try, given all that the call has met so far; None to give it up.

        The service's own retry-after where it gives one, else `initial_backoff` seconds, doubled with each other fault
        and multiplied by `jitter`, so that calls which failed together do not come back together.
        """
        throttled = sum(fault.is_throttled for fault in faults)
        is_used_up = throttled >= self.max_throttled_tries or len(faults) - throttled >= self.max_tries
        if is_used_up or not faults[-1].is_transient:
            return None
        doubling = initial_backoff * 2 ** (len(faults) - 1) * jitter
        return min(LONGEST_WAIT, faults[-1].retry_after or doubling)


USUAL = RetryPolicy()
"""Of a call that is worth waiting for."""
