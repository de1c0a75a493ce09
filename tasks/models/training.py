"""Training: a LoRA on the run's documents, or a checkpoint that is there already.

A finished training is kept in data/checkpoints/<key>/, keyed by what it was trained from, and is never repeated.
"""

import json
import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.catalog import data_folder, validate
from tasks.engines.engine import Engine, Progress
from tasks.engines.schedule import check_warmup
from tasks.files import copy_file, read_rows, write_text
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.paid.prices import LETTERS_A_TOKEN
from tasks.paid.store import StoredReply, content_key
from tasks.progress import lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Document, Training

NOT_TRAINED_WITH = {"checkpoint", "base_model", "base_url", "key_variable", "keep_days"}


def training_key(
    training: Training, documents: list[Document], held_out: list[Document], seed: int, base: str, today: str = ""
) -> str:
    """A hash of what decides the weights and the curve: texts in their order, settings, base model and seed.

    `base` is the base model's identity, the same wherever its folder lies; `today` is the date that the chat format
    prints into the texts, where it prints one.
    """
    texts = [[d.model_dump(include={"messages", "conditioning"}) for d in some] for some in (documents, held_out)]
    settings = training.model_dump(exclude=NOT_TRAINED_WITH)
    return content_key(documents=texts, training=settings, base=base, seed=seed, today=today)[:32]


class TrainingTokens(NamedTuple):
    """How long the documents are, each read once."""

    trained: int
    held_out: int


def count_tokens(engine: Engine, documents: list[Document], held_out: list[Document]) -> TrainingTokens:
    """In tokens of the model. Raises UserError for a document that would stop the training, as one that is too long."""
    return TrainingTokens(engine.check(documents), engine.check(held_out))


def estimate_tokens(documents: list[Document], held_out: list[Document]) -> TrainingTokens:
    """By the letters, for a model whose tokenizer is not within reach."""
    letters = [sum(len(m.content) for d in some for m in d.messages) for some in (documents, held_out)]
    return TrainingTokens(*(count // LETTERS_A_TOKEN for count in letters))


def training_price(engine: Engine, training: Training, tokens: TrainingTokens) -> float | None:
    """US dollars of all epochs, and of the held-out loss before and after; None where a price is unknown."""
    return engine.price(train=tokens.trained * training.epochs, prefill=2 * tokens.held_out)


class TrainingPlan(NamedTuple):
    """What a run's training will take."""

    key: str
    is_kept: bool
    """Whether data/checkpoints has it, so that nothing is trained."""
    price: float | None
    """US dollars, 0 for one that is kept; None where a price is unknown."""


def plan_training(
    engine: Engine, training: Training, documents: list[Document], held_out: list[Document], seed: int
) -> TrainingPlan:
    """Raises UserError for documents and settings that would stop the training, before anything is paid."""
    key = training_key(training, documents, held_out, seed, engine.untuned().identity, engine.today)
    if kept_checkpoint(key):
        return TrainingPlan(key, True, 0.0)
    check_warmup(len(documents), training)
    return TrainingPlan(key, False, training_price(engine, training, count_tokens(engine, documents, held_out)))


def kept_checkpoint(key: str) -> Checkpoint | None:
    """The finished training of this key, if it is still in data/checkpoints: the one place that says so.

    Raises UserError for one that cannot be read, as an earlier version's.
    """
    file = checkpoint_folder(key) / "checkpoint.json"
    return validate(Checkpoint, json.loads(file.read_text()), str(file)) if file.is_file() else None


def checkpoint_folder(key: str) -> Path:
    """Where the training of this key is kept: weights or their address, checkpoint.json and metrics.jsonl."""
    return data_folder() / "checkpoints" / key


def curve_so_far(key: str) -> Path | None:
    """The growing metrics.jsonl of a training that is going on, or was killed."""
    files = checkpoint_folder(key).parent.glob(f".{key}.*/metrics.jsonl") if key else ()
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


async def train(
    engine: Engine,
    documents: list[Document],
    held_out: list[Document],
    seed: int,
    key: str,
    progress: Progress,
    budget: Budget,
) -> Checkpoint:
    """Trains beside the checkpoint's folder, going on from what a kill left, and renames it into place at the end.

    Of several processes one trains, and its budget alone records what that cost; the others return what it made.
    """
    async with exclusive(f"training {key}", partial(progress, 0, 1)):
        if kept := kept_checkpoint(key):
            return kept
        place = checkpoint_folder(key)
        beside = place.with_name(f".{key}.{os.getpid()}")
        _take_over_what_a_kill_left(place, beside)
        started = time.monotonic()
        trained = await engine.train(documents, held_out, seed, beside, progress)
        trained = _as_kept(trained, beside, key, round(time.monotonic() - started, 1))
        write_text(beside / "checkpoint.json", trained.model_dump_json(indent=1) + "\n")
        if engine.price(train=1) != 0:
            await _record_once(trained, budget)
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
        return trained


async def _record_once(trained: Checkpoint, budget: Budget) -> None:
    """Commits what a training cost, before it is kept: a kill between the two has it handed over, and recorded again.

    So a mark that these weights are paid is committed with it, and looked for first.
    """
    paid = StoredReply(content_key(paid=trained.key, weights=trained.identity), "training", {})
    if not budget.store.get([paid.key]):
        await budget.store.commit([paid], [budget.spending("training", trained.base_model, {}, trained.cost_usd)])


def _as_kept(trained: Checkpoint, beside: Path, key: str, seconds: float) -> Checkpoint:
    """With the places that it and its earlier ones are about to have."""
    earlier = [_within_data(checkpoint, beside, key) for checkpoint in trained.earlier]
    return _within_data(trained, beside, key).model_copy(update={"earlier": earlier, "key": key, "seconds": seconds})


def _within_data(checkpoint: Checkpoint, beside: Path, key: str) -> Checkpoint:
    """With the place that it is about to have, named from data/; a path of the service's stays as it is."""
    path = (checkpoint.path or "").replace(str(beside), f"checkpoints/{key}", 1)
    return checkpoint.model_copy(update={"path": path})


def _take_over_what_a_kill_left(place: Path, beside: Path) -> None:
    """Moves here the latest unfinished training of this key: its process is gone, and an engine may go on from it."""
    left = sorted(place.parent.glob(f".{place.name}.*"), key=lambda folder: folder.stat().st_mtime)
    for older in left[:-1]:
        shutil.rmtree(older)
    for latest in left[-1:]:
        latest.rename(beside)


def keep_with_run(run: Run, checkpoint: Checkpoint) -> None:
    """Copies the curve and writes checkpoint.json: the run folder's own record of its model."""
    if checkpoint.key:
        copy_file(checkpoint_folder(checkpoint.key) / "metrics.jsonl", run.metrics)
    write_text(run.checkpoint, checkpoint.model_dump_json(indent=1) + "\n")


@task(
    name="train",
    task_run_name="train a LoRA of rank {training.rank}, seed {seed}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=lambda _, given: f"train-{given['key']}"),
    persist_result=True,
    result_serializer="json",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=lost_infrastructure,
)
async def train_task(
    folder: Path,
    engine: Engine,
    training: Training,  # noqa: ARG001 # the task run's name has its rank
    seed: int,
    key: str,
    budget: Budget,
) -> str | State[str]:
    """Trains, unless the checkpoint is kept; where it is, is said in data/checkpoints alone.

    Prefect's cache shows in the UI what was trained earlier. Without the checkpoint it is refreshed, and without the
    cache a checkpoint that is kept shows as cached all the same.
    """
    run, place = Run(folder), f"checkpoints/{key}"
    if kept_checkpoint(key):
        return Completed(name="Cached", message=f"{place} is there", data=place)
    with track("train") as progress:
        documents, held_out = run.trained_on(), read_rows(run.held_out, Document)
        await train(engine, documents, held_out, seed, key, progress, budget)
    return place
