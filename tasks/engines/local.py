"""The local engine: transformers and peft in this process, on a GPU if there is one.

engine = LocalEngine(Training(base_model="standin"))
checkpoint = await engine.train(documents, [], seed=0, folder=Path("adapter"), progress=print)
"""

import asyncio
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.catalog import UserError, model_folder, names, resolve_path, suggestion
from tasks.engines.engine import Progress, Reply, Request, Text, Written
from tasks.engines.examples import PROBE, Example, total_tokens
from tasks.engines.identity import CONFIG, WEIGHTS, adapter_identity, base_identity
from tasks.engines.rendering import ChatFormat
from tasks.engines.schedule import check_warmup
from tasks.engines.smollm2 import NAME as SMOLLM2
from tasks.engines.smollm2 import smollm2_folder
from tasks.schema import Checkpoint, Document, Ended, Message, Sampling, Training

if TYPE_CHECKING:
    from tasks.engines.generation import Answer, Step
    from tasks.engines.hub import HubModel
    from tasks.engines.named_format import NamedFormat

SCORED = 8
"""Answers whose probabilities are computed side by side."""
REPORTED = 1.0
"""Seconds of sampling after which answers that have ended are handed over, and tokens counted."""


class LocalEngine:
    """The protocol `Engine` for one base model on this machine.

    torch is imported when something is trained or sampled, not before.
    """

    is_remote = False

    def __init__(self, training: Training, today: str = ""):
        self.training, self._day = training, date.fromisoformat(today) if today else date.today()
        self._examples: dict[str, Example] = {}

    @property
    def today(self) -> str:
        """The day of the run, where the chat template or the renderer prints one."""
        return self._day.isoformat() if self.format.prints_date else ""

    @cached_property
    def folder(self) -> Path:
        """Configuration and tokenizer of the model; of one of Hugging Face these small files are fetched."""
        if self._hosted:
            return self._fetch(weights=False)
        if self.training.base_model == SMOLLM2:
            return smollm2_folder()
        folder = model_folder(self.training.base_model)
        if folder is None:
            there = ", ".join(sorted({*names("models"), SMOLLM2}))
            raise UserError(
                f"training.base_model: no model folder {self.training.base_model!r}; "
                f"give a folder with config.json, a model id of Hugging Face (owner/name), or {there}"
            )
        return folder

    @cached_property
    def weights(self) -> Path:
        """The same with the weights in it."""
        return self._fetch(weights=True) if self._hosted else self.folder

    @cached_property
    def _hosted(self) -> "HubModel | None":
        """The model of Hugging Face, where its name is no folder's."""
        name = self.training.base_model
        if model_folder(name) or not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
            return None
        from tasks.engines.hub import find

        return find(name)

    def _fetch(self, weights: bool) -> Path:
        from tasks.engines.hub import fetch

        return fetch(self._hosted, weights) if self._hosted else self.folder

    @cached_property
    def format(self) -> "ChatFormat | NamedFormat":
        """The model's own chat template, or the cookbook's renderer that is named."""
        if not self.training.renderer:
            return ChatFormat(self.folder, self.training.base_model, self._day)
        from tasks.engines.named_format import NamedFormat

        return NamedFormat(self.folder, self.training.base_model, self.training.renderer, self._day)

    async def preflight(self) -> None:
        """Refuses a model, chat format, layer, module or adapter that is not there, without loading any weights."""
        await asyncio.to_thread(self.untuned)  # which may fetch or make the model
        self.render(PROBE.messages[:1])
        self.stop()
        self._refuse_layers_that_are_not_there()
        self._refuse_modules_that_are_not_there()
        if self.training.checkpoint:
            self.adapted(self.training.checkpoint)

    def _refuse_layers_that_are_not_there(self) -> None:
        depth = json.loads((self.folder / "config.json").read_text()).get("num_hidden_layers")
        if depth and (wrong := [layer for layer in self.training.layers if not 0 <= layer < depth]):
            raise UserError(
                f"training.layers: {wrong[0]} is no layer of {self.training.base_model}; it has {depth}, counted from 0"
            )

    def _refuse_modules_that_are_not_there(self) -> None:
        """By the names of the weights; of a model that is fetched later by peft, which names them too."""
        files = [] if self._hosted else sorted(self.folder.glob("*.safetensors"))
        known = {name.split(".")[-2] for file in files for name in _tensors(file) if name.count(".") > 1}
        if known and (wrong := [name for name in self.training.target_modules if name.split(".")[-1] not in known]):
            raise UserError(
                f"training.target_modules: {self.training.base_model} has no {wrong[0]!r}{suggestion(wrong[0], known)}"
            )

    def warnings(self) -> list[str]:
        """Where the model is not asked as it is trained; none for a LoRA that was trained before."""
        return [] if self.training.checkpoint else self.format.warnings()

    def check(self, documents: list[Document]) -> int:
        """How many tokens the documents have; refuses one that is longer than the settings or the model allow."""
        lengths = (len(self._example(document).tokens) for document in documents)
        return total_tokens(documents, lengths, self.training, self.folder)

    def _example(self, document: Document) -> Example:
        """Rendered and tokenised once: what is trained on was checked before."""
        key = document.model_dump_json(include={"messages", "conditioning"})
        if key not in self._examples:
            self._examples[key] = self.format.example(document)
        return self._examples[key]

    def price(self, **_: int) -> float | None:
        """Nothing is paid for on this machine."""
        return 0.0

    def untuned(self) -> Checkpoint:
        """The base model, known by the content of its files, or by its commit at Hugging Face."""
        return Checkpoint(
            engine="local",
            base_model=self.training.base_model,
            path=None,
            identity=self._base_identity,
            trained_share=0,
        )

    def adapted(self, path: str) -> Checkpoint:
        """The base model with the adapter in this folder, in PEFT layout, known by the adapter's content."""
        folder = resolve_path(path)
        if not all((folder / name).is_file() for name in (CONFIG, WEIGHTS)):
            raise UserError(f"training.checkpoint: no adapter in {path!r}; give a folder with {CONFIG} and {WEIGHTS}")
        identity = f"{self._base_identity}+{adapter_identity(folder)}"
        return Checkpoint(engine="local", base_model=self.training.base_model, path=path, identity=identity)

    def render(self, messages: list[Message]) -> list[int]:
        """By the model's own chat template, or by the renderer that is named."""
        return self.format.prompt(messages)

    def stop(self) -> list[int]:
        """The end of a turn, and every token that the model's configuration calls an end."""
        return self.format.stop()

    async def train(
        self,
        documents: list[Document],
        held_out: list[Document],
        seed: int,
        folder: Path,
        progress: Progress,
    ) -> Checkpoint:
        """In a thread of this process; a training that is cancelled ends with the step that is under way."""
        from tasks.engines.lora import train_lora
        from tasks.engines.memory import give_back

        check_warmup(len(documents), self.training)
        examples, held_out_examples = [[self._example(d) for d in some] for some in (documents, held_out)]
        with _stoppable(progress) as progress:
            await asyncio.to_thread(
                train_lora, self.weights, self.training, examples, held_out_examples, seed, folder, progress
            )
        give_back()
        earlier = [
            self.adapted(str(folder / f"at-{share:g}")).model_copy(update={"trained_share": share})
            for share in self.training.sample_at
        ]
        return self.adapted(str(folder)).model_copy(update={"earlier": earlier})

    async def sample(
        self, checkpoint: Checkpoint, requests: list[Request], sampling: Sampling, written: Written = lambda _: None
    ) -> AsyncIterator[list[Reply]]:
        """Many answers side by side, those to one question after one another; none depends on what is beside it."""
        from tasks.engines.generation import ROWS, generate
        from tasks.engines.memory import answers_that_fit, at_once

        model = await asyncio.to_thread(self._load, checkpoint)
        longest = max((len(request.tokens) for request in requests), default=0) + sampling.max_tokens
        rows = at_once(model, longest, answers_that_fit, ROWS)
        steps, tokens = generate(model, requests, sampling, self.stop(), rows), 0
        while some := await asyncio.to_thread(_for_a_while, steps):
            tokens += sum(step.tokens for step in some)
            written(tokens)
            if replies := [self._reply(place, answer) for step in some for place, answer in step.ended.items()]:
                yield replies

    def _reply(self, place: int, answer: "Answer") -> Reply:
        ended: Ended = "complete" if answer.complete else "truncated"
        return Reply(place, self.format.decode(answer.tokens), len(answer.tokens), ended)

    def answer_tokens(self, text: str, ended: bool) -> list[int]:
        """What logprobs are asked of: no special token that the text spells out is taken for one."""
        return self.format.answer(text, ended)

    async def logprobs(self, checkpoint: Checkpoint, texts: list[Text]) -> AsyncIterator[list[tuple[int, float]]]:
        """In batches of like lengths."""
        from tasks.engines.generation import logprobs
        from tasks.engines.memory import at_once, scored_that_fit

        model = await asyncio.to_thread(self._load, checkpoint)
        by_length = sorted(range(len(texts)), key=lambda t: len(texts[t].prompt) + len(texts[t].answer))
        longest = max((len(text.prompt) + len(text.answer) for text in texts), default=0)
        scored = at_once(model, longest, scored_that_fit, SCORED)
        for start in range(0, len(texts), scored):
            places = by_length[start : start + scored]
            sums = await asyncio.to_thread(logprobs, model, [texts[t] for t in places])
            yield list(zip(places, sums, strict=True))

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Copies the two files of the adapter."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(resolve_path(str(checkpoint.path)) / name, folder / name)

    @cached_property
    def _base_identity(self) -> str:
        if self._hosted:
            return f"{self._hosted.name}@{self._hosted.commit}"
        return base_identity(self.folder)

    def _load(self, checkpoint: Checkpoint) -> Any:
        from tasks.engines.lora import lay_out_for_reading, load_model
        from tasks.engines.memory import give_back

        give_back()  # of the model before it
        model = load_model(self.weights)
        if checkpoint.path is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(resolve_path(checkpoint.path))).merge_and_unload()
        return lay_out_for_reading(model.eval())


def _for_a_while(steps: "Iterator[Step]") -> "list[Step]":
    """The next steps of REPORTED seconds; none where there are no more."""
    done, until = [], time.monotonic() + REPORTED
    for step in steps:
        done.append(step)
        if time.monotonic() >= until:
            break
    return done


def _tensors(file: Path) -> list[str]:
    """The names of the tensors in a .safetensors file."""
    from safetensors import safe_open

    with safe_open(file, framework="np") as weights:
        return list(weights.keys())


@contextmanager
def _stoppable(progress: Progress) -> Iterator[Progress]:
    """A `progress` that ends its thread at the next step once the caller has left: nothing else can end a thread."""
    has_left, last = False, (0, 1)

    def report_or_stop(done: int, total: int, note: str) -> None:
        nonlocal last
        if has_left:
            raise InterruptedError("training was cancelled")
        last = done, total
        progress(done, total, note)

    try:
        yield report_or_stop
    except asyncio.CancelledError:
        progress(*last, "steps, cancelled: it ends with the step that is under way")
        raise
    finally:
        has_left = True
