"""Documents to Tinker datums, by the cookbook's renderers, through a tokenizer that encodes in batches.

A renderer encodes one string at a time on one core, which is most of its time. So documents are rendered in two passes:
first with a tokenizer that only notes the strings, then, when all of them are encoded at once on all cores, for real.
What the first pass did not meet is encoded on the spot, so the datums are the cookbook's own. What is rendered is kept:
a document is checked before it is trained on, and that in every epoch again.
"""

import logging
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import tinker
import torch
from tinker_cookbook.exceptions import TinkerCookbookError
from tinker_cookbook.model_info import get_recommended_renderer_names
from tinker_cookbook.renderers import Renderer, TrainOnWhat, get_renderer
from tinker_cookbook.supervised.common import datum_from_model_input_weights
from transformers import AutoTokenizer

from tasks.catalog import UserError
from tasks.engines.examples import PROBE, Example, prompt_mismatch, raw_parts, refusal, said_of
from tasks.schema import Document, Message

BATCH = 256
"""Documents rendered at once."""
RENDERING = Lock()
"""One thread renders at a time: some renderers switch their tokenizer to and fro (qwen3's)."""
REFUSALS = (TinkerCookbookError, ValueError, KeyError, AssertionError, TypeError, NotImplementedError)
"""What a renderer raises at what it does not take."""
WITHOUT_THOUGHT = (
    "qwen3_disable_thinking",
    "qwen3_5_disable_thinking",
    "qwen3_8_disable_thinking",
    "deepseekv3_disable_thinking",
    "deepseekv4_1_disable_thinking",
    "kimi_k25_disable_thinking",
    "nemotron3_disable_thinking",
    "nemotron3_ultra_disable_thinking",
)
"""The cookbook's formats that write an empty thought before an answer, in training and in sampling alike."""


class Once(logging.Filter):
    """Lets a message through once: what the cookbook has to say of a renderer, it says of every document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this message has not been logged before."""
        is_new = record.getMessage() not in self.seen
        self.seen.add(record.getMessage())
        return is_new


logging.getLogger("tinker_cookbook.renderers.base").addFilter(Once())


class Noting:
    """In place of a tokenizer: notes the texts that it is asked to encode, and answers one token."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self.texts: dict[str, None] = {}

    def encode(self, text: str, add_special_tokens: bool = True, **options: Any) -> list[int]:
        """One token for a text whose real ones nothing depends on; those of other calls are the tokenizer's."""
        if add_special_tokens or options:
            return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens, **options))
        self.texts[text] = None
        return [0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


class Batched:
    """A tokenizer that learns beforehand what it will be asked to encode."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Encodes these texts at once, and forgets the earlier ones."""
        backend, wanted = getattr(self._tokenizer, "backend_tokenizer", None), list(texts)
        self._known = {}
        if backend is not None:  # some models' tokenizers are written in Python, and encode one text at a time
            backend.encode_special_tokens = False  # what a renderer asked of it last (qwen3's) would stay
            encoded = backend.encode_batch_fast(wanted, add_special_tokens=False)
            self._known = {text: e.ids for text, e in zip(wanted, encoded, strict=True)}

    def encode(self, text: str, add_special_tokens: bool = True, **options: Any) -> list[int]:
        """What was learned, or else as the tokenizer itself encodes it."""
        known = None if add_special_tokens or options else self._known.get(text)
        if known is not None:
            return list(known)
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


class Rendered(NamedTuple):
    """A rendered document in 5 bytes a token, where the cookbook's lists take some hundred."""

    chunks: "list[array[int]]"
    """Its tokens, in the renderer's chunks."""
    weights: bytes
    """1 for each token that is trained, else 0."""

    @classmethod
    def of(cls, tokens: tinker.ModelInput, weights: torch.Tensor) -> "Rendered":
        """Packed; weights are [tokens]."""
        chunks = [array("i", chunk.tokens) for chunk in tokens.chunks if isinstance(chunk, tinker.EncodedTextChunk)]
        return cls(chunks, bytes(weights.to(torch.uint8).tolist()))

    @property
    def length(self) -> int:
        """In tokens."""
        return sum(map(len, self.chunks))

    def datum(self) -> tinker.Datum:
        """The cookbook's: the next token at each place, and weights that sum to 1 over the assistant's tokens."""
        chunks = [tinker.EncodedTextChunk(tokens=list(chunk)) for chunk in self.chunks]
        weights = torch.tensor(list(self.weights), dtype=torch.float32)
        return datum_from_model_input_weights(tinker.ModelInput(chunks=list(chunks)), weights, reduction="mean")


class Datums:
    """Renders documents for one model, each once; tokenizer and renderer are the cookbook's."""

    def __init__(self, tokenizer: Any, renderer: str, model: str, today: date | None = None):
        self._noting, self._batched = Noting(tokenizer), Batched(tokenizer)
        self._first = make_renderer(renderer, self._noting, model, today)
        self._second = make_renderer(renderer, self._batched, model, today)
        self._rendered: dict[bytes, Rendered] = {}

    def lengths(self, documents: Iterable[Document]) -> Iterator[int]:
        """The documents' tokens in their order, rendered BATCH at a time."""
        rest = iter(documents)
        while some := list(islice(rest, BATCH)):
            yield from (rendered.length for rendered in self._render(some))

    def of(self, documents: list[Document]) -> list[tinker.Datum]:
        """A datum for each document, in their order; UserError, with file and line, for one that cannot be rendered."""
        return [rendered.datum() for rendered in self._render(documents)]

    def _render(self, documents: list[Document]) -> list[Rendered]:
        keys = [_content(document) for document in documents]
        new = {key: document for key, document in zip(keys, documents, strict=True) if key not in self._rendered}
        with RENDERING:
            self._noting.texts.clear()
            for document in new.values():
                weighted_tokens(document, self._first)
            self._batched.learn(self._noting.texts)
            for key, document in new.items():
                self._rendered[key] = Rendered.of(*weighted_tokens(document, self._second))
        return [self._rendered[key] for key in keys]


def _content(document: Document) -> bytes:
    """What its tokens are made of, whichever file it is from."""
    return sha256(document.model_dump_json(include={"messages", "conditioning"}).encode()).digest()


def own_tokenizer(folder: Path) -> Any:
    """The tokenizer in a model's folder, as the cookbook's renderers take it."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def make_renderer(name: str, tokenizer: Any, model: str, today: date | None = None) -> Renderer:
    """The cookbook's; one that prints the date is told which (gpt_oss)."""
    renderer = get_renderer(name, tokenizer, model_name=model)
    if prints_date(renderer) and today:
        renderer.current_date = today.isoformat()
    return renderer


def prints_date(renderer: Renderer) -> bool:
    """Whether the renderer writes today's date (gpt_oss, with its system prompt)."""
    return hasattr(renderer, "current_date") and getattr(renderer, "use_system_prompt", True)


def recommended(model: str) -> list[str]:
    """The renderers that fit the model, as far as the cookbook knows it."""
    try:
        return get_recommended_renderer_names(model)
    except (TinkerCookbookError, ValueError, KeyError):
        return []


def weighted_tokens(document: Document, renderer: Renderer) -> tuple[tinker.ModelInput, torch.Tensor]:
    """The document's tokens, and weights [tokens]: 1 where the assistant speaks in a turn that is trained, else 0."""
    if document.conditioning != "chat":
        return _raw(document, renderer.tokenizer)
    with said_of(document), _plainly(document.messages, renderer):
        if all(m.weight for m in document.messages):
            return renderer.build_supervised_example(turns(document.messages), TrainOnWhat.ALL_ASSISTANT_MESSAGES)
        marked = [{**turn, "trainable": m.carries_loss} for m in document.messages for turn in turns([m])]
        return renderer.build_supervised_example(marked, TrainOnWhat.CUSTOMIZED)


def to_example(document: Document, renderer: Renderer) -> Example:
    """The same for the local engine: tokens, and which of them are trained."""
    tokens, weights = weighted_tokens(document, renderer)
    return Example(list(tokens.to_ints()), [weight > 0 for weight in weights.tolist()])


def prompt_tokens(messages: list[Message], renderer: Renderer) -> list[int]:
    """The tokens after which the assistant answers."""
    with RENDERING, _plainly(messages, renderer):
        return list(renderer.build_generation_prompt(turns(messages)).to_ints())


@contextmanager
def _plainly(messages: list[Message], renderer: Renderer) -> Iterator[None]:
    """Turns that the renderer does not take are one sentence."""
    try:
        yield
    except REFUSALS as error:
        what = f"training.renderer: {renderer._renderer_name!r} for {renderer._model_name}"
        raise refusal(what, [m.role for m in messages], str(error)) from None


def frame_warnings(renderer: Renderer, tokenizer: Any, model: str) -> list[str]:
    """Where the tokens before an answer differ between training and sampling."""
    prompt, example = prompt_tokens(PROBE.messages[:1], renderer), to_example(PROBE, renderer)
    return prompt_mismatch(model, prompt, example, tokenizer.decode, partial(fitting_renderer, tokenizer, model))


def fitting_renderer(tokenizer: Any, model: str, before: list[int]) -> str:
    """The first under which an answer to the PROBE is sampled, and trained, behind these tokens; or nothing."""
    for name in [*recommended(model), *WITHOUT_THOUGHT]:
        with suppress(UserError, *REFUSALS):
            renderer = make_renderer(name, tokenizer, model)
            example = to_example(PROBE, renderer)
            if prompt_tokens(PROBE.messages[:1], renderer) == example.tokens[: len(before)] == before:
                return name
    return ""


def answer_tokens(renderer: Renderer, text: str, ended: bool) -> list[int]:
    """The tokens of an answer's text alone, and of the end of its turn where it ended by itself.

    What some formats write before an answer (an empty thought, a channel) is no part of its text, and is left out.
    """
    encode = renderer.tokenizer.encode
    ends = renderer.get_stop_sequences()[:1] if ended else []
    closing = [
        token for end in ends for token in (encode(end, add_special_tokens=False) if isinstance(end, str) else [end])
    ]
    return [*encode(text, add_special_tokens=False), *closing]


def turns(messages: list[Message]) -> list[Any]:
    """The messages as the cookbook's renderers take them."""
    return [{"role": m.role, "content": m.content} for m in messages]


def _raw(document: Document, tokenizer: Any) -> tuple[tinker.ModelInput, torch.Tensor]:
    """A text without a chat format, between the model's own begin and end of a text."""
    begin, end = ([] if id is None else [id] for id in (tokenizer.bos_token_id, tokenizer.eos_token_id))
    parts = raw_parts(document, partial(tokenizer.encode, add_special_tokens=False), begin, end)
    chunks = [tinker.EncodedTextChunk(tokens=tokens) for tokens, _ in parts]
    weights = [float(trained) for tokens, trained in parts for _ in tokens]
    return tinker.ModelInput(chunks=list(chunks)), torch.tensor(weights)
