"""A small server that speaks the API of chat completions on loopback and plays the faults of messages_api.py.

    with ChatAPI(script) as api:
        ... base_url=f"{api.url}/v1" ...

Scripts are those of messages_api.py: a request comes to them with its system turn apart, as the Messages API has it.
Beside a `Say` they may return a `Top`, the probabilities of the first token. Calls that try a number are answered
apart, by a model whose numbers are one token each, or single digits with `digits=True`. Never compared with the real
services of OpenAI or OpenRouter; with llama.cpp's server in tests/judging/test_probes.py. As a process of its own:

    python -m tests.fakes.chat_api --port 8123 --seconds 0.1     # GET /count tells how often it was asked
"""

import math
import re
from typing import Any, NamedTuple

from aiohttp import web

from tasks.judging.probes import SAY_THE_NUMBER
from tests.fakes.messages_api import MessagesAPI, What, run_alone

FINISH = {"end_turn": "stop", "max_tokens": "length"}


class Top(NamedTuple):
    """A reply of one token: {token: p}."""

    probabilities: dict[str, float]


class ChatAPI(MessagesAPI):
    path = "/v1/chat/completions"

    def __init__(self, script: Any, digits: bool = False, has_probabilities: bool = True, ends: Any = None, **how: Any):
        """`ends` is what GET /v1/models/... says of the day on which a model ends."""
        super().__init__(script, **how)
        self.digits, self.has_probabilities, self.ends = digits, has_probabilities, ends

    def add_routes(self, app: web.Application) -> None:
        async def model(request: web.Request) -> web.StreamResponse:
            described = {"id": request.match_info["model"], "object": "model", "created": 1, "owned_by": "us"}
            return web.json_response(described | {"shutdown_date": self.ends})

        app.router.add_get("/v1/models/{model}", model)

    def to_body(self, request: dict[str, Any]) -> dict[str, Any]:
        system, *turns = request["messages"]
        assert system["role"] == "system"
        return request | {"system": system["content"], "messages": turns}

    def to_probe(self, body: dict[str, Any]) -> What | None:
        if number := re.fullmatch(
            re.escape(SAY_THE_NUMBER).replace(r"\{\}", r"(-?\d+)"), body["messages"][0]["content"]
        ):
            return Top({number[1][:1] if self.digits else number[1]: 0.9, "The": 0.1})  # type: ignore[return-value] # ours
        return super().to_probe(body)

    def to_message(self, what: Any, body: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(what, Top):
            return completion(body["model"], what.text, what.stop_reason)
        likeliest = max(what.probabilities, key=what.probabilities.__getitem__)
        logprobs = top_logprobs(what.probabilities) if body.get("logprobs") and self.has_probabilities else None
        return completion(body["model"], likeliest, "max_tokens", logprobs=logprobs)


def top_logprobs(probabilities: dict[str, float]) -> dict[str, Any]:
    """As the API gives them, the likeliest first."""
    ordered = sorted(probabilities.items(), key=lambda item: -item[1])
    top = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in ordered]
    return {"content": [top[0] | {"top_logprobs": top}], "refusal": None}


def completion(
    model: str, text: str | None, finish_reason: Any = "stop", logprobs: Any = None, **odd: Any
) -> dict[str, Any]:
    """A completion of the API; `odd` fields take the place of its own."""
    reason = FINISH.get(finish_reason, finish_reason) if isinstance(finish_reason, str) else finish_reason
    said = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": f"{model}-20260101",
        "choices": [{"index": 0, "message": said, "logprobs": logprobs, "finish_reason": reason}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 40},
        },
        **odd,
    }


if __name__ == "__main__":
    run_alone(ChatAPI)
