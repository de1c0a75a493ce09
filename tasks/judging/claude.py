"""The provider of Claude: Anthropic's Messages API, and any server that speaks it, by Anthropic's SDK.

Keys are read from the environment and kept nowhere: ANTHROPIC_API_KEY (or what else the SDK finds) for Anthropic and
for ANTHROPIC_BASE_URL; for a server that a judge names SPILLOVER_JUDGE_KEY, so that no definition can send a key of
Anthropic's elsewhere. What came back is paid: it is kept whatever it holds, and no count of tokens is made up.
"""

import json
import os
from typing import Any

from tasks.catalog import UserError, address_in_environment, without_login
from tasks.judging.calls import Call, JudgeReply, Received, without_secrets, writable
from tasks.judging.retries import Fault

PATH = "/v1/messages"
TIMEOUT = 180.0
"""Seconds without a byte after which a try is over."""
RETRIED = {408, 409, 429}
"""Statuses below 500 after which the same call may succeed."""
SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "SPILLOVER_JUDGE_KEY")
USAGE = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}
ALWAYS_COUNTED = {"input", "output"}
"""A service that leaves these out has not said what the reply cost."""
MOST_TOKENS = 10**9
"""A count above this is a mistake."""


class NoMessage(Exception):
    """What came back is no message, such as the page of a proxy."""


# ---- key and address -----------------------------------------------------------------------------


def check_key(judge: str, base_url: str) -> None:
    """Raises UserError where no key is set, or the address is none: the SDK would notice only at the first call."""
    if not base_url:
        address_in_environment("ANTHROPIC_BASE_URL", PATH)
    if base_url or os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return
    raise UserError(
        f"ANTHROPIC_API_KEY is not set and the judge {judge!r} asks Claude: export it, or choose an offline judge "
        "(judging.judges=[lexicon])"
    )


def address_of(base_url: str) -> str:
    """Where the calls of a judge go, in words."""
    return base_url or os.environ.get("ANTHROPIC_BASE_URL") or "the service of Claude"


# ---- sending -------------------------------------------------------------------------------------


class MessagesClient:
    """Connections to one server of the Messages API."""

    def __init__(self, base_url: str, connections: int):
        import anthropic
        import httpx2

        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        transport = anthropic.DefaultAioHttpClient(timeout=TIMEOUT, limits=limits, follow_redirects=False)
        settings: dict[str, Any] = {"max_retries": 0, "timeout": TIMEOUT, "http_client": transport}
        settings["open_telemetry"] = False
        if base_url:
            settings |= {"base_url": base_url, "api_key": os.environ.get("SPILLOVER_JUDGE_KEY") or "none"}
        self._sdk = anthropic.AsyncAnthropic(**settings)
        self._raw_response = httpx2.Response

    async def send(self, body: dict[str, Any]) -> bytes:
        """The response as it came: the SDK's own models take a fourth of the time, and other servers differ."""
        response: Any = await self._sdk.post(PATH, body=body, cast_to=self._raw_response)
        return bytes(response.content)

    async def close(self) -> None:
        """Closes the connections."""
        await self._sdk.close()


def client(base_url: str, connections: int) -> MessagesClient:
    """A client for so many calls at once."""
    return MessagesClient(base_url, connections)


def body(call: Call, previous: JudgeReply | None) -> dict[str, Any]:
    """The request; the rubric is marked as the part that all calls of a judge share, so that the service caches it."""
    request: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "system": [{"type": "text", "text": call.system, "cache_control": {"type": "ephemeral"}}],
        "messages": call.messages(previous),
    }
    if call.schema:
        request["output_config"] = {"format": {"type": "json_schema", "schema": call.schema}}
    if call.temperature is not None:
        request["temperature"] = call.temperature
    return request


# ---- reading -------------------------------------------------------------------------------------


def parse(content: bytes) -> Received:
    """The reply in a response's body. One that is odd, or nested too deep to be read, is kept whole as its text.

    Raises NoMessage for what is no message of the API.
    """
    text = content.decode("utf-8-sig", "replace")
    try:
        message = json.loads(text, parse_int=_to_number)
        said = _text_of(message, text)
    except RecursionError:
        return Received(without_secrets(text, SECRETS), "", "", None)
    except ValueError:
        raise NoMessage(f"the reply is no message: {text[:200]!r}") from None
    stop_reason, model = (v if isinstance(v, str) else "" for v in map(message.get, ("stop_reason", "model")))
    tokens = _tokens(message.get("usage"))
    return Received(without_secrets(writable(said), SECRETS), writable(stop_reason), writable(model), tokens)


def _text_of(message: Any, whole: str) -> str:
    """What a message says; of one whose content is odd the whole body. Raises ValueError for what is no message."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return "".join(_as_text(block.get("text", "")) for block in content if block.get("type") == "text")
    is_message = isinstance(message, dict) and (message.get("type") == "message" or "usage" in message)
    if not is_message:
        raise ValueError("no message")
    return content if isinstance(content, str) else whole


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _tokens(usage: Any) -> dict[str, int] | None:
    """Tokens by kind, or None where a count is missing or is no count."""
    given = usage if isinstance(usage, dict) else {}
    counts = {kind: _count(given.get(name), kind in ALWAYS_COUNTED) for kind, name in USAGE.items()}
    known = {kind: count for kind, count in counts.items() if count is not None}
    return known if known.keys() == counts.keys() else None


def _count(given: Any, is_always_counted: bool) -> int | None:
    if given is None and not is_always_counted:
        return 0
    return given if type(given) is int and 0 <= given < MOST_TOKENS else None


def _to_number(digits: str) -> int | float:
    """Python refuses integers of more than some thousand digits, and with them the whole reply."""
    return int(digits) if len(digits) < 20 else float(digits)


# ---- what goes wrong -----------------------------------------------------------------------------


def fault(error: Exception, call: Call) -> Fault:
    """What an error amounts to.

    Raises UserError for what its user must mend, and the error itself where it is none of the service's.
    """
    import anthropic

    status, reason = getattr(error, "status_code", None), without_secrets(_reason(error), SECRETS)
    if mistake := _mistake(status, reason, error, call):
        raise UserError(mistake) from None
    if isinstance(error, anthropic.APIStatusError):
        is_transient = status in RETRIED or (status or 0) >= 500
        return Fault(reason, is_transient, status, _retry_after(error))
    broken = (anthropic.APIConnectionError, anthropic.APIResponseValidationError, NoMessage)
    if not isinstance(error, (*broken, anthropic.APIError)):
        raise error
    return Fault(reason, isinstance(error, broken), status)


def _reason(error: Any) -> str:
    """As `400 BadRequestError: prompt is too long`: tables show the beginning, and the rest of a body says nothing."""
    status, name = getattr(error, "status_code", None), type(error).__name__
    match getattr(error, "body", None):
        case {"error": {"message": str(said)}} if said.strip():
            words = said
        case _:
            words = str(error)
    return f"{status} {name}: {words}" if status else f"{name}: {words}"


def _mistake(status: int | None, reason: str, error: Any, call: Call) -> str:
    """What every call of this run would meet, with its remedy; nothing where another call may succeed."""
    place = address_of(call.base_url)
    if status in (401, 403):
        name = "SPILLOVER_JUDGE_KEY" if call.base_url else "ANTHROPIC_API_KEY"
        return f"{name}: the service refused it for {call.model} ({status}); set a key that may use it"
    if status == 404:
        return f"{place} has no model {call.model!r} (404); mend the judge's model, or its base_url"
    if status == 402 or (status == 400 and "credit balance" in reason.lower()):
        return f"{place} wants to be paid first ({reason[:200]}); add credit there and resume the run"
    if status is not None and 300 <= status < 400:
        other = without_login(error.response.headers.get("location", "")) or "another address"
        return f"{place} sends calls on to {other} ({status}), where no key is sent; mend the judge's base_url"
    return ""


def _retry_after(error: Exception) -> float | None:
    """Seconds, where the response gives them as a number."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    return float(value) if value and value.isascii() and value.replace(".", "", 1).isdigit() else None
