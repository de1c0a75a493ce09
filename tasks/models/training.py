"""Training: a LoRA on the run's documents, or a checkpoint that is there already.

A finished training is kept in data/checkpoints/<key>/, keyed by what it was trained from, and is never repeated.
"""

import os
import shutil
import time
from functools import partial
from pathlib import Path

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy

from tasks.catalog import data_folder
from tasks.engines.engine import Engine
from tasks.files import copy_file, read_rows, write_text
from tasks.locks import exclusive
from tasks.paid.store import content_key
from tasks.progress import Progress, lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Document, Training

NOT_TRAINED_WITH = {"checkpoint", "base_model", "base_url", "keep_days"}


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


def kept_checkpoint(key: str) -> Checkpoint | None:
    """The finished training of this key, if it is still there."""
    file = checkpoint_folder(key) / "checkpoint.json"
    return Checkpoint.model_validate_json(file.read_text()) if file.is_file() else None


def checkpoint_folder(key: str) -> Path:
    return data_folder() / "checkpoints" / key


def curve_so_far(key: str) -> Path | None:
    """The growing metrics.jsonl of a training that is going on, or was killed."""
    files = checkpoint_folder(key).parent.glob(f".{key}.*/metrics.jsonl") if key else ()
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


async def train(
    engine: Engine, documents: list[Document], held_out: list[Document], seed: int, key: str, progress: Progress
) -> Checkpoint:
    """Trains beside the checkpoint's folder, going on from what a kill left, and renames it into place at the end."""
    async with exclusive(f"training {key}", partial(progress, 0, 1)):
        return kept_checkpoint(key) or await _train_alone(engine, documents, held_out, seed, key, progress)


async def _train_alone(
    engine: Engine, documents: list[Document], held_out: list[Document], seed: int, key: str, progress: Progress
) -> Checkpoint:
    place = checkpoint_folder(key)
    beside = place.with_name(f".{key}.{os.getpid()}")
    _take_over_what_a_kill_left(place, beside)
    started = time.monotonic()
    trained = await engine.train(documents, held_out, seed, beside, progress)
    seconds = round(time.monotonic() - started, 1)
    earlier = [_within_data(one, beside, key) for one in trained.earlier]
    trained = _within_data(trained, beside, key).model_copy(update={"earlier": earlier, "key": key, "seconds": seconds})
    write_text(beside / "checkpoint.json", trained.model_dump_json(indent=1) + "\n")
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)
    return trained


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
async def train_task(folder: Path, engine: Engine, training: Training, seed: int, key: str) -> dict[str, object]:
    run = Run(folder)
    with track("train") as progress:
        documents, held_out = run.trained_on(), read_rows(run.held_out, Document)
        checkpoint = await train(engine, documents, held_out, seed, key, progress)
    return checkpoint.model_dump()
