import numpy
import pytest
from scipy import special, stats

from tasks.estimates.intervals import rate_cell, wilson
from tasks.estimates.rates_over_questions import LIKENESS, RatesOverQuestions


def of(hits, n):
    return RatesOverQuestions.of([rate_cell(h, n, 0, n) for h in hits])


def test_rates_that_are_all_alike_have_the_limits_of_their_answers_together():
    low, high = of([10] * 30, 20).limits(1.96)
    assert (low, high) == pytest.approx(wilson(0.5, 600), abs=2e-3)


@pytest.mark.parametrize("rate", [0.02, 0.51, 0.53, 0.97])
@pytest.mark.parametrize("n", [50, 100, 1000])
def test_however_many_answers_there_are_the_limits_of_rates_that_are_alike_are_as_far_as_those_of_all_together(rate, n):
    """Answers to 100 questions; the least likeness that the likelihood knows widens the limits a little."""
    questions = [round(rate * n)] * 100
    found, (low, high) = of(questions, n), wilson(round(rate * n) / n, 100 * n)
    likeness = (1 + (n - 1) * LIKENESS[0]) ** 0.5
    below, above = found.reach(1.96)
    assert below + above == pytest.approx(likeness * (high - low), rel=0.03)
    assert (below, above) == pytest.approx((likeness * (found.mean - low), likeness * (high - found.mean)), rel=0.15)


@pytest.mark.parametrize("n", [50, 100])
def test_many_answers_of_hardly_different_rates_have_limits_as_wide_as_their_spread_says(n):
    """Over Student's, or those of one rate where it spreads less by chance; n questions of n answers."""
    random, ratios = numpy.random.default_rng(6), []
    for rate in random.uniform(0.45, 0.55, 20):
        hits = random.binomial(n, rate, n)
        error = max(stats.sem(hits / n), 0.5 / n)
        ratios.append(sum(of(hits.tolist(), n).reach(1.96)) / (2 * 1.96 * error))
    assert numpy.median(ratios) == pytest.approx(1, abs=0.03)
    assert max(ratios) < 1.06


def test_limits_are_where_the_likelihood_of_beta_binomial_hits_has_fallen_by_half_of_z_squared():
    hits, z = numpy.array([[0], [0], [1], [14], [3], [0]]), 2.2
    likeness = 1 / (1 + numpy.exp(-numpy.linspace(-9, 5, 1001)))
    totals = 1 / likeness - 1

    def profile(mean):
        a, b = mean * totals, (1 - mean) * totals
        return (special.betaln(a + hits, b + 20 - hits) - special.betaln(a, b)).sum(axis=0).max()

    highest = max(profile(mean) for mean in numpy.linspace(0.05, 0.4, 351))
    for limit in of(hits.ravel().tolist(), 20).limits(z):
        assert 2 * (highest - profile(limit)) == pytest.approx(z**2, rel=0.01)


@pytest.mark.parametrize("hits", [[0, 0, 0, 0, 0], [0, 0, 0, 0, 9], [10, 10, 0, 0, 10], [3, 4, 3, 5, 4]])
def test_no_limit_lies_beyond_the_mean_and_those_of_misses_mirror_those_of_hits(hits):
    found, mirrored = of(hits, 10), of([10 - h for h in hits], 10)
    far = [found.reach(z) for z in (0.0, 1.0, 2.0, 8.0, 1e9)]
    assert all(0 <= below <= found.mean and 0 <= above <= 1 - found.mean for below, above in far)
    assert far == sorted(far)
    assert mirrored.reach(2.0)[::-1] == pytest.approx(found.reach(2.0))


def test_the_more_alike_the_answers_to_a_question_are_the_farther_lie_the_limits():
    widths = [sum(of(hits, 10).reach(2.0)) for hits in ([2] * 8, [1, 3] * 4, [0, 4] * 4, [0, 0, 0, 8] * 2)]
    assert widths == sorted(widths)
