"""What a service must be able to do that takes calls in batches, and what it says of one.

    service = MessageBatches(sdk)                         # claude_batches.py, or chat_batches.py
    id = await service.create(file, marker)
    stage = await service.stage(id)                       # until stage.is_over
    async for outcome in service.outcomes(id): ...        # in any order

A request of a batch is the very body that is sent directly, under the key of its call. Errors are those of the SDK, and
NoMessage where a stream breaks off: `Provider.fault` explains both.
"""

import json
from collections.abc import AsyncIterator
from typing import IO, Any, NamedTuple, Protocol

from tasks.paid.store import OpenBatch
from tasks.services.retries import Fault
from tasks.services.transport import NoMessage


class Stage(NamedTuple):
    """How far a batch is."""

    is_over: bool
    """Whether nothing more will come of it."""
    counts: str
    """The service's own, in words: `processing 3, succeeded 2`."""
    refusal: str = ""
    """Why the service did none of it; empty where it did."""
    is_cancelled: bool = False
    """Whether it is over because it was cancelled: then what brought nothing was not tried."""


class Outcome(NamedTuple):
    """What became of one request."""

    key: str
    """Of its call."""
    content: bytes = b""
    """The body that a direct call would have brought, if it has one: then it is paid."""
    error: Exception | None = None
    """The error of the SDK that a direct call would have met; such a request is not billed."""
    fault: Fault | None = None
    """What went wrong otherwise, as that the batch expired; not billed either."""
    is_cancelled: bool = False
    """Whether it was not tried, because the batch was cancelled before."""


class BatchService(Protocol):
    """The batches of one service."""

    MOST_REQUESTS: int
    MOST_BYTES: int
    """Of one batch, by the service's documentation."""
    FRAME: tuple[bytes, bytes, bytes]
    """What stands before, between and after the requests of a batch."""
    HAS_MARKERS: bool
    """Whether a batch can be told by the marker that it was made with."""

    def request(self, key: str, body: dict[str, Any]) -> bytes:
        """One request, as it stands in the batch."""

    async def newest(self) -> str:
        """The name of the newest batch, empty where there is none: also tells whether the service has batches."""

    async def create(self, file: IO[bytes], marker: str, /) -> str:
        """Hands the requests in a file over; the batch's name at the service."""

    async def made_since(self, batch: OpenBatch) -> list[str]:
        """The batches that may be this one, which was begun and of which no answer came back."""

    async def stage(self, name: str) -> Stage:
        """How far it is."""

    def outcomes(self, name: str) -> AsyncIterator[Outcome]:
        """What came of each request, in any order; nothing where the service keeps it no longer."""

    async def cancel(self, name: str) -> None:
        """Has no further request of it tried; what is done stays, and is paid."""


def in_words(counts: dict[str, int]) -> str:
    """Of a service's counts those that are not 0."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "not begun"


async def each_line(streamed: Any) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects in the lines of a response of an SDK, as they arrive.

    Raises NoMessage where the response breaks off and, once all others have come, where a line is no object.
    """
    import httpx2

    rest, odd = b"", b""
    try:
        async with streamed as response:
            async for piece in response.iter_bytes():
                *lines, rest = (rest + piece).split(b"\n")  # and at nothing else: a reply may hold other line ends
                for line in filter(bytes.strip, lines):
                    if held := _to_object(line):
                        yield held
                    odd = odd if held else line
    except httpx2.TransportError as error:
        raise NoMessage(f"the results of a batch broke off ({type(error).__name__})") from None
    if held := _to_object(rest):
        yield held
    if odd := odd if held else rest.strip() or odd:
        raise NoMessage(f"a line of the results of a batch is none: {odd[:200]!r}")


def _to_object(line: bytes) -> dict[str, Any]:
    """Empty for what is none."""
    try:
        held = json.loads(line)
    except (ValueError, RecursionError):
        held = None
    return held if isinstance(held, dict) else {}
