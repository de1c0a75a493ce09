"""Intervals for these very questions: how sure one can be of a mean, were they sampled again.

fixed_questions([(1 / 4, after), (-1 / 4, before), ...], is_rate=False)
"""

import math
from statistics import NormalDist
from typing import NamedTuple

from tasks.estimates.intervals import POWER, Cell, Interval, Term, Z, inverted, t_interval, wilson

ONE_SAMPLE = "one sample per question"
NO_QUESTION = "no question has scores on both sides"
PRIOR_HITS = 1.0
"""So many hits are given to the guess that questions are all alike in their rates; half of one covers too little."""


def fixed_questions(terms: list[Term], is_rate: bool) -> Interval:
    """The weighted sum of the cells' means, were the same questions sampled again.

    `is_rate`: every score is 0 or 1, so that the cells are rates. How each kind is estimated is said in the two
    functions below; here no cell of scores lends another its variance.
    """
    if not terms:
        return Interval.unknown(NO_QUESTION)
    return _of_rates(terms) if is_rate else scores_fixed_questions([[term] for term in terms])


def scores_fixed_questions(sides: list[list[Term]]) -> Interval:
    """The weighted sum of the mean scores of all sides: questions are fixed, and variances within them add up.

    For weights w and cells of n scores with variance s²: Var = sum of w² s² / n, and the estimate ± t(df) sqrt(Var),
    with Satterthwaite's df (B. L. Welch, Biometrika 34, 1947). A cell with a single score has the variance that the
    others of its side have within questions, so that the interval is of the same sum as the estimate; a side without
    others has none. Assumes that answers are drawn independently of each other; a pair judge's floor reads each
    baseline answer twice, which the formula does not allow for.
    """
    terms = [term for side in sides for term in side]
    if not terms:
        return Interval.unknown(NO_QUESTION)
    if any(side and all(cell.n < 2 for _, cell in side) for side in sides):
        several = any(cell.n > 1 for _, cell in terms)
        return Interval.unknown(f"not estimable: {'a question has a single score' if several else ONE_SAMPLE}")
    parts = [part for side in sides for part in _parts(side)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Interval.unknown("not estimable: all scores of a question are equal")
    df = variance**2 / sum(part**2 / free for part, free in parts)
    return t_interval(_sum(terms), math.sqrt(variance), df)


def _parts(side: list[Term]) -> list[tuple[float, int]]:
    """What each repeated cell of one side adds to the variance of the sum, with its degrees of freedom.

    That is w² s² / n, and of the variance of the side's single scores, which is pooled over these cells, as much as
    the cell has of their degrees of freedom: so Satterthwaite's df counts what is borrowed with what it is made of.
    """
    single = math.fsum(weight**2 for weight, cell in side if cell.n == 1)
    free = sum(cell.n - 1 for _, cell in side)
    return [
        (weight**2 * cell.variance / cell.n + single * cell.variance * (cell.n - 1) / free, cell.n - 1)
        for weight, cell in side
        if cell.n > 1
    ]


class _Rate(NamedTuple):
    """The mean rate of several cells."""

    weight: float
    """Of the mean in the sum; below 0 where it is subtracted."""
    mean: float
    answers: float
    """Of a single question, that would tell as much of it."""

    def reach(self, z: float) -> tuple[float, float]:
        """How far the sum's limits lie below and above for its sake."""
        low, high = wilson(self.mean, self.answers, z)
        down, up = abs(self.weight) * (self.mean - low), abs(self.weight) * (high - self.mean)
        return (down, up) if self.weight > 0 else (up, down)


def _of_rates(terms: list[Term]) -> Interval:
    """Wilson's limits of the mean rate on each side, of as many answers as tell as much, combined by MOVER.

    The cells with a positive weight make one mean rate, those with a negative one the other. Each has the limits of
    Wilson for the effective number of answers (C. Franco, R. J. A. Little, T. A. Louis and E. V. Slud, Journal of
    Survey Statistics and Methodology 7, 2019), and with as many degrees of freedom as there are answers the quantile of
    t for z; the limits of the difference lie as far from it as the root of the sum of squares of how far those lie from
    their rates (G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). A single rate has Wilson's own limits.
    Assumes that answers are drawn independently. A question with a single answer, which says nothing of its variance,
    is given that of an answer to any of them.
    """
    terms = [(weight, cell) for weight, cell in terms if weight]
    sides = [[(sign * weight, cell) for weight, cell in terms if sign * weight > 0] for sign in (1, -1)]
    rates = [_mean_rate(side, sign) for side, sign in zip(sides, (1, -1), strict=True) if side]
    if all(cell.n < 2 for _, cell in terms) and len(terms) == len(rates):
        return Interval.unknown(f"not estimable: {ONE_SAMPLE}")
    df = _equal_answers(terms) if len(terms) > 1 else math.inf
    found = inverted(_sum(terms), lambda t: _combined(rates, t), df)
    return found._replace(detectable=_detectable_rate(rates))


def _mean_rate(terms: list[Term], sign: int) -> _Rate:
    """The weighted mean of rates, with the effective number of answers.

    With weights that add up to 1, 1 / N = sum of w² / n and a mean rate p, the variance within questions is sum of
    w² s² / n, and that of questions all alike p (1 - p) / (N - 1). Of few hits, or misses, the first tells little, so
    the ratio of both is drawn towards 1 by PRIOR_HITS; the effective number is N divided by the ratio.
    """
    total = math.fsum(weight for weight, _ in terms)
    shares = [(weight / total, cell) for weight, cell in terms]
    mean = min(1.0, math.fsum(share * cell.mean for share, cell in shares))
    answers = 1 / math.fsum(share**2 / cell.n for share, cell in shares)
    of_one = mean * (1 - mean)
    within = math.fsum(share**2 * (cell.variance if cell.n > 1 else of_one) / cell.n for share, cell in shares)
    hits = min(mean, 1 - mean) * _equal_answers(shares)
    ratio = within * (answers - 1) / of_one if of_one > 0 else 1.0
    return _Rate(sign * total, mean, answers * (hits + PRIOR_HITS) / (hits * ratio + PRIOR_HITS))


def _equal_answers(terms: list[Term]) -> float:
    """How many answers, fewer where a question with few decides: with v = w² / n, (sum of v)² / sum of v² / n."""
    parts = [(weight**2 / cell.n, cell.n) for weight, cell in terms]
    return math.fsum(v for v, _ in parts) ** 2 / math.fsum(v**2 / n for v, n in parts)


def _combined(rates: list[_Rate], z: float) -> tuple[float, float]:
    """How far the limits of the sum of these rates lie below and above it."""
    below, above = zip(*(rate.reach(z) for rate in rates), strict=True)
    return math.hypot(*below), math.hypot(*above)


def _detectable_rate(rates: list[_Rate]) -> float | None:
    """The smallest rise above the mean rate before that is found with POWER, by these numbers of answers.

    At a rise d the lower limit must lie above 0 by the quantile of the power times the estimate's standard error. Both
    are computed at the rates after the rise, since near 0 a rate's own spread says little of that of a higher one.
    None: no rise up to a rate of 1 would be found, or there is nothing before.
    """
    from scipy import optimize

    if {rate.weight > 0 for rate in rates} != {True, False}:
        return None
    start = next(rate.mean for rate in rates if rate.weight < 0)

    def excess(d: float) -> float:
        moved = [rate._replace(mean=start + d if rate.weight > 0 else start) for rate in rates]
        error = math.hypot(
            *(rate.weight * math.sqrt(max(0.0, rate.mean * (1 - rate.mean)) / rate.answers) for rate in moved)
        )
        return d - _combined(moved, Z)[0] - NormalDist().inv_cdf(POWER) * error

    most = 1 - start
    return float(optimize.brentq(excess, 0, most)) if most > 0 and excess(most) > 0 else None


def superiority_fixed_questions(pairs: list[tuple[Cell, Cell]]) -> Interval:
    """The mean over questions of P(after > before) + P(after = before) / 2, were the same questions sampled again.

    `pairs` holds each question's cells before and after, of placements: the share of the other side's scores that lie
    below a score, ties half. A question's probability is the mean placement of its scores after; its variance
    s²_after / n_after + s²_before / n_before of the placements (E. Brunner and U. Munzel, Biometrical Journal 42,
    2000), df by Satterthwaite. Assumes that answers are drawn independently; nothing of the distances between scores.
    Limits lie within 0 and 1; p is against 1/2.
    """
    if not pairs or any(cell.n < 2 for pair in pairs for cell in pair):
        return Interval.unknown(f"not estimable: {ONE_SAMPLE}")
    parts = [(cell.variance / cell.n / len(pairs) ** 2, cell.n - 1) for pair in pairs for cell in pair]
    variance = math.fsum(part for part, _ in parts)
    if variance == 0:
        return Interval.unknown("not estimable: no question's scores overlap otherwise than by being equal")
    df = variance**2 / math.fsum(part**2 / free for part, free in parts)
    found = t_interval(math.fsum(after.mean for _, after in pairs) / len(pairs) - 0.5, math.sqrt(variance), df)
    low, high = (min(1.0, max(0.0, 0.5 + limit)) for limit in (found.low or 0.0, found.high or 0.0))
    return found._replace(low=low, high=high)


def _sum(terms: list[Term]) -> float:
    return math.fsum(weight * cell.mean for weight, cell in terms)
