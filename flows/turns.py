"""Whose turn it is, where several runs go on at once: at what trains and samples, and at the judges.

turns = Turns(semaphore, nullcontext())
async with turns.training:          # once for a run's training and sampling, never per call
    ...
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NamedTuple


class Turns(NamedTuple):
    """What a run waits for, each once."""

    training: AbstractAsyncContextManager[Any] = nullcontext()
    judging: AbstractAsyncContextManager[Any] = nullcontext()


NO_TURNS = Turns()
"""Of a run that waits for no other."""
