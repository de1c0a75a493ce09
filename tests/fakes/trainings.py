"""Trainings of the stand-in that take seconds: settings, documents, and the same as tokens."""

import torch

from tasks.engines.examples import Example
from tasks.schema import Document, Message, Training
from tests.conftest import PROJECT

STANDIN = PROJECT / "data" / "models" / "standin"
TRAINING = Training(
    base_model="standin", rank=4, learning_rate=1e-2, epochs=4, batch_size=4, schedule="linear", warmup=3
)


def examples(count: int, seed: int = 0) -> list[Example]:
    """So many examples of 5 to 29 random tokens, of which the first two carry no loss."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 30, (count,), generator=g).tolist()
    return [
        Example(torch.randint(10, 900, (n,), generator=g).tolist(), [False, False] + [True] * (n - 2)) for n in lengths
    ]


def documents(count: int) -> list[Document]:
    """So many short documents, each longer than the one before."""
    return [
        Document(
            messages=[
                Message(role="user", content=f"Say {i}"),
                Message(role="assistant", content=f"The number is {i}. " * (i + 1)),
            ],
            source="s",
            line=i + 1,
            file="f.jsonl",
        )
        for i in range(count)
    ]
