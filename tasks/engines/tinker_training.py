"""Trains a LoRA on a server of the Tinker API: a pipelined loop on the SDK's primitives that resumes exactly.

The server executes the requests of one model in the order in which they were submitted. So a state that is asked for
between the update of one step and the gradients of the next holds exactly that many updates, however far ahead the loop
has submitted; a resumed training starts at the next step, and the rows of later steps leave the curve.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import tinker
from tinker.types import RequestErrorCategory
from tinker_cookbook.checkpoint_utils import CHECKPOINTS_BASE_NAME, CheckpointRecord, get_last_checkpoint
from tinker_cookbook.supervised.common import compute_mean_nll

from tasks.catalog import UserError
from tasks.engines.engine import Progress
from tasks.engines.schedule import learning_rate, order, refuse_divergence, shares_at
from tasks.engines.tinker_data import Datums
from tasks.schema import Document, Training

AHEAD = 2
"""Steps submitted before the oldest is waited for, so that the server never waits for us."""
SAVE_EVERY = 20
"""Steps between two states from which a killed training goes on."""
ADAM = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
"""The cookbook's."""
DAY = 24 * 3600
STATE_TTL = 7 * DAY
"""Seconds for which the service keeps those states."""
REFUSALS = (tinker.NotFoundError, tinker.BadRequestError, tinker.UnprocessableEntityError)
"""Of a state that is asked for: to ask again brings the same."""

Price = Callable[[int], float | None]
"""The cost of so many tokens of training in US dollars, or None where it is unknown."""


class Step(NamedTuple):
    """A step under way: its row of the curve, its datums, and what the server was asked for."""

    row: dict[str, Any]
    datums: list[tinker.Datum]
    gradients: tinker.APIFuture[tinker.ForwardBackwardOutput]
    update: tinker.APIFuture[tinker.OptimStepResponse]
    state: tinker.APIFuture[Any] | None
    sampler: tinker.APIFuture[Any] | None
    shares: list[float]
    """The shares of the training for which the weights to sample from are kept."""


class Folder:
    """What a training leaves: metrics.jsonl, and checkpoints.jsonl with the cookbook's records."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder
        self.metrics, self.records = folder / "metrics.jsonl", folder / CHECKPOINTS_BASE_NAME
        _keep(self.records, lambda _: True)
        self.last = get_last_checkpoint(str(folder))
        self.steps_done = (self.last.batch or 0) if self.last else 0
        # Steps after the last state are taken again, so their rows go.
        _keep(self.metrics, lambda row: row["step"] <= self.steps_done)

    def curve(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def samplers(self) -> dict[float, str]:
        """The paths of the weights kept along the way, by their share; a step that was taken again left newer ones."""
        rows = map(json.loads, self.records.read_text().splitlines())
        return {row["trained_share"]: row["sampler_path"] for row in rows if "trained_share" in row}

    def add_row(self, row: dict[str, Any]) -> None:
        """Adds a row to the curve; UserError where its loss is no finite number."""
        refuse_divergence(row)
        with self.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def add_record(self, record: CheckpointRecord) -> None:
        """Adds a record of what the server keeps."""
        with self.records.open("a") as file:
            file.write(json.dumps(record.to_dict()) + "\n")


def _keep(file: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Leaves the wanted rows, without the one that a kill cut off."""
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    shorter = file.with_suffix(".new")
    shorter.write_text("".join(line for line in lines if line.endswith("\n") and wanted(json.loads(line))))
    shorter.replace(file)


@dataclass(frozen=True)
class LoraTraining:
    """A training on a server: of which model, on what, and where its records are kept."""

    service: tinker.ServiceClient
    model: str
    """The base model's name on the server."""
    training: Training
    datums: Datums
    documents: list[Document]
    held_out: list[Document]
    seed: int
    folder: Folder
    price: Price
    progress: Progress

    async def run(self) -> CheckpointRecord:
        """Trains the LoRA, or goes on with the one whose records are in the folder; returns the final record."""
        last, steps = self.folder.last, list(order(len(self.documents), self.training, self.seed))
        if last and last.final:
            return last
        client = await self._client(last)
        held_out = self.datums.of(self.held_out)
        if held_out and not self.folder.metrics.stat().st_size:
            self.folder.add_row({"step": 0, "held_out_loss": await _mean_loss(client, held_out)})
        await self._take_steps(client, steps)
        if held_out:
            self.folder.add_row({"step": len(steps), "held_out_loss": await _mean_loss(client, held_out)})
        return await _finish(client, self.folder, len(steps), _ttl(self.training))

    async def _client(self, last: CheckpointRecord | None) -> tinker.TrainingClient:
        """A new LoRA, or the last state of this one."""
        if last and last.state_path:
            try:
                return await self.service.create_training_client_from_state_with_optimizer(last.state_path)
            except tinker.TinkerError as error:
                _refuse_what_is_gone(last, error, self.folder)
                raise
        return await self.service.create_lora_training_client(
            self.model,
            rank=self.training.rank,
            seed=self.seed,
            train_mlp=self.training.train_mlp,
            train_attn=self.training.train_attn,
            train_unembed=self.training.train_unembed,
            user_metadata={"renderer_name": self.training.renderer},
        )

    async def _take_steps(self, client: tinker.TrainingClient, steps: list[tuple[int, list[int]]]) -> None:
        """Submits the steps that are not done yet, each AHEAD of the oldest that is waited for."""
        under_way: deque[Step] = deque()
        pace = Pace(self.price, sum(row.get("tokens", 0) for row in self.folder.curve()))
        for number in range(self.folder.steps_done, len(steps)):
            epoch, places = steps[number]
            batch = await asyncio.to_thread(self.datums.of, [self.documents[p] for p in places])
            row: dict[str, Any] = {"step": number + 1, "epoch": epoch, "progress": (number + 1) / len(steps)}
            row["learning_rate"] = learning_rate(self.training, number, len(steps))
            shares = shares_at(self.training, number + 1, len(steps))
            under_way.append(_submit(client, self.training, batch, row, shares))
            while under_way and (len(under_way) > AHEAD or number + 1 == len(steps)):
                row = await _receive(under_way.popleft(), self.folder, pace)
                self.progress(row["step"], len(steps), f"steps, loss {row['loss']:.3f}, {pace.words()}")


class Pace:
    """Tokens and time since the training began, or went on, and what all of its tokens have cost."""

    def __init__(self, price: Price, tokens_before: int):
        self.price, self.before = price, tokens_before
        self.started, self.tokens = time.monotonic(), 0

    def seconds(self) -> float:
        """Since the training began, or went on."""
        return time.monotonic() - self.started

    def words(self) -> str:
        """Tokens a second, and US dollars where the price is known."""
        cost = self.price(self.before + self.tokens)
        speed = f"{self.tokens / max(self.seconds(), 1e-9):,.0f} tokens/s"
        return speed if cost is None else f"{speed}, ${cost:.2f}"


def _submit(
    client: tinker.TrainingClient,
    training: Training,
    batch: list[tinker.Datum],
    row: dict[str, Any],
    shares: list[float],
) -> Step:
    """Asks for the gradients, the update and, where they are due, the weights: in this order, without waiting."""
    gradients = client.forward_backward(batch, "cross_entropy")
    update = client.optim_step(tinker.AdamParams(learning_rate=row["learning_rate"], **ADAM))
    due = row["step"] % SAVE_EVERY == 0
    state = client.save_state(f"step-{row['step']:06}", ttl_seconds=STATE_TTL, overwrite=True) if due else None
    keep = _ttl(training)
    sampler = client.save_weights_for_sampler(f"sample-{row['step']:06}", ttl_seconds=keep) if shares else None
    return Step(row, batch, gradients, update, state, sampler, shares)


async def _receive(step: Step, place: Folder, pace: Pace) -> dict[str, Any]:
    """Waits for a step. Its row is written before its state is recorded: what is recorded never lacks a row."""
    result = await step.gradients
    await step.update
    tokens = sum(datum.model_input.length for datum in step.datums)
    pace.tokens += tokens
    row = step.row | {
        "loss": _loss(result, step.datums),
        "documents": len(step.datums),
        "tokens": tokens,
        "trained_tokens": sum(1 for d in step.datums for w in d.loss_fn_inputs["weights"].data if w > 0),
        "seconds": pace.seconds(),
    }
    place.add_row(row)
    if step.sampler:
        path = (await step.sampler).path
        for share in step.shares:
            place.add_record(
                CheckpointRecord(f"at {share:g}", row["step"], sampler_path=path, extra={"trained_share": share})
            )
    if step.state:
        saved = await step.state
        kept = {"expires": (datetime.now(UTC) + timedelta(seconds=STATE_TTL)).isoformat(timespec="minutes")}
        name = f"step-{row['step']:06}"
        place.add_record(CheckpointRecord(name, batch=row["step"], state_path=saved.path, extra=kept))
    return row


def _refuse_what_is_gone(last: CheckpointRecord, error: tinker.TinkerError, place: Folder) -> None:
    """UserError where the service has the state no more: no run could go on from it, and none may pay anew unasked.

    It says so, or the time is over for which it was to keep the state, which older records do not have.
    """
    expires = last.extra.get("expires")
    is_over = expires is not None and datetime.fromisoformat(expires) < datetime.now(UTC)
    if is_over or isinstance(error, REFUSALS) or getattr(error, "category", "") == RequestErrorCategory.User:
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"the service does not give {last.state_path} ({why}), from which the training was to go on; it keeps such "
            f"states for {STATE_TTL // DAY} days: to train from the beginning, which is paid anew, remove {place.path}"
        ) from error


def _ttl(training: Training) -> int | None:
    return training.keep_days * DAY or None


def _loss(result: tinker.ForwardBackwardOutput, datums: list[tinker.Datum]) -> float:
    """Mean over the documents of their mean loss per trained token, in nats: the cookbook's train_mean_nll."""
    logprobs = [output["logprobs"] for output in result.loss_fn_outputs]
    return compute_mean_nll(logprobs, [datum.loss_fn_inputs["weights"] for datum in datums])


async def _mean_loss(client: tinker.TrainingClient, datums: list[tinker.Datum]) -> float:
    return _loss(await client.forward(datums, "cross_entropy"), datums)


async def _finish(client: tinker.TrainingClient, place: Folder, steps: int, keep: int | None) -> CheckpointRecord:
    """The final state and the weights to sample from, kept for so many seconds, or without a limit."""
    state = client.save_state("final", ttl_seconds=keep, overwrite=True)
    sampler = client.save_weights_for_sampler("final", ttl_seconds=keep)
    paths = {"state_path": (await state).path, "sampler_path": (await sampler).path}
    record = CheckpointRecord("final", batch=steps, final=True, **paths)
    place.add_record(record)
    return record
