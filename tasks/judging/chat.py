"""The provider of chat completions: OpenAI's API, and all that speak it (OpenRouter, Together, vLLM, llama.cpp).

Which key goes to which server, and what a reply holds, stand in tasks/services/chat_server.py.
"""

import asyncio
import json
from contextlib import suppress
from datetime import date
from typing import Any

from tasks.catalog import UserError
from tasks.judging.calls import REFUSED, Call, JudgeReply
from tasks.schema import OPENAI, Judge
from tasks.services.chat_server import (
    KEYS,
    OPENROUTER,
    PATH,
    fault_of,
    first_token,
    host_of,
    sdk_client,
    secrets_of,
    text_of,
    tokens_of,
)
from tasks.services.chat_server import (
    objection as objection_to,
)
from tasks.services.retries import Fault
from tasks.services.transport import Received, SdkClient, read_body, text_or_empty

LONGEST_LOOK_UP = 10.0
"""Seconds for what a service says of a model."""
TOKEN_KINDS: tuple[str, ...] = ("input", "output", "cache_read")
"""Few services are paid for what they write to a cache; where one counts it, its price is needed too."""


# ---- key and address -----------------------------------------------------------------------------


def objection(base_url: str, key_variable: str) -> str:
    """Why a server cannot be asked with the key in this variable, in words that follow who asks; or nothing."""
    return objection_to(base_url, key_variable)


def check_key(judge: Judge) -> None:
    """Raises UserError where the key is not set, or is not meant for the judge's server."""
    if problem := objection(judge.base_url, judge.key_variable):
        raise UserError(f"the judge {judge.name!r} {problem}")


def address_of(base_url: str) -> str:
    """Where the calls of a judge go."""
    return base_url or OPENAI


async def shutdown_date(judge: Judge) -> date | None:
    """The day on which the judge's model ends, where its service says so."""
    if objection(judge.base_url, judge.key_variable):
        return None
    sdk = sdk_client(judge.base_url, judge.key_variable, connections=1)
    with suppress(Exception):  # a server without such a list, or that is not there: the first call will tell
        async with asyncio.timeout(LONGEST_LOOK_UP), sdk:
            return date.fromisoformat((await sdk.models.retrieve(judge.model)).shutdown_date or "")
    return None


# ---- sending -------------------------------------------------------------------------------------


def client(call: Call, connections: int) -> SdkClient:
    """A client of so many connections to where the call goes. Raises UserError for a key that is not meant for it."""
    return SdkClient(sdk_client(call.base_url, call.key_variable, connections), PATH)


def body(call: Call, previous: JudgeReply | None) -> dict[str, Any]:
    """The request: what is left out in the call is left out here, since not every server knows every field."""
    host = host_of(call.base_url)
    longest = "max_completion_tokens" if host == KEYS["OPENAI_API_KEY"] else "max_tokens"
    system = [{"role": "system", "content": call.system}] if call.system else []
    request: dict[str, Any] = {
        "model": call.model,
        "messages": [*system, *call.messages(previous)],
        longest: call.max_tokens,
    }
    if call.schema:
        schema = {"name": "judgment", "strict": True, "schema": call.schema}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if call.temperature is not None:
        request["temperature"] = call.temperature
    if call.seed is not None:
        request["seed"] = call.seed
    if call.top:
        request |= {"logprobs": True, "top_logprobs": call.top}
    if call.served_by or host == OPENROUTER:
        only = {"only": [call.served_by]} if call.served_by else {}
        request["provider"] = {"require_parameters": True, **only}
    return request


# ---- reading -------------------------------------------------------------------------------------


def parse(content: bytes, call: Call) -> Received:
    """The reply in a response's body, whatever it holds; one that is odd is kept whole as its text.

    Raises NoMessage for what is no completion.
    """
    return read_body(
        content, lambda completion, whole: _to_received(completion, whole, call), secrets_of(call.key_variable)
    )


def _to_received(completion: Any, whole: str, call: Call) -> Received:
    """Raises ValueError for what is no completion, as an error that came with the status of a success."""
    if not isinstance(completion, dict) or completion.get("error"):
        raise ValueError("no completion")
    choices, tokens = completion.get("choices"), tokens_of(completion.get("usage"))
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if choice.get("error") or choice.get("finish_reason") == "error" or not (choice or tokens):
        raise ValueError("no completion")
    said = choice.get("message")
    reply, refusal = text_of(said if isinstance(said, dict) else {}, whole)
    stop_reason = "refusal" if refusal else text_or_empty(choice.get("finish_reason"))
    if call.top and stop_reason not in REFUSED and (probabilities := first_token(choice.get("logprobs"))):
        reply = json.dumps(probabilities, ensure_ascii=False)
    return Received(reply, stop_reason, _who(completion), tokens)


def _who(completion: dict[str, Any]) -> str:
    """The model that the server says it used; where another served it, by whom."""
    model, served_by = (text_or_empty(completion.get(name)) for name in ("model", "provider"))
    return f"{model} by {served_by}" if served_by else model


def fault(error: Exception, call: Call) -> Fault:
    """What an error amounts to.

    Raises UserError for what its user must mend, and the error itself where it is none of the service's.
    """
    return fault_of(error, call.model, address_of(call.base_url), call.key_variable)
