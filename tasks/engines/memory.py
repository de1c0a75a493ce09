"""How many texts fit side by side into the memory of a GPU, and what was freed on a CPU given back.

free, shape = free_bytes(model.device), Shape.of(model.config)
rows = answers_that_fit(free, shape, tokens=900)
texts, recompute = trainings_that_fit(free, shape, tokens=900)

The counts hold for layers like Llama's in bfloat16, with LoRA's own numbers in 32 bits. On a CPU nothing is sized by
memory: its batches are those of the settings.
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch

USED = 0.8
"""Share of the free memory that is planned with; the rest is what libraries take for themselves, and gaps."""
MOST = 512
"""Texts side by side at most: more make no card faster, and are lost when a run is killed."""
BFLOAT16 = 2
ROOM = 1.5
"""A row of the cache grows by half more than it needs."""
HIDDEN_BYTES, KEY_BYTES, INTERMEDIATE_BYTES = 40, 6, 12
"""What a layer keeps of a token for the backward pass, for each number of its hidden state, keys and MLP."""
LOGIT_BYTES = 18
"""What is kept or made of a token for each word of the vocabulary: logits, in 32 bits too, and their softmax."""


class Shape(NamedTuple):
    """The sizes of a model on which its memory depends; `keys` are the numbers in all keys of a token in one layer."""

    layers: int
    hidden: int
    keys: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> "Shape":
        """By the configuration that transformers reads."""
        text = config.get_text_config()
        hidden, heads = text.hidden_size, text.num_attention_heads
        size = getattr(text, "head_dim", None) or hidden // heads
        return cls(
            layers=text.num_hidden_layers,
            hidden=hidden,
            keys=size * (getattr(text, "num_key_value_heads", None) or heads),
            intermediate=getattr(text, "intermediate_size", None) or 4 * hidden,
            vocabulary=text.vocab_size,
        )

    @property
    def cache_bytes(self) -> int:
        """Keys and values that sampling keeps of a token."""
        return 2 * self.layers * self.keys * BFLOAT16

    @property
    def layer_bytes(self) -> int:
        """What one layer keeps of a token for the backward pass."""
        return HIDDEN_BYTES * self.hidden + KEY_BYTES * self.keys + INTERMEDIATE_BYTES * self.intermediate

    @property
    def logit_bytes(self) -> int:
        """What a token whose loss is computed takes."""
        return LOGIT_BYTES * self.vocabulary


def free_bytes(device: torch.device) -> int | None:
    """What is free on a GPU, with what torch keeps there for itself; None of a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def answers_that_fit(free: int, shape: Shape, tokens: int) -> int:
    """Answers to sample side by side, each of so many tokens with its prompt."""
    return _fit(free, int(ROOM * tokens * shape.cache_bytes) + shape.logit_bytes)


def scored_that_fit(free: int, shape: Shape, tokens: int) -> int:
    """Texts of so many tokens whose probabilities are computed side by side, without a backward pass."""
    return _fit(free, tokens * (shape.layer_bytes + shape.logit_bytes))


def trainings_that_fit(free: int, shape: Shape, tokens: int) -> tuple[int, bool]:
    """Texts of so many tokens to train on side by side, and whether layers are computed again in the backward pass.

    They are where not even one text fits otherwise: it takes a third more time.
    """
    whole = tokens * (shape.layers * shape.layer_bytes + shape.logit_bytes)
    if whole <= USED * free:
        return _fit(free, whole), False
    inputs = shape.layers * shape.hidden * BFLOAT16
    return _fit(free, tokens * (inputs + shape.layer_bytes + shape.logit_bytes)), True


def at_once(model: Any, tokens: int, fit: Callable[[int, Shape, int], int], otherwise: int) -> int:
    """How many texts of so many tokens `fit` finds room for on the model's GPU; on a CPU the other number."""
    free = free_bytes(model.device)
    return otherwise if free is None else fit(free, Shape.of(model.config), tokens)


def give_back() -> None:
    """Hands memory that was freed back to the system: glibc keeps it for each thread, gigabytes after a training."""
    with suppress(AttributeError, OSError):  # of systems with another C library
        ctypes.CDLL(None).malloc_trim(0)


def _fit(free: int, each: int) -> int:
    return min(MOST, max(1, int(USED * free) // each))
