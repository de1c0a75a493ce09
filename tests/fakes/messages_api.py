"""A small server that speaks Anthropic's Messages API on loopback and plays scripted faults.

    with MessagesAPI(script) as api:
        ... base_url=api.url ...

The script is called with the number of times that this very question was seen before, and the request; it returns what
happens: a `Say`, a `Status`, a `Raw` body, `DROP`, or `DRIP`. A first tiny call (Probe in tasks/judging/calls.py) is
counted and answered apart, by `probe`. As a process of its own, for benchmarks and kills:

    python -m tests.fakes.messages_api --port 8123 --seconds 0.1     # GET /count tells how often it was asked
"""

import argparse
import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, Self

from aiohttp import web

DROP = "drop the connection"
DRIP = "send a byte now and then, and never an end"
ARE_YOU_THERE = "Are you there?"


class Say(NamedTuple):
    text: str
    stop_reason: str = "end_turn"


class Status(NamedTuple):
    code: int
    headers: dict[str, str] | None = None
    words: str = "scripted"


class Raw(NamedTuple):
    """A body as it is, whatever it is."""

    body: bytes
    status: int = 200


What = Say | Status | Raw | str
Script = Callable[[int, dict[str, Any]], What]


def judgment(score: Any, reasoning: str = "because") -> Say:
    return Say(json.dumps({"reasoning": reasoning, "score": score}))


def question_of(body: dict[str, Any]) -> str:
    """What is asked, without what was said since: model, rubric and material."""
    return json.dumps([body["model"], body["system"], body["messages"][0], body.get("temperature")])


class Faults:
    """A service on a bad day, the same for every run with the same seed.

    Of all tries 10 % are too many (429 with retry-after), 5 % meet an overload (529), 5 % a fault (500), 2 % a dropped
    connection; 5 % of first readings are half JSON; 1 % of questions never get a number. From the third try of a
    question on nothing of this passes. With `outage` seconds, everything from the `after`-th request on is dropped or
    refused for so long. With `only_words`, the faults are those of what is said.
    """

    def __init__(self, seed: int = 0, outage: float = 0.0, after: int = 1000, only_words: bool = False):
        self.seed, self.outage, self.after, self.only_words = seed, outage, after, only_words
        self.count, self.until = 0, 0.0

    def __call__(self, seen: int, body: dict[str, Any]) -> Say | Status | str:
        self.count += 1
        if self.outage and self.count == self.after:
            self.until = time.monotonic() + self.outage
        if time.monotonic() < self.until:
            return DROP if self.count % 2 else Status(529)
        question = question_of(body)
        die = self._die(question, seen)
        if seen < 2 and die < 0.22 and not self.only_words:
            return (
                Status(429, {"retry-after": "0.05"})
                if die < 0.1
                else Status(529)
                if die < 0.15
                else Status(500)
                if die < 0.2
                else DROP
            )
        if never_gives_a_number(question, self.seed):
            return Say("I would rather not put a number on this.")
        whole = judgment(score_of(question))
        is_half = len(body["messages"]) == 1 and self._is_half(question)
        return Say(whole.text[: len(whole.text) // 2]) if is_half else whole

    def readings(self, question: str) -> int:
        """How many replies a question needs, when none is lost."""
        return 2 if never_gives_a_number(question, self.seed) or self._is_half(question) else 1

    def _is_half(self, question: str) -> bool:
        return self._die(question, "half") < 0.05

    def _die(self, *parts: Any) -> float:
        return _share(self.seed, *parts)


def never_gives_a_number(question: str, seed: int = 0) -> bool:
    return _share(seed, question, "never") < 0.01


def score_of(question: str) -> int:
    return 1 + int(_share(question) * 5)


def _share(*parts: Any) -> float:
    """A number from 0 to 1 that depends on nothing but these parts."""
    return int(sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


class MessagesAPI:
    path = "/v1/messages"

    def __init__(self, script: Script, seconds: float = 0.005, port: int = 0, probe: What | None = None):
        self.script, self.seconds, self.port, self.probe = script, seconds, port, probe or Say("yes")
        self.requests: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 29)
        app.router.add_post(self.path, self._answer)
        app.router.add_get("/count", self._count)
        self.add_routes(app)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=2048)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr] # it listens

    def add_routes(self, app: web.Application) -> None:
        """What else a service answers."""

    async def _count(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"requests": self.seen.total(), "most_in_flight": self.most_in_flight})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = self.to_body(await request.json())
        if (what := self.to_probe(body)) is not None:
            self.probes.append(body)
            return self._respond(what, body, request)
        text = question_of(body)
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        before, self.seen[text] = self.seen[text], self.seen[text] + 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            what = self.script(before, body)
            return await _drip(request) if what == DRIP else self._respond(what, body, request)
        finally:
            self.in_flight -= 1

    def _respond(self, what: What, body: dict[str, Any], request: web.Request) -> web.StreamResponse:
        if what == DROP:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(what, Raw):
            return web.Response(body=what.body, status=what.status, content_type="application/json")
        if isinstance(what, Status):
            error = {"type": "error", "error": {"type": "scripted", "message": f"{what.words} {what.code}"}}
            return web.json_response(error, status=what.code, headers=what.headers)
        return web.json_response(self.to_message(what, body))

    def to_body(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request as the script gets it."""
        return request

    def to_probe(self, body: dict[str, Any]) -> What | None:
        """What a first tiny call is answered; nothing for any other call."""
        return self.probe if body["messages"][0]["content"] == ARE_YOU_THERE else None

    def to_message(self, what: Any, body: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(what, Say)
        return message(body["model"], what.text, what.stop_reason)


def message(model: str, text: str, stop_reason: Any = "end_turn", **odd: Any) -> dict[str, Any]:
    """A message of the API; `odd` fields take the place of its own."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": f"{model}-20260101",
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": 100, "output_tokens": 20},
        **odd,
    }


async def _drip(request: web.Request) -> web.StreamResponse:
    dripping = web.StreamResponse()
    await dripping.prepare(request)
    for _ in range(2_000):
        await dripping.write(b" ")
        await asyncio.sleep(0.02)
    return dripping


def run_alone(fake: "type[MessagesAPI]") -> None:
    """As a program of its own, until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.005)
    given = parser.parse_args()
    script, how = (lambda seen, body: judgment(score_of(question_of(body)))), {"seconds": given.seconds}
    with fake(script, port=given.port, **how) as api:
        print(api.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    run_alone(MessagesAPI)
