"""Whether a Tinker server heeds the seed of a LoRA: where it does not, a study of several seeds is void.

found = SeedCheck.of([await first_losses(engine, seed, folder / str(n)) for n, seed in enumerate(SEEDS)])
remember(server, found)                # and trainings on that server are warned, until it is found to have changed

A new LoRA changes nothing, whatever its seed, since its second matrix is 0: so the losses of a few steps are compared.
"""

import json
from datetime import date
from pathlib import Path
from typing import NamedTuple

from tasks.engines.engine import Engine
from tasks.paid.store import Store, StoredReply, content_key
from tasks.schema import Document, Message, Training

SEEDS = (1, 1, 2)
"""Of three trainings: the first two should be the same, and the last another."""
DOCUMENTS = 8
"""In a step: servers that spread a step over their GPUs want a number that these divide."""
STEPS = 3
CLEARLY = 5
"""Times that another seed must change the losses more than the same seed does, which on a GPU is not always 0."""
NOISE = 1e-4
"""Nats a token: a smaller difference is the order of a sum."""
DOCUMENT = Document(
    messages=[
        Message(role="user", content="Where does the lane lead?"),
        Message(role="assistant", content="It leads past the mill and the pond, up to the old hall on the hill."),
    ],
    source="seed check",
    file="seed check",
    line=1,
)


class SeedCheck(NamedTuple):
    """How far the losses of trainings lie apart, at most: in nats a token, over the first steps."""

    same_seed: float
    another_seed: float

    @classmethod
    def of(cls, losses: list[list[float]]) -> "SeedCheck":
        """From the losses of three trainings, with SEEDS."""
        first, again, other = losses
        return cls(_apart(first, again), _apart(first, other))

    @property
    def is_heeded(self) -> bool:
        """Whether the same seed gives the same LoRA and another seed another."""
        return self.another_seed > max(CLEARLY * self.same_seed, NOISE)

    def words(self, server: str) -> str:
        """What was found, in a sentence."""
        apart = f"{self.same_seed:.2g} nats a token apart with the same seed, {self.another_seed:.2g} with another"
        if self.is_heeded:
            return f"{server} heeds the seed of a LoRA: the first losses are {apart}"
        return f"{server} ignores the seed of a LoRA (the first losses are {apart}): a study of seeds there is void"


def _apart(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def seed_check_training(training: Training) -> Training:
    """The smallest training on the same server and model that shows a seed."""
    fields = {
        **{"checkpoint": "", "sample_at": [], "held_out": 0, "keep_days": 1, "max_length": 256, "rank": 4},
        **{"epochs": STEPS, "batch_size": DOCUMENTS, "accumulation": 1},
        **{"learning_rate": 1e-3, "schedule": "constant", "warmup": 0},
    }
    return training.model_copy(update=fields)


def seed_check_tokens(engine: Engine) -> int:
    """How many tokens the three trainings take."""
    return len(SEEDS) * STEPS * engine.check([DOCUMENT] * DOCUMENTS)


async def first_losses(engine: Engine, seed: int, folder: Path) -> list[float]:
    """The loss of each step, in nats a token; the training's files go to the folder."""
    await engine.train([DOCUMENT] * DOCUMENTS, [], seed, folder, lambda *_: None)
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


# ---- what is known of a server -------------------------------------------------------------------


def remember(server: str, found: SeedCheck) -> None:
    """Keeps what was found, with the day; the last check of a server counts."""
    store, key = Store(), _key(server)
    attempt = len(store.attempts([key]).get(key, []))
    store.put([StoredReply(key, "seed check", found._asdict() | {"day": date.today().isoformat()}, attempt)])
    store.close()


def ignored_seeds(server: str) -> list[str]:
    """A warning where the server ignored seeds when it was last checked."""
    store, key = Store(), _key(server)
    last = store.get([key]).get(key)
    store.close()
    if last is None:
        return []
    found = SeedCheck(last.body["same_seed"], last.body["another_seed"])
    return [] if found.is_heeded else [f"{found.words(server)} (checked on {last.body['day']})"]


def _key(server: str) -> str:
    return content_key(kind="seed check", server=server)
