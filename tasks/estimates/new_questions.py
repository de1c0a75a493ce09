"""Intervals for new questions: how sure one can be of a mean over other questions of the kind, and other seeds.

new_questions([0.3, 0.1, 0.5, 0.2, 0.4])
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from scipy import optimize, special

from tasks.estimates.intervals import (
    MIN_QUESTIONS,
    Cell,
    Interval,
    centred,
    inverted,
    pool,
    quantile,
    slope_weights,
    t_interval,
    usable_strata,
)
from tasks.estimates.rates_over_questions import RatesOverQuestions

ENOUGH_FOR_RATES = 20
"""With fewer questions a rare kind of question, of which none may be among them, can decide the mean."""
APPROXIMATE = f"approximate: rates of fewer than {ENOUGH_FOR_RATES} questions, which may differ much between them"


class Rates(NamedTuple):
    """One side's rates."""

    cells: list[Cell]
    """Of each question, with an answer or more."""
    values: list[float]
    """What each question adds to the mean: its rate, or of a pooled rate what `pooled_values` says."""

    @classmethod
    def of_runs(cls, cells: list[list[Cell]], values: list[list[float]]) -> "Rates":
        """Of several runs, a row each: the answers to a question are those of all runs together."""
        if len(cells) == len(values) == 1:
            return cls(cells[0], values[0])
        return cls([pool(list(column)) for column in zip(*cells, strict=True)], _means(values))


def new_questions(values: list[float]) -> Interval:
    """The mean over questions of this kind, of which these are a sample: of their differences, or of their means.

    d ± t(G - 1) s / sqrt(G), with s the standard deviation of the values of the G questions (Student's one-sample t).
    Assumes that the questions are drawn independently from their kind and that their mean is near normal.
    """
    if len(values) < MIN_QUESTIONS:
        return _too_few(len(values))
    return _unless_alike(math.fsum(values) / len(values), _error(values), len(values) - 1)


def new_questions_of_rates(after: Rates, before: Rates | None = None) -> Interval:
    """The mean rate over questions of this kind, or the difference of two; it may be near 0 for most, high for some."""
    sides = [after, before] if before else [after]
    values = [one - other for one, other in zip(after.values, before.values, strict=True)] if before else after.values
    found = new_questions(values)
    return found if found.low is None else _or_by_likelihood(found, values, sides)


def _or_by_likelihood(
    student: Interval, values: list[float], sides: Sequence[Rates], seeds: Sequence[tuple[float, float]] = ()
) -> Interval:
    """Student's interval of the mean of the questions' values, or on each side the wider limits of their rates.

    These are as far away as the root of the summed squares (MOVER) of how far the limits of each mean rate lie, if the
    rates are spread as a beta distribution, times the standard error of the values over that of rates that were no
    pairs. They have the profile likelihood whose deviance is the square of the quantile of t; with 2 (G - 1) degrees of
    freedom, for G - 1 they covered 97 to 99 % of simulated means. The variances of `seeds`, each with its degrees of
    freedom, are added as in `_of_variances`, to that of which Student's limit would lie as far away.
    """
    df, error = len(values) - 1, _error(values)
    unpaired = math.hypot(*(_error(side.values) for side in sides))
    paired = min(1.0, error / unpaired) if unpaired else 1.0
    likelihoods = [RatesOverQuestions.of(side.cells) for side in sides]

    def reach(t: float) -> tuple[float, float]:
        tail = special.stdtr(df, -t)
        z = -float(special.stdtrit(2 * df, tail))
        (down, up), *of_before = (likelihood.reach(z) for likelihood in likelihoods)
        below, above = [down, *(far for _, far in of_before)], [up, *(far for far, _ in of_before)]
        others = [(variance, -float(special.stdtrit(free, tail))) for variance, free in seeds if variance]
        least = _reach_with(t * error, t, others)
        return max(least, _reach_with(paired * math.hypot(*below), t, others)), max(
            least, _reach_with(paired * math.hypot(*above), t, others)
        )

    wider = inverted(math.fsum(values) / len(values), reach, df)
    note = APPROXIMATE if len(values) < ENOUGH_FOR_RATES else ""
    limits = zip((wider.low, wider.high), (student.low, student.high), strict=True)
    is_student = all(math.isclose(one or 0.0, other or 0.0, abs_tol=1e-9) for one, other in limits)
    return wider._replace(detectable=student.detectable if is_student else None, note=note)


def _reach_with(reach: float, t: float, others: Sequence[tuple[float, float]]) -> float:
    """How far limits lie that one part alone, by its quantile t, would put at `reach`, with the variances of others.

    With its variance (reach / t)², the mean of all quantiles, weighted by the variances, times the root of their sum.
    """
    error = math.hypot(reach, t * math.sqrt(math.fsum(variance for variance, _ in others)))
    return (reach**2 + t * math.fsum(variance * of_it for variance, of_it in others)) / error if error else 0.0


def pooled_values(cells: list[Cell]) -> list[float]:
    """A value for each of G questions, whose mean is the rate over all answers, and whose spread is its spread.

    With the pooled rate p of N answers, and h hits among n answers to a question: p + G (h - p n) / N, by linearisation
    of the ratio (W. G. Cochran, Sampling Techniques, 1977, 6.3).
    """
    whole = pool(cells)
    return [whole.mean + len(cells) * cell.n * (cell.mean - whole.mean) / whole.n for cell in cells]


def new_questions_and_seeds(values: list[list[float]], rates: Sequence[Rates] = ()) -> Interval:
    """The mean over other questions of the kind and other seeds; a row for each seed, a column a question.

    Questions and seeds are crossed: see `_crossed`. Of a rate, or of the difference of two, `rates` has each side's,
    the first less the other: their limits are Student's or wider (`_or_by_likelihood`).
    """
    seeds, questions = len(values), len(values[0]) if values else 0
    if questions < MIN_QUESTIONS:
        return _too_few(questions)
    mean = math.fsum(math.fsum(row) for row in values) / (seeds * questions)
    parts = [[(value - mean) / (seeds * questions) for value in row] for row in values]
    found = _crossed(mean, parts, questions - 1)
    if not rates or found.low is None:
        return found
    return _or_by_likelihood(found, _means(values), rates, [(_of_seeds(values), seeds - 1)])


def new_questions_in_strata(values: list[list[float]], strata: Sequence[str]) -> Interval:
    """The mean over other questions of the same strata, and other seeds; a row for each seed, a column a question.

    It is the mean of the strata's means (`mean_in_strata`). The variance of the questions is that within their strata,
    which may lie apart (`variance_in_strata`), and that of the seeds' means is added as in `_crossed`.
    """
    if len(strata) < MIN_QUESTIONS:
        return _too_few(len(strata))
    means = _means(values)
    seeds = [(_of_seeds(values, strata), len(values) - 1.0)] if len(values) > 1 else []
    return _of_variances(mean_in_strata(means, strata), [variance_in_strata(means, strata), *seeds])


def mean_in_strata(values: Sequence[float], strata: Sequence[str]) -> float:
    """The mean of the strata's means: what moves two strata apart, as far each, leaves it where it was."""
    parts = _by_stratum(values, strata)
    return math.fsum(math.fsum(part) / len(part) for part in parts) / len(parts)


def stratum_weights(strata: Sequence[str]) -> list[float]:
    """A weight for each question, with which their values add up to the mean of H strata's means: 1 / (H n)."""
    counts = Counter(usable := usable_strata(strata))
    return [1 / (len(counts) * counts[name]) for name in usable]


def variance_in_strata(values: list[float], strata: Sequence[str]) -> tuple[float, float]:
    """The variance of the mean of several strata's means, and its degrees of freedom.

    Var = sum of s² / (H² n) over the H strata, of n values with the standard deviation s each: stratum weights of 1 / H
    (W. G. Cochran, Sampling Techniques, 1977, chapter 5); degrees of freedom by Satterthwaite. A single value of a
    stratum says nothing of its spread: then all count as one stratum.
    """
    parts = _by_stratum(values, strata)
    variances = [(len(part) * _variance(part) / (len(parts) * len(part)) ** 2, len(part) - 1) for part in parts]
    whole = math.fsum(variance for variance, _ in variances)
    squares = math.fsum(variance**2 / df for variance, df in variances)
    return whole, whole**2 / squares if squares else float(len(values) - len(parts))


def _by_stratum(values: Sequence[float], strata: Sequence[str]) -> list[list[float]]:
    names = usable_strata(strata)
    return [[value for value, one in zip(values, names, strict=True) if one == name] for name in sorted({*names})]


def new_questions_and_groups(
    mine: list[list[float]], theirs: list[list[float]], strata: Sequence[str] = (), rates: Sequence[Rates] = ()
) -> Interval:
    """The difference of two groups' means over other questions and other fine-tunes of both; rows as for seeds.

    The groups are asked the same questions, and are of any size but one each: their fine-tunes are no pairs. The
    variance of the questions' differences (within their strata, where there are some) and that of the fine-tunes' means
    in each group add up, as in `_crossed`; a single fine-tune is taken to vary like those of the other group. `rates`
    are as for seeds.
    """
    questions = len(mine[0]) if mine else 0
    if questions < MIN_QUESTIONS:
        return _too_few(questions)
    strata = strata or [""] * questions
    differences = [one - other for one, other in zip(_means(mine), _means(theirs), strict=True)]
    spread = [(some, some if len(some) > 1 else other) for some, other in ((mine, theirs), (theirs, mine))]
    of_groups = [(_of_seeds(like, strata) * len(like) / len(some), len(like) - 1) for some, like in spread]
    of_questions = variance_in_strata(differences, strata)
    found = _of_variances(mean_in_strata(differences, strata), [of_questions, *of_groups])
    return _or_by_likelihood(found, differences, rates, of_groups) if rates and found.low is not None else found


def _crossed(estimate: float, parts: list[list[float]], df: int) -> Interval:
    """The interval of a sum of weighted errors, a row for each of S seeds, a column for each of G questions.

    Var is the sum of two: that of the parts summed over seeds for each question, and summed over questions for each
    seed, each the sum of squares times n / (n - 1) of its own n. What questions and seeds do together is in both, so it
    is cautious. Each has its own t, of `df` for the questions and of S - 1.
    """
    of_questions = _clustered([math.fsum(column) for column in zip(*parts, strict=True)])
    of_seeds = _clustered([math.fsum(row) for row in parts])
    return _of_variances(estimate, [(of_questions, df), (of_seeds, len(parts) - 1)])


def _of_variances(estimate: float, parts: Sequence[tuple[float, float]]) -> Interval:
    """The interval of a sum whose variance has several parts, each with its degrees of freedom.

    The limits lie the mean of the parts' t away, weighted by the variances (W. G. Cochran, Biometrics 20, 1964), and p
    is that of the t with this quantile.
    """
    variance, free = math.fsum(part for part, _ in parts), sorted(df for _, df in parts)
    if variance == 0:
        return _unless_alike(estimate, 0.0, free[0])
    reach = math.fsum(part * quantile(df) for part, df in parts) / variance
    both = float(optimize.brentq(lambda some: quantile(some) - reach, 0.99 * free[0], 1.01 * free[-1]))
    return _unless_alike(estimate, math.sqrt(variance), both)


def _clustered(sums: list[float]) -> float:
    """The sum of squares of n sums, times n / (n - 1)."""
    return math.fsum(value**2 for value in sums) * len(sums) / (len(sums) - 1)


def new_questions_slope(ranks: list[int], differences: list[list[float]], strata: Sequence[str] = ()) -> Interval:
    """The slope of the questions' differences over the rank of their tier, for other questions of the tiers.

    `differences` has a row for each seed and a column for each question, as long as `ranks` and `strata`. Least squares
    over all questions, with a level for each of S strata and one slope; with weights w_g = (x_g - mean x) / sum of
    squares, where means are those of strata, residuals e and leverages h, Var = sum of (w e / (1 - h))² (HC3: J. G.
    MacKinnon and H. White, Journal of Econometrics 29, 1985), so that tiers may vary differently; ± t(G - S - 1)
    sqrt(Var). With several seeds the parts w e / (1 - h) are crossed with the seeds. Assumes that the differences of a
    stratum lie around a line over the tiers.
    """
    seeds, questions = len(differences), len(ranks)
    if questions < MIN_QUESTIONS:
        return _too_few(questions)
    strata = usable_strata(strata or [""] * questions)
    weights, distances, counts = slope_weights(ranks, strata), centred(ranks, strata), Counter(strata)
    means = [math.fsum(column) / seeds for column in zip(*differences, strict=True)]
    slope = _weighted(weights, means)
    levels = [mean - apart for mean, apart in zip(means, centred(means, strata), strict=True)]
    leverages = [1 / counts[name] + w * d for name, w, d in zip(strata, weights, distances, strict=True)]
    if any(leverage > 1 - 1e-9 for leverage in leverages):
        return Interval.unknown("not estimable: one question alone decides the slope")
    parts = [
        [
            w * (value - level - slope * distance) / (1 - leverage) / seeds
            for w, value, level, distance, leverage in zip(weights, row, levels, distances, leverages, strict=True)
        ]
        for row in differences
    ]
    df = questions - len(counts) - 1
    if seeds == 1:
        return _unless_alike(slope, math.sqrt(math.fsum(part**2 for part in parts[0])), df)
    return _crossed(slope, parts, df)


def _weighted(weights: list[float], values: list[float]) -> float:
    return math.fsum(w * value for w, value in zip(weights, values, strict=True))


def _means(values: list[list[float]]) -> list[float]:
    """Of each question over the seeds, which have a row each."""
    return [math.fsum(column) / len(values) for column in zip(*values, strict=True)]


def _of_seeds(values: list[list[float]], strata: Sequence[str] = ()) -> float:
    """The variance that seeds, a row each, add to the mean over them: that of their means over their number."""
    means = [mean_in_strata(row, strata or [""] * len(row)) for row in values]
    return _variance(means) / len(means)


def _error(values: list[float]) -> float:
    """The standard error of their mean."""
    return math.sqrt(_variance(values) / len(values))


def _variance(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _unless_alike(estimate: float, error: float, df: float) -> Interval:
    """The t interval; none where the questions' differences are equal but for rounding."""
    if error <= 1e-12 * max(1.0, abs(estimate)):
        return Interval.unknown("not estimable: all questions changed alike")
    return t_interval(estimate, error, df)


def _too_few(questions: int) -> Interval:
    counted = "1 question" if questions == 1 else f"{questions} questions"
    return Interval.unknown(f"{counted}, at least {MIN_QUESTIONS} are needed")
