"""Which documents each optimizer step takes, and at what learning rate: the same for every engine."""

import math
import random
from collections.abc import Iterator

from tasks.schema import Training


def order(documents: int, training: Training, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Epoch and documents of each optimizer step: every document once an epoch, in an order of the epoch's own."""
    size = training.effective_batch
    for epoch in range(training.epochs):
        places = list(range(documents))
        random.Random(f"{seed}/epoch {epoch}").shuffle(places)
        for start in range(0, documents, size):
            yield epoch + 1, places[start : start + size]


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
