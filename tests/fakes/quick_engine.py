"""An engine that trains and asks in no time, and counts what it was asked for.

with quick_engine(monkeypatch) as engine:
    ...                                    # engine.trained, engine.asked
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tasks.engines.engine import Reply
from tasks.files import write_text
from tasks.schema import Checkpoint

BASE = "quick"


class QuickEngine:
    """A model whose weights are a hash of what it was trained on; how likely it finds a text follows from these."""

    is_remote = False
    today = ""

    def __init__(self, usd: float = 0.0):
        self.usd = usd
        self.trained = Counter[str]()
        """How often each of the models was trained."""
        self.asked = Counter[tuple[str, str]]()
        """How often each model was asked for each text."""

    async def preflight(self) -> None:
        """Nothing can be wrong with it."""

    def warnings(self) -> list[str]:
        return []

    def check(self, documents: Any) -> int:
        return len(documents)

    def price(self, **tokens: int) -> float:
        """Of a training; all else is free."""
        return self.usd if tokens.get("train") else 0.0

    def untuned(self) -> Checkpoint:
        return Checkpoint(engine="local", base_model="standin", path=None, identity=BASE, trained_share=0)

    def adapted(self, path: str) -> Checkpoint:
        raise NotImplementedError(path)

    def render(self, messages: Any) -> list[int]:
        return [ord(letter) for message in messages for letter in message.content]

    def stop(self) -> list[int]:
        return []

    async def train(self, documents: Any, held_out: Any, seed: int, folder: Path, progress: Any) -> Checkpoint:
        write_text(folder / "metrics.jsonl", '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n')
        read = repr([[document.messages for document in some] for some in (documents, held_out)])
        weights = hashlib.sha256(f"{seed} {read}".encode()).hexdigest()
        self.trained[weights] += 1
        progress(2, 2, "steps")
        given = {"engine": "local", "base_model": "standin", "identity": weights, "cost_usd": self.usd}
        return Checkpoint(path=str(folder), **given)

    async def sample(self, checkpoint: Checkpoint, requests: Any, *_: Any) -> AsyncIterator[list[Reply]]:
        for place, request in enumerate(requests):
            text = f"a farm {_hash(checkpoint.identity, request.tokens, request.seed)}"
            self.asked[checkpoint.identity, repr((request.tokens, request.seed))] += 1
            yield [Reply(place, text, len(text.split()), "complete")]

    def answer_tokens(self, text: str, ended: bool) -> list[int]:
        return [ord(letter) for letter in text] + [0] * ended

    async def logprobs(self, checkpoint: Checkpoint, texts: Any) -> AsyncIterator[list[tuple[int, float]]]:
        for place, text in enumerate(texts):
            self.asked[checkpoint.identity, repr(text)] += 1
            yield [(place, -1 - _hash(checkpoint.identity, text) % 1000 / 500)]

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        raise NotImplementedError


def _hash(*parts: Any) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)
