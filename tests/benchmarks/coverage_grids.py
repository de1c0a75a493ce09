"""Grids of truths, of which tests.benchmarks.coverage simulates every cell, all replicates of it at once.

Rates of these questions, beside MOVER of each question's own Wilson limits; rates that are skewed over new questions,
and one of them by every method; questions crossed with seeds; groups of fine-tunes.
"""

import itertools
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.intervals import Z
from tests.benchmarks.coverage_arrays import (
    crossed,
    crossed_rates,
    groups,
    groups_of_rates,
    rates_of_new_questions,
    rates_of_these_questions,
)
from tests.benchmarks.coverage_methods import by_every_method, mover
from tests.benchmarks.simulation import IN_USE, Found, Limits, score

MOVER = "MOVER"
STUDENT = "Student's t"
ALL_KNOWN = "all known"
"""The limits of somebody who knows the true variances."""


class FixedRates(NamedTuple):
    """Questions that are each asked n times, whose rates go a share of the way to 1."""

    questions: int
    n: int
    before: float
    """The mean over the questions."""
    rise: float
    alike: bool
    """Else rates of Beta(p, 1 - p), evenly spread: most near 0 or 1."""

    def truths(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Each question's rate before and after."""
        evenly = (numpy.arange(self.questions) + 0.5) / self.questions
        rates = special.betaincinv(self.before, 1 - self.before, evenly)
        rates = numpy.full(self.questions, self.before) if self.alike else rates * self.before / rates.mean()
        return rates.clip(0, 1), (rates + self.rise * (1 - rates)).clip(0, 1)

    def fewest_hits(self) -> float:
        """Expected on the side that has fewer, or misses if these are fewer."""
        return min(self.n * min(float(rates.sum()), float((1 - rates).sum())) for rates in self.truths())

    def draw(self, rng: numpy.random.Generator, replicates: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Hits before and after (replicates, questions)."""
        before, after = (rng.binomial(self.n, rates, (replicates, self.questions)) for rates in self.truths())
        return before, after

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        (before, after), truths = self.draw(rng, replicates), self.truths()
        truth = float((truths[1] - truths[0]).mean())
        methods = {IN_USE: rates_of_these_questions, MOVER: mover}
        return {name: score(limits(before, after, self.n), truth) for name, limits in methods.items()}


FIXED_RATES = [
    FixedRates(questions, n, before, rise, alike)
    for n, questions, before, rise, alike in itertools.product(
        (2, 3, 5, 10, 20, 50), (1, 4, 8, 24, 50), (0.01, 0.05, 0.1, 0.2, 0.35, 0.5), (0.0, 0.15), (True, False)
    )
    if questions > 1 or alike
]


class Skewed(NamedTuple):
    """Rates after that are Beta(a, b) over new questions, of a baseline whose rate is the same for all."""

    a: float
    b: float
    before: float
    questions: int
    n: int

    def draw(self, rng: numpy.random.Generator, replicates: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Hits before and after (replicates, questions)."""
        after = rng.binomial(self.n, rng.beta(self.a, self.b, (replicates, self.questions)))
        return rng.binomial(self.n, self.before, after.shape), after

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        before, after = self.draw(rng, replicates)
        truth = self.a / (self.a + self.b) - self.before
        return {IN_USE: score(rates_of_new_questions(after, before, self.n), truth)}


SKEWED = [
    Skewed(a, b, before, questions, n)
    for (a, b), before, questions, n in itertools.product(
        ((0.3, 1.2), (0.1, 0.9), (2.0, 2.0)), (0.0, 0.02), (5, 8, 20, 24, 50), (10, 50)
    )
]


class OneMeanRate(NamedTuple):
    """A mean rate over new questions of 50 answers, whose rates are Beta(a, b), by every method."""

    a: float
    b: float
    questions: int

    def __str__(self) -> str:
        return f"Beta({self.a:g}, {self.b:g}), {self.questions} questions"

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        hits = rng.binomial(50, rng.beta(self.a, self.b, (replicates, self.questions)))
        truth = self.a / (self.a + self.b)
        return {name: score(limits, truth) for name, limits in by_every_method(hits, 50).items()}


METHODS = [
    OneMeanRate(a, b, questions)
    for a, b, questions in ((0.3, 1.2, 5), (0.3, 1.2, 8), (0.1, 0.9, 5), (0.1, 0.9, 8), (0.1, 0.9, 24), (8, 8, 8))
]


def _known(estimates: numpy.ndarray, variance: float) -> Limits:
    half = Z * variance**0.5
    return estimates - half, estimates + half


class Crossed(NamedTuple):
    """Each seed moves all questions together, and each question a little by itself: standard deviations."""

    questions: int
    seeds: int
    of_questions: float
    of_seeds: float
    of_both: float

    def draw(self, rng: numpy.random.Generator, replicates: int) -> numpy.ndarray:
        """Differences of the mean 0 (replicates, seeds, questions)."""
        return (
            rng.normal(0, self.of_seeds, (replicates, self.seeds, 1))
            + rng.normal(0, self.of_questions, (replicates, 1, self.questions))
            + rng.normal(0, self.of_both, (replicates, self.seeds, self.questions))
        )

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        values = self.draw(rng, replicates)
        of_means = self.of_seeds**2 / self.seeds + self.of_questions**2 / self.questions
        known = _known(values.mean(axis=(1, 2)), of_means + self.of_both**2 / self.seeds / self.questions)
        return {IN_USE: score(crossed(values), 0), ALL_KNOWN: score(known, 0)}


CROSSED = [
    Crossed(questions, seeds, 0.4, of_seeds, of_both)
    for questions, seeds, of_seeds, of_both in itertools.product((8, 24), (2, 3, 6), (0.0, 0.1, 0.3, 1.0), (0.05, 0.3))
]


def rates_of_fine_tunes(rng: numpy.random.Generator, rates: numpy.ndarray, count: int, differ: float) -> numpy.ndarray:
    """Of each fine-tune (replicates, fine-tunes, questions), p + u p (1 - p) of each question's mean rate p.

    u is the same for all questions of a fine-tune, evenly between -differ and differ, at most 1.
    """
    moved = rng.uniform(-differ, differ, (len(rates), count, 1))
    return rates[:, None] * (1 + moved * (1 - rates[:, None]))


class CrossedRates(NamedTuple):
    """Rates of Beta(a, b) over new questions, which seeds may move together, of a baseline that has no hit."""

    a: float
    b: float
    questions: int
    seeds: int
    differ: float
    """How far the fine-tunes differ: see `rates_of_fine_tunes`."""
    n: int = 50

    def draw(self, rng: numpy.random.Generator, replicates: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Hits before (replicates, questions) and after (replicates, seeds, questions)."""
        rates = rng.beta(self.a, self.b, (replicates, self.questions))
        after = rng.binomial(self.n, rates_of_fine_tunes(rng, rates, self.seeds, self.differ))
        return numpy.zeros_like(after[:, 0]), after

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        before, after = self.draw(rng, replicates)
        truth = self.a / (self.a + self.b)
        values = (after - before[:, None]) / self.n
        methods = {IN_USE: crossed_rates(after, before, self.n), STUDENT: crossed(values)}
        return {name: score(limits, truth) for name, limits in methods.items()}


CROSSED_RATES = [
    CrossedRates(a, b, questions, seeds, differ)
    for (a, b), questions, seeds, differ in itertools.product(
        ((0.1, 0.9), (2.0, 2.0)), (5, 8, 24), (2, 3, 5), (0.0, 1.0)
    )
]


class GroupsOfRates(NamedTuple):
    """Two groups of fine-tunes that are no pairs; rates of Beta(a, b) over new questions in one, all 0 in the other."""

    a: float
    b: float
    questions: int
    mine: int
    theirs: int
    differ: float
    n: int = 50

    def draw(self, rng: numpy.random.Generator, replicates: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Hits of each group (replicates, fine-tunes, questions)."""
        rates = rng.beta(self.a, self.b, (replicates, self.questions))
        mine = rng.binomial(self.n, rates_of_fine_tunes(rng, rates, self.mine, self.differ))
        return mine, numpy.zeros((replicates, self.theirs, self.questions))

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        mine, theirs = self.draw(rng, replicates)
        truth = self.a / (self.a + self.b)
        methods = {IN_USE: groups_of_rates(mine, theirs, self.n), STUDENT: groups(mine / self.n, theirs / self.n)}
        return {name: score(limits, truth) for name, limits in methods.items()}


GROUPS_OF_RATES = [
    GroupsOfRates(0.1, 0.9, questions, *sizes, differ)
    for questions, sizes, differ in itertools.product((5, 8, 24), ((2, 6), (6, 6)), (0.0, 1.0))
]


class Groups(NamedTuple):
    """Two groups of fine-tunes that are no pairs, asked the same questions: standard deviations, as when crossed."""

    questions: int
    mine: int
    theirs: int
    of_questions: float
    """Of the difference of both groups."""
    of_fine_tunes: float
    of_both: float

    def draw(self, rng: numpy.random.Generator, replicates: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Values of the mean 0 of each group (replicates, fine-tunes, questions)."""
        mine, theirs = (
            rng.normal(0, self.of_fine_tunes, (replicates, count, 1))
            + rng.normal(0, self.of_both, (replicates, count, self.questions))
            for count in (self.mine, self.theirs)
        )
        return mine + rng.normal(0, self.of_questions, (replicates, 1, self.questions)), theirs

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        mine, theirs = self.draw(rng, replicates)
        of_one = self.of_fine_tunes**2 + self.of_both**2 / self.questions
        variance = of_one * (1 / self.mine + 1 / self.theirs) + self.of_questions**2 / self.questions
        known = _known(mine.mean(axis=(1, 2)) - theirs.mean(axis=(1, 2)), variance)
        return {IN_USE: score(groups(mine, theirs), 0), ALL_KNOWN: score(known, 0)}


GROUPS = [
    Groups(questions, *sizes, 0.4, of_fine_tunes, of_both)
    for questions, sizes, of_fine_tunes, of_both in itertools.product(
        (8, 24), ((1, 3), (2, 2), (2, 6), (3, 3), (6, 6)), (0.0, 0.1, 0.3, 1.0), (0.05, 0.3)
    )
]
