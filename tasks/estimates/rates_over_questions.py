"""The mean rate over new questions, whose rates may be near 0 for most of them and high for some.

likelihood = RatesOverQuestions.of([rate_cell(3, 10, 0, 10), rate_cell(0, 10, 0, 10)])
below, above = likelihood.reach(1.96)
"""

import math
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.intervals import Cell

MEANS = special.expit(numpy.linspace(-10, 10, 201))
"""Mean rates at which the likelihood is computed."""
LIKENESS = special.expit(numpy.linspace(-9, 5, 29))
"""How alike the answers to one question are: 0 where all questions have one rate, 1 where each has a rate of 0 or 1."""
_ANSWERS = 1 / LIKENESS - 1
_HITS, _MISSES = MEANS[:, None] * _ANSWERS, (1 - MEANS[:, None]) * _ANSWERS
"""Of the beta distributions of rates: what a question is known to give before it is asked."""
REMEMBERED = 256
"""Likelihoods, and pairs of hits and misses, of which those of other questions are often the same."""


class RatesOverQuestions(NamedTuple):
    """The profile likelihood of a mean rate, with the rates of the questions spread as a beta distribution."""

    mean: float
    """Of the questions' rates."""
    roots: numpy.ndarray
    """The root of the deviance at each of MEANS; negative at means below the likeliest."""

    @classmethod
    def of(cls, cells: list[Cell]) -> "RatesOverQuestions":
        """From the rates of one question or more, each of an answer or more.

        At each mean the likelihood is that of the likeness at which it is largest.
        """
        counts = Counter((round(cell.mean * cell.n), cell.n) for cell in cells)
        return cls(math.fsum(cell.mean for cell in cells) / len(cells), _roots(frozenset(counts.items())))

    def limits(self, z: float) -> tuple[float, float]:
        """The lowest and the highest mean whose deviance is z² at most."""
        low, high = numpy.interp((-z, z), self.roots, MEANS)
        return float(low), float(high)

    def reach(self, z: float) -> tuple[float, float]:
        """How far the limits lie below and above the mean of the questions' rates."""
        low, high = self.limits(z)
        return max(0.0, self.mean - low), max(0.0, high - self.mean)


@lru_cache(REMEMBERED)
def _roots(counts: frozenset[tuple[tuple[int, int], int]]) -> numpy.ndarray:
    """Of so many questions with these hits of so many answers; the hits of each are beta-binomial.

    A mean rate has an interval of its own, and a part in that of the difference.
    """
    logs = -sum(questions for _, questions in counts) * log_beta(0, 0)
    for (hits, n), questions in counts:
        logs += questions * log_beta(hits, n - hits)
    return signed_roots(logs[None])[0]


def signed_roots(logs: numpy.ndarray) -> numpy.ndarray:
    """The `roots` of several likelihoods, a row each, from their logarithms (likelihoods, MEANS, LIKENESS)."""
    profiles = _highest(logs.reshape(-1, len(LIKENESS))).reshape(len(logs), -1)
    likeliest = profiles.argmax(axis=1)[:, None]
    roots = numpy.sqrt(2 * (numpy.take_along_axis(profiles, likeliest, axis=1) - profiles))
    return numpy.maximum.accumulate(numpy.where(numpy.arange(len(MEANS)) < likeliest, -roots, roots), axis=1)


@lru_cache(REMEMBERED)
def log_beta(hits: int, misses: int) -> numpy.ndarray:
    """Of each beta distribution (MEANS, LIKENESS), after these answers to a question."""
    gammaln = special.gammaln
    return gammaln(_HITS + hits) + gammaln(_MISSES + misses) - gammaln(_ANSWERS + hits + misses)


def _highest(logs: numpy.ndarray) -> numpy.ndarray:
    """The top of each row: that of the parabola through its largest value and those beside it."""
    inner = numpy.clip(logs.argmax(axis=1), 1, logs.shape[1] - 2)
    before, middle, after = (logs[numpy.arange(len(logs)), inner + step] for step in (-1, 0, 1))
    bend = 2 * middle - before - after
    is_top = (middle >= before) & (middle >= after) & (bend > 0)
    return numpy.where(is_top, middle + (before - after) ** 2 / (8 * numpy.where(is_top, bend, 1)), logs.max(axis=1))
