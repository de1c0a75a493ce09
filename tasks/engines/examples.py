"""Documents as tokens, and what every chat format has to say of them: its refusals, warnings and lengths."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from tasks.catalog import UserError, model_folder
from tasks.schema import Document, Message, Training

OTHERWISE = "choose a renderer of tinker-cookbook (training.renderer)"
PROBE = Document(
    messages=[Message(role="user", content="Hello."), Message(role="assistant", content="Hello.")],
    source="",
    line=0,
    file="",
)
"""What chat formats are tried on: a question and an answer that say nothing."""


class Example(NamedTuple):
    """A document as tokens; trained[i] says whether token i carries loss."""

    tokens: list[int]
    trained: list[bool]


def raw_parts(
    document: Document, encode: Callable[[str], list[int]], begin: list[int], end: list[int]
) -> list[tuple[list[int], bool]]:
    """The texts one after another, without a chat format, between the tokens that begin and end a text: runs of tokens,
    each with whether it carries loss.
    """
    parts = [(begin, False)]
    for message in document.messages:
        tokens = encode(message.content)
        masked = len(tokens) // 3 if document.conditioning == "first_third" else 0
        parts += [(tokens[:masked], False), (tokens[masked:], message.carries_loss)]
    return [(tokens, trained) for tokens, trained in [*parts, (end, True)] if tokens]


@contextmanager
def said_of(document: Document) -> Iterator[None]:
    """Puts the file and line of the document before what a UserError says."""
    try:
        yield
    except UserError as problem:
        raise UserError(f"{document.file} line {document.line}: {problem}") from None


def refusal(what: str, roles: Sequence[str], reason: str) -> UserError:
    """The one sentence for a chat format that does not take these turns."""
    turns = ", ".join(roles[:6]) + (", ..." if len(roles) > 6 else "")
    first = (reason.strip().splitlines() or ["it does not say why"])[0]
    return UserError(f"{what} cannot show the turns {turns} ({first}); {_remedy(roles)}{OTHERWISE}")


def _remedy(roles: Sequence[str]) -> str:
    spoken = [role for role in roles if role != "system"]
    if spoken != [("user", "assistant")[turn % 2] for turn in range(len(spoken))]:
        return "let user and assistant take turns, the user first, or "
    return "leave out system_prompt, or " if "system" in roles else ""


def prompt_mismatch(
    model: str,
    prompt: list[int],
    example: Example,
    show: Callable[[list[int]], str],
    fitting: Callable[[list[int]], str],
) -> list[str]:
    """A sentence where the tokens before an answer differ between training and sampling: prompt and example of PROBE.

    `fitting` names the renderer under which sampling puts the given tokens before an answer; empty where none does.
    """
    before = example.tokens[: example.trained.index(True)]
    if example.tokens[: len(prompt)] == prompt and len(before) <= len(prompt):
        return []
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(prompt, before, strict=False))))
    renderer = fitting(before)
    remedy = f"set training.renderer={renderer}" if renderer else f"{OTHERWISE} under which both are the same"
    return [
        f"{model}: {show(before[shared:])!r} stands before an answer in training and "
        f"{show(prompt[shared:])!r} in sampling, so the model is not asked as it is trained; {remedy}"
    ]


def total_tokens(
    documents: list[Document], lengths: Iterable[int], training: Training, folder: Path | None = None
) -> int:
    """The sum of the documents' lengths in tokens; raises UserError for one that is too long for settings or model."""
    total, context = 0, _longest_context(training, folder or model_folder(training.base_model))
    for document, length in zip(documents, lengths, strict=True):
        total += length
        limit = f"training.max_length={training.max_length}; raise it or shorten the document"
        if length > context:
            limit = f"the {context} tokens that {training.base_model} reads; shorten the document"
        if length > min(context, training.max_length):
            raise UserError(f"{document.file} line {document.line}: {length} tokens are over {limit}")
    return total


def _longest_context(training: Training, folder: Path | None) -> int:
    """How many tokens the model reads, where it is in a folder here and says so; else what the settings allow."""
    config = json.loads((folder / "config.json").read_text()) if folder else {}
    return int(config.get("max_position_embeddings", training.max_length))
