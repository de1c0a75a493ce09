"""Answers in front of SkyRL's Tinker server and bridges two differences to the current Tinker SDK.

1. The SDK wants an id for every sampled sequence, and wants it in the answer to `asample`; the server gives none.
2. The SDK creates a model from a saved state by one `load_weights` that names a session and a number, and from then on
   calls the model `<session>:train:<number>`. The server wants the model to exist: it is created with the rank of the
   checkpoint, the state is loaded into it, and its name is exchanged in every later request.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tinker.proto.tinker_public_pb2 import ForwardBackwardRequest

OF_THE_CONNECTION = {"host", "content-length", "content-encoding", "transfer-encoding", "connection"}
MOST_BYTES = 1 << 30


class Adapter:
    """Passes requests of the SDK on to the server at this address, changed where the two differ."""

    def __init__(self, server: str):
        self.http = httpx.AsyncClient(base_url=server, timeout=None)
        self.names: dict[str, str] = {}
        """What the SDK calls a model, and what the server calls it."""

    async def __call__(self, request: Request) -> Response:
        """The server's answer, as the SDK wants it."""
        body = await _decompressed(request)
        kind = request.headers.get("content-type", "").split(";")[0]
        if kind == "application/json" and body:
            fields = json.loads(body)
            if request.url.path == "/api/v1/load_weights" and fields.get("session_id"):
                return await self._create_from_state(fields)
            if fields.get("model_id") in self.names:
                body = json.dumps(fields | {"model_id": self.names[fields["model_id"]]}).encode()
            answer = await self._forward(request, body)
            return _with_sequence_ids(answer, fields) if request.url.path == "/api/v1/asample" else answer
        if request.url.path == "/api/v1/forward_backward":
            body = self._renamed(body)
        return await self._forward(request, body)

    async def _create_from_state(self, fields: dict[str, Any]) -> Response:
        """create_model and load_weights where the SDK sends one request."""
        saved = (await self.http.post("/api/v1/weights_info", json={"tinker_path": fields["path"]})).raise_for_status()
        new = {
            "session_id": fields["session_id"],
            "base_model": saved.json()["base_model"],
            "lora_config": {"rank": saved.json()["lora_rank"]},
        }
        model = (await self.http.post("/api/v1/create_model", json=new)).raise_for_status().json()["model_id"]
        self.names[f"{fields['session_id']}:train:{fields['model_seq_id']}"] = model
        load = {"model_id": model, "path": fields["path"], "optimizer": fields["optimizer"]}
        return _passed_on(await self.http.post("/api/v1/load_weights", json=load))

    def _renamed(self, body: bytes) -> bytes:
        message = ForwardBackwardRequest.FromString(body)
        message.model_id = self.names.get(message.model_id, message.model_id)
        return bytes(message.SerializeToString())

    async def _forward(self, request: Request, body: bytes) -> Response:
        headers = {k: v for k, v in request.headers.items() if k not in OF_THE_CONNECTION}
        path = request.url.path
        for name, name_at_server in self.names.items():
            path = path.replace(name, name_at_server)
        url = httpx.URL(path=path, query=request.url.query.encode())
        return _passed_on(await self.http.request(request.method, url, headers=headers, content=body))


async def _decompressed(request: Request) -> bytes:
    body = await request.body()
    if request.headers.get("content-encoding") == "zstd":
        return bytes(zstandard.ZstdDecompressor().decompress(body, max_output_size=MOST_BYTES))
    return body


def _with_sequence_ids(answer: Response, asked: dict[str, Any]) -> Response:
    if answer.status_code != 200:
        return answer
    promise = json.loads(bytes(answer.body))
    ids = [f"{promise['request_id']}-{i}" for i in range(asked.get("num_samples", 1))]
    return Response(json.dumps(promise | {"sample_sequence_ids": ids}), media_type="application/json")


def _passed_on(answer: httpx.Response) -> Response:
    headers = {k: v for k, v in answer.headers.items() if k not in OF_THE_CONNECTION}
    return Response(answer.content, answer.status_code, headers)


def application(server: str) -> Starlette:
    """The adapter of the server at this address, for every path."""
    adapter = Adapter(server)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await adapter.http.aclose()

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", adapter.__call__, methods=methods)], lifespan=lifespan)
