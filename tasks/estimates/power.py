"""Power: how many questions and samples it takes to find a difference of a given size.

plan(Spread(within=0.8, between=0.3), effect=0.25)
plan(spread_of_rate(pairs, effect=0.02), effect=0.02, counted=share_counted(pairs))
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from tasks.estimates.intervals import MIN_QUESTIONS, POWER, Cell, noncentrality
from tasks.estimates.new_questions import variance_in_strata

SAMPLES = (1, 2, 5, 10, 20, 40, 80)
"""Samples of each model to a question that are planned for."""
MAX_QUESTIONS = 10_000
"""Where more are needed, that is not said in numbers."""


class Spread(NamedTuple):
    """How much a measure varies, in its own unit, as standard deviations."""

    within: float
    """Of the answers of one model to one question."""
    between: float
    """Of the true difference, from question to question."""


class Needed(NamedTuple):
    """How many questions an effect takes, with so many samples of each model to a question."""

    samples: int
    fixed_questions: int | None
    """To find it for these questions; None: more than MAX_QUESTIONS, or a single sample, which estimates nothing."""
    new_questions: int | None
    """To find it for new questions of the kind; None: more than MAX_QUESTIONS."""


def spread_of(pairs: list[tuple[Cell, Cell]]) -> Spread | None:
    """What a pilot run says of the spread, from each question's cells before and after.

    Within: the mean variance within questions and sides. Between: the variance of the questions' differences, less
    what the answers' own variance adds to it, no less than 0 (the method of moments of a random-effects model). None
    where fewer than two questions have two scores on each side.
    """
    pairs = [pair for pair in pairs if min(cell.n for cell in pair) > 1]
    if len(pairs) < 2:
        return None
    variances = [cell.variance for pair in pairs for cell in pair]
    noise = math.fsum(cell.variance / cell.n for pair in pairs for cell in pair) / len(pairs)
    differences = [after.mean - before.mean for before, after in pairs]
    mean = math.fsum(differences) / len(differences)
    total = math.fsum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return Spread(math.sqrt(math.fsum(variances) / len(variances)), math.sqrt(max(0.0, total - noise)))


def spread_of_rate(pairs: list[tuple[Cell, Cell]], effect: float) -> Spread | None:
    """The same of a rate, whose spread within questions is that of the rates which are planned for.

    With v the mean of p (1 - p) over the questions before, and a rise of d from the mean rate p, the mean of both
    sides' variances is v + (d (1 - 2 p) - d²) / 2: a pilot without a single hit says enough. From near 1 it falls.
    """
    if (found := spread_of(pairs)) is None:
        return None
    before = [cell for cell, _ in pairs if cell.n > 1]
    variance = math.fsum(cell.variance for cell in before) / len(before)
    rate = math.fsum(cell.mean for cell in before) / len(before)
    rise = effect if rate + effect <= 1 else -effect
    return found._replace(within=math.sqrt(max(0.0, variance + (rise * (1 - 2 * rate) - rise**2) / 2)))


def spread_of_exact(pairs: list[tuple[Cell, Cell]], strata: Sequence[str]) -> Spread | None:
    """That of statements that are read from probabilities: nothing is sampled. None of fewer than two.

    Between is within the strata, as in the interval: the root of G times the variance of the mean of G statements.
    """
    if len(pairs) < 2:
        return None
    of_mean, _ = variance_in_strata([after.mean - before.mean for before, after in pairs], strata)
    return Spread(0.0, math.sqrt(len(pairs) * of_mean))


def share_counted(pairs: list[tuple[Cell, Cell]]) -> float:
    """The share of the judged answers that have a score, or pass a rule's `among`; 0 of none."""
    cells = [cell for pair in pairs for cell in pair]
    judged = sum(cell.judged for cell in cells)
    return sum(cell.n for cell in cells) / judged if judged else 0.0


def plan(spread: Spread, effect: float, power: float = POWER, counted: float = 1.0) -> list[Needed]:
    """For each number of samples the fewest questions with which a difference of this size is found with this power.

    `effect` is in the measure's unit, `power` a share of all such runs, `counted` that of the samples which count. With
    n of each model to each of G questions that count, the difference of means has, for these questions, the variance
    2 within² / (n G) and 2 G (n - 1) degrees of freedom; for new questions (between² + 2 within² / n) / G and G - 1.
    """
    return [_needed(spread, effect, power, samples, samples * counted) for samples in SAMPLES]


def statements(spread: Spread, effect: float, power: float = POWER, strata: int = 1) -> int | None:
    """The fewest yes/no statements of the kind with which the effect is found; None: more than MAX_QUESTIONS.

    The test has a degree of freedom less for each of the strata, which are taken to vary alike.
    """
    return _fewest(spread.between**2, effect, power, MIN_QUESTIONS, 1, strata)


def _needed(spread: Spread, effect: float, power: float, samples: int, n: float) -> Needed:
    """With so many samples, of which n count."""
    noise = 2 * spread.within**2 / n
    return Needed(
        samples,
        _fewest(noise, effect, power, 1, 2 * (n - 1), 0) if n > 1 else None,
        _fewest(spread.between**2 + noise, effect, power, MIN_QUESTIONS, 1, 1),
    )


def _fewest(
    variance: float, effect: float, power: float, min_questions: int, df_per_question: float, df_lost: int
) -> int | None:
    """The fewest G, from min_questions on, at which `effect` is found: the difference of means has the variance
    variance / G, and its test df_per_question G - df_lost degrees of freedom.
    """

    def finds(count: int) -> bool:
        df = df_per_question * count - df_lost
        return noncentrality(df, power) * math.sqrt(variance / count) <= effect

    found = bisect_left(range(MAX_QUESTIONS + 1), True, lo=min_questions, key=finds)
    return found if found <= MAX_QUESTIONS else None
