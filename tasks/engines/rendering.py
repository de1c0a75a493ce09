"""Chats to tokens, by a model's own chat template, with a mask that is true where loss is carried.

The template is asked for the frame of each sequence of roles only; texts are tokenised apart and put into the frame.
So no template can strip or rewrite a text, and a text that spells out a special token stays text.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from tasks.catalog import UserError, model_folder
from tasks.schema import Document, Message, Training

PLACE = "\ue000{}\ue001"


class Example(NamedTuple):
    """A document as tokens; trained[i] says whether token i carries loss."""

    tokens: list[int]
    trained: list[bool]


class ChatFormat:
    """The tokenizer and chat template in a model's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / "tokenizer.json").is_file():
            raise UserError(f"{folder} has no tokenizer.json; save the model's fast tokenizer there")
        self._framing = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        config = json.loads((folder / "tokenizer_config.json").read_text())
        self._special = {name: _token_text(config[name]) for name in ("bos_token", "eos_token") if config.get(name)}
        self._template = _chat_template(folder, config)
        added = self._framing.get_added_tokens_decoder().values()
        self._ending = re.compile("|".join(re.escape(t.content) for t in added if t.special) or "(?!)")

    def prompt(self, messages: list[Message]) -> list[int]:
        """The tokens after which the assistant answers."""
        frame = self._frame(tuple(m.role for m in messages), True)
        return self._fill(frame, messages)

    def example(self, document: Document) -> Example:
        """The document's tokens; the assistant's text and the end of its turn are trained, the rest is masked."""
        if document.conditioning == "prefix":
            return self._raw(document.messages)
        roles = tuple(m.role for m in document.messages)
        frame = self._frame(roles, False)
        parts: list[tuple[list[int], bool]] = [(self._frame_tokens(frame[0]), False)]
        for turn, message in enumerate(document.messages):
            ours = message.role == "assistant"
            end = self.end_of_turn(roles[: turn + 1]) if ours else ""
            parts.append((self._text_tokens(message.content), ours))
            parts.append((self._frame_tokens(end), True))
            parts.append((self._frame_tokens(frame[turn + 1].removeprefix(end)), False))
        return _join(parts)

    def answer(self, text: str, ended: bool) -> list[int]:
        """The tokens of an assistant's answer, with the end of its turn where it ended by itself."""
        end = self._frame_tokens(self.end_of_turn(("user", "assistant"))) if ended else []
        return [*self._text_tokens(text), *end]

    def stop(self) -> list[int]:
        """The end of an assistant's turn, and every token that the model's configuration calls an end."""
        return sorted({*self._frame_tokens(self.end_of_turn(("user", "assistant"))), *self.configured_ends()})

    def configured_ends(self) -> set[int]:
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            if (self.folder / name).is_file():
                configured = json.loads((self.folder / name).read_text()).get("eos_token_id")
                ends |= set(configured if isinstance(configured, list) else [configured]) - {None}
        return ends

    def decode(self, tokens: list[int]) -> str:
        return self._framing.decode(tokens, skip_special_tokens=True)

    def end_of_turn(self, roles: tuple[str, ...]) -> str:
        """What the template puts after the last turn, up to its first special token."""
        after = self._frame(roles, False)[-1]
        end = self._ending.search(after)
        return after[: end.end()] if end else after

    def _raw(self, messages: list[Message]) -> Example:
        end = self._special.get("eos_token", "")
        parts = [(self._frame_tokens(self._special.get("bos_token", "")), False)]
        parts += [(self._text_tokens(m.content), m.role == "assistant") for m in messages]
        return _join([*parts, (self._frame_tokens(end), True)])

    def _fill(self, frame: list[str], messages: list[Message]) -> list[int]:
        tokens = list(self._frame_tokens(frame[0]))
        for piece, message in zip(frame[1:], messages, strict=True):
            tokens += self._text_tokens(message.content) + self._frame_tokens(piece)
        return tokens

    @lru_cache(maxsize=1024)  # noqa: B019 - one format lives as long as its engine
    def _frame(self, roles: tuple[str, ...], answer_next: bool) -> list[str]:
        chat = [{"role": role, "content": PLACE.format(turn)} for turn, role in enumerate(roles)]
        rendered, _ = render_jinja_template(
            [chat], chat_template=self._template, add_generation_prompt=answer_next, **self._special
        )
        pieces = re.split("|".join(re.escape(PLACE.format(turn)) for turn in range(len(roles))), rendered[0])
        if len(pieces) != len(roles) + 1:
            raise UserError(
                f"the chat template in {self.folder} cannot show the turns {', '.join(roles)}; use another conditioning"
            )
        return pieces

    @lru_cache(maxsize=1024)  # noqa: B019 - one format lives as long as its engine
    def _frame_tokens(self, text: str) -> list[int]:
        return self._framing.encode(text, add_special_tokens=False).ids

    def _text_tokens(self, text: str) -> list[int]:
        return self._plain.encode(text, add_special_tokens=False).ids


def _join(parts: list[tuple[list[int], bool]]) -> Example:
    return Example([t for tokens, _ in parts for t in tokens], [ours for tokens, ours in parts for _ in tokens])


def _token_text(token: str | dict[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]


def _chat_template(folder: Path, config: dict[str, str]) -> str:
    file = folder / "chat_template.jinja"
    template = file.read_text() if file.is_file() else config.get("chat_template")
    if not isinstance(template, str):
        raise UserError(
            f"{folder} has no chat template; use an instruct model, or add chat_template.jinja to the folder"
        )
    return template


def total_tokens(
    documents: list[Document], lengths: Iterable[int], training: Training, folder: Path | None = None
) -> int:
    """The sum of the documents' lengths; raises UserError for one that the settings or the model do not take."""
    total, context = 0, _context(training, folder or model_folder(training.base_model))
    for document, length in zip(documents, lengths, strict=True):
        total += length
        limit = f"training.max_length={training.max_length}; raise it or shorten the document"
        if length > context:
            limit = f"the {context} tokens that {training.base_model} reads; shorten the document"
        if length > min(context, training.max_length):
            raise UserError(f"{document.file} line {document.line}: {length} tokens are over {limit}")
    return total


def _context(training: Training, folder: Path | None) -> int:
    """The longest text that the model reads, where it is in a folder here and says so; else what the settings allow."""
    config = json.loads((folder / "config.json").read_text()) if folder else {}
    return int(config.get("max_position_embeddings", training.max_length))
