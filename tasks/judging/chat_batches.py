"""The batches of chat completions: OpenAI's files and /v1/batches, by its SDK.

Tested against a fake service; never run against the service itself.
"""

import json
from collections.abc import AsyncIterator
from typing import IO, Any

from tasks.judging.batch_services import Outcome, Stage, each_line, in_words
from tasks.paid.store import OpenBatch
from tasks.services.chat_server import status_error
from tasks.services.retries import Fault
from tasks.services.transport import NoMessage

ENDPOINT = "/v1/chat/completions"
MARKER = "spillover"
OVER = {"completed", "failed", "expired", "cancelled"}
NO_MORE = 404
"""The status of a file that is kept no longer."""


class FileBatches:
    """Limits as the SDK's documentation of `batches.create` has them; all requests of a batch ask one model.

    A batch bears our marker, by which one is found whose creation was not answered. A file that was uploaded for one
    that never came to be costs nothing, and the service removes it after 30 days.
    """

    MOST_REQUESTS = 50_000
    MOST_BYTES = 200_000_000
    FRAME = b"", b"\n", b"\n"
    HAS_MARKERS = True

    def __init__(self, sdk: Any):
        """`sdk` is an AsyncOpenAI."""
        self.sdk, self.batches = sdk, sdk.batches

    def request(self, key: str, body: dict[str, Any]) -> bytes:
        """A line of the file."""
        return json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}).encode()

    async def newest(self) -> str:
        """The name of the newest batch, empty where there is none."""
        page = await self.batches.list(limit=1)
        return page.data[0].id if page.data else ""

    async def create(self, file: IO[bytes], marker: str) -> str:
        """Uploads the file, then makes the batch of it."""
        file.seek(0)
        uploaded = await self.sdk.files.create(file=(f"{marker}.jsonl", file, "application/jsonl"), purpose="batch")
        made = await self.batches.create(
            input_file_id=uploaded.id, endpoint=ENDPOINT, completion_window="24h", metadata={MARKER: marker}
        )
        return str(made.id)

    async def made_since(self, batch: OpenBatch) -> list[str]:
        """The one that bears the marker, if there is one."""
        async for other in self.batches.list(limit=100):
            if other.id == batch.newest:
                break
            if (other.metadata or {}).get(MARKER) == batch.marker:
                return [other.id]
        return []

    async def stage(self, name: str) -> Stage:
        """With the counts of what is done so far."""
        batch = await self.batches.retrieve(name)
        said = batch.request_counts
        done, failed = (said.completed, said.failed) if said else (0, 0)
        waiting = (said.total if said else 0) - done - failed
        counts = in_words({"processing": waiting, "succeeded": done, "errored": failed})
        errors = batch.errors.data if batch.errors and batch.errors.data else []
        refusal = "; ".join(str(error.message) for error in errors[:2]) or "it said no more"
        refused = refusal if batch.status == "failed" else ""
        return Stage(batch.status in OVER, counts, refused, is_cancelled=batch.status == "cancelled")

    async def outcomes(self, name: str) -> AsyncIterator[Outcome]:
        """From the file of replies and that of errors, each of which may not be there."""
        batch = await self.batches.retrieve(name)
        for file in filter(None, [batch.output_file_id, batch.error_file_id]):
            try:
                async for line in each_line(self.sdk.files.with_streaming_response.content(file)):
                    yield _to_outcome(line)
            except NoMessage:
                raise
            except Exception as error:
                if getattr(error, "status_code", None) != NO_MORE:
                    raise

    async def cancel(self, name: str) -> None:
        """What is being processed still ends, within some minutes."""
        await self.batches.cancel(name)


def _to_outcome(line: dict[str, Any]) -> Outcome:
    key = str(line.get("custom_id"))
    match line:
        case {"response": {"status_code": 200, "body": body}}:
            return Outcome(key, json.dumps(body).encode())
        case {"response": {"status_code": int(status), "body": body}}:
            return Outcome(key, error=status_error(status, body))
        case {"error": {"code": "batch_cancelled"}}:
            return Outcome(key, fault=Fault("the batch was cancelled", is_transient=True), is_cancelled=True)
        case {"error": {"code": code, "message": words}}:
            return Outcome(key, fault=Fault(f"{code}: {words}", is_transient=True))
    return Outcome(key, fault=Fault(f"an odd result in a batch: {json.dumps(line)[:200]}", is_transient=True))
