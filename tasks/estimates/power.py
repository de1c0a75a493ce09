"""Power: how many questions and samples it takes to find a difference of a given size.

plan(Spread(within=0.8, between=0.3), effect=0.25)
plan(spread_of_rate(pairs, effect=0.02), effect=0.02, counted=share_counted(pairs))
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy
from scipy import special

from tasks.estimates.intervals import MIN_QUESTIONS, POWER, Cell, noncentrality, quantile
from tasks.estimates.new_questions import variance_in_strata
from tasks.estimates.rates_over_questions import LIKENESS, MEANS, log_beta, profiles

SAMPLES = (1, 2, 5, 10, 20, 40, 80)
"""Samples of each model to a question that are planned for."""
MAX_QUESTIONS = 10_000
"""Where more are needed, that is not said in numbers."""
MIN_SHARE = 0.5
"""Where fewer of the questions would have enough answers, so few samples are not planned for."""
OUTCOMES = (numpy.arange(8) + 0.5) / 8
"""What may come of a side's mean rate: these quantiles, each as likely as the others."""
NO_LIKENESS = 1e-6
"""The beta distribution of rates that are all alike has no finite parameters; this is as good as one rate."""


class Spread(NamedTuple):
    """How much a measure varies, in its own unit, as standard deviations."""

    within: float
    """Of the answers of one model to one question."""
    between: float
    """Of the true difference, from question to question."""
    rate: float | None = None
    """Of a rate, its mean before; where it can but fall, as from near 1, that of the misses. None: it is no rate."""
    likeness: float = 0.0
    """The variance of the questions' rates before over rate (1 - rate): 0 where all questions have one rate."""


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
    sides' variances is v + (d (1 - 2 p) - d²) / 2: a pilot without a single hit says enough. From near 1 it falls. The
    likeness is 1 - v / (p (1 - p)), by the method of moments.
    """
    if (found := spread_of(pairs)) is None:
        return None
    before = [cell for cell, _ in pairs if cell.n > 1]
    variance = math.fsum(cell.variance for cell in before) / len(before)
    rate = math.fsum(cell.mean for cell in before) / len(before)
    rise = effect if rate + effect <= 1 else -effect
    within = math.sqrt(max(0.0, variance + (rise * (1 - 2 * rate) - rise**2) / 2))
    return found._replace(within=within, rate=rate if rise > 0 else 1 - rate, likeness=_likeness(rate, variance))


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


def share_with_enough(samples: int, counted: float, min_answers: int) -> float:
    """The share of the questions that would have so many answers that count on both sides, were `counted` of all."""
    return float(special.bdtrc(min_answers - 1, samples, counted)) ** 2 if samples >= min_answers else 0.0


def plan(
    spread: Spread, effect: float, power: float = POWER, counted: float = 1.0, min_answers: int = 1
) -> list[Needed]:
    """For each number of samples the fewest questions with which a difference of this size is found with this power.

    `effect` is in the measure's unit, of a rate at most 1 - `spread.rate`; `power` a share of all such runs; `counted`
    that of the samples which count, of which a question needs `min_answers` on each side. With n of each model to each
    of G questions that count, the difference of means has, for these questions, the variance 2 within² / (n G) and
    2 G (n - 1) degrees of freedom; for new questions (between² + 2 within² / n) / G and G - 1, and of a rate the test
    has limits that may be wider (`_finds_rise`). As many questions more are asked as will not have enough answers;
    samples with which fewer than MIN_SHARE of them would are left out.
    """
    shares = {samples: share_with_enough(samples, counted, min_answers) for samples in SAMPLES}
    return [
        _needed(spread, effect, power, samples, max(float(min_answers), samples * counted), share)
        for samples, share in shares.items()
        if share >= MIN_SHARE
    ]


def statements(spread: Spread, effect: float, power: float = POWER, strata: int = 1) -> int | None:
    """The fewest yes/no statements of the kind with which the effect is found; None: more than MAX_QUESTIONS.

    The test has a degree of freedom less for each of the strata, which are taken to vary alike.
    """
    return _fewest(_finds(spread.between**2, effect, power, 1, strata), MIN_QUESTIONS)


def _needed(spread: Spread, effect: float, power: float, samples: int, n: float, share: float) -> Needed:
    """With so many samples, of which n count in the share of the questions that have enough."""
    noise = 2 * spread.within**2 / n
    fixed = _fewest(_finds(noise, effect, power, 2 * (n - 1), 0), 1) if n > 1 else None
    finds = _finds(spread.between**2 + noise, effect, power, 1, 1)
    if spread.rate is not None:
        rise = _Rise.of(spread, effect, math.floor(n), math.floor(n))

        def finds(count: int) -> bool:
            return _finds_rise(rise, count, power)

    new = _fewest(finds, MIN_QUESTIONS)
    return Needed(samples, *(None if count is None else round(count / share) for count in (fixed, new)))


def _finds(variance: float, effect: float, power: float, df_per_question: float, df_lost: int) -> Callable[[int], bool]:
    """Whether `effect` is found with G questions: the difference of means has the variance variance / G, and its test
    df_per_question G - df_lost degrees of freedom.
    """

    def finds(count: int) -> bool:
        df = df_per_question * count - df_lost
        return noncentrality(df, power) * math.sqrt(variance / count) <= effect

    return finds


def _fewest(finds: Callable[[int], bool], least: int) -> int | None:
    """The fewest questions, from `least` on, with which the effect is found."""
    found = bisect_left(range(MAX_QUESTIONS + 1), True, lo=least, key=finds)
    return found if found <= MAX_QUESTIONS else None


# ---- rates, whose limits for new questions are no multiple of an error ----------------------------


class _Side(NamedTuple):
    """One side's rates, spread over the questions as a beta distribution, each found from n answers."""

    mean: float
    likeness: float
    """The variance of the rates over mean (1 - mean)."""
    n: int

    @property
    def noise(self) -> float:
        """The variance that sampling gives to the rate found of a question."""
        return self.mean * (1 - self.mean) * (1 - self.likeness) / self.n

    @property
    def variance(self) -> float:
        """That of the rates found, from question to question."""
        return self.mean * (1 - self.mean) * self.likeness + self.noise

    def outcomes(self, questions: int, narrowed: float) -> numpy.ndarray:
        """The mean rates (OUTCOMES) that so many questions may give: gamma, `narrowed` by a factor."""
        error = narrowed * math.sqrt(self.variance / questions)
        if error == 0:
            return numpy.full(len(OUTCOMES), self.mean)
        shape = (self.mean / error) ** 2
        return numpy.minimum(special.gammaincinv(shape, OUTCOMES) * self.mean / shape, 1.0)

    def limits(self, means: numpy.ndarray, questions: int, z: float) -> numpy.ndarray:
        """Of each of these mean rates the limit by the likelihood of RatesOverQuestions; the lower one for -z.

        Of as many questions with each number of hits as are expected, of which these rates are the likeliest. More
        answers than are planned for tell little more of rates that vary over questions, and count as so many.
        """
        n = min(self.n, SAMPLES[-1])
        logs = _of_hits(means, self.likeness, n)
        shares = numpy.exp(logs + _ways(n))
        tops = questions * (shares * logs).sum(axis=1)
        of_all = questions * (shares @ _logs(n) - log_beta(0, 0).ravel())
        found = profiles(of_all.reshape(-1, len(MEANS), len(LIKENESS)))
        return numpy.array([_limit(*each, z) for each in zip(means, tops, found, strict=True)])


class _Rise(NamedTuple):
    """A rise of a mean rate."""

    before: _Side
    after: _Side
    between: float
    """The variance of the questions' true differences."""

    @classmethod
    def of(cls, spread: Spread, effect: float, before: int, after: int) -> "_Rise":
        """Of a rate by `effect`, with so many answers to a question before and after.

        Each question rises in proportion to what it lacks of 1, so that none leaves the scale, and varies around that
        by as much as `spread.between` leaves, and as the scale does.
        """
        rate = spread.rate or 0.0
        mean, kept = min(1.0, rate + effect), max(0.0, 1 - effect / (1 - rate))
        own = spread.likeness * rate * (1 - rate)
        most = mean * (1 - mean)
        around = min(max(0.0, spread.between**2 - (1 - kept) ** 2 * own), most - kept**2 * own)
        likeness = (kept**2 * own + around) / most if most > 0 else 0.0
        between = around + (1 - kept) ** 2 * own
        return cls(_Side(rate, spread.likeness, before), _Side(mean, likeness, after), between)

    @property
    def variance(self) -> float:
        """That of the differences found, from question to question."""
        return self.between + self.before.noise + self.after.noise

    def chance(self, questions: int) -> float:
        """The share of all such runs whose lower limit by the likelihoods is above 0 (`new_questions_of_rates`).

        What may come of each side's mean rate is crossed: before in whole hits, since few of them decide, and after
        with the share of its outcomes that lie above the one whose limit touches 0.
        """
        t, answers = quantile(questions - 1), questions * self.before.n
        z = -float(special.stdtrit(2 * (questions - 1), special.stdtr(questions - 1, -t)))
        unpaired = self.before.variance + self.after.variance
        paired = min(1.0, math.sqrt(self.variance / unpaired)) if unpaired > 0 else 1.0
        before = numpy.round(self.before.outcomes(questions, paired) * answers) / answers
        after = self.after.outcomes(questions, paired)
        up = numpy.maximum(0, self.before.limits(before, questions, z) - before)[:, None]
        down = numpy.maximum(0, after - self.after.limits(after, questions, -z))
        above = numpy.maximum.accumulate(after - before[:, None] - paired * numpy.hypot(down, up), axis=1)
        return sum(1 - float(numpy.interp(0, row, OUTCOMES, left=0, right=1)) for row in above) / len(above)


def _finds_rise(rise: _Rise, questions: int, power: float) -> bool:
    """Whether the rise is found with this power by both limits of which `new_questions_of_rates` takes the wider."""
    error = math.sqrt(rise.variance / questions)
    if noncentrality(questions - 1, power) * error > rise.after.mean - rise.before.mean:
        return False
    return rise.chance(questions) >= power


def _likeness(rate: float, variance: float) -> float:
    """Of rates with this mean, and this mean variance of an answer within questions."""
    return min(1.0, max(0.0, 1 - variance / (rate * (1 - rate)))) if 0 < rate < 1 else 0.0


def _limit(mean: float, top: float, profile: numpy.ndarray, z: float) -> float:
    """The mean above the likeliest, for -z below it, whose deviance is z², from the profile likelihood at MEANS."""
    beyond = (MEANS - mean) * z > 0
    roots = numpy.sqrt(2 * numpy.maximum(0, top - profile[beyond]))
    way = slice(None) if z > 0 else slice(None, None, -1)
    rising = numpy.maximum.accumulate(numpy.concatenate([[0.0], roots[way]]))
    return float(numpy.interp(abs(z), rising, numpy.concatenate([[mean], MEANS[beyond][way]])))


def _of_hits(means: numpy.ndarray, likeness: float, n: int) -> numpy.ndarray:
    """The logarithm of the chance of 0 to n hits in one order, beta-binomial: a row for each mean rate."""
    answers = 1 / min(max(likeness, NO_LIKENESS), 1 - NO_LIKENESS) - 1
    hits, means = numpy.arange(n + 1), numpy.clip(means, 1e-12, 1 - 1e-12)[:, None]
    rates, misses = means * answers, (1 - means) * answers
    return special.betaln(hits + rates, n - hits + misses) - special.betaln(rates, misses)


def _ways(n: int) -> numpy.ndarray:
    """The logarithm of the number of orders that 0 to n hits of n answers may come in."""
    hits = numpy.arange(n + 1)
    return -special.betaln(hits + 1, n - hits + 1) - math.log(n + 1)


@lru_cache(4)
def _logs(n: int) -> numpy.ndarray:
    """What a question with 0 to n hits of n answers adds to the likelihood: a row for each number of hits."""
    return numpy.stack([log_beta(hits, n - hits).ravel() for hits in range(n + 1)])
