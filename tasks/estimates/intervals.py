"""Intervals: what one is, the cells that it is estimated from, and Student's t.

    Cell(n=10, mean=2.5, variance=0.7, unscored=0)
    t_interval(estimate=0.3, error=0.1, df=12)

Estimates, limits and what is detectable are in the measure's unit; intervals are of 95 %, p is two-sided. Where there
is nothing to estimate from, the interval holds the reason instead of limits; none has the width zero.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from scipy import special

CONFIDENCE = 0.95
POWER = 0.8
"""The share of all such runs in which an effect of the detectable size would be found."""
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
MIN_QUESTIONS = 5
"""With fewer no interval is estimated for new questions."""
LARGEST_T = 30.0
"""Where limits do not touch 0 at this quantile, p is that of this quantile: below 1e-20 from 60 answers on."""


class Cell(NamedTuple):
    """The scores of one side of one question."""

    n: int
    """Answers with a score."""
    mean: float
    """Of the scores; NaN where there is none."""
    variance: float
    """Of the scores, with n - 1 in the denominator; NaN below two of them."""
    unscored: int
    """Answers that were judged and have no score."""
    answers: int = 0
    """Of a rule: all answers, in its denominator or not."""

    @property
    def judged(self) -> int:
        """Answers that were judged, whatever came of it."""
        return max(self.answers, self.n + self.unscored)


Cells = Mapping[tuple[str, str], Cell]
"""By question id and side."""


class Interval(NamedTuple):
    """An interval of 95 %, or why there is none: then both limits are None and the note says it."""

    low: float | None
    high: float | None
    note: str
    """Why there are no limits; beside limits, what they rest on or that they are approximate."""
    p: float | None = None
    """Two-sided, of the test that the interval belongs to: below 0.05 where it leaves 0 out."""
    detectable: float | None = None
    """The smallest true value that a test like this one finds to differ from 0 in 80 % of all cases."""

    @classmethod
    def unknown(cls, note: str) -> "Interval":
        """Without limits, for the reason that the note gives."""
        return cls(None, None, note)

    def untested(self) -> "Interval":
        """The same limits without the test that belongs to them."""
        return self._replace(p=None, detectable=None)

    def within(self, lowest: float, highest: float) -> "Interval":
        """The same with limits no farther out than these, which the truth cannot leave."""
        if self.low is None or self.high is None:
            return self
        return self._replace(low=max(self.low, lowest), high=min(self.high, highest))


Term = tuple[float, Cell]
"""A weight and the cell whose mean it weighs: a difference of two cells is [(1, after), (-1, before)]."""
Reach = Callable[[float], tuple[float, float]]
"""How far the limits lie below and above the estimate, for a quantile; never less for a larger one."""


def t_interval(estimate: float, error: float, df: float) -> Interval:
    """The estimate ± t(df) error, with the p of its test, and the effect that the test finds in 80 % of all cases.

    `error` is the standard error, above 0. What is detectable is the error times the noncentrality d for which a
    noncentral t(df, d) exceeds the test's quantile in 80 % of all cases (J. Cohen, Statistical Power Analysis for the
    Behavioral Sciences, 1988).
    """
    reach = quantile(df)
    p = float(special.stdtr(df, -abs(estimate) / error)) * 2
    return Interval(estimate - reach * error, estimate + reach * error, "", p, noncentrality(df, POWER) * error)


def inverted(estimate: float, reach: Reach, df: float) -> Interval:
    """Limits at the quantile of t(df), and the p of that quantile at which the limit nearer to 0 would touch it."""
    below, above = reach(quantile(df))
    return Interval(estimate - below, estimate + above, "", _p_at_0(estimate, reach, df))


def _p_at_0(estimate: float, reach: Reach, df: float) -> float:
    from scipy import optimize

    side = 0 if estimate > 0 else 1

    def gap(t: float) -> float:
        return abs(estimate) - reach(t)[side]

    if gap(0.0) < 1e-12:
        return 1.0
    t = LARGEST_T if gap(LARGEST_T) > 0 else float(optimize.brentq(gap, 0.0, LARGEST_T))
    return 2 * float(special.stdtr(df, -t))


def wilson(rate: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a rate p of n answers, within 0 and 1, for the quantile z:
    (p + z² / 2n ± z sqrt(p (1 - p) / n + z² / 4n²)) / (1 + z² / n) (E. B. Wilson, JASA 22, 1927).
    """
    z2 = z**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (max(0.0, rate * (1 - rate)) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate))


def quantile(df: float) -> float:
    """How many standard errors the limits lie from the estimate: the 97.5 % quantile of Student's t."""
    return float(special.stdtrit(df, 0.5 + CONFIDENCE / 2))


def noncentrality(df: float, power: float) -> float:
    """How many standard errors an effect must measure to be found with this power, a share of all cases."""
    return float(special.nctdtrinc(df, 1 - power, quantile(df)))


def pool(cells: list[Cell]) -> Cell:
    """The rate over all answers alike, whatever question they answer."""
    n = sum(cell.n for cell in cells)
    mean = math.fsum(cell.n * cell.mean for cell in cells if cell.n) / n if n else math.nan
    return rate_cell(mean * n if n else 0, n, sum(c.unscored for c in cells), sum(c.answers for c in cells))


def rate_cell(hits: float, n: int, unscored: int, answers: int) -> Cell:
    """The cell of a rate: hits among the n answers that count, of all answers those that lack a needed value."""
    rate = hits / n if n else math.nan
    return Cell(n, rate, rate * (1 - rate) * n / (n - 1) if n > 1 else math.nan, unscored, answers)


def usable_strata(strata: Sequence[str]) -> Sequence[str]:
    """Of each question its stratum. A single question of a stratum says nothing of its spread: then all are one."""
    return strata if min(Counter(strata).values(), default=0) > 1 else [""] * len(strata)


def centred(values: Sequence[float], strata: Sequence[str]) -> list[float]:
    """Each value less the mean of its stratum."""
    parts = {name: [value for value, one in zip(values, strata, strict=True) if one == name] for name in {*strata}}
    means = {name: math.fsum(part) / len(part) for name, part in parts.items()}
    return [value - means[name] for value, name in zip(values, strata, strict=True)]


def slope_weights(ranks: list[int], strata: Sequence[str]) -> list[float]:
    """A weight for each question, with which their values add up to the slope of least squares over their ranks.

    Strata have one slope, and each a level of its own.
    """
    distances = centred(ranks, strata)
    squares = math.fsum(distance**2 for distance in distances)
    return [distance / squares for distance in distances]
