"""A measurement in a process of its own, so that its peak of memory is its own too."""

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def apart(function: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What the function returns, and the most memory that it took, in MB, with all that it imports."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_with_memory, function, *given).result()


def _with_memory(function: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    return function(*given), peak_mb()


def peak_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
