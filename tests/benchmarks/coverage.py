"""How often the intervals hold the truth, and how often the tests find an effect where there is none.

uv run python -m tests.benchmarks.coverage [replicates]

Answers are drawn from a known truth: each question has a mean before, a difference and a spread. Gaussian scores
are taken as they are; ordinal ones fall into 1 to 5 by thresholds; rates are hits. The same simulations run with fewer
replicates in tests/estimates/test_coverage.py.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.fixed_questions import fixed_questions, superiority_fixed_questions
from tasks.estimates.intervals import Cell, Interval, rate_cell
from tasks.estimates.new_questions import (
    new_questions,
    new_questions_and_seeds,
    new_questions_slope,
    pooled_values,
)

REPLICATES = 5_000
THRESHOLDS = numpy.array([-0.2, 0.8, 1.8, 2.8])
"""Between the scores 1 to 5, on the latent scale: most answers of a baseline near 0 score 1 or 2."""

Draw = Callable[[numpy.random.Generator], tuple[Interval, float]]
"""One replicate: an interval, and the truth that it should hold."""


class Found(NamedTuple):
    """Of the replicates that have an interval."""

    coverage: float
    rejected: float
    """How often the p is below 0.05."""
    estimated: float
    """Share of the replicates with an interval."""


class Question(NamedTuple):
    before: float
    difference: float
    spread: float


def simulate(draw: Draw, replicates: int, seed: int = 0) -> Found:
    rng = numpy.random.default_rng(seed)
    covered = rejected = estimated = 0
    for _ in range(replicates):
        interval, truth = draw(rng)
        if interval.low is None or interval.high is None:
            continue
        estimated += 1
        covered += interval.low <= truth <= interval.high
        rejected += interval.p is not None and interval.p < 0.05
    return Found(covered / estimated, rejected / estimated, estimated / replicates)


# ---- truths --------------------------------------------------------------------------------------


def questions(rng: numpy.random.Generator, count: int, effect: float, between: float) -> list[Question]:
    """Questions of unequal means, differences and spreads."""
    return [Question(rng.normal(0, 0.5), rng.normal(effect, between), rng.uniform(0.4, 1.6)) for _ in range(count)]


def gaussian(rng: numpy.random.Generator, mean: float, spread: float, n: int) -> Cell:
    values = rng.normal(mean, spread, n)
    return Cell(n, float(values.mean()), float(values.var(ddof=1)), 0)


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
        return fixed_questions(_terms(pairs(rng, kind, asked, n)), is_rate=False), truth

    return draw


def hits(rng: numpy.random.Generator, rate: float, n: int) -> Cell:
    """Of n answers to a question, those that a rule counts."""
    return rate_cell(int(rng.binomial(n, rate)), n, 0, n)


def for_rates(before: float, after: float, count: int, n: int) -> Draw:
    """Hits at the given rates, to every question alike."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = [(hits(rng, before, n), hits(rng, after, n)) for _ in range(count)]
        return fixed_questions(_terms(cells), is_rate=True), after - before

    return draw


def for_new_questions_pooled(before: float, after: float, count: int, n: int) -> Draw:
    """Rates that differ from question to question, of unequal numbers of answers."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = []
        for _ in range(count):
            size, scale = int(rng.integers(n // 2, n + 1)), 1 + rng.uniform(-0.8, 0.8)
            cells.append((hits(rng, before * scale, size), hits(rng, after * scale, size)))
        values = zip(*map(pooled_values, zip(*cells, strict=True)), strict=True)
        return new_questions([second - first for first, second in values], is_rate=True), after - before

    return draw


def for_new_seeds(count: int, seeds: int, n: int, of_seeds: float) -> Draw:
    """Gaussian scores; each seed moves all questions together, and each question a little by itself."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        asked = questions(rng, count, 0.5, 0.4)
        rows = []
        for shift in rng.normal(0, of_seeds, seeds):
            moved = [q._replace(difference=q.difference + shift + rng.normal(0, 0.1)) for q in asked]
            rows.append([after.mean - before.mean for before, after in pairs(rng, "gaussian", moved, n)])
        return new_questions_and_seeds(rows), 0.5

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


def _terms(cells: list[tuple[Cell, Cell]]) -> list[tuple[float, Cell]]:
    count = len(cells)
    return [(1 / count, after) for _, after in cells] + [(-1 / count, before) for before, _ in cells]


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
}
"""Their intervals must cover the truth in 93 to 97 %."""
NO_EFFECT: dict[str, Draw] = {
    "no effect, new questions, gaussian, 8 x 10": for_new_questions("gaussian", 8, 10, 0.0),
    "no effect, new questions, ordinal, 8 x 10": for_new_questions("ordinal", 8, 10, 0.0, 0.0),
    "no effect, these questions, gaussian, 8 x 10": for_fixed_questions("gaussian", 8, 10, 0.0, 0.0),
    "no effect, these questions, ordinal, 8 x 10": for_fixed_questions("ordinal", 8, 10, 0.0, 0.0),
}
"""Here an effect may be found in at most 6 %."""
REPORTED: dict[str, Draw] = {
    "rates 1 % and 1 %, 8 x 10": for_rates(0.01, 0.01, 8, 10),
    "rates 1 % and 5 %, 8 x 40": for_rates(0.01, 0.05, 8, 40),
    "rates 5 % and 20 %, 8 x 10": for_rates(0.05, 0.20, 8, 10),
    "rates 20 % and 50 %, 8 x 10": for_rates(0.20, 0.50, 8, 10),
    "rates 1 % and 10 %, 1 x 100": for_rates(0.01, 0.10, 1, 100),
    "pooled rates 5 % and 20 %, new questions, 12 x 10 to 20": for_new_questions_pooled(0.05, 0.20, 12, 20),
    "crossed, 8 questions x 3 seeds, seeds alike": for_new_seeds(8, 3, 10, 0.0),
    "crossed, 8 questions x 3 seeds, seeds differ": for_new_seeds(8, 3, 10, 0.3),
    "crossed, 20 questions x 6 seeds, seeds differ": for_new_seeds(20, 6, 10, 0.3),
    "slope, 4 tiers x 2 questions": for_the_slope(2, 10, -0.3),
    "slope, 4 tiers x 5 questions": for_the_slope(5, 10, -0.3),
    "superiority, 8 x 10": for_superiority(8, 10, 0.5),
}
"""Reported, whatever it is."""


def main() -> None:
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else REPLICATES
    print(f"{replicates:,} replicates of each; coverage of the nominal 95 %, p < 0.05, with an interval")
    worst = []
    for title, group in (("93 to 97 %", COVERED), ("at most 6 % found", NO_EFFECT), ("reported", REPORTED)):
        print(f"\n{title}")
        for name, draw in group.items():
            found = simulate(draw, replicates)
            print(f"  {name:56} {found.coverage:6.1%} {found.rejected:6.1%} {found.estimated:6.1%}", flush=True)
            worst += [name] if group is COVERED and not 0.93 <= found.coverage <= 0.97 else []
            worst += [name] if group is NO_EFFECT and found.rejected > 0.06 else []
    sys.exit(f"\noutside: {', '.join(worst)}" if worst else 0)


if __name__ == "__main__":
    main()
