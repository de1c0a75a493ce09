"""What the simulations of coverage share: what is found, a cell of a grid, one replicate, and cells of rates."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy

from tasks.estimates.intervals import Cell, Interval, Term, rate_cell
from tasks.estimates.new_questions import Rates

ROUNDING = 1e-9
IN_USE = "in use"
"""The method that Spillover has; others stand beside it by their names."""
Draw = Callable[[numpy.random.Generator], tuple[Interval, float]]
"""One replicate: an interval, and the truth that it should hold."""
Limits = tuple[numpy.ndarray, numpy.ndarray]
"""Below and above, of each replicate; NaN where there is no interval."""


class Found(NamedTuple):
    """Of the replicates that have an interval."""

    coverage: float
    rejected: float
    """How often the p is below 0.05."""
    estimated: float
    """Share of the replicates with an interval."""
    width: float
    """The mean distance of both limits."""


class Simulated(Protocol):
    """A cell of a grid: a truth from which answers are drawn."""

    def simulate(self, rng: numpy.random.Generator, replicates: int) -> dict[str, Found]:
        """What each method found, by its name."""


def simulate(draw: Draw, replicates: int, rng: numpy.random.Generator) -> Found:
    """One replicate after the other."""
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


def score(limits: Limits, truth: float) -> Found:
    """All replicates at once; p is below 0.05 where the limits leave 0 out."""
    has = ~numpy.isnan(limits[0])
    low, high = (side[has] for side in limits)
    held, away = (low - ROUNDING <= truth) & (truth <= high + ROUNDING), (low > 0) | (high < 0)
    return Found(float(held.mean()), float(away.mean()), float(has.mean()), float((high - low).mean()))


def hits(rng: numpy.random.Generator, rate: float, n: int) -> Cell:
    """Of n answers to a question, those that a rule counts."""
    return rate_cell(int(rng.binomial(n, rate)), n, 0, n)


def rates(rng: numpy.random.Generator, truths: numpy.ndarray, n: int) -> Rates:
    """Of n answers to each question, by its true rate."""
    cells = [hits(rng, float(rate), n) for rate in truths]
    return Rates(cells, [cell.mean for cell in cells])


def terms(cells: list[tuple[Cell, Cell]]) -> list[Term]:
    """The mean difference of the cells of each question, before and after."""
    count = len(cells)
    return [(1 / count, after) for _, after in cells] + [(-1 / count, before) for before, _ in cells]
