"""How often the intervals hold the truth, and how often the tests find an effect where there is none.

uv run python -m tests.benchmarks.coverage [replicates]

Answers are drawn from a known truth: each question has a mean before, a difference and a spread. Gaussian scores
are taken as they are; ordinal ones fall into 1 to 5 by thresholds; rates are hits. Three grids have every cell of their
plan: rates of these questions, beside MOVER of each question's own Wilson limits; rates that are skewed over new
questions; questions crossed with seeds. Some of it runs with fewer replicates in tests/estimates/test_coverage.py.
"""

import itertools
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.fixed_questions import fixed_questions, superiority_fixed_questions
from tasks.estimates.intervals import Cell, Interval, Z, rate_cell
from tasks.estimates.new_questions import (
    ENOUGH_FOR_RATES,
    new_questions,
    new_questions_and_seeds,
    new_questions_slope,
    pooled_values,
)

REPLICATES = 5_000
THRESHOLDS = numpy.array([-0.2, 0.8, 1.8, 2.8])
"""Between the scores 1 to 5, on the latent scale: most answers of a baseline near 0 score 1 or 2."""

ROUNDING = 1e-9
Draw = Callable[[numpy.random.Generator], tuple[Interval, float]]
"""One replicate: an interval, and the truth that it should hold."""


class Found(NamedTuple):
    """Of the replicates that have an interval."""

    coverage: float
    rejected: float
    """How often the p is below 0.05."""
    estimated: float
    """Share of the replicates with an interval."""
    width: float
    """The mean distance of both limits."""


class Question(NamedTuple):
    before: float
    difference: float
    spread: float


def simulate(draw: Draw, replicates: int, seed: int = 0) -> Found:
    rng = numpy.random.default_rng(seed)
    covered = rejected = estimated = 0
    width = 0.0
    for _ in range(replicates):
        interval, truth = draw(rng)
        if interval.low is None or interval.high is None:
            continue
        estimated += 1
        covered += interval.low - ROUNDING <= truth <= interval.high + ROUNDING
        width += interval.high - interval.low
        rejected += interval.p is not None and interval.p < 0.05
    return Found(covered / estimated, rejected / estimated, estimated / replicates, width / estimated)


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


def for_unequal_answers(count: int) -> Draw:
    """Rates of Beta(0.3, 0.7) and half of that, to questions of 2 to 60 answers."""
    rng = numpy.random.default_rng(7)
    sizes, rates = rng.integers(2, 61, (2, count)), rng.beta(0.3, 0.7, count) * numpy.array([[1.0], [0.5]])

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        before, after = (
            [hits(rng, p, int(n)) for p, n in zip(*side, strict=True)] for side in zip(rates, sizes, strict=True)
        )
        return fixed_questions(_terms(list(zip(before, after, strict=True))), is_rate=True), (
            rates[1] - rates[0]
        ).mean()

    return draw


def for_new_questions_pooled(before: float, after: float, count: int, n: int) -> Draw:
    """Rates that differ from question to question, of unequal numbers of answers."""

    def draw(rng: numpy.random.Generator) -> tuple[Interval, float]:
        cells = []
        for _ in range(count):
            size, scale = int(rng.integers(n // 2, n + 1)), 1 + rng.uniform(-0.8, 0.8)
            cells.append((hits(rng, before * scale, size), hits(rng, after * scale, size)))
        values = zip(*(pooled_values(list(side)) for side in zip(*cells, strict=True)), strict=True)
        return new_questions([second - first for first, second in values], is_rate=True), after - before

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
    "rates of unequal numbers of answers, 8 x 2 to 60": for_unequal_answers(8),
    "rates of unequal numbers of answers, 24 x 2 to 60": for_unequal_answers(24),
    "pooled rates 5 % and 20 %, new questions, 12 x 10 to 20": for_new_questions_pooled(0.05, 0.20, 12, 20),
    "slope, 4 tiers x 2 questions": for_the_slope(2, 10, -0.3),
    "slope, 4 tiers x 5 questions": for_the_slope(5, 10, -0.3),
    "superiority, 8 x 10": for_superiority(8, 10, 0.5),
}
"""Reported, whatever it is."""


# ---- grids ---------------------------------------------------------------------------------------


class Rates(NamedTuple):
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
        return min(self.n * min(rates.sum(), (1 - rates).sum()) for rates in self.truths())

    def simulate(self, replicates: int) -> Found:
        """Replicates that differ in the order of their questions alone are estimated once."""
        rng, (before, after) = numpy.random.default_rng(0), self.truths()
        shape = (replicates, self.questions)
        hits = [numpy.sort(rng.binomial(self.n, rates, shape), axis=1) for rates in (before, after)]
        drawn, times = numpy.unique(numpy.concatenate(hits, axis=1), axis=0, return_counts=True)
        truth, found = float((after - before).mean()), [self._interval(row) for row in drawn]
        held = [low - ROUNDING <= truth <= high + ROUNDING for low, high, _ in found]
        weights = times / replicates
        rejected, width = [p < 0.05 for _, _, p in found], [high - low for low, high, _ in found]
        return Found(float(weights @ held), float(weights @ rejected), 1.0, float(weights @ width))

    def _interval(self, hits: numpy.ndarray) -> tuple[float, float, float]:
        """Both limits and p, of the hits before and then those after."""
        cells = [rate_cell(int(count), self.n, 0, self.n) for count in hits]
        terms = _terms(list(zip(cells[: self.questions], cells[self.questions :], strict=True)))
        found = fixed_questions(terms, is_rate=True)
        assert found.low is not None
        assert found.high is not None
        assert found.p is not None
        return found.low, found.high, found.p

    def by_mover(self, replicates: int) -> tuple[float, float]:
        """Coverage and mean width of the limits that combine those of Wilson of each cell: another method."""
        rng, sides = numpy.random.default_rng(1), self.truths()
        p, q = (rng.binomial(self.n, rates, (replicates, self.questions)) / self.n for rates in sides)
        (p_low, p_high), (q_low, q_high) = _wilson(p, self.n), _wilson(q, self.n)
        below = numpy.sqrt(((q - q_low) ** 2 + (p_high - p) ** 2).sum(axis=1)) / self.questions
        above = numpy.sqrt(((q_high - q) ** 2 + (p - p_low) ** 2).sum(axis=1)) / self.questions
        error = (sides[1] - sides[0]).mean() - (q - p).mean(axis=1)
        held = (-below - ROUNDING <= error) & (error <= above + ROUNDING)
        return float(held.mean()), float((below + above).mean())


def _wilson(rates: numpy.ndarray, n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    centre, half = (rates + Z**2 / (2 * n)), Z * numpy.sqrt(rates * (1 - rates) / n + Z**2 / (4 * n**2))
    return (centre - half) / (1 + Z**2 / n), (centre + half) / (1 + Z**2 / n)


RATES = [
    Rates(questions, n, before, rise, alike)
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

    def draw(self, rng: numpy.random.Generator) -> tuple[Interval, float]:
        after = rng.binomial(self.n, rng.beta(self.a, self.b, self.questions)) / self.n
        before = rng.binomial(self.n, self.before, self.questions) / self.n
        return new_questions(list(after - before), is_rate=True), self.a / (self.a + self.b) - self.before


SKEWED = [
    Skewed(a, b, before, questions, n)
    for (a, b), before, questions, n in itertools.product(
        ((0.3, 1.2), (0.1, 0.9), (2.0, 2.0)), (0.0, 0.02), (5, 8, 20, 24, 50), (10, 50)
    )
]


class Crossed(NamedTuple):
    """Each seed moves all questions together, and each question a little by itself: standard deviations."""

    questions: int
    seeds: int
    of_questions: float
    of_seeds: float
    of_both: float

    def draw(self, rng: numpy.random.Generator) -> tuple[Interval, float]:
        values = (
            rng.normal(0, self.of_seeds, (self.seeds, 1))
            + rng.normal(0, self.of_questions, self.questions)
            + rng.normal(0, self.of_both, (self.seeds, self.questions))
        )
        return new_questions_and_seeds(values.tolist()), 0.0

    def ideal(self) -> float:
        """The width if all three were known."""
        of_means = self.of_seeds**2 / self.seeds + self.of_questions**2 / self.questions
        return float(2 * Z * numpy.sqrt(of_means + self.of_both**2 / self.seeds / self.questions))


CROSSED = [
    Crossed(questions, seeds, 0.4, of_seeds, of_both)
    for questions, seeds, of_seeds, of_both in itertools.product((8, 24), (2, 3, 6), (0.0, 0.1, 0.3, 1.0), (0.05, 0.3))
]


class Row(NamedTuple):
    """One cell of the grid of rates."""

    coverage: float
    ratio: float
    """The mean width over that of MOVER."""
    of_mover: float
    """MOVER's coverage."""
    hits: float
    cell: Rates

    def __str__(self) -> str:
        by = f"{self.ratio:.2f} x MOVER, which covers {self.of_mover:.1%}"
        return f"{self.coverage:6.1%}, {by}, {self.hits:.1f} hits: {self.cell}"


def rates_grid(replicates: int) -> None:
    """Every cell, then the worst of them."""
    rows = []
    for cell in RATES:
        found, (of_mover, width) = cell.simulate(replicates), cell.by_mover(replicates)
        rows.append(Row(found.coverage, found.width / width, of_mover, float(cell.fewest_hits()), cell))
        print(f"  {rows[-1]}", flush=True)
    enough = [row for row in rows if row.hits >= 5]
    print(f"  worst of {len(rows)}: {min(rows)}; {sum(row.coverage < 0.935 for row in rows)} below 93.5 %")
    print(f"  most with 5 hits: {max(enough)}; {sum(row.coverage > 0.975 for row in enough)} above 97.5 %")
    for name, some in (("in all", rows), ("with 5 hits", enough)):
        wide = sorted((row for row in some if row.of_mover >= 0.935), key=lambda row: row.ratio)
        print(f"  widest where MOVER covers, {name}: {wide[-1]}; {sum(row.ratio > 1.15 for row in wide)} above 1.15")
    print(f"  MOVER: {sum(row.of_mover < 0.935 for row in rows)} below 93.5 %")


def skewed_grid(replicates: int) -> None:
    """Every cell, then the worst of all, and of those that are not called approximate."""
    rows = [(simulate(cell.draw, replicates), cell) for cell in SKEWED]
    for found, cell in rows:
        print(f"  {found.coverage:6.1%}, {found.estimated:6.1%} with an interval: {cell}")
    for fewest in (5, 8, ENOUGH_FOR_RATES):
        coverage, cell = min((found.coverage, cell) for found, cell in rows if cell.questions >= fewest)
        print(f"  worst from {fewest} questions on: {coverage:.1%}, {cell}")


def crossed_grid(replicates: int) -> None:
    """Every cell, then the worst of them for each number of seeds."""
    rows = [(simulate(cell.draw, replicates), cell) for cell in CROSSED]
    for found, cell in rows:
        print(f"  {found.coverage:6.1%}, {found.width / cell.ideal():.2f} x ideal: {cell}")
    for seeds in (2, 3, 6):
        coverage, cell = min((found.coverage, cell) for found, cell in rows if cell.seeds == seeds)
        print(f"  worst of {seeds} seeds: {coverage:.1%}, {cell}")


GRIDS = {
    f"rates skewed over new questions: fewer than {ENOUGH_FOR_RATES} are called approximate": skewed_grid,
    "questions crossed with seeds": crossed_grid,
    "rates of these questions": rates_grid,
}
"""Of these every cell is printed."""


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
    for title, grid in GRIDS.items():
        print(f"\n{title}", flush=True)
        grid(replicates)
    sys.exit(f"\noutside: {', '.join(worst)}" if worst else 0)


if __name__ == "__main__":
    main()
