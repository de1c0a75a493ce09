"""The provider of Claude: Anthropic's Messages API, and any server that speaks it, by Anthropic's SDK.

Keys are read from the environment and kept nowhere: ANTHROPIC_API_KEY (or what else the SDK finds) for Anthropic and
for ANTHROPIC_BASE_URL; for a server that a judge names SPILLOVER_JUDGE_KEY, so that no definition can send a key of
Anthropic's elsewhere. What came back is paid: it is kept whatever it holds, and no count of tokens is made up.
"""

import os
from typing import Any

from tasks.catalog import UserError, address_in_environment
from tasks.judging.calls import Call, JudgeReply
from tasks.schema import Judge
from tasks.services.retries import Fault
from tasks.services.transport import (
    Received,
    SdkClient,
    as_text,
    count,
    mistake_of,
    read_body,
    reason_of,
    settings,
    text_or_empty,
    to_fault,
    unsendable,
)

PATH = "/v1/messages"
SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "SPILLOVER_JUDGE_KEY")
USAGE = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}
TOKEN_KINDS: tuple[str, ...] = tuple(USAGE)
ALWAYS_COUNTED = {"input", "output"}
"""A service that leaves these out has not said what the reply cost."""


# ---- key and address -----------------------------------------------------------------------------


def check_key(judge: Judge) -> None:
    """Raises UserError where no key is set, or the address is none: the SDK would notice only at the first call."""
    if problem := objection(judge.base_url):
        offline = ", or choose an offline judge (judging.judges=[lexicon])" if problem.endswith("export it") else ""
        raise UserError(f"the judge {judge.name!r} {problem}{offline}")


def objection(base_url: str, _: str = "") -> str:
    """Why a server cannot be asked, in words that follow who asks it; nothing where it can.

    Raises UserError where ANTHROPIC_BASE_URL is no address.
    """
    if not base_url:
        address_in_environment("ANTHROPIC_BASE_URL", PATH)
    if problem := next(filter(None, map(unsendable, _key_names(base_url))), ""):
        return problem
    if base_url or os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return ""
    return "asks Claude, and ANTHROPIC_API_KEY is not set: export it"


def _key_names(base_url: str) -> tuple[str, ...]:
    """The variables of the environment whose keys may be sent to it."""
    return ("SPILLOVER_JUDGE_KEY",) if base_url else ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")


def address_of(base_url: str) -> str:
    """Where the calls of a judge go, in words."""
    return base_url or os.environ.get("ANTHROPIC_BASE_URL") or "the service of Claude"


async def shutdown_date(_: Judge) -> None:
    """Nothing: the service's list of models does not say when one ends."""


# ---- sending and reading -------------------------------------------------------------------------


def client(call: Call, connections: int) -> SdkClient:
    """A client for so many calls at once to where this one goes."""
    import anthropic

    own: dict[str, Any] = {}
    if call.base_url:
        own = {"base_url": call.base_url, "api_key": os.environ.get("SPILLOVER_JUDGE_KEY") or "none"}
    sdk = anthropic.AsyncAnthropic(open_telemetry=False, **own, **settings(anthropic, connections))
    if call.base_url:
        sdk._custom_headers = {}  # those of ANTHROPIC_CUSTOM_HEADERS are between its user and Anthropic
    return SdkClient(sdk, PATH)


def body(call: Call, previous: JudgeReply | None) -> dict[str, Any]:
    """The request; the rubric is marked as the part that all calls of a judge share, so that the service caches it."""
    request: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "messages": call.messages(previous),
    }
    if call.system:  # the service takes no empty text
        request["system"] = [{"type": "text", "text": call.system, "cache_control": {"type": "ephemeral"}}]
    if call.schema:
        request["output_config"] = {"format": {"type": "json_schema", "schema": call.schema}}
    if call.temperature is not None:
        request["temperature"] = call.temperature
    return request


def parse(content: bytes, _: Call) -> Received:
    """The reply in a response's body, whatever it holds; one that is odd is kept whole as its text.

    Raises NoMessage for what is no message of the API.
    """
    return read_body(content, _to_received, SECRETS)


def _to_received(message: Any, whole: str) -> Received:
    said = _text_of(message, whole)
    stop_reason, model = (text_or_empty(message.get(name)) for name in ("stop_reason", "model"))
    return Received(said, stop_reason, model, _tokens(message.get("usage")))


def _text_of(message: Any, whole: str) -> str:
    """What a message says; of one whose content is odd the whole body. Raises ValueError for what is no message."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return "".join(as_text(block.get("text", "")) for block in content if block.get("type") == "text")
    is_message = isinstance(message, dict) and (message.get("type") == "message" or "usage" in message)
    if not is_message:
        raise ValueError("no message")
    return content if isinstance(content, str) else whole


def _tokens(usage: Any) -> dict[str, int] | None:
    """Tokens by kind, or None where a count is missing or is no count."""
    given = usage if isinstance(usage, dict) else {}
    counts = {kind: count(given.get(name), kind in ALWAYS_COUNTED) for kind, name in USAGE.items()}
    known = {kind: count for kind, count in counts.items() if count is not None}
    return known if known.keys() == counts.keys() else None


def fault(error: Exception, call: Call) -> Fault:
    """What an error amounts to.

    Raises UserError for what its user must mend, and the error itself where it is none of the service's.
    """
    import anthropic

    reason = reason_of(error, getattr(error, "body", None), SECRETS)
    if mistake := mistake_of(error, reason, call.model, address_of(call.base_url), _key_names(call.base_url)[0]):
        raise UserError(mistake) from None
    return to_fault(anthropic, error, reason)


def status_error(status: int, words: str, body: Any) -> Exception:
    """What the SDK raises of a response of this status with this body."""
    import anthropic
    import httpx2

    response = httpx2.Response(status, request=httpx2.Request("POST", PATH))
    return anthropic.APIStatusError(words, response=response, body=body)
