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

LOGITS = numpy.linspace(-10, 10, 201)
"""Of the mean rates at which the likelihood is computed first."""
MEANS = special.expit(LOGITS)
LIKENESS = special.expit(numpy.linspace(-9, 5, 29))
"""How alike the answers to one question are: 0 where all questions have one rate, 1 where each has a rate of 0 or 1."""
_ANSWERS = 1 / LIKENESS - 1
REMEMBERED = 256
"""Likelihoods, and pairs of hits and misses, of which those of other questions are often the same."""
FINER = 20
"""Steps that the grid has between the neighbours of the likeliest mean where it is too coarse there."""
NEAR = 0.5
"""How much less likely than the likeliest, in logarithms, its neighbours may be: about a standard error away."""
Counts = frozenset[tuple[tuple[int, int], int]]
"""How many questions have so many hits of so many answers."""


class RatesOverQuestions(NamedTuple):
    """The profile likelihood of a mean rate, with the rates of the questions spread as a beta distribution."""

    mean: float
    """Of the questions' rates."""
    means: numpy.ndarray
    """Mean rates, in their order: a grid that is finer around the likeliest the more answers there are."""
    roots: numpy.ndarray
    """The root of the deviance at each of these; negative at means below the likeliest."""

    @classmethod
    def of(cls, cells: list[Cell]) -> "RatesOverQuestions":
        """From the rates of one question or more, each of an answer or more.

        At each mean the likelihood is that of the likeness at which it is largest.
        """
        counts = frozenset(Counter((round(cell.mean * cell.n), cell.n) for cell in cells).items())
        return cls(math.fsum(cell.mean for cell in cells) / len(cells), *_means_and_roots(counts))

    def limits(self, z: float) -> tuple[float, float]:
        """The lowest and the highest mean whose deviance is z² at most."""
        low, high = numpy.interp((-z, z), self.roots, self.means)
        return float(low), float(high)

    def reach(self, z: float) -> tuple[float, float]:
        """How far the limits lie below and above the mean of the questions' rates."""
        low, high = self.limits(z)
        return max(0.0, self.mean - low), max(0.0, high - self.mean)


@lru_cache(REMEMBERED)
def _means_and_roots(counts: Counts) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A mean rate has an interval of its own, and a part in that of the difference."""
    logs = -sum(questions for _, questions in counts) * log_beta(0, 0)
    for (hits, n), questions in counts:
        logs += questions * log_beta(hits, n - hits)
    return means_and_roots(counts, profiles(logs[None])[0])


def means_and_roots(counts: Counts, profile: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Those of RatesOverQuestions, from the logarithm of the profile likelihood at each of MEANS.

    The grid is made finer around the likeliest mean until its neighbours are hardly less likely.
    """
    logits = LOGITS
    while True:
        highest = int(profile.argmax())
        ends = [max(0, highest - 1), min(len(logits) - 1, highest + 1)]
        if profile[highest] - profile[ends].min() <= NEAR:
            return special.expit(logits), _signed_roots(profile)
        finer = numpy.linspace(logits[ends[0]], logits[ends[1]], FINER + 1)
        between = profiles(_logs(counts, special.expit(finer))[None])[0]
        logits, profile = (
            numpy.concatenate([some[: ends[0]], inner, some[ends[1] + 1 :]])
            for some, inner in ((logits, finer), (profile, between))
        )


def profiles(logs: numpy.ndarray) -> numpy.ndarray:
    """At each mean the highest of several likelihoods, from their logarithms (likelihoods, means, LIKENESS)."""
    return _highest(logs.reshape(-1, len(LIKENESS))).reshape(logs.shape[:2])


def _signed_roots(profile: numpy.ndarray) -> numpy.ndarray:
    """The roots of the deviance from the top, which lies between the likeliest of these means and its neighbours."""
    likeliest = int(profile.argmax())
    top = float(_highest(profile[None])[0])
    roots = numpy.sqrt(2 * numpy.maximum(top - profile, 0))
    is_below = numpy.arange(len(profile)) < likeliest
    if 0 < likeliest < len(profile) - 1:
        is_below[likeliest] = profile[likeliest - 1] < profile[likeliest + 1]
    return numpy.maximum.accumulate(numpy.where(is_below, -roots, roots))


@lru_cache(REMEMBERED)
def log_beta(hits: int, misses: int) -> numpy.ndarray:
    """Of each beta distribution (MEANS, LIKENESS), after these answers to a question."""
    return _log_beta(MEANS, hits, misses)


def _logs(counts: Counts, means: numpy.ndarray) -> numpy.ndarray:
    """The logarithm of the likelihood (means, LIKENESS); the hits of each question are beta-binomial."""
    logs = -sum(questions for _, questions in counts) * _log_beta(means, 0, 0)
    for (hits, n), questions in counts:
        logs += questions * _log_beta(means, hits, n - hits)
    return logs


def _log_beta(means: numpy.ndarray, hits: int, misses: int) -> numpy.ndarray:
    of_hits, of_misses = means[:, None] * _ANSWERS, (1 - means[:, None]) * _ANSWERS
    gammaln = special.gammaln
    return gammaln(of_hits + hits) + gammaln(of_misses + misses) - gammaln(_ANSWERS + hits + misses)


def _highest(logs: numpy.ndarray) -> numpy.ndarray:
    """The top of each row: that of the parabola through its largest value and those beside it."""
    inner = numpy.clip(logs.argmax(axis=1), 1, logs.shape[1] - 2)
    before, middle, after = (logs[numpy.arange(len(logs)), inner + step] for step in (-1, 0, 1))
    bend = 2 * middle - before - after
    is_top = (middle >= before) & (middle >= after) & (bend > 0)
    return numpy.where(is_top, middle + (before - after) ** 2 / (8 * numpy.where(is_top, bend, 1)), logs.max(axis=1))
