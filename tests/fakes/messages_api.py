"""A small server that speaks Anthropic's Messages API on loopback and plays scripted faults.

    with MessagesAPI(script) as api:
        ... base_url=api.url ...

The script is called with the number of times that this very request was seen before, and the request; it returns what
happens: a `Say`, a `Status`, or `DROP`.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

DROP = "drop the connection"


class Say(NamedTuple):
    text: str
    stop_reason: str = "end_turn"


class Status(NamedTuple):
    code: int
    headers: dict[str, str] | None = None


Script = Callable[[int, dict[str, Any]], Say | Status | str]


def judgment(score: Any, reasoning: str = "because") -> Say:
    return Say(json.dumps({"reasoning": reasoning, "score": score}))


class MessagesAPI:
    def __init__(self, script: Script, seconds: float = 0.005):
        self.script = script
        self.seconds = seconds
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0

    def __enter__(self) -> "MessagesAPI":
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/messages", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr] # it listens

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = json.dumps(body, sort_keys=True)
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        before, self.seen[text] = self.seen[text], self.seen[text] + 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            return self._respond(self.script(before, body), body, request)
        finally:
            self.in_flight -= 1

    def _respond(self, what: Say | Status | str, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
        if what == DROP:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(what, Status):
            error = {"type": "error", "error": {"type": "scripted", "message": f"scripted {what.code}"}}
            return web.json_response(error, status=what.code, headers=what.headers)
        assert isinstance(what, Say)
        return web.json_response(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": f"{body['model']}-20260101",
                "stop_reason": what.stop_reason,
                "stop_sequence": None,
                "content": [{"type": "text", "text": what.text}],
                "usage": {"input_tokens": 100, "output_tokens": 20},
            }
        )
