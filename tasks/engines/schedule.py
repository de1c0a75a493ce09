"""Which documents each optimizer step takes, at what learning rate, and when it must end: the same for every engine."""

import math
import random
from collections.abc import Iterator
from typing import Any

from tasks.catalog import UserError
from tasks.schema import Training


def order(documents: int, training: Training, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Epoch and documents of each optimizer step: every document once an epoch, in an order of the epoch's own."""
    size = training.effective_batch
    for epoch in range(training.epochs):
        places = list(range(documents))
        random.Random(f"{seed}/epoch {epoch}").shuffle(places)
        for start in range(0, documents, size):
            yield epoch + 1, places[start : start + size]


def count_steps(documents: int, training: Training) -> int:
    """Optimizer steps of a training on so many documents, over all its epochs."""
    return training.epochs * math.ceil(documents / training.effective_batch)


def check_warmup(documents: int, training: Training) -> None:
    """Raises UserError where so many documents make fewer steps than the warm-up has."""
    steps = count_steps(documents, training)
    if training.warmup > steps:
        raise UserError(
            f"training.warmup: {training.warmup} steps, and {documents} documents make {steps} in all "
            f"({training.batch_words} a step, epochs: {training.epochs}); set it to {steps} at most"
        )


def refuse_divergence(row: dict[str, Any]) -> None:
    """Raises UserError for a row of the curve whose loss is no number: the weights are broken from there on."""
    for name in ("loss", "held_out_loss"):
        if not math.isfinite(row.get(name, 0.0)):
            raise UserError(
                f"the training broke the model: at step {row['step']} its {name} is {row[name]}; lower "
                "training.learning_rate, or training.alpha"
            )


def shares_at(training: Training, step: int, steps: int) -> list[float]:
    """The shares of training.sample_at that are reached with this step, counted from 1."""
    return [share for share in training.sample_at if max(1, round(share * steps)) == step]


def learning_rate(training: Training, step: int, steps: int) -> float:
    """Rises over `warmup` steps, then falls: linear 1 - s/S, cosine (1 + cos(pi s/S)) / 2, from its end on."""
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    done = (step - training.warmup) / max(1, steps - training.warmup)
    falls = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return training.learning_rate * falls[training.schedule]
