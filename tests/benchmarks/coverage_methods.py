"""Other methods than those in use: for rates of these questions MOVER, for one mean rate over new questions OTHERS.

Hits have a row for each replicate and a column for each question, of n answers each.
"""

from collections.abc import Callable

import numpy
from scipy import special

from tasks.estimates.intervals import Z, quantile
from tests.benchmarks.coverage_arrays import by_likelihood, error, rates_of_new_questions, unless_alike, wilson
from tests.benchmarks.simulation import IN_USE, Limits

RESAMPLES = 399
"""Of the bootstrap."""
BLOCK = 500
"""Replicates that share their resamples, which leaves each its own draw of answers."""


def mover(before: numpy.ndarray, after: numpy.ndarray, n: int) -> Limits:
    """The mean difference of these questions by Wilson's limits of each cell (G. Y. Zou and A. Donner, 2008)."""
    p, q, questions = before / n, after / n, before.shape[1]
    (p_low, p_high), (q_low, q_high) = wilson(p, n, Z), wilson(q, n, Z)
    below = numpy.sqrt(((q - q_low) ** 2 + (p_high - p) ** 2).sum(axis=1)) / questions
    above = numpy.sqrt(((q_high - q) ** 2 + (p - p_low) ** 2).sum(axis=1)) / questions
    difference = (q - p).mean(axis=1)
    return difference - below, difference + above


def _likelihood(z: Callable[[int], float]) -> Callable[[numpy.ndarray, int], Limits]:
    """The limits of the likelihood alone, at the quantile that so many questions have."""

    def limits(hits: numpy.ndarray, n: int) -> Limits:
        mean = hits.mean(axis=1) / n
        below, above = by_likelihood(hits, n, z(hits.shape[1]))
        return mean - below, mean + above

    return limits


def _by_spread(hits: numpy.ndarray, n: int) -> Limits:
    """Wilson's, of as many answers as would spread the mean as widely, or Student's where these are wider."""
    rates = hits / n
    mean, own, t = rates.mean(axis=1), error(rates), quantile(rates.shape[1] - 1)
    answers = numpy.divide(mean * (1 - mean), own**2, out=numpy.full_like(mean, 1e9), where=own > 0)
    low, high = wilson(mean, answers, t)
    return numpy.minimum(low, mean - t * own), numpy.maximum(high, mean + t * own)


def _logit_of_the_mean(hits: numpy.ndarray, n: int) -> Limits:
    rates = hits / n
    mean, own = rates.mean(axis=1).clip(1e-9, 1 - 1e-9), error(rates)
    half = quantile(rates.shape[1] - 1) * own / (mean * (1 - mean))
    return special.expit(special.logit(mean) - half), special.expit(special.logit(mean) + half)


def _mean_of_the_logits(hits: numpy.ndarray, n: int) -> Limits:
    """Each with half a hit and half a miss more; turned back it is no mean rate, which shows."""
    logits = numpy.log((hits + 0.5) / (n - hits + 0.5))
    mean, half = logits.mean(axis=1), quantile(hits.shape[1] - 1) * error(logits)
    return special.expit(mean - half), special.expit(mean + half)


def _bootstrap_t(hits: numpy.ndarray, n: int) -> Limits:
    """Student's with the quantiles of t among resampled questions (B. Efron, SIAM monograph 38, 1982)."""
    rng, rates = numpy.random.default_rng(0), hits / n
    mean, own, quantiles = rates.mean(axis=1), error(rates), []
    for start in range(0, len(rates), BLOCK):
        some = rates[start : start + BLOCK]
        drawn = some[:, rng.integers(0, some.shape[1], (RESAMPLES, some.shape[1]))]
        away = drawn.mean(axis=2) - mean[start : start + BLOCK, None]
        errors = drawn.std(axis=2, ddof=1) / numpy.sqrt(some.shape[1])
        t = numpy.divide(away, errors, out=numpy.sign(away) * 1e9, where=errors > 0)
        quantiles.append(numpy.quantile(t, (0.025, 0.975), axis=1, method="inverted_cdf"))
    low, high = numpy.concatenate(quantiles, axis=1)
    return mean - high * own, mean - low * own


def _johnson(hits: numpy.ndarray, n: int) -> Limits:
    """Student's, corrected for skewness (N. J. Johnson, JASA 73, 1978).

    t = (x + k / (6 s² G) + k x² / (3 s⁴)) sqrt(G) / s for the distance x of mean and truth, solved for x.
    """
    rates, questions = hits / n, hits.shape[1]
    mean, s = rates.mean(axis=1), rates.std(axis=1, ddof=1).clip(1e-9)
    k = ((rates - mean[:, None]) ** 3).sum(axis=1) * questions / ((questions - 1) * (questions - 2))
    bend = numpy.where(abs(k) < 1e-12, 1e-12, k) / (3 * s**4)

    def distance(t: float) -> numpy.ndarray:
        left = k / (6 * s**2 * questions) - t * s / questions**0.5
        return numpy.asarray((numpy.sqrt((1 - 4 * bend * left).clip(0)) - 1) / (2 * bend))

    t = quantile(questions - 1)
    return mean - distance(t), mean - distance(-t)


def _student(hits: numpy.ndarray, n: int) -> Limits:
    rates = hits / n
    mean, half = rates.mean(axis=1), quantile(rates.shape[1] - 1) * error(rates)
    return mean - half, mean + half


OTHERS: dict[str, Callable[[numpy.ndarray, int], Limits]] = {
    "likelihood alone, t(G - 1)": _likelihood(lambda questions: quantile(questions - 1)),
    "likelihood alone, z": _likelihood(lambda _: Z),
    "Wilson's by the spread, or Student's": _by_spread,
    "logit of the mean": _logit_of_the_mean,
    "mean of the logits": _mean_of_the_logits,
    "bootstrap-t": _bootstrap_t,
    "Johnson's t": _johnson,
    "Student's t": _student,
}


def by_every_method(hits: numpy.ndarray, n: int) -> dict[str, Limits]:
    """The limits of one mean rate by the method in use and the others, within 0 and 1; none where all rates are one."""
    rates = hits / n
    found = {IN_USE: rates_of_new_questions(hits, None, n)} | {name: limits(hits, n) for name, limits in OTHERS.items()}
    return {
        name: unless_alike(rates.mean(axis=1), error(rates), (low.clip(0, 1), high.clip(0, 1)))
        for name, (low, high) in found.items()
    }
