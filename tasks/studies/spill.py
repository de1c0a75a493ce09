"""Spill: a shift off target in units of the shift on target, with Fieller's interval.

    spill = ratio(Estimate(0.3, 0.1, 0.5), Estimate(1.2, 0.9, 1.5), correlation=0.2)
    spill.value, spill.low, spill.high, spill.note        # 0.25, 0.09, 0.42, ""

So a fine-tune that was trained harder, and moved everything more, does not by that alone spill more.
"""

import math
from collections.abc import Sequence
from statistics import covariance, fmean
from typing import NamedTuple

from tasks.estimates.intervals import usable_strata
from tasks.estimates.new_questions import stratum_weights
from tasks.schema import Effect

HOLDS_0 = "not estimable: the interval of the shift on target holds 0"
NO_INTERVAL = "not estimable: a shift without an interval"


def is_for_new_questions(effect: Effect) -> bool:
    """Whether the interval that decides is that for new questions (and seeds); else it is that for these."""
    return effect.ci_low_new_questions is not None


class Estimate(NamedTuple):
    """A number with its 95 % interval; limits may lie at different distances from it."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, effect: Effect) -> "Estimate | None":
        """The difference with the interval for new questions (and seeds), or where there is none that for these."""
        e = effect
        low, high = e.ci_low_fixed_questions, e.ci_high_fixed_questions
        if is_for_new_questions(effect):
            low, high = e.ci_low_new_questions, e.ci_high_new_questions
        return None if e.difference is None or low is None or high is None else cls(e.difference, low, high)

    def times(self, factor: float) -> "Estimate":
        """The same in another unit, or in the other direction."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, low, high)


class Ratio(NamedTuple):
    """One estimate over another, with its interval, or why there is none."""

    value: float | None
    low: float | None
    high: float | None
    note: str


def ratio(over: Estimate | None, under: Estimate | None, correlation: float = 0.0) -> Ratio:
    """The 95 % interval of over / under: every r for which that of over - r under holds 0 (E. C. Fieller, Journal of
    the Royal Statistical Society B 16, 1954).

    The limits of that difference lie as far from it as those of both estimates do, combined by MOVER with their
    correlation, so that t intervals, whatever their degrees of freedom, and the unequal limits of rates serve alike.
    Not estimable where the interval of `under` does not lie above 0.
    """
    if over is None or under is None:
        return Ratio(None, None, None, NO_INTERVAL)
    if under.low <= 0:
        return Ratio(None, None, None, HOLDS_0)
    high = -_lower(over.times(-1), under, -correlation)
    return Ratio(over.value / under.value, _lower(over, under, correlation), high, "")


def _lower(over: Estimate, under: Estimate, correlation: float) -> float:
    """The lower limit, a root of A r² - 2 B r + C: it has the sign of the lower limit of `over`."""
    is_above = over.low > 0
    e, f = over.value - over.low, under.high - under.value if is_above else under.value - under.low
    a = under.value**2 - f**2
    b = over.value * under.value - correlation * e * f
    c = over.value**2 - e**2
    root = math.sqrt(max(0.0, b**2 - a * c))
    return c / (b + root) if is_above else (b - root) / a


class Sample(NamedTuple):
    """What a shift is the mean of, for how far two of them vary together."""

    asked: Sequence[tuple[str, str]]
    """Eval and question: shifts of the same answers vary together from question to question, others do not."""
    values: list[list[float]]
    """What each question adds to the difference: a row for each seed, a column for each question."""
    strata: Sequence[str]
    """Of each question."""
    is_for_new_questions: bool = True
    """Whether its limits are for new questions (and seeds)."""


def correlation(one: Sample, other: Sample) -> float:
    """Of the errors of two shifts of the same fine-tunes, from -1 to 1.

    Two parts add up, as in the intervals for new questions and seeds: the covariance over the questions that both were
    asked, and that of the seeds' means, which is 0 of a single seed. 0 unless both limits are for new questions: how
    questions and seeds differ is no error of a shift in these. 0 too of a shift that no question has a part in.
    """
    if not (one.strata and other.strata and one.is_for_new_questions and other.is_for_new_questions):
        return 0.0
    whole = math.sqrt(_covariance(one, one) * _covariance(other, other))
    return max(-1.0, min(1.0, _covariance(one, other) / whole)) if whole > 0 else 0.0


def _covariance(one: Sample, other: Sample) -> float:
    """Of both means."""
    seeds = len(one.values)
    of_seeds = covariance(*([fmean(row) for row in some.values] for some in (one, other))) / seeds if seeds > 1 else 0.0
    return of_seeds + _over_questions(one, other)


def _over_questions(one: Sample, other: Sample) -> float:
    """Sum of n w v s over the strata: n questions in both with the covariance s each, and their weights in each mean.

    A question that only one of them has a score of varies with none of the other's.
    """
    mine, theirs = _weighted(one), _weighted(other)
    shared = [n for n, asked in enumerate(one.asked) if asked in theirs]
    pairs = [(mine[one.asked[n]], theirs[one.asked[n]]) for n in shared]
    strata = usable_strata([one.strata[n] for n in shared])
    if len(pairs) < 2:
        return 0.0
    parts = [[pair for pair, its in zip(pairs, strata, strict=True) if its == name] for name in dict.fromkeys(strata)]
    return math.fsum(len(part) * covariance(*zip(*part, strict=True)) for part in parts)


def _weighted(some: Sample) -> dict[tuple[str, str], float]:
    """Of each question its mean over the seeds times its weight in the mean."""
    means = map(fmean, zip(*some.values, strict=True))
    weighted = (mean * weight for mean, weight in zip(means, stratum_weights(some.strata), strict=True))
    return dict(zip(some.asked, weighted, strict=True))
