"""Chats to tokens, by a model's own chat template, with a mask that is true where loss is carried.

The template is asked for the frame of each sequence of roles only; texts are tokenised apart and put into the frame.
So no template can strip or rewrite a text, and a text that spells out a special token stays text.
"""

import json
import re
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from tasks.catalog import UserError
from tasks.engines.examples import OTHERWISE, PROBE, Example, prompt_mismatch, raw_parts, refusal, said_of
from tasks.schema import Document, Message

PLACE = "\ue000{}\ue001"


class ChatFormat:
    """The tokenizer and chat template in a model's folder; a template that prints the date is told this one."""

    def __init__(self, folder: Path, model: str = "", today: date | None = None):
        self.folder, self.model, self._today = folder, model or folder.name, today or date.today()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise UserError(f"{folder} has no {name}; save the model's fast tokenizer there")
        self._framing = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        self._config = json.loads((folder / "tokenizer_config.json").read_text())
        tokens = {name: self._config.get(name) for name in ("bos_token", "eos_token")}
        self._special = {name: _token_text(token) for name, token in tokens.items() if token}
        added = [token.content for token in self._framing.get_added_tokens_decoder().values()]
        words = sorted((word for word in added if word.strip()), key=len, reverse=True)
        self._ending = re.compile("|".join(map(re.escape, words)) or "(?!)")

    @property
    def prints_date(self) -> bool:
        """Whether the template asks for today's date."""
        return "strftime_now" in self._template

    @cached_property
    def _template(self) -> str:
        """Read when it is needed: a model that is asked by a named renderer may have none."""
        return _chat_template(self.folder, self._config, self.model)

    def prompt(self, messages: list[Message]) -> list[int]:
        """The tokens after which the assistant answers."""
        frame = self._frame(tuple(m.role for m in messages), True)
        return self._fill(frame, messages)

    def example(self, document: Document) -> Example:
        """The document's tokens: the assistant's text and the end of its turn are trained, the rest is masked, as are
        turns of weight 0.

        Raises UserError with the document's file and line for turns that the template does not take.
        """
        if document.conditioning != "chat":
            begin, end = (self._frame_tokens(self._special.get(name, "")) for name in ("bos_token", "eos_token"))
            return _join(raw_parts(document, self._text_tokens, begin, end))
        with said_of(document):
            return self._chat(document.messages)

    def answer(self, text: str, ended: bool) -> list[int]:
        """The tokens of an assistant's answer, with the end of its turn where it ended by itself."""
        end = self._frame_tokens(self.end_of_turn(("user", "assistant"))) if ended else []
        return [*self._text_tokens(text), *end]

    def stop(self) -> list[int]:
        """The special token that ends an assistant's turn, and all that the model's configuration calls an end."""
        end = self._ending.findall(self.end_of_turn(("user", "assistant")))[0]
        return sorted({self._framing.token_to_id(end), *self.configured_ends()})

    def warnings(self) -> list[str]:
        """Where the tokens before an answer differ between training and sampling."""
        prompt, example = self.prompt(PROBE.messages[:1]), self.example(PROBE)
        return prompt_mismatch(self.model, prompt, example, self.show, self._fitting)

    def _fitting(self, before: list[int]) -> str:
        from tasks.engines.tinker_data import fitting_renderer, own_tokenizer

        return fitting_renderer(own_tokenizer(self.folder), self.model, before)

    def configured_ends(self) -> set[int]:
        """The tokens that end a text by the model's configuration."""
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            if (self.folder / name).is_file():
                configured = json.loads((self.folder / name).read_text()).get("eos_token_id")
                ends |= set(configured if isinstance(configured, list) else [configured]) - {None}
        return ends

    def decode(self, tokens: list[int]) -> str:
        """Text without its special tokens."""
        return self._framing.decode(tokens, skip_special_tokens=True)

    def show(self, tokens: list[int]) -> str:
        """Text with its special tokens."""
        return self._framing.decode(tokens, skip_special_tokens=False)

    def end_of_turn(self, roles: tuple[str, ...]) -> str:
        """What the template puts after the last turn, up to its first special token; UserError where there is none."""
        after = self._frame(roles, False)[-1]
        end = self._ending.search(after)
        if not end:
            raise UserError(
                f"the chat template of {self.model} ends an assistant's turn with {after!r} and no special token, so "
                f"nothing shows where an answer ends; mend chat_template.jinja in its folder, or {OTHERWISE}"
            )
        return after[: end.end()]

    def _chat(self, messages: list[Message]) -> Example:
        roles = tuple(m.role for m in messages)
        frame = self._frame(roles, False)
        parts: list[tuple[list[int], bool]] = [(self._frame_tokens(frame[0]), False)]
        for turn, message in enumerate(messages):
            is_answer, after = message.role == "assistant", frame[turn + 1]
            end = self.end_of_turn(roles[: turn + 1]) if is_answer else ""
            end = end if after.startswith(end) else ""
            parts.append((self._text_tokens(message.content), message.carries_loss))
            parts.append((self._frame_tokens(end), message.carries_loss))
            parts.append((self._frame_tokens(after.removeprefix(end)), False))
        return _join(parts)

    def _fill(self, frame: list[str], messages: list[Message]) -> list[int]:
        tokens = list(self._frame_tokens(frame[0]))
        for piece, message in zip(frame[1:], messages, strict=True):
            tokens += self._text_tokens(message.content) + self._frame_tokens(piece)
        return tokens

    @lru_cache(maxsize=1024)  # noqa: B019 - one format lives as long as its engine
    def _frame(self, roles: tuple[str, ...], answer_next: bool) -> list[str]:
        """What the template writes before, between and after the turns."""
        places = [PLACE.format(turn) for turn in range(len(roles))]
        shown, anywhere = self._show(roles, places, answer_next), "|".join(map(re.escape, places))
        if re.findall(anywhere, shown) != places:
            raise self._refusal(roles, "it leaves one out, or shows them in another order")
        return re.split(anywhere, shown)

    def _show(self, roles: tuple[str, ...], texts: list[str], answer_next: bool) -> str:
        template = self._template
        chat = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        given: dict[str, Any] = {"strftime_now": self._today.strftime, **self._special}
        try:
            rendered, _ = render_jinja_template(
                [chat], chat_template=template, add_generation_prompt=answer_next, **given
            )
        except Exception as error:  # a template is a program of the model's authors: whatever it raises is its refusal
            raise self._refusal(roles, str(error)) from None
        return rendered[0]

    def _refusal(self, roles: tuple[str, ...], reason: str) -> UserError:
        return refusal(f"the chat template of {self.model}", roles, reason)

    @lru_cache(maxsize=1024)  # noqa: B019 - one format lives as long as its engine
    def _frame_tokens(self, text: str) -> list[int]:
        return self._framing.encode(text, add_special_tokens=False).ids

    def _text_tokens(self, text: str) -> list[int]:
        return self._plain.encode(text, add_special_tokens=False).ids


def _join(parts: list[tuple[list[int], bool]]) -> Example:
    return Example([t for tokens, _ in parts for t in tokens], [trained for tokens, trained in parts for _ in tokens])


def _token_text(token: str | dict[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]


def _chat_template(folder: Path, config: dict[str, Any], model: str) -> str:
    """Of several, each with its name, the default one. Raises UserError where there is none."""
    file = folder / "chat_template.jinja"
    template = file.read_text() if file.is_file() else config.get("chat_template")
    if isinstance(template, list):
        several = {named.get("name"): named.get("template") for named in template}
        if "default" not in several:
            raise UserError(
                f"{model} has the chat templates {', '.join(map(str, several))} and none that is called default; write "
                f"the one that is meant to chat_template.jinja in its folder, or {OTHERWISE}"
            )
        template = several["default"]
    if not isinstance(template, str) or not template.strip():
        there_is = "has no chat template" if template is None else "has an empty chat template"
        raise UserError(
            f"{model} {there_is}; use an instruct model, add chat_template.jinja to its folder, or {OTHERWISE}"
        )
    return template
