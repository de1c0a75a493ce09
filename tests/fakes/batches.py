"""The fake services of messages_api.py and chat_api.py with their batches, and what can go wrong with one.

    with MessageBatchesAPI(script, looks=2, fate=lambda number, place: "expired") as api:
        ... api.desk.batches, api.desk.paid ...

A script gives the replies, as it does to direct calls. A batch is over once it was looked at more than `looks` times;
`fate` says what becomes of a request, by the number of its batch and its place in it: succeeded, errored, wrong (for
good), no credit, no key, expired, missing. Made from the services' documentation; never compared with the services
themselves. As a process of its own, for the benchmark:

    python -m tests.fakes.batches --port 8123
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.chat_api import ChatAPI
from tests.fakes.messages_api import MessagesAPI, question_of, run_alone

Fate = Callable[[int, int], str]
ERRORS = {
    "errored": ("api_error", 500, ""),
    "wrong": ("invalid_request_error", 400, ""),
    "no credit": ("billing_error", 429, "insufficient_quota"),
    "no key": ("authentication_error", 401, "invalid_api_key"),
}
"""How a fate is told: Anthropic's kind of error, and the status and the code of OpenAI's."""


@dataclass
class Batch:
    id: str
    number: int
    requests: list[tuple[str, dict[str, Any]]]
    metadata: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    is_cancelled: bool = False
    outcomes: list[tuple[str, str, Any]] | None = None
    """Once it is over: key, fate and, of what succeeded, the body of the reply; in any order."""

    def counts(self) -> Counter[str]:
        if self.outcomes is None:
            return Counter(processing=len(self.requests))
        done = Counter(fate for _, fate, _ in self.outcomes)
        return Counter({name: done[name] for name in ("succeeded", "expired", "canceled")}) | Counter(
            errored=done["missing"] + sum(done[fate] for fate in ERRORS)
        )


class Desk:
    """Where batches are handed in, whatever API it is."""

    def __init__(self, reply: Callable[[dict[str, Any]], Any], looks: int, fate: Fate, has_batches: bool):
        self.reply, self.looks, self.fate, self.has_batches = reply, looks, fate, has_batches
        self.batches: dict[str, Batch] = {}
        self.paid: Counter[str] = Counter()
        """How often each key was answered and billed."""
        self.lost: Counter[str] = Counter()
        """How many answers to `create`, `stage` and `results` are still to be lost on their way."""
        self.refusal = ""

    def begin(self, requests: list[tuple[str, dict[str, Any]]], metadata: dict[str, str] | None = None) -> Batch:
        number = len(self.batches)
        batch = Batch(f"batch_{number}", number, requests, metadata or {})
        self.batches[batch.id] = batch
        return batch

    def look(self, batch: Batch) -> Batch:
        batch.looks += 1
        if batch.outcomes is None and (batch.looks > self.looks or batch.is_cancelled):
            self._end(batch)
        return batch

    def _end(self, batch: Batch) -> None:
        done = len(batch.requests) // 2 if batch.is_cancelled else len(batch.requests)
        batch.outcomes = []
        for place, (key, body) in enumerate(batch.requests):
            fate = self.fate(batch.number, place) if place < done else "canceled"
            self.paid[key] += fate == "succeeded"
            batch.outcomes.append((key, fate, self.reply(body) if fate == "succeeded" else None))
        random.Random(batch.number).shuffle(batch.outcomes)

    def page(self, request: web.Request, after: str) -> tuple[list[Batch], bool]:
        """Newest first."""
        several = list(reversed(self.batches.values()))
        if (last := request.query.get(after)) is not None:
            several = several[[batch.id for batch in several].index(last) + 1 :]
        limit = int(request.query.get("limit", 20))
        return several[:limit], len(several) > limit

    def of(self, request: web.Request) -> Batch:
        if (batch := self.batches.get(request.match_info["id"])) is None:
            raise web.HTTPNotFound(text='{"error": {"message": "no such batch"}}', content_type="application/json")
        return batch

    def respond(self, what: str, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
        """Loses the answer on its way, where it is to."""
        if self.lost[what] > 0:
            self.lost[what] -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response(body)

    async def stream(self, lines: list[Any], request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/x-jsonl"
        await response.prepare(request)
        for number, line in enumerate(lines):
            if self.lost["results"] > 0 and number == len(lines) // 2:
                self.lost["results"] -= 1
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        return response


class WithDesk(MessagesAPI):
    """A service that takes batches too."""

    def __init__(
        self,
        script: Any,
        looks: int = 1,
        fate: Fate = lambda number, place: "succeeded",
        has_batches: bool = True,
        **how: Any,
    ):
        super().__init__(script, **how)
        self.desk = Desk(self._reply, looks, fate, has_batches)

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body of the reply to a request of a batch."""
        asked = self.to_body(body)
        question = question_of(asked)
        before, self.seen[question] = self.seen[question], self.seen[question] + 1
        return self.to_message(self.script(before, asked), asked)


class MessageBatchesAPI(WithDesk):
    def add_routes(self, app: web.Application) -> None:
        if self.desk.has_batches:
            place = f"{self.path}/batches"
            app.router.add_post(place, self._create)
            app.router.add_get(place, self._list)
            app.router.add_get(place + "/{id}", self._retrieve)
            app.router.add_get(place + "/{id}/results", self._results)
            app.router.add_post(place + "/{id}/cancel", self._cancel)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.headers.append(dict(request.headers))
        batch = self.desk.begin([(one["custom_id"], one["params"]) for one in body["requests"]])
        return self.desk.respond("create", self._shown(batch), request)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        several, has_more = self.desk.page(request, "after_id")
        ends = (
            {"first_id": several[0].id, "last_id": several[-1].id} if several else {"first_id": None, "last_id": None}
        )
        page = {"data": list(map(self._shown, several)), "has_more": has_more, **ends}
        return web.json_response(page)

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        return self.desk.respond("stage", self._shown(self.desk.look(self.desk.of(request))), request)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self.desk.of(request)
        batch.is_cancelled = True
        return web.json_response(self._shown(batch))

    async def _results(self, request: web.Request) -> web.StreamResponse:
        outcomes = self.desk.of(request).outcomes or []
        lines = [
            {"custom_id": key, "result": self._result(fate, said)} for key, fate, said in outcomes if fate != "missing"
        ]
        return await self.desk.stream(lines, request)

    def _result(self, fate: str, said: Any) -> dict[str, Any]:
        if fate == "succeeded":
            return {"type": fate, "message": said}
        if fate in ERRORS:
            kind, *_ = ERRORS[fate]
            error = {"type": "error", "error": {"type": kind, "message": "scripted"}, "request_id": "req_1"}
            return {"type": "errored", "error": error}
        return {"type": fate}

    def _shown(self, batch: Batch) -> dict[str, Any]:
        counts, is_over = batch.counts(), batch.outcomes is not None
        times = {"created_at": "2026-11-26T09:00:00Z", "expires_at": "2026-11-27T09:00:00Z"}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if is_over else "canceling" if batch.is_cancelled else "in_progress",
            "request_counts": {
                name: counts[name] for name in ("processing", "succeeded", "errored", "canceled", "expired")
            },
            "results_url": f"{self.url}{self.path}/batches/{batch.id}/results" if is_over else None,
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": times["created_at"] if batch.is_cancelled else None,
            **times,
        }


class ChatBatchesAPI(WithDesk, ChatAPI):
    def __init__(self, script: Any, **how: Any):
        super().__init__(script, **how)
        self.files: dict[str, bytes] = {}

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        if self.desk.has_batches:
            app.router.add_post("/v1/files", self._upload)
            app.router.add_get("/v1/files/{id}/content", self._content)
            app.router.add_post("/v1/batches", self._create)
            app.router.add_get("/v1/batches", self._list)
            app.router.add_get("/v1/batches/{id}", self._retrieve)
            app.router.add_post("/v1/batches/{id}/cancel", self._cancel)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert form["purpose"] == "batch"
        given = form["file"]
        assert isinstance(given, web.FileField)
        name = f"file-{len(self.files)}"
        self.files[name] = given.file.read()
        described = {"id": name, "object": "file", "bytes": len(self.files[name]), "created_at": 1, "purpose": "batch"}
        return web.json_response(described | {"filename": given.filename, "status": "processed"})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert {line["url"] for line in lines} == {"/v1/chat/completions"}
        batch = self.desk.begin([(line["custom_id"], line["body"]) for line in lines], body["metadata"])
        return self.desk.respond("create", self._shown(batch), request)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        several, has_more = self.desk.page(request, "after")
        return web.json_response({"object": "list", "data": list(map(self._shown, several)), "has_more": has_more})

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        return self.desk.respond("stage", self._shown(self.desk.look(self.desk.of(request))), request)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self.desk.of(request)
        batch.is_cancelled = True
        return web.json_response(self._shown(batch))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        kind, _, name = request.match_info["id"].partition("-")
        outcomes = self.desk.batches[name].outcomes or []
        return await self.desk.stream(
            [
                self._line(key, fate, said)
                for key, fate, said in outcomes
                if fate != "missing" and (fate == "succeeded") == (kind == "output")
            ],
            request,
        )

    def _line(self, key: str, fate: str, said: Any) -> dict[str, Any]:
        line: dict[str, Any] = {"id": f"batch_req_{key[:6]}", "custom_id": key, "response": None, "error": None}
        if fate in ("expired", "canceled"):
            code = {"expired": "batch_expired", "canceled": "batch_cancelled"}[fate]
            return line | {"error": {"code": code, "message": "scripted"}}
        _, status, code = ERRORS.get(fate, ("", 200, ""))
        body = said if status == 200 else {"error": {"message": "scripted", "type": "scripted", "code": code}}
        return line | {"response": {"status_code": status, "request_id": "req_1", "body": body}}

    def _shown(self, batch: Batch) -> dict[str, Any]:
        is_over, counts = batch.outcomes is not None, batch.counts()
        status = ("cancelled" if batch.is_cancelled else "completed") if is_over else "in_progress"
        errors = {"object": "list", "data": [{"code": "scripted", "message": self.desk.refusal}]}
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1_790_000_000 + batch.number,
            "input_file_id": "file-0",
            "status": "failed" if self.desk.refusal else status,
            "errors": errors if self.desk.refusal else None,
            "metadata": batch.metadata,
            "output_file_id": f"output-{batch.id}" if is_over and counts["succeeded"] else None,
            "error_file_id": f"error-{batch.id}" if is_over and counts.total() > counts["succeeded"] else None,
            "request_counts": {
                "total": len(batch.requests),
                "completed": counts["succeeded"],
                "failed": counts.total() - counts["succeeded"] - counts["processing"],
            },
        }


if __name__ == "__main__":
    run_alone(MessageBatchesAPI)
