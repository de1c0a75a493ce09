"""The provider of chat completions: OpenAI's API, and all that speak it (OpenRouter, Together, vLLM, llama.cpp).

A key is sent to its own server alone: a definition of someone else's names a server, and must not be able to name a key
that is not meant for it. OPENAI_API_KEY goes to OpenAI; what a judge names in `key_variable` is the key of a service
in KEYS, or is named SPILLOVER_..._KEY; SPILLOVER_JUDGE_KEY goes to any other server. On this machine none is needed.
"""

import asyncio
import ipaddress
import json
import math
import os
import re
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.catalog import UserError
from tasks.judging.calls import REFUSED, Call, JudgeReply, Received
from tasks.judging.retries import Fault
from tasks.judging.transport import (
    SdkClient,
    count,
    mistake_of,
    read_body,
    reason_of,
    settings,
    text_or_empty,
    to_fault,
    unsendable,
)
from tasks.schema import OPENAI, Judge

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PATH = "/chat/completions"
LONGEST_LOOK_UP = 10.0
"""Seconds for what a service says of a model."""
OPENROUTER = "openrouter.ai"
KEYS = {"OPENAI_API_KEY": "api.openai.com", "OPENROUTER_API_KEY": OPENROUTER, "TOGETHER_API_KEY": "api.together.xyz"}
"""Services whose keys have names that everyone knows: each goes to this host, and to no other."""
OURS = re.compile(r"SPILLOVER_(\w+_)?KEY")
"""How any other key is named that a judge may name: SPILLOVER_STORE holds a password, and is none."""
TOKEN_KINDS: tuple[str, ...] = ("input", "output", "cache_read")
"""Few services are paid for what they write to a cache; where one counts it, its price is needed too."""


# ---- key and address -----------------------------------------------------------------------------


def check_key(judge: Judge) -> None:
    """Raises UserError where the key is not set, or is not meant for the judge's server."""
    if problem := _objection(judge.base_url, judge.key_variable):
        raise UserError(f"the judge {judge.name!r} {problem}")


def _objection(base_url: str, key_variable: str) -> str:
    """Why a server cannot be asked with the key in this variable; nothing where it can."""
    host, name = _host(base_url), _key_name(base_url, key_variable)
    if KEYS.get(name, host) != host:
        return f"would send {name} to {host}, and it is meant for {KEYS[name]} alone; name another key_variable"
    if name not in KEYS and not OURS.fullmatch(name):
        known = ", ".join(KEYS)
        return f"names {name} as its key, which may be meant for another service; name it SPILLOVER_..._KEY, or {known}"
    if name in KEYS and urlsplit(base_url).scheme.lower() != "https":
        return f"would send {name} to {base_url}, where all on the way can read it; write https://"
    if problem := unsendable(name):
        return problem
    if not os.environ.get(name) and not _is_here(host):
        return f"asks {base_url}, and {name} is not set: export it (any word, where that server wants no key)"
    return ""


def _key_name(base_url: str, key_variable: str) -> str:
    own = "OPENAI_API_KEY" if _host(base_url) == KEYS["OPENAI_API_KEY"] else "SPILLOVER_JUDGE_KEY"
    return key_variable or own


def _host(base_url: str) -> str:
    return (urlsplit(base_url).hostname or "").lower()


def _is_here(host: str) -> bool:
    """Whether it is this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def address_of(base_url: str) -> str:
    """Where the calls of a judge go."""
    return base_url or OPENAI


async def shutdown_date(judge: Judge) -> date | None:
    """The day on which the judge's model ends, where its service says so."""
    if _objection(judge.base_url, judge.key_variable):
        return None
    sdk = _sdk(judge.base_url, judge.key_variable, connections=1)
    with suppress(Exception):  # a server without such a list, or that is not there: the first call will tell
        async with asyncio.timeout(LONGEST_LOOK_UP), sdk:
            return date.fromisoformat((await sdk.models.retrieve(judge.model)).shutdown_date or "")
    return None


# ---- sending -------------------------------------------------------------------------------------


def client(call: Call, connections: int) -> SdkClient:
    """A client of so many connections to where the call goes. Raises UserError for a key that is not meant for it."""
    return SdkClient(_sdk(call.base_url, call.key_variable, connections), PATH)


def _sdk(base_url: str, key_variable: str, connections: int) -> "AsyncOpenAI":
    """A client; what it takes from the environment is between its user and OpenAI, and goes to no other server."""
    import openai

    if problem := _objection(base_url, key_variable):
        raise UserError(f"a judge {problem}")
    key = os.environ.get(_key_name(base_url, key_variable)) or "none"
    sdk = openai.AsyncOpenAI(base_url=base_url, api_key=key, **settings(openai, connections))
    if _host(base_url) != KEYS["OPENAI_API_KEY"]:
        sdk.organization = sdk.project = None
        sdk._custom_headers = {}
    return sdk


def body(call: Call, previous: JudgeReply | None) -> dict[str, Any]:
    """The request: what is left out in the call is left out here, since not every server knows every field."""
    host = _host(call.base_url)
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
    return read_body(content, lambda completion, whole: _to_received(completion, whole, call), _secrets(call))


def _secrets(call: Call) -> tuple[str, ...]:
    return (*KEYS, "SPILLOVER_JUDGE_KEY", *filter(None, [call.key_variable]))


def _to_received(completion: Any, whole: str, call: Call) -> Received:
    """Raises ValueError for what is no completion, as an error that came with the status of a success."""
    if not isinstance(completion, dict) or completion.get("error"):
        raise ValueError("no completion")
    choices, tokens = completion.get("choices"), _tokens(completion.get("usage"))
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if choice.get("error") or choice.get("finish_reason") == "error" or not (choice or tokens):
        raise ValueError("no completion")
    said = choice.get("message")
    reply, refusal = _text_of(said if isinstance(said, dict) else {}, whole)
    stop_reason = "refusal" if refusal else text_or_empty(choice.get("finish_reason"))
    if call.top and stop_reason not in REFUSED and (probabilities := _first_token(choice.get("logprobs"))):
        reply = json.dumps(probabilities, ensure_ascii=False)
    return Received(reply, stop_reason, _who(completion), tokens)


def _text_of(message: dict[str, Any], whole: str) -> tuple[str, str]:
    """What a message says, and its refusal; of one whose content is odd the whole body."""
    text, refusal = message.get("content"), text_or_empty(message.get("refusal"))
    if isinstance(text, str) or refusal:
        return text_or_empty(text) or refusal, refusal
    is_empty = "content" in message and text is None and not message.get("tool_calls")
    return "" if is_empty else whole, refusal


def _who(completion: dict[str, Any]) -> str:
    """The model that the server says it used; where another served it, by whom."""
    model, served_by = (text_or_empty(completion.get(name)) for name in ("model", "provider"))
    return f"{model} by {served_by}" if served_by else model


def _first_token(logprobs: Any) -> dict[str, float]:
    """{token: p} of what the first token may be, the likeliest first; nothing where the service gives none."""
    match logprobs:
        case {"content": [{"top_logprobs": [*given]} as chosen, *_]}:
            found: dict[str, float] = {}
            for alternative in given or [chosen]:
                match alternative:
                    case {"token": str(token), "logprob": int() | float() as logprob} if not math.isnan(logprob):
                        # Several tokens may be written alike, as parts of a character that is no text.
                        found[token] = min(1.0, found.get(token, 0.0) + math.exp(min(logprob, 0.0)))
            return found
    return {}


def _tokens(usage: Any) -> dict[str, int] | None:
    """Tokens by kind, or None where a count is missing or is no count; what a cache holds is part of the prompt."""
    given = usage if isinstance(usage, dict) else {}
    details = given.get("prompt_tokens_details")
    parts = details if isinstance(details, dict) else {}
    read, written = (
        count(parts.get(name), is_always_counted=False) for name in ("cached_tokens", "cache_write_tokens")
    )
    asked, said = (count(given.get(name), is_always_counted=True) for name in ("prompt_tokens", "completion_tokens"))
    if asked is None or said is None or read is None or written is None or read + written > asked:
        return None
    return {"input": asked - read - written, "output": said, "cache_read": read, "cache_write": written}


# ---- what goes wrong -----------------------------------------------------------------------------


def fault(error: Exception, call: Call) -> Fault:
    """What an error amounts to.

    Raises UserError for what its user must mend, and the error itself where it is none of the service's.
    """
    import openai

    status, place = getattr(error, "status_code", None), address_of(call.base_url)
    reason = reason_of(error, {"error": getattr(error, "body", None)}, _secrets(call))
    if status == 404:
        raise UserError(
            f"{place} has nothing for {call.model!r} ({reason[:200]}); mend the judge's model, provider or base_url, "
            "which mostly ends in /v1"
        ) from None
    is_moderation = status == 403 and _host(call.base_url) == OPENROUTER  # a judged text was flagged, and only that one
    key = _key_name(call.base_url, call.key_variable)
    if not is_moderation and (mistake := mistake_of(error, reason, call, place, key)):
        raise UserError(mistake) from None
    return to_fault(openai, error, reason)
