"""Grids of truths, of which every cell is simulated: what tests.benchmarks.coverage prints last.

Rates of these questions, beside MOVER of each question's own Wilson limits; rates that are skewed over new questions;
questions crossed with seeds; groups of fine-tunes.
"""

import itertools
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.fixed_questions import fixed_questions
from tasks.estimates.intervals import Interval, Z, rate_cell
from tasks.estimates.new_questions import (
    ENOUGH_FOR_RATES,
    new_questions_and_groups,
    new_questions_and_seeds,
    new_questions_of_rates,
)
from tests.benchmarks.simulation import ROUNDING, Found, rates, simulate, terms


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
        found = fixed_questions(
            terms(list(zip(cells[: self.questions], cells[self.questions :], strict=True))), is_rate=True
        )
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

    def draw(self, rng: numpy.random.Generator) -> tuple[Interval, float]:
        after = rates(rng, rng.beta(self.a, self.b, self.questions), self.n)
        before = rates(rng, numpy.full(self.questions, self.before), self.n)
        return new_questions_of_rates(after, before), self.a / (self.a + self.b) - self.before


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


class Groups(NamedTuple):
    """Two groups of fine-tunes that are no pairs, asked the same questions: standard deviations, as when crossed."""

    questions: int
    mine: int
    theirs: int
    of_questions: float
    """Of the difference of both groups."""
    of_fine_tunes: float
    of_both: float

    def draw(self, rng: numpy.random.Generator) -> tuple[Interval, float]:
        values = [
            rng.normal(0, self.of_fine_tunes, (count, 1)) + rng.normal(0, self.of_both, (count, self.questions))
            for count in (self.mine, self.theirs)
        ]
        values[0] += rng.normal(0, self.of_questions, self.questions)
        return new_questions_and_groups(values[0].tolist(), values[1].tolist()), 0.0

    def ideal(self) -> float:
        """The width if all three were known."""
        of_one = self.of_fine_tunes**2 + self.of_both**2 / self.questions
        of_groups = of_one * (1 / self.mine + 1 / self.theirs)
        return float(2 * Z * numpy.sqrt(of_groups + self.of_questions**2 / self.questions))


GROUPS = [
    Groups(questions, *sizes, 0.4, of_fine_tunes, of_both)
    for questions, sizes, of_fine_tunes, of_both in itertools.product(
        (8, 24), ((1, 3), (2, 2), (2, 6), (3, 3), (6, 6)), (0.0, 0.1, 0.3, 1.0), (0.05, 0.3)
    )
]


class Row(NamedTuple):
    """One cell of the grid of rates."""

    coverage: float
    ratio: float
    """The mean width over that of MOVER."""
    of_mover: float
    """MOVER's coverage."""
    hits: float
    cell: FixedRates

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


def groups_grid(replicates: int) -> None:
    """Every cell, then the worst of them for each pair of sizes."""
    rows = [(simulate(cell.draw, replicates), cell) for cell in GROUPS]
    for found, cell in rows:
        print(f"  {found.coverage:6.1%}, {found.width / cell.ideal():.2f} x ideal: {cell}")
    for sizes in dict.fromkeys((cell.mine, cell.theirs) for cell in GROUPS):
        coverage, cell = min((found.coverage, cell) for found, cell in rows if (cell.mine, cell.theirs) == sizes)
        print(f"  worst of {sizes[0]} and {sizes[1]} fine-tunes: {coverage:.1%}, {cell}")


GRIDS = {
    f"rates skewed over new questions: fewer than {ENOUGH_FOR_RATES} are called approximate": skewed_grid,
    "questions crossed with seeds": crossed_grid,
    "groups of fine-tunes that are no pairs": groups_grid,
    "rates of these questions": rates_grid,
}
"""Of these every cell is printed."""
