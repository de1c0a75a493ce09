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
    """The reply in a response's body. A body nested too deep to be read is kept whole, as the text of the reply.

    Raises NoMessage for what is no message of the API.
    """
    try:
        return _received(json.loads(content, parse_int=_whole))
    except RecursionError:
        return Received(content.decode("utf-8", "replace"), "", "", None)
    except ValueError:
        raise NoMessage(f"the reply is no message: {content[:200]!r}") from None


def _received(message: Any) -> Received:
    blocks = message.get("content") if isinstance(message, dict) else None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise NoMessage(f"the reply is no message: {str(message)[:200]}")
    text = "".join(_words(block.get("text", "")) for block in blocks if block.get("type") == "text")
    stop_reason, model = (one if isinstance(one, str) else "" for one in map(message.get, ("stop_reason", "model")))
    return Received(_writable(text), _writable(stop_reason), _writable(model), _tokens(message.get("usage")))


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
