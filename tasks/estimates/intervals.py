"""Intervals: how sure one can be of a mean over questions, for these very questions and for new ones of their kind.

    fixed_questions([(1 / 4, after), (-1 / 4, before), ...], is_rate=False)
    new_questions([0.3, 0.1, 0.5, 0.2, 0.4])

Estimates, limits and what is detectable are in the measure's unit; intervals are of 95 %, p is two-sided. Where there
is nothing to estimate from, the interval holds the reason instead of limits; none has the width zero.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

from scipy import special

CONFIDENCE = 0.95
POWER = 0.8
"""The share of all such runs in which an effect of the detectable size would be found."""
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
MIN_QUESTIONS = 5
"""With fewer no interval is estimated for new questions."""
ONE_SAMPLE = "one sample per question"
LARGEST_Z = 12.0
"""The p of a rate is searched up to this quantile: a p below 3.6e-33 is reported as 3.6e-33."""


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


Term = tuple[float, Cell]
"""A weight and the cell whose mean it weighs: a difference of two cells is [(1, after), (-1, before)]."""


def fixed_questions(terms: list[Term], is_rate: bool) -> Interval:
    """The weighted sum of the cells' means, were the same questions sampled again.

    `is_rate`: every score is 0 or 1, so that the cells are rates. How each kind is estimated is said in the two
    functions below.
    """
    if not terms:
        return Interval.unknown("no question has scores on both sides")
    return _of_rates(terms) if is_rate else _of_scores(terms)


def _of_scores(terms: list[Term]) -> Interval:
    """Questions are fixed; variances within them add up.

    For weights w and cells of n scores with variance s²: Var = sum of w² s² / n, and the estimate ± t(df) sqrt(Var),
    with Satterthwaite's df = Var² / sum of (w² s² / n)² / (n - 1) (B. L. Welch, Biometrika 34, 1947). Assumes that
    answers are drawn independently of each other; a pair judge's floor reads each baseline answer twice, which the
    formula does not allow for.
    """
    if any(cell.n < 2 for _, cell in terms):
        several = any(cell.n > 1 for _, cell in terms)
        return Interval.unknown(f"not estimable: {'a question has a single score' if several else ONE_SAMPLE}")
    parts = [weight**2 * cell.variance / cell.n for weight, cell in terms]
    if sum(parts) == 0:
        return Interval.unknown("not estimable: all scores of a question are equal")
    df = sum(parts) ** 2 / sum(part**2 / (cell.n - 1) for part, (_, cell) in zip(parts, terms, strict=True))
    return t_interval(_sum(terms), math.sqrt(sum(parts)), df)


def _of_rates(terms: list[Term]) -> Interval:
    """Wilson's limits of each rate, combined by MOVER; p is that at which the limits would touch 0.

    For rates p with Wilson limits (l, u) (E. B. Wilson, JASA 22, 1927) and weights w: the estimate minus
    sqrt(sum of (w (p - l))² where w > 0 and (w (u - p))² where w < 0), and plus the same with the sides exchanged
    (G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). Assumes that answers are drawn independently.
    """
    if all(cell.n < 2 for _, cell in terms):
        return Interval.unknown(f"not estimable: {ONE_SAMPLE}")
    estimate, (below, above) = _sum(terms), _reach_of_rates(terms, Z)
    return Interval(estimate - below, estimate + above, "", _p_of_rates(terms), _detectable_rate(terms))


def _reach_of_rates(terms: list[Term], z: float) -> tuple[float, float]:
    """How far the limits lie below and above the estimate, for Wilson limits of the normal quantile z."""
    below = above = 0.0
    for weight, cell in terms:
        low, high = wilson(cell.mean, cell.n, z)
        down, up = (cell.mean - low, high - cell.mean) if weight > 0 else (high - cell.mean, cell.mean - low)
        below, above = below + (weight * down) ** 2, above + (weight * up) ** 2
    return math.sqrt(below), math.sqrt(above)


def _detectable_rate(terms: list[Term]) -> float | None:
    """The smallest rise above the mean rate before that is found with POWER, by these numbers of answers.

    At a rise d the lower limit must lie above 0 by the quantile of the power times the estimate's standard error. Both
    are computed at the rates after the rise, since near 0 a rate's own spread says little of that of a higher one.
    None: no rise up to a rate of 1 would be found, or there is nothing before.
    """
    from scipy import optimize

    before = [(w, c) for w, c in terms if w < 0]
    if not before:
        return None
    start = math.fsum(-w * cell.mean for w, cell in before)

    def excess(d: float) -> float:
        moved = [(w, c._replace(mean=start + d if w > 0 else start)) for w, c in terms]
        error = math.sqrt(math.fsum(w**2 * c.mean * (1 - c.mean) / c.n for w, c in moved))
        return d - _reach_of_rates(moved, Z)[0] - NormalDist().inv_cdf(POWER) * error

    most = 1 - start
    return float(optimize.brentq(excess, 0, most)) if most > 0 and excess(most) > 0 else None


def _p_of_rates(terms: list[Term]) -> float:
    """The p at which the interval would just touch 0: 2 Phi(-z) of the z at which MOVER's limit nearer to 0 is 0."""
    from scipy import optimize

    estimate = _sum(terms)
    side = 0 if estimate > 0 else 1

    def gap(z: float) -> float:
        return abs(estimate) - _reach_of_rates(terms, z)[side]

    if abs(estimate) < 1e-12:
        return 1.0
    if gap(LARGEST_Z) > 0:
        return 2 * NormalDist().cdf(-LARGEST_Z)
    return 2 * NormalDist().cdf(-optimize.brentq(gap, 0.0, LARGEST_Z))


def wilson(rate: float, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a rate p of n answers, within 0 and 1, for the normal quantile z:
    (p + z² / 2n ± z sqrt(p (1 - p) / n + z² / 4n²)) / (1 + z² / n).
    """
    z2 = z**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate))


def new_questions(differences: list[float]) -> Interval:
    """The mean difference over questions of this kind, of which these are a sample.

    d ± t(G - 1) s / sqrt(G), with s the standard deviation of the G per-question differences (Student's one-sample t).
    Assumes that the questions are drawn independently from their kind and that their mean difference is near normal.
    """
    count = len(differences)
    if count < MIN_QUESTIONS:
        return _too_few(count)
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    return _unless_alike(mean, math.sqrt(variance / count), count - 1)


def new_questions_pooled(pairs: list[tuple[Cell, Cell]]) -> Interval:
    """The difference of two pooled rates over questions of this kind, by linearisation of the ratios.

    `pairs` holds each question's cells before and after. With hits h and answers n of question g on each side, of N
    answers of all questions with the pooled rate p, e_g = (h_f - p_f n_f) / N_f - (h_b - p_b n_b) / N_b and Var =
    G / (G - 1) times the sum of e_g²; ± t(G - 1) sqrt(Var) (W. G. Cochran, Sampling Techniques, 1977, 6.3).
    """
    count = len(pairs)
    if count < MIN_QUESTIONS:
        return _too_few(count)
    before, after = (pool(list(cells)) for cells in zip(*pairs, strict=True))
    parts = [f.n * (f.mean - after.mean) / after.n - b.n * (b.mean - before.mean) / before.n for b, f in pairs]
    error = math.sqrt(count / (count - 1) * math.fsum(part**2 for part in parts))
    return _unless_alike(after.mean - before.mean, error, count - 1)


def new_questions_and_seeds(differences: list[list[float]]) -> Interval:
    """The mean difference over other questions of the kind and other seeds; a row for each seed, a column a question.

    Questions and seeds are crossed, as in `crossed_error`; ± t(min(G, S) - 1) standard errors, of G questions and S
    seeds.
    """
    seeds, questions = len(differences), len(differences[0]) if differences else 0
    if questions < MIN_QUESTIONS:
        return _too_few(questions)
    mean = math.fsum(math.fsum(row) for row in differences) / (seeds * questions)
    parts = [[(value - mean) / (seeds * questions) for value in row] for row in differences]
    return _unless_alike(mean, crossed_error(parts), min(seeds, questions) - 1)


def crossed_error(parts: list[list[float]]) -> float:
    """The standard error of a sum of weighted errors, a row for each of S seeds, a column for each of G questions.

    With the parts summed over seeds for each question, over questions for each seed, and one by one: Var =
    V_questions + V_seeds - V_cells, each the sum of squares times n / (n - 1) of its own n (A. C. Cameron, J. B.
    Gelbach and D. L. Miller, Journal of Business & Economic Statistics 29, 2011), no less than the larger of the first
    two.
    """
    by_question = _clustered([math.fsum(column) for column in zip(*parts, strict=True)])
    by_seed = _clustered([math.fsum(row) for row in parts])
    by_cell = _clustered([part for row in parts for part in row])
    return math.sqrt(max(by_question + by_seed - by_cell, by_question, by_seed))


def _clustered(sums: list[float]) -> float:
    """The sum of squares of n sums, times n / (n - 1)."""
    return math.fsum(value**2 for value in sums) * len(sums) / (len(sums) - 1)


def new_questions_slope(ranks: list[int], differences: list[list[float]]) -> Interval:
    """The slope of the questions' differences over the rank of their tier, for other questions of the tiers.

    `differences` has a row for each seed and a column for each question, as long as `ranks`. Least squares over all
    questions; with weights w_g = (x_g - mean x) / sum of squares, residuals e and leverages h, Var = sum of
    (w e / (1 - h))² (HC3: J. G. MacKinnon and H. White, Journal of Econometrics 29, 1985), so that tiers may vary
    differently; ± t(G - 2) sqrt(Var). With several seeds the parts w e / (1 - h) are crossed with the seeds, and the
    degrees of freedom are min(G - 2, S - 1). Assumes that the differences lie around a line over the tiers.
    """
    seeds, questions = len(differences), len(ranks)
    if questions < MIN_QUESTIONS:
        return _too_few(questions)
    weights = slope_weights(ranks)
    centre, squares = math.fsum(ranks) / questions, 1 / math.fsum(w**2 for w in weights)
    means = [math.fsum(column) / seeds for column in zip(*differences, strict=True)]
    slope, level = _weighted(weights, means), math.fsum(means) / questions
    leverages = [1 / questions + (rank - centre) ** 2 / squares for rank in ranks]
    if any(leverage > 1 - 1e-9 for leverage in leverages):
        return Interval.unknown("not estimable: one question alone decides the slope")
    parts = [
        [
            w * (value - level - slope * (rank - centre)) / (1 - leverage) / seeds
            for w, value, rank, leverage in zip(weights, row, ranks, leverages, strict=True)
        ]
        for row in differences
    ]
    if seeds == 1:
        return _unless_alike(slope, math.sqrt(math.fsum(part**2 for part in parts[0])), questions - 2)
    return _unless_alike(slope, crossed_error(parts), min(questions - 2, seeds - 1))


def slope_weights(ranks: list[int]) -> list[float]:
    """A weight for each question, with which their values add up to the slope of least squares over their ranks."""
    centre = math.fsum(ranks) / len(ranks)
    squares = math.fsum((rank - centre) ** 2 for rank in ranks)
    return [(rank - centre) / squares for rank in ranks]


def _weighted(weights: list[float], values: list[float]) -> float:
    return math.fsum(w * value for w, value in zip(weights, values, strict=True))


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


def pool(cells: list[Cell]) -> Cell:
    """The rate over all answers alike, whatever question they answer."""
    n = sum(cell.n for cell in cells)
    mean = math.fsum(cell.n * cell.mean for cell in cells if cell.n) / n if n else math.nan
    return rate_cell(mean * n if n else 0, n, sum(c.unscored for c in cells), sum(c.answers for c in cells))


def rate_cell(hits: float, n: int, unscored: int, answers: int) -> Cell:
    """The cell of a rate: hits among the n answers that count, of all answers those that lack a needed value."""
    rate = hits / n if n else math.nan
    return Cell(n, rate, rate * (1 - rate) * n / (n - 1) if n > 1 else math.nan, unscored, answers)


def t_interval(estimate: float, error: float, df: float) -> Interval:
    """The estimate ± t(df) error, with the p of its test, and the effect that the test finds in 80 % of all cases.

    `error` is the standard error, above 0. What is detectable is the error times the noncentrality d for which a
    noncentral t(df, d) exceeds the test's quantile in 80 % of all cases (J. Cohen, Statistical Power Analysis for the
    Behavioral Sciences, 1988).
    """
    reach = quantile(df)
    p = float(special.stdtr(df, -abs(estimate) / error)) * 2
    return Interval(estimate - reach * error, estimate + reach * error, "", p, noncentrality(df, POWER) * error)


def quantile(df: float) -> float:
    """How many standard errors the limits lie from the estimate: the 97.5 % quantile of Student's t."""
    return float(special.stdtrit(df, 0.5 + CONFIDENCE / 2))


def noncentrality(df: float, power: float) -> float:
    """How many standard errors an effect must measure to be found with this power, a share of all cases."""
    return float(special.nctdtrinc(df, 1 - power, quantile(df)))


def _unless_alike(estimate: float, error: float, df: int) -> Interval:
    """The t interval; none where the questions' differences are equal but for rounding."""
    if error <= 1e-12 * max(1.0, abs(estimate)):
        return Interval.unknown("not estimable: all questions changed alike")
    return t_interval(estimate, error, df)


def _too_few(questions: int) -> Interval:
    counted = "1 question" if questions == 1 else f"{questions} questions"
    return Interval.unknown(f"{counted}, at least {MIN_QUESTIONS} are needed")


def _sum(terms: list[Term]) -> float:
    return math.fsum(weight * cell.mean for weight, cell in terms)
