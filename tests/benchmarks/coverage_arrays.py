"""The intervals of tasks/estimates of thousands of replicates at once, as arrays of numpy.

    low, high = rates_of_these_questions(before, after, n)

Arrays have a row for each replicate; hits have a column for each question. tests/estimates/test_coverage.py holds that
each function gives the limits that tasks/estimates gives of the same draws.
"""

from collections.abc import Sequence

import numpy
from scipy import special

from tasks.estimates.fixed_questions import PRIOR_HITS
from tasks.estimates.intervals import quantile
from tasks.estimates.rates_over_questions import (
    LIKENESS,
    MEANS,
    RatesOverQuestions,
    log_beta,
    means_and_roots,
    profiles,
)
from tests.benchmarks.simulation import Limits

AT_ONCE = 200
"""So many likelihoods fit into memory beside each other."""


def rates_of_these_questions(before: numpy.ndarray, after: numpy.ndarray, n: int) -> Limits:
    """Of the hits of n answers to each question, two at least: as fixed_questions has it."""
    t = quantile(2 * n * before.shape[1])
    (before_down, before_up), (after_down, after_up) = (_by_effective_answers(side, n, t) for side in (before, after))
    difference = (after - before).mean(axis=1) / n
    return difference - numpy.hypot(after_down, before_up), difference + numpy.hypot(after_up, before_down)


def _by_effective_answers(hits: numpy.ndarray, n: int, z: float) -> Limits:
    """How far Wilson's limits of a mean rate lie below and above it."""
    rates, questions = hits / n, hits.shape[1]
    mean, answers = rates.mean(axis=1), n * questions
    of_one = mean * (1 - mean)
    within = (rates * (1 - rates) / (n - 1)).sum(axis=1) / questions**2
    ratio = numpy.divide(within * (answers - 1), of_one, out=numpy.ones_like(mean), where=of_one > 0)
    of_rare = numpy.minimum(mean, 1 - mean) * answers
    low, high = wilson(mean, answers * (of_rare + PRIOR_HITS) / (of_rare * ratio + PRIOR_HITS), z)
    return numpy.maximum(mean - low, 0), numpy.maximum(high - mean, 0)


def wilson(rates: numpy.ndarray, n: numpy.ndarray | int, z: float) -> Limits:
    """Wilson's limits of each rate of n answers."""
    centre, half = rates + z**2 / (2 * n), z * numpy.sqrt(rates * (1 - rates) / n + z**2 / (4 * n**2))
    return ((centre - half) / (1 + z**2 / n)).clip(0, 1), ((centre + half) / (1 + z**2 / n)).clip(0, 1)


def rates_of_new_questions(after: numpy.ndarray, before: numpy.ndarray | None, n: int) -> Limits:
    """Of the hits of n answers to each question: as new_questions_of_rates has it."""
    sides = [(after, n)] if before is None else [(after, n), (before, n)]
    return _of_rates((after if before is None else after - before) / n, sides)


def crossed_rates(after: numpy.ndarray, before: numpy.ndarray, n: int) -> Limits:
    """Of the hits of n answers to each question: of each seed (replicates, seeds, questions), and those of a baseline
    that all share (replicates, questions), as new_questions_and_seeds has it.
    """
    seeds, values = after.shape[1], (after - before[:, None]) / n
    parts = [(error(values.mean(axis=2)) ** 2, seeds - 1)]
    return _of_rates(values.mean(axis=1), [(after.sum(axis=1), seeds * n), (before, n)], parts)


def groups_of_rates(mine: numpy.ndarray, theirs: numpy.ndarray, n: int) -> Limits:
    """Of the hits in two groups (replicates, fine-tunes, questions), two at least: as new_questions_and_groups has."""
    sides = [(some.sum(axis=1), n * some.shape[1]) for some in (mine, theirs)]
    parts = [(error(some.mean(axis=2) / n) ** 2, some.shape[1] - 1) for some in (mine, theirs)]
    return _of_rates((mine.mean(axis=1) - theirs.mean(axis=1)) / n, sides, parts)


def _of_rates(
    values: numpy.ndarray, sides: list[tuple[numpy.ndarray, int]], seeds: Sequence[tuple[numpy.ndarray, int]] = ()
) -> Limits:
    """Of each question's value (replicates, questions), and the hits of so many answers on each side."""
    df, mean, own = values.shape[1] - 1, values.mean(axis=1), error(values)
    of_no_pairs = numpy.hypot.reduce([error(hits / n) for hits, n in sides])
    paired = numpy.divide(own, of_no_pairs, out=numpy.ones_like(own), where=of_no_pairs > 0).clip(max=1)
    t, z = quantile(df), -float(special.stdtrit(2 * df, special.stdtr(df, -quantile(df))))
    first, *others = (by_likelihood(hits, n, z) for hits, n in sides)
    reaches = zip(first, *(other[::-1] for other in others), strict=True)
    of_seeds = sum((part for part, _ in seeds), numpy.zeros(len(mean)))
    weighed = sum((part * quantile(free) for part, free in seeds), numpy.zeros(len(mean)))

    def with_seeds(reach: numpy.ndarray) -> numpy.ndarray:
        whole = numpy.hypot(reach, t * numpy.sqrt(of_seeds))
        return numpy.divide(reach**2 + t * weighed, whole, out=numpy.zeros_like(whole), where=whole > 0)

    below, above = (
        numpy.maximum(with_seeds(t * own), with_seeds(paired * numpy.hypot.reduce(parts))) for parts in reaches
    )
    return unless_alike(mean, numpy.hypot(own, numpy.sqrt(of_seeds)), (mean - below, mean + above))


def by_likelihood(hits: numpy.ndarray, n: int, z: float) -> Limits:
    """How far the limits of RatesOverQuestions lie below and above the mean rate; like draws are estimated once."""
    counts = (hits[:, :, None] == numpy.arange(n + 1)).sum(axis=1)
    different, place = numpy.unique(counts, axis=0, return_inverse=True)
    each = numpy.array([log_beta(some, n - some) - log_beta(0, 0) for some in range(n + 1)]).reshape(n + 1, -1)
    reaches: list[tuple[float, float]] = []
    for start in range(0, len(different), AT_ONCE):
        some = different[start : start + AT_ONCE]
        profile = profiles((some @ each).reshape(len(some), len(MEANS), len(LIKENESS)))
        means = some @ numpy.arange(n + 1) / (n * hits.shape[1])
        for mean, row, questions in zip(means.tolist(), profile, some, strict=True):
            found = frozenset(((int(hit), n), int(questions[hit])) for hit in numpy.flatnonzero(questions))
            reaches.append(RatesOverQuestions(mean, *means_and_roots(found, row)).reach(z))
    below, above = numpy.array(reaches)[place.ravel()].T
    return below, above


def crossed(values: numpy.ndarray) -> Limits:
    """Of a value for each seed and question (replicates, seeds, questions): as new_questions_and_seeds has it."""
    means = values.mean(axis=1), values.mean(axis=2)
    return _of_variances(means[0].mean(axis=1), [(error(of) ** 2, of.shape[1] - 1) for of in means])


def groups(mine: numpy.ndarray, theirs: numpy.ndarray) -> Limits:
    """Of two groups' values (replicates, fine-tunes, questions): as new_questions_and_groups has it."""
    differences = mine.mean(axis=1) - theirs.mean(axis=1)
    means = [mine.mean(axis=2), theirs.mean(axis=2)]
    parts = [(error(differences) ** 2, differences.shape[1] - 1)]
    for some, other in (means, means[::-1]):
        like = some if some.shape[1] > 1 else other
        parts.append((like.var(axis=1, ddof=1) / some.shape[1], like.shape[1] - 1))
    return _of_variances(differences.mean(axis=1), parts)


def _of_variances(estimate: numpy.ndarray, parts: Sequence[tuple[numpy.ndarray, int]]) -> Limits:
    """The mean of the parts' t, weighted by their variances."""
    variance = sum((part for part, _ in parts), numpy.zeros(len(estimate)))
    of_all = numpy.sqrt(variance)
    weighed = sum((part * quantile(df) for part, df in parts), numpy.zeros(len(estimate)))
    half = numpy.divide(weighed, of_all, out=numpy.zeros_like(of_all), where=of_all > 0)
    return unless_alike(estimate, of_all, (estimate - half, estimate + half))


def error(values: numpy.ndarray) -> numpy.ndarray:
    """The standard error of each row's mean."""
    return numpy.asarray(values.std(axis=1, ddof=1) / numpy.sqrt(values.shape[1]))


def unless_alike(estimate: numpy.ndarray, of_all: numpy.ndarray, limits: Limits) -> Limits:
    """No limits where all values of a replicate are equal but for rounding."""
    has = of_all > 1e-12 * numpy.maximum(1, numpy.abs(estimate))
    low, high = (numpy.where(has, limit, numpy.nan) for limit in limits)
    return low, high
