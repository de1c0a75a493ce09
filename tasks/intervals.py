"""Intervals: how sure one can be of a mean over questions, for these very questions and for new ones of their kind.

    these_questions([(1 / 4, after), (-1 / 4, before), ...], is_rate=False)
    new_questions([0.3, 0.1, 0.5, 0.2, 0.4])

Where there is nothing to estimate from, the reason stands in the interval's place; none has the width zero.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95
FEWEST_QUESTIONS = 5
ONE_SAMPLE = "one sample per question"


class Cell(NamedTuple):
    """One side of one question: how many scores, their mean and variance (n - 1), and how many answers lack one."""

    n: int
    mean: float
    variance: float
    unscored: int
    answers: int = 0
    """Of a rule: all answers, in its denominator or not."""

    @property
    def seen(self) -> int:
        """Answers that were judged, whatever came of it."""
        return max(self.answers, self.n + self.unscored)


class Interval(NamedTuple):
    low: float | None
    high: float | None
    note: str
    p: float | None = None


Term = tuple[float, Cell]
"""A weight and the cell whose mean it weighs: a difference of two cells is [(1, after), (-1, before)]."""


def these_questions(terms: list[Term], is_rate: bool) -> Interval:
    """The weighted sum of the cells' means, were the same questions sampled again."""
    if not terms:
        return Interval(None, None, "no question has scores on both sides")
    return _of_rates(terms) if is_rate else _of_scores(terms)


def _of_scores(terms: list[Term]) -> Interval:
    """Questions are fixed; variances within them add up.

    For weights w and cells of n scores with variance s2: Var = sum of w2 s2/n, and the estimate +- t(df) sqrt(Var), df
    by Satterthwaite (B. L. Welch, Biometrika 34, 1947). Assumes that answers are drawn independently of each other; a
    pair judge's floor reads each baseline answer twice, which the formula does not follow.
    """
    if any(cell.n < 2 for _, cell in terms):
        several = any(cell.n > 1 for _, cell in terms)
        return Interval(None, None, f"not estimable: {'a question has a single score' if several else ONE_SAMPLE}")
    parts = [weight**2 * cell.variance / cell.n for weight, cell in terms]
    if sum(parts) == 0:
        return Interval(None, None, "not estimable: all scores of a question are equal")
    df = sum(parts) ** 2 / sum(part**2 / (cell.n - 1) for part, (_, cell) in zip(parts, terms, strict=True))
    return t_interval(_sum(terms), math.sqrt(sum(parts)), df)


def _of_rates(terms: list[Term]) -> Interval:
    """Wilson's limits of each rate, combined by MOVER.

    For rates p with Wilson limits (l, u) (E. B. Wilson, JASA 22, 1927) and weights w: the estimate minus
    sqrt(sum of (w (p - l))2 where w > 0 and (w (u - p))2 where w < 0), and plus the same with the sides exchanged
    (G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). Assumes that answers are drawn independently.
    """
    if all(cell.n < 2 for _, cell in terms):
        return Interval(None, None, f"not estimable: {ONE_SAMPLE}")
    below = above = 0.0
    for weight, cell in terms:
        low, high = wilson(cell.mean, cell.n)
        down, up = (cell.mean - low, high - cell.mean) if weight > 0 else (high - cell.mean, cell.mean - low)
        below, above = below + (weight * down) ** 2, above + (weight * up) ** 2
    return Interval(_sum(terms) - math.sqrt(below), _sum(terms) + math.sqrt(above), "")


def wilson(rate: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of a rate: (p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), within 0 and 1."""
    z2 = NormalDist().inv_cdf(0.5 + LEVEL / 2) ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate))


def new_questions(differences: list[float]) -> Interval:
    """The mean difference over questions of this kind, of which these are a sample.

    d +- t(G - 1) s / sqrt(G), with s the standard deviation of the G per-question differences (Student's one-sample t).
    Assumes that the questions are drawn independently from their kind and that their mean difference is near normal.
    """
    count = len(differences)
    if count < FEWEST_QUESTIONS:
        return Interval(None, None, f"too few questions ({count} of {FEWEST_QUESTIONS})")
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    return _unless_alike(mean, math.sqrt(variance / count), count - 1)


def new_questions_pooled(pairs: list[tuple[Cell, Cell]]) -> Interval:
    """The difference of two pooled rates over questions of this kind, by linearisation of the ratios.

    With hits h and answers n of question g on each side, e_g = (h_f - p_f n_f) / N_f - (h_b - p_b n_b) / N_b and
    Var = G / (G - 1) times the sum of e_g2; +- t(G - 1) sqrt(Var) (W. G. Cochran, Sampling Techniques, 1977, 6.3).
    """
    count = len(pairs)
    if count < FEWEST_QUESTIONS:
        return Interval(None, None, f"too few questions ({count} of {FEWEST_QUESTIONS})")
    before, after = (pool(list(cells)) for cells in zip(*pairs, strict=True))
    parts = [f.n * (f.mean - after.mean) / after.n - b.n * (b.mean - before.mean) / before.n for b, f in pairs]
    error = math.sqrt(count / (count - 1) * math.fsum(part**2 for part in parts))
    return _unless_alike(after.mean - before.mean, error, count - 1)


def new_questions_and_seeds(differences: list[list[float]]) -> Interval:
    """The mean difference over other questions of the kind and other seeds; a row for each seed, a column a question.

    Questions and seeds are crossed. With e the differences minus their mean, summed over seeds for each of G questions,
    over questions for each of S seeds, and one by one: V = V_questions + V_seeds - V_cells, each sum of squares over
    (G S)2 times n / (n - 1) of its own n (A. C. Cameron, J. B. Gelbach and D. L. Miller, Journal of Business & Economic
    Statistics 29, 2011), no less than the larger of the first two; +- t(min(G, S) - 1) sqrt(V).
    """
    seeds, questions = len(differences), len(differences[0]) if differences else 0
    if questions < FEWEST_QUESTIONS:
        return Interval(None, None, f"too few questions ({questions} of {FEWEST_QUESTIONS})")
    mean = math.fsum(math.fsum(row) for row in differences) / (seeds * questions)
    errors = [[value - mean for value in row] for row in differences]
    by_question = _clustered([math.fsum(column) for column in zip(*errors, strict=True)], seeds * questions)
    by_seed = _clustered([math.fsum(row) for row in errors], seeds * questions)
    by_cell = _clustered([error for row in errors for error in row], seeds * questions)
    variance = max(by_question + by_seed - by_cell, by_question, by_seed)
    return _unless_alike(mean, math.sqrt(variance), min(seeds, questions) - 1)


def _clustered(sums: list[float], cells: int) -> float:
    """The variance of a mean over so many cells, from the sums of the errors within each cluster."""
    return math.fsum(one**2 for one in sums) / cells**2 * len(sums) / (len(sums) - 1)


def pool(cells: list[Cell]) -> Cell:
    """All answers alike, whatever question they answer: of rates."""
    n = sum(cell.n for cell in cells)
    mean = math.fsum(cell.n * cell.mean for cell in cells if cell.n) / n if n else math.nan
    return rate_cell(mean * n if n else 0, n, sum(c.unscored for c in cells), sum(c.answers for c in cells))


def rate_cell(hits: float, n: int, missing: int, answers: int) -> Cell:
    rate = hits / n if n else math.nan
    return Cell(n, rate, rate * (1 - rate) * n / (n - 1) if n > 1 else math.nan, missing, answers)


def t_interval(estimate: float, error: float, df: float) -> Interval:
    from scipy import stats

    half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * error
    return Interval(estimate - half, estimate + half, "", float(2 * stats.t.sf(abs(estimate) / error, df)))


def _unless_alike(estimate: float, error: float, df: int) -> Interval:
    if error <= 1e-12 * max(1.0, abs(estimate)):  # rounding of equal differences
        return Interval(None, None, "not estimable: all questions changed alike")
    return t_interval(estimate, error, df)


def _sum(terms: list[Term]) -> float:
    return math.fsum(weight * cell.mean for weight, cell in terms)
