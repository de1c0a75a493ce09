"""Spill: a shift off target in units of the shift on target, with Fieller's interval.

    spill = ratio(Estimate(0.3, 0.1, 0.5), Estimate(1.2, 0.9, 1.5), correlation=0.2)
    spill.value, spill.low, spill.high, spill.note        # 0.25, 0.09, 0.42, ""

So a fine-tune that was trained harder, and moved everything more, does not by that alone spill more.
"""

import math
from collections.abc import Sequence
from statistics import covariance, fmean
from typing import NamedTuple

from tasks.schema import Effect

HOLDS_0 = "not estimable: the interval of the shift on target holds 0"
NO_INTERVAL = "not estimable: a shift without an interval"


class Estimate(NamedTuple):
    """A number with its 95 % interval; limits may lie at different distances from it."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, effect: Effect) -> "Estimate | None":
        """The difference with the interval for new questions (and seeds), or where there is none that for these."""
        e = effect
        limits = [
            (e.ci_low_new_questions, e.ci_high_new_questions),
            (e.ci_low_fixed_questions, e.ci_high_fixed_questions),
        ]
        for low, high in limits:
            if e.difference is not None and low is not None and high is not None:
                return cls(e.difference, low, high)
        return None

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

    asked: tuple[str, ...]
    """Eval and questions: shifts of the same answers vary together from question to question, others do not."""
    values: list[list[float]]
    """What each question adds to the difference: a row for each seed, a column for each question."""
    strata: Sequence[str]
    """Of each question."""


def correlation(one: Sample, other: Sample) -> float:
    """Of the errors of two shifts of the same fine-tunes, from -1 to 1.

    Two parts add up, as in the intervals for new questions and seeds: the covariance over questions, which is 0 unless
    both read the same answers, and that of the seeds' means, which is 0 of a single seed. 0 too of a shift that no
    question has a part in.
    """
    if not (one.strata and other.strata):
        return 0.0
    whole = math.sqrt(_covariance(one, one) * _covariance(other, other))
    return max(-1.0, min(1.0, _covariance(one, other) / whole)) if whole > 0 else 0.0


def _covariance(one: Sample, other: Sample) -> float:
    """Of both means."""
    seeds = len(one.values)
    of_seeds = covariance(*([fmean(row) for row in some.values] for some in (one, other))) / seeds if seeds > 1 else 0.0
    return of_seeds + (_over_questions(one, other) if one.asked == other.asked else 0.0)


def _over_questions(one: Sample, other: Sample) -> float:
    """Sum of n s / G² over the strata, of n questions with the covariance s each, G in all."""
    means = [[fmean(column) for column in zip(*some.values, strict=True)] for some in (one, other)]
    places = [[n for n, stratum in enumerate(one.strata) if stratum == name] for name in dict.fromkeys(one.strata)]
    if min(map(len, places)) < 2:
        places = [list(range(len(one.strata)))]
    if min(map(len, places)) < 2:
        return 0.0
    parts = [len(some) * covariance(*([mean[n] for n in some] for mean in means)) for some in places]
    return math.fsum(parts) / len(one.strata) ** 2
