"""Anthropic's Message Batches, by its SDK. Tested against a fake service; never run against the service itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from tasks.judging.batch_services import Outcome, Stage, each_line, in_words
from tasks.judging.claude import status_error
from tasks.paid.store import OpenBatch
from tasks.services.retries import Fault
from tasks.services.transport import NoMessage

PATH = "/v1/messages/batches"
BLOCK = 1 << 20
"""Bytes that are read of a file at once."""
UPLOAD = 600.0
"""Seconds for the answer to an upload."""
STREAMED = {"X-Stainless-Raw-Response": "stream"}
"""Has the SDK hand over a response as it arrives."""
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""How a direct call is answered, by the kind of its error: https://platform.claude.com/docs/en/api/errors."""


class MessageBatches:
    """Limits, states and results as https://platform.claude.com/docs/en/build-with-claude/batch-processing has them.

    A batch bears no name or mark of ours. One whose creation was not answered is looked for among those that are newer
    than the newest before it and hold as many requests, and known by the custom ids of its results.
    """

    MOST_REQUESTS = 100_000
    MOST_BYTES = 256_000_000
    FRAME = b'{"requests":[', b",\n", b"]}"
    HAS_MARKERS = False

    def __init__(self, sdk: Any):
        """`sdk` is an AsyncAnthropic."""
        self.sdk, self.batches = sdk, sdk.messages.batches

    def request(self, key: str, body: dict[str, Any]) -> bytes:
        """The custom id is the key of the call, of 64 letters: as long as the service allows."""
        return json.dumps({"custom_id": key, "params": body}).encode()

    async def newest(self) -> str:
        """The name of the newest batch, empty where there is none."""
        page = await self.batches.list(limit=1)
        return page.data[0].id if page.data else ""

    async def create(self, file: IO[bytes], _: str) -> str:
        """Sends the file in pieces: as Python objects its requests would take many times its size."""
        size = file.seek(0, 2)
        file.seek(0)
        options = {"headers": {"content-type": "application/json", "content-length": str(size)}, "timeout": UPLOAD}
        made = await self.sdk.post(PATH, content=_pieces(file), cast_to=object, options=options)
        if not isinstance(made, dict) or not isinstance(made.get("id"), str):
            raise NoMessage(f"what answered is no batch: {str(made)[:200]!r}")
        return str(made["id"])

    async def made_since(self, batch: OpenBatch) -> list[str]:
        """Those newer than `batch.newest` that hold as many requests, the newest first."""
        found = []
        async for other in self.batches.list(limit=100):
            if other.id == batch.newest:
                break
            if sum(_counts(other).values()) == len(batch.requests):
                found.append(other.id)
        return found

    async def stage(self, name: str) -> Stage:
        """The service counts all as processing until the whole batch has ended."""
        batch = await self.batches.retrieve(name)
        return Stage(batch.processing_status == "ended", in_words(_counts(batch)))

    async def outcomes(self, name: str) -> AsyncIterator[Outcome]:
        """The results, which are kept for 29 days."""
        batch = await self.batches.retrieve(name)
        if batch.results_url and not batch.archived_at:
            async for line in each_line(self._results(name)):
                yield _to_outcome(line)

    @asynccontextmanager
    async def _results(self, name: str) -> AsyncIterator[Any]:
        """From the service's own address: the SDK would send the key to whatever host `results_url` names."""
        response = await self.sdk.get(f"{PATH}/{name}/results", cast_to=object, options={"headers": STREAMED})
        try:
            yield response
        finally:
            await response.close()

    async def cancel(self, name: str) -> None:
        """What is being processed still ends."""
        await self.batches.cancel(name)


def _counts(batch: Any) -> dict[str, int]:
    return {name: getattr(batch.request_counts, name, None) or 0 for name in COUNTS}


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(BLOCK):
        yield piece


def _to_outcome(line: dict[str, Any]) -> Outcome:
    key = str(line.get("custom_id"))
    match line.get("result"):
        case {"type": "succeeded", "message": message}:
            return Outcome(key, json.dumps(message).encode())
        case {"type": "errored", "error": {"error": {"type": str(kind), "message": str(words)}} as body}:
            return Outcome(key, error=status_error(STATUS.get(kind, 500), f"{kind}: {words}", body))
        case {"type": "canceled"}:
            return Outcome(key, fault=Fault("the batch was cancelled", is_transient=True), is_cancelled=True)
        case {"type": str(kind)}:
            return Outcome(key, fault=Fault(f"{kind} in a batch", is_transient=True))
    return Outcome(key, fault=Fault(f"an odd result in a batch: {json.dumps(line)[:200]}", is_transient=True))
