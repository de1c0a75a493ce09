"""What came back from a service of the Messages API: it is paid, so whatever it holds is kept, and no count is made up.

received = read_message(content)     # Received(text="...", stop_reason="end_turn", model="...", tokens={...})
"""

import json
from typing import Any, NamedTuple

USAGE = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_read": "cache_read_input_tokens",
}
ALWAYS_COUNTED = {"input", "output"}
"""A service that says nothing of these has not told what the reply cost."""
REFUSED = {"refusal"}
CUT_OFF = {"max_tokens", "length", "model_context_window_exceeded"}
"""Why a reply can have ended but by itself, in the words of the API and of servers that imitate it."""
MOST_TOKENS = 10**9
"""No reply has as many: a greater count is none."""


class NoMessage(Exception):
    """What came back is no message, such as the page of a proxy."""


class Received(NamedTuple):
    """A reply, word for word."""

    text: str
    stop_reason: str
    model: str
    """The model that the service says it used; empty where it says none."""
    tokens: dict[str, int] | None
    """Tokens by kind, or None where the service gives a count that is none, or none at all."""


def read_message(content: bytes) -> Received:
    """The reply in a response's body. One that is odd, or nested too deep to be read, is kept whole as its text.

    Raises NoMessage for what is no message of the API.
    """
    body = content.decode("utf-8-sig", "replace")
    try:
        message = json.loads(body, parse_int=_whole)
        text = _text(message, body)
    except RecursionError:
        return Received(body, "", "", None)
    except ValueError:
        raise NoMessage(f"the reply is no message: {body[:200]!r}") from None
    stop_reason, model = (one if isinstance(one, str) else "" for one in map(message.get, ("stop_reason", "model")))
    return Received(_writable(text), _writable(stop_reason), _writable(model), _tokens(message.get("usage")))


def _text(message: Any, body: str) -> str:
    """What a message says; of one whose content is odd the whole body. Raises ValueError for what is no message."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return "".join(_words(block.get("text", "")) for block in content if block.get("type") == "text")
    is_message = isinstance(message, dict) and (message.get("type") == "message" or "usage" in message)
    if not is_message:
        raise ValueError("no message")
    return content if isinstance(content, str) else body


def _tokens(usage: Any) -> dict[str, int] | None:
    given = usage if isinstance(usage, dict) else {}
    counts = {kind: _count(given.get(name), kind in ALWAYS_COUNTED) for kind, name in USAGE.items()}
    known = {kind: count for kind, count in counts.items() if count is not None}
    return known if known.keys() == counts.keys() else None


def _count(given: Any, is_always_counted: bool) -> int | None:
    if given is None and not is_always_counted:
        return 0
    return given if type(given) is int and 0 <= given < MOST_TOKENS else None


def _words(text: Any) -> str:
    return text if isinstance(text, str) else json.dumps(text)


def _writable(text: str) -> str:
    """Half an emoji could be committed and never be written."""
    return text.encode("utf-8", "replace").decode()


def _whole(digits: str) -> int | float:
    """Python refuses integers of more than some thousand digits, and with them the whole reply."""
    return int(digits) if len(digits) < 20 else float(digits)
