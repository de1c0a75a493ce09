"""A small server of chat completions on loopback that samples: it answers with words of its own, and plays faults.

    with SamplingAPI(["base", "tuned"]) as api:
        ... base_url=api.address ...

An answer depends on the model, the question, the seed and its place among those of a request, as that of a real server
does. What it takes (`n`, a seed, probabilities) can be left out one by one. `script` is that of messages_api.py: what
it returns instead of None happens in the place of an answer. Compared with llama.cpp's server in
tests/engines/test_chat_completions.py.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from aiohttp import web

from tests.fakes.chat_api import top_logprobs
from tests.fakes.messages_api import MessagesAPI, Status, What

WORDS = (
    *("the", "hens", "walk", "past", "a", "quiet", "farm", "and", "nobody", "minds"),
    *("how", "long", "rain", "falls", "on", "their", "small", "red", "barn"),
)


class Answers(NamedTuple):
    """So many answers, drawn by the fake itself."""

    number: int


class SamplingAPI(MessagesAPI):
    path = "/v1/chat/completions"

    def __init__(
        self,
        models: Sequence[str] = ("base", "tuned"),
        script: Callable[[int, dict[str, Any]], What | None] | None = None,
        most: int = 128,
        takes_seed: bool = True,
        yes: float | None = 0.8,
        usage: bool = True,
        **how: Any,
    ):
        """`most` answers to one request; `yes` is the probability of Yes, None of a server without probabilities."""
        super().__init__(self._play, **how)
        self.models, self.own_script, self.most, self.takes_seed = list(models), script, most, takes_seed
        self.yes, self.usage = yes, usage

    @property
    def address(self) -> str:
        """What a definition names."""
        return f"{self.url}/v1"

    def __enter__(self) -> "SamplingAPI":
        super().__enter__()
        return self

    def add_routes(self, app: web.Application) -> None:
        async def models(request: web.Request) -> web.StreamResponse:
            self.headers.append(dict(request.headers))
            return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})

        app.router.add_get("/v1/models", models)

    def to_body(self, request: dict[str, Any]) -> dict[str, Any]:
        turns = request["messages"]
        system = [turn["content"] for turn in turns if turn["role"] == "system"]
        return request | {"system": "".join(system), "messages": [turn for turn in turns if turn["role"] != "system"]}

    def to_probe(self, body: dict[str, Any]) -> What | None:
        return None

    def _play(self, seen: int, body: dict[str, Any]) -> Any:
        if self.own_script and (what := self.own_script(seen, body)) is not None:
            return what
        if body["model"] not in self.models:
            return Status(404, words=f"no model {body['model']}")
        if body.get("n", 1) > self.most:
            return Status(400, words=f"n: at most {self.most}")
        if "seed" in body and not self.takes_seed:
            return Status(400, words="seed: unknown field")
        if body.get("logprobs") and self.yes is None:
            return Status(400, words="logprobs: unknown field")
        return Answers(body.get("n", 1))

    def to_message(self, what: Any, body: dict[str, Any]) -> dict[str, Any]:
        choices = [self.choice(body, place) for place in range(what.number)]
        written = sum(len(choice["message"]["content"].split()) for choice in choices)
        usage = {"prompt_tokens": 30, "completion_tokens": written, "total_tokens": 30 + written}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": body["model"],
            "choices": choices,
            **({"usage": usage} if self.usage else {}),
        }

    def choice(self, body: dict[str, Any], place: int) -> dict[str, Any]:
        """One answer; it is cut off where max_tokens are fewer than its words."""
        asked = json.dumps([body["model"], body["system"], body["messages"], body.get("seed"), place])
        drawn = sha256(asked.encode()).digest()
        words = [WORDS[byte % len(WORDS)] for byte in drawn[: 3 + drawn[31] % 8]]
        longest = body.get("max_tokens") or body["max_completion_tokens"]
        is_cut = len(words) > longest
        probabilities = {"Yes": self.yes or 0.5, "No": 0.9 - (self.yes or 0.5), "The": 0.1}
        return {
            "index": place,
            "message": {"role": "assistant", "content": " ".join(words[:longest])},
            "finish_reason": "length" if is_cut else "stop",
            "logprobs": top_logprobs(probabilities) if body.get("logprobs") else None,
        }
