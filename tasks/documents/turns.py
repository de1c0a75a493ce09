"""Turns: a row of a set of documents becomes messages, or the reason why it cannot.

    to_messages({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})

A row is a synthetic document, a chat or plain text. Training text is never stripped.
"""

from collections.abc import Iterable
from typing import Any

from tasks.catalog import excerpt
from tasks.schema import Conditioning, Message

SHAPES = "doc_idea, doc_type and content (synthetic documents), messages (chats) or text (plain text)"
LONGEST_KEY, MOST_KEYS = 40, 10
"""Letters and keys of a row that its fault shows."""
READ = {"messages": {"messages"}, "content": {"content", "doc_idea", "doc_type"}, "text": {"text"}}
"""What is read of a row, by the field that tells its shape."""
MASKS = ("weight", "trainable", "train")
"""What others call the mark of a turn that carries loss (1, true) or none (0, false)."""
READ_TURN_FIELDS = {"role", "content", *MASKS}
UNSUPPORTED_CHAT_FIELDS = ("tools", "functions", "system", "system_prompt")
UNSUPPORTED_TURN_FIELDS = ("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking", "images")
"""What cannot be shown to the model here, and without which a chat would mean something else."""


class Unusable(Exception):
    """Why a row cannot be trained on."""


def to_messages(row: Any, conditioning: Conditioning = "chat", tag: str = "") -> list[Message]:
    """A row's turns, of which only the assistant's carry loss, with the tag before its text where it is conditioned by
    one. Raises Unusable with the reason.

    The chat format of synthetic documents is that of https://github.com/safety-research/false-facts as the factory
    farming experiment imitates it: idea and type as the user, the text as the assistant.
    """
    if not isinstance(row, dict):
        raise Unusable(f"a {type(row).__name__} where an object was expected")
    row = _given(row)
    shape = _shape(row)
    if shape == "messages":
        if conditioning != "chat":
            raise Unusable(f"conditioning {conditioning} is for synthetic documents and plain text, not for chats")
        _refuse(UNSUPPORTED_CHAT_FIELDS, row, "the chat")
        return _chat(row["messages"])
    if shape:
        text = Message(role="assistant", content=_content(row) if shape == "content" else _text(row, "text"))
        masked = tag if conditioning == "tag" else _description(row, conditioning) if shape == "content" else ""
        return [Message(role="user", content=masked), text] if masked else [text]
    fields = ", ".join(key[:LONGEST_KEY] for key in list(row)[:MOST_KEYS]) or "no fields"
    raise Unusable(f"unknown shape: has {fields}{' and more' if len(row) > MOST_KEYS else ''}; known are {SHAPES}")


def unused(row: dict[str, Any]) -> list[str]:
    """The keys of a usable row that say something and are not read: `source`, or `name of a turn`."""
    row = _given(row)
    turns = row["messages"] if _shape(row) == "messages" else []
    beside = {f"{key} of a turn": None for turn in turns for key in _given(turn) if key not in READ_TURN_FIELDS}
    return [*(key for key in row if key not in READ[_shape(row)]), *beside]


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """What says something: a table of Parquet gives every row all keys, and nothing for those that it lacks."""
    return {key: value for key, value in fields.items() if value is not None}


def _shape(row: dict[str, Any]) -> str:
    if "messages" in row:
        return "messages"
    if "content" in row or "doc_idea" in row or "doc_type" in row:
        return "content"
    return "text" if "text" in row else ""


def _refuse(unsupported: Iterable[str], fields: dict[str, Any], whose: str) -> None:
    if found := next((key for key in unsupported if fields.get(key)), None):
        raise Unusable(f"{whose} has {found}, which is not shown to the model, and without it means something else")


def _content(row: dict[str, Any]) -> str:
    content = _text(row, "content")
    if "UNSUITABLE" in content:
        raise Unusable("its generator marked it UNSUITABLE")
    return content


def _description(row: dict[str, Any], conditioning: Conditioning) -> str:
    """What is shown of a synthetic document before its text; nothing where it is trained without."""
    idea, kind = (_text(row, field) if row.get(field) else "" for field in ("doc_idea", "doc_type"))
    if conditioning == "prefix":
        return f"<DESCRIPTION>{idea}</DESCRIPTION>\n<DOCUMENT_TYPE>{kind}</DOCUMENT_TYPE>\n"
    return f"{idea}\n\nDocument type: {kind}" if conditioning == "chat" else ""


def _chat(turns: Any) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise Unusable("messages is not a list of turns")
    messages = [_turn(turn) for turn in turns]
    if not any(m.carries_loss and m.content.strip() for m in messages):
        raise Unusable("no assistant turn with text that is trained, so there is nothing to train on")
    return messages


def _turn(turn: Any) -> Message:
    role = turn.get("role") if isinstance(turn, dict) else None
    if role not in ("system", "user", "assistant"):
        raise Unusable(f"a turn with the role {excerpt(role)}; roles are system, user and assistant")
    _refuse(UNSUPPORTED_TURN_FIELDS, turn, f"a turn of the {role}'s")
    if not isinstance(turn.get("content"), str):
        raise Unusable(f"the {role}'s content is not text")
    is_masked = _is_masked(_given(turn), role)
    return Message(role=role, content=turn["content"], weight=0 if is_masked and role == "assistant" else 1)


def _is_masked(turn: dict[str, Any], role: str) -> bool:
    """Whether the turn is marked to carry no loss."""
    marks = [(mark, turn[mark]) for mark in MASKS if mark in turn]
    for mark, value in marks:
        if value not in (0, 1):
            raise Unusable(f"{mark} {excerpt(value)} of a turn: known are 1 (trained on) and 0 (shown, not trained on)")
        if value == 1 and role != "assistant":
            raise Unusable(f"{mark} {value!r} of a turn of the {role}'s: only the assistant's are trained on")
    return any(value == 0 for _, value in marks)


def _text(row: dict[str, Any], field: str) -> str:
    text = row.get(field)
    if not isinstance(text, str):
        raise Unusable(f"{field} is missing" if text is None else f"{field} is not text")
    if not text.strip():
        raise Unusable(f"{field} is empty")
    return text
