"""Truths of which tests.benchmarks.coverage simulates one replicate after the other, by tasks/estimates itself.

Each question has a mean before, a difference and a spread. Gaussian scores are taken as they are; ordinal ones fall
into 1 to 5 by thresholds; rates are hits.
"""

import math
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.fixed_questions import fixed_questions, scores_fixed_questions, superiority_fixed_questions
from tasks.estimates.intervals import Cell, Interval
from tasks.estimates.new_questions import (
    Rates,
    new_questions,
    new_questions_in_strata,
    new_questions_of_rates,
    new_questions_slope,
    pooled_values,
)
from tests.benchmarks.simulation import IN_USE, Draw, Found, hits, rates, simulate, terms

THRESHOLDS = numpy.array([-0.2, 0.8, 1.8, 2.8])
"""Between the scores 1 to 5, on the latent scale: most answers of a baseline near 0 score 1 or 2."""


class Drawn(NamedTuple):
    """A truth with its replicates, one after the other."""

    draw: Draw

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        return {IN_USE: simulate(self.draw, replicates, rng)}


class Question(NamedTuple):
    before: float
    difference: float
    spread: float


# ---- truths --------------------------------------------------------------------------------------


def questions(rng: numpy.random.Generator, count: int, effect: float, between: float) -> list[Question]:
    """Questions of unequal means, differences and spreads."""
    return [Question(rng.normal(0, 0.5), rng.normal(effect, between), rng.uniform(0.4, 1.6)) for _ in range(count)]


def gaussian(rng: numpy.random.Generator, mean: float, spread: float, n: int) -> Cell:
    values = rng.normal(mean, spread, n)
    return Cell(n, float(values.mean()), float(values.var(ddof=1)) if n > 1 else math.nan, 0)


def ordinal(rng: numpy.random.Generator, mean: float, spread: float, n: int) -> Cell:
    values = 1 + numpy.searchsorted(THRESHOLDS, rng.normal(mean, spread, n)).astype(float)
    return Cell(n, float(values.mean()), float(values.var(ddof=1)), 0)


def ordinal_mean(mean: float, spread: float) -> float:
    return 1 + float(special.ndtr((mean - THRESHOLDS) / spread).sum())


def gaussian_difference(question: Question) -> float:
    return question.difference


def ordinal_difference(question: Question) -> float:
    before, after = question.before, question.before + question.difference
    return ordinal_mean(after, question.spread) - ordinal_mean(before, question.spread)


KINDS = {"gaussian": (gaussian, gaussian_difference), "ordinal": (ordinal, ordinal_difference)}


def expected(kind: str, effect: float, between: float) -> float:
    """The mean difference over all questions of the kind, from a hundred thousand of them."""
    if kind == "gaussian":
        return effect
    many = questions(numpy.random.default_rng(1), 100_000, effect, between)
    columns = numpy.array(many)
    before, after = (
        1 + special.ndtr((means[:, None] - THRESHOLDS) / columns[:, 2:]).sum(axis=1)
        for means in (columns[:, 0], columns[:, 0] + columns[:, 1])
    )
    return float((after - before).mean())


# ---- draws ---------------------------------------------------------------------------------------


def pairs(rng: numpy.random.Generator, kind: str, asked: list[Question], n: int) -> list[tuple[Cell, Cell]]:
    cell = KINDS[kind][0]
    return [(cell(rng, q.before, q.spread, n), cell(rng, q.before + q.difference, q.spread, n)) for q in asked]


def for_new_questions(kind: str, count: int, n: int, effect: float, between: float = 0.4) -> Draw:
    truth = expected(kind, effect, between)

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = pairs(rng, kind, questions(rng, count, effect, between), n)
        return new_questions([after.mean - before.mean for before, after in cells]), truth

    return draw


def for_fixed_questions(kind: str, count: int, n: int, effect: float, between: float = 0.4) -> Draw:
    asked = questions(numpy.random.default_rng(7), count, effect, between)
    truth = sum(map(KINDS[kind][1], asked)) / count

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        return fixed_questions(terms(pairs(rng, kind, asked, n)), is_rate=False), truth

    return draw


def for_single_scores(before: list[int], after: list[int]) -> Draw:
    """Gaussian scores of unequal means and one spread, so many of each question, some of which have a single one."""
    count = len(before)
    asked = questions(numpy.random.default_rng(7), count, 0.5, 0.4)
    truth = sum(question.difference for question in asked) / count

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        sides = [
            [(1 / count, gaussian(rng, q.before + q.difference, 1, n)) for q, n in zip(asked, after, strict=True)],
            [(-1 / count, gaussian(rng, q.before, 1, n)) for q, n in zip(asked, before, strict=True)],
        ]
        return scores_fixed_questions(sides), truth

    return draw


def for_unequal_answers(count: int) -> Draw:
    """Rates of Beta(0.3, 0.7) and half of that, to questions of 2 to 60 answers."""
    rng = numpy.random.default_rng(7)
    sizes, rates = rng.integers(2, 61, (2, count)), rng.beta(0.3, 0.7, count) * numpy.array([[1.0], [0.5]])

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        before, after = (
            [hits(rng, p, int(n)) for p, n in zip(*side, strict=True)] for side in zip(rates, sizes, strict=True)
        )
        return fixed_questions(terms(list(zip(before, after, strict=True))), is_rate=True), (rates[1] - rates[0]).mean()

    return draw


def for_new_questions_pooled(before: float, after: float, count: int, n: int) -> Draw:
    """Rates that differ from question to question, of unequal numbers of answers."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = []
        for _ in range(count):
            size, scale = int(rng.integers(n // 2, n + 1)), 1 + rng.uniform(-0.8, 0.8)
            cells.append((hits(rng, before * scale, size), hits(rng, after * scale, size)))
        sides = [Rates(list(side), pooled_values(list(side))) for side in zip(*cells, strict=True)]
        return new_questions_of_rates(sides[1], sides[0]), after - before

    return draw


def for_a_rare_kind_of_question(share: float, count: int, n: int) -> Draw:
    """A rate of 80 % of the answers to a share of the questions, and of 1 % to the others."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        asked = numpy.where(rng.random(count) < share, 0.8, 0.01)
        return new_questions_of_rates(rates(rng, asked, n)), share * 0.8 + (1 - share) * 0.01

    return draw


def for_paired_rates(count: int, n: int, rise: float) -> Draw:
    """Rates that differ much between questions, before and after in the same way, by logits; the mean is estimated."""

    def both(rng: numpy.random.Generator, size: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        before, moved = rng.normal(-2, 1.8, size), rng.normal(rise, 0.4, size)
        return special.expit(before), special.expit(before + moved)

    many = both(numpy.random.default_rng(1), 1_000_000)
    truth = float((many[1] - many[0]).mean())

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        before, after = both(rng, count)
        return new_questions_of_rates(rates(rng, after, n), rates(rng, before, n)), truth

    return draw


def for_the_slope(each: int, n: int, slope: float) -> Draw:
    """Four tiers whose differences fall along a line, and vary the less the farther they are."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        ranks = [rank for rank in range(4) for _ in range(each)]
        asked = [questions(rng, 1, 1 + slope * rank, 0.6 - 0.15 * rank)[0] for rank in ranks]
        differences = [after.mean - before.mean for before, after in pairs(rng, "gaussian", asked, n)]
        return new_questions_slope(ranks, [differences]), slope

    return draw


def for_superiority(count: int, n: int, effect: float) -> Draw:
    """Gaussian scores, of which only the order is looked at."""
    asked = questions(numpy.random.default_rng(7), count, effect, 0.4)
    truth = sum(float(special.ndtr(q.difference / q.spread / 2**0.5)) for q in asked) / count

    def placements(mine: numpy.ndarray, other: numpy.ndarray) -> Cell:
        below = (other[None, :] < mine[:, None]).mean(axis=1)
        return Cell(len(mine), float(below.mean()), float(below.var(ddof=1)), 0)

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = []
        for q in asked:
            before, after = rng.normal(q.before, q.spread, n), rng.normal(q.before + q.difference, q.spread, n)
            cells.append((placements(before, after), placements(after, before)))
        return superiority_fixed_questions(cells), truth

    return draw


class Strata(NamedTuple):
    """Log-odds of statements of two directions that lie 6 nats apart, as many of each, with a spread of each."""

    each: int
    spreads: tuple[float, float]

    def draw(self, rng: numpy.random.Generator) -> list[float]:
        """Of the mean 0."""
        centres, spreads = numpy.repeat((3.0, -3.0), self.each), numpy.repeat(self.spreads, self.each)
        return list(map(float, rng.normal(centres, spreads)))

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        strata = ["yes"] * self.each + ["no"] * self.each
        ways: dict[str, Draw] = {
            IN_USE: lambda rng: (new_questions_in_strata([self.draw(rng)], strata), 0.0),
            "no strata": lambda rng: (new_questions(self.draw(rng)), 0.0),
        }
        return {name: simulate(draw, replicates, rng) for name, draw in ways.items()}


def for_saying_yes_more(yes: int, no: int) -> Draw:
    """Log-odds of so many statements of each direction, of a model that only says yes more, by 2 nats."""
    moved, strata = numpy.repeat((2.0, -2.0), (yes, no)), ["yes"] * yes + ["no"] * no

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        return new_questions_in_strata([rng.normal(moved, 0.3).tolist()], strata), 0.0

    return draw


STRATA = [Strata(each, spreads) for each in (5, 10) for spreads in ((1.0, 1.0), (1.0, 3.0))]
COVERED: dict[str, Draw] = {
    "new questions, gaussian, 8 x 10": for_new_questions("gaussian", 8, 10, 0.5),
    "new questions, gaussian, 20 x 5": for_new_questions("gaussian", 20, 5, 0.5),
    "new questions, ordinal, 8 x 10": for_new_questions("ordinal", 8, 10, 0.5),
    "new questions, ordinal, 20 x 10": for_new_questions("ordinal", 20, 10, 0.5),
    "these questions, gaussian, 1 x 10": for_fixed_questions("gaussian", 1, 10, 0.5),
    "these questions, gaussian, 8 x 10": for_fixed_questions("gaussian", 8, 10, 0.5),
    "these questions, ordinal, 2 x 10": for_fixed_questions("ordinal", 2, 10, 0.5),
    "these questions, ordinal, 8 x 10": for_fixed_questions("ordinal", 8, 10, 0.5),
    "these questions, ordinal, 8 x 40": for_fixed_questions("ordinal", 8, 40, 0.5),
    "these questions, single scores, 4 of 8": for_single_scores([6] * 4 + [1] * 4, [6] * 4 + [1] * 4),
    "these questions, single scores, 3 of 8 before": for_single_scores([2, 3, 5, 10, 4, 1, 1, 1], [6, 2, 10, 3] * 2),
    "these questions, single scores, 15 of 20": for_single_scores([3] * 5 + [1] * 15, [3] * 5 + [1] * 15),
}
"""Their intervals must cover the truth in 93 to 97 %."""
NO_EFFECT: dict[str, Draw] = {
    "no effect, new questions, gaussian, 8 x 10": for_new_questions("gaussian", 8, 10, 0.0),
    "no effect, new questions, ordinal, 8 x 10": for_new_questions("ordinal", 8, 10, 0.0, 0.0),
    "no effect, these questions, gaussian, 8 x 10": for_fixed_questions("gaussian", 8, 10, 0.0, 0.0),
    "no effect, these questions, ordinal, 8 x 10": for_fixed_questions("ordinal", 8, 10, 0.0, 0.0),
    **{
        f"no effect, saying yes more, {yes} and {no} statements": for_saying_yes_more(yes, no)
        for yes, no in ((10, 7), (12, 8), (15, 5))
    },
}
"""Here an effect may be found in at most 6 %."""
REPORTED: dict[str, Draw] = {
    "rates of unequal numbers of answers, 8 x 2 to 60": for_unequal_answers(8),
    "rates of unequal numbers of answers, 24 x 2 to 60": for_unequal_answers(24),
    "pooled rates 5 % and 20 %, new questions, 12 x 10 to 20": for_new_questions_pooled(0.05, 0.20, 12, 20),
    **{
        f"rates of 80 % for a tenth of the questions, else 1 %, new questions, {count} x 50": (
            for_a_rare_kind_of_question(0.1, count, 50)
        )
        for count in (8, 24, 50)
    },
    **{
        f"paired rates, new questions, {count} x {n}": for_paired_rates(count, n, 1.0)
        for count, n in ((5, 50), (8, 10), (24, 10))
    },
    "slope, 4 tiers x 2 questions": for_the_slope(2, 10, -0.3),
    "slope, 4 tiers x 5 questions": for_the_slope(5, 10, -0.3),
    "superiority, 8 x 10": for_superiority(8, 10, 0.5),
}
"""Reported, whatever it is."""
