import math
import statistics

import numpy
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tasks.estimates.intervals import (
    Cell,
    fixed_questions,
    new_questions,
    new_questions_and_seeds,
    new_questions_pooled,
    new_questions_slope,
    pool,
    rate_cell,
    slope_weights,
    superiority_fixed_questions,
    wilson,
)
from tests.estimates.conftest import known, limits


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 2), (0, 1), (217, 400)])
def test_the_limits_of_a_rate_are_wilsons(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_difference_of_rates_has_newcombes_limits():
    """R. G. Newcombe, Statistics in Medicine 17, 1998, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339."""
    terms = [(1.0, rate_cell(56, 70, 0, 70)), (-1.0, rate_cell(48, 80, 0, 80))]
    found = fixed_questions(terms, is_rate=True)
    assert limits(found) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_rates_of_nought_and_one_have_an_interval_and_one_sample_has_none():
    none, full = rate_cell(0, 10, 0, 10), rate_cell(10, 10, 0, 10)
    found = fixed_questions([(0.5, none), (0.5, none), (-0.5, none), (-0.5, none)], is_rate=True)
    low, high = limits(found)
    assert low == -high < 0
    assert fixed_questions([(1.0, full)], is_rate=True).low == pytest.approx(wilson(1, 10)[0])
    assert (
        fixed_questions([(1.0, rate_cell(1, 1, 0, 1))], is_rate=True).note == "not estimable: one sample per question"
    )
    assert fixed_questions([], is_rate=True).note == "no question has scores on both sides"


def test_means_of_scores_have_welchs_limits():
    after, before = [2.0, 4, 3, 5], [1.0, 2, 1, 1, 3]
    cells = [Cell(len(x), statistics.mean(x), statistics.variance(x), 0) for x in (after, before)]
    found = fixed_questions([(1.0, cells[0]), (-1.0, cells[1])], is_rate=False)
    expected = stats.ttest_ind(after, before, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert limits(found) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue)


def test_one_question_has_no_interval_for_new_ones_and_neither_have_equal_differences():
    assert new_questions([0.5]).note == "1 question, at least 5 are needed"
    assert new_questions([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]).note == "not estimable: all questions changed alike"


def test_pooled_rates_of_equal_counts_have_the_interval_of_the_mean_of_rates():
    before = [rate_cell(h, 10, 0, 10) for h in (1, 2, 0, 3, 1, 2)]
    after = [rate_cell(h, 10, 0, 10) for h in (4, 2, 5, 3, 6, 9)]
    pooled = new_questions_pooled(list(zip(before, after, strict=True)))
    plain = new_questions([f.mean - b.mean for b, f in zip(before, after, strict=True)])
    assert limits(pooled) == pytest.approx(limits(plain))
    assert pool(after).mean == pytest.approx(29 / 60)
    assert math.isnan(pool([rate_cell(0, 0, 3, 3)]).mean)


def test_seeds_and_questions_are_crossed():
    rows = [[0.1, 0.4, 0.3, 0.2, 0.6], [0.3, 0.5, 0.2, 0.4, 0.9], [0.0, 0.1, 0.2, 0.1, 0.3]]
    seeds, questions, values = 3, 5, [v for row in rows for v in row]
    mean = statistics.mean(values)
    errors = [[value - mean for value in row] for row in rows]
    of_seeds = sum(sum(row) ** 2 for row in errors) * 3 / 2
    of_questions = sum(sum(column) ** 2 for column in zip(*errors, strict=True)) * 5 / 4
    of_cells = sum(e**2 for row in errors for e in row) * 15 / 14
    variance = max(of_seeds + of_questions - of_cells, of_seeds, of_questions) / 15**2
    found = new_questions_and_seeds(rows)
    half = stats.t.ppf(0.975, min(seeds, questions) - 1) * math.sqrt(variance)
    assert limits(found) == pytest.approx((mean - half, mean + half))
    assert new_questions_and_seeds([[1.0, 2.0], [1.0, 3.0]]).note == "2 questions, at least 5 are needed"
    assert new_questions_and_seeds([[1.0] * 5] * 2).note == "not estimable: all questions changed alike"


def test_the_p_of_rates_is_where_their_interval_just_touches_0():
    """At the z of that p, Newcombe's limits of the difference have an end at 0."""
    terms = [(1.0, rate_cell(56, 70, 0, 70)), (-1.0, rate_cell(48, 80, 0, 80))]
    p = known(fixed_questions(terms, is_rate=True).p)
    z = stats.norm.isf(p / 2)
    low, _ = wilson(56 / 70, 70, z)
    _, high = wilson(48 / 80, 80, z)
    assert pytest.approx((56 / 70 - low) ** 2 + (high - 48 / 80) ** 2) == (56 / 70 - 48 / 80) ** 2
    assert 0.005 < p < 0.02
    turned = fixed_questions([(-w, cell) for w, cell in terms], is_rate=True)
    assert turned.p == pytest.approx(p)


def test_rates_that_are_equal_have_a_p_of_1_and_those_far_apart_one_near_0():
    half, full = rate_cell(5, 10, 0, 10), rate_cell(4000, 4000, 0, 4000)
    assert fixed_questions([(1.0, half), (-1.0, half)], is_rate=True).p == 1.0
    assert known(fixed_questions([(1.0, full), (-1.0, rate_cell(0, 4000, 0, 4000))], is_rate=True).p) < 1e-20


def test_what_a_t_interval_could_have_found_has_the_power_that_it_says():
    differences = [0.3, 0.1, 0.5, 0.2, 0.4, 0.6]
    found, error = new_questions(differences), stats.sem(differences)
    reach = stats.t.ppf(0.975, 5)
    assert stats.nct.sf(reach, 5, known(found.detectable) / error) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("count", "n", "rate"), [(1, 100, 0.0), (1, 400, 0.1), (8, 40, 0.2)])
def test_what_rates_could_have_found_is_found_in_about_four_of_five_such_runs(count, n, rate):
    def terms(before, after):
        return [(1 / count, cell) for cell in after] + [(-1 / count, cell) for cell in before]

    cells = [rate_cell(rate * n, n, 0, n)] * count
    rise = known(fixed_questions(terms(cells, cells), is_rate=True).detectable)
    rng = numpy.random.default_rng(0)

    def drawn(p):
        return [rate_cell(int(rng.binomial(n, p)), n, 0, n) for _ in range(count)]

    runs = [fixed_questions(terms(drawn(rate), drawn(rate + rise)), is_rate=True) for _ in range(600)]
    assert 0.74 <= sum(known(found.low) > 0 for found in runs) / 600 <= 0.9


def test_where_no_rise_of_a_rate_would_do_nothing_is_called_detectable():
    cell = rate_cell(2, 2, 0, 2)
    assert fixed_questions([(1.0, cell), (-1.0, cell)], is_rate=True).detectable is None
    assert fixed_questions([(1.0, cell)], is_rate=True).detectable is None


def test_the_slope_over_tiers_is_that_of_least_squares_with_hc3():
    from statsmodels.regression.linear_model import OLS
    from statsmodels.tools import add_constant

    ranks, values = [0, 0, 1, 1, 2, 2, 3, 3], [1.2, 0.4, 0.9, 0.6, 0.3, 0.5, 0.1, 0.2]
    expected = OLS(values, add_constant(ranks)).fit(cov_type="HC3", use_t=True)
    found = new_questions_slope(ranks, [values])
    assert limits(found) == pytest.approx(tuple(expected.conf_int()[1]))
    assert found.p == pytest.approx(expected.pvalues[1])
    assert sum(w * v for w, v in zip(slope_weights(ranks), values, strict=True)) == pytest.approx(expected.params[1])


def test_the_slope_of_several_seeds_is_crossed_with_them():
    ranks = [0, 0, 1, 1, 2, 2]
    rows = [[1.2, 0.4, 0.9, 0.6, 0.3, 0.5], [1.0, 0.8, 0.7, 0.9, 0.2, 0.1], [1.4, 0.6, 0.8, 0.5, 0.5, 0.0]]
    found, first = new_questions_slope(ranks, rows), new_questions_slope(ranks, rows[:1])
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    middle = stats.linregress(ranks, means).slope
    low, high = limits(found)
    assert (low + high) / 2 == pytest.approx(middle)
    assert high > low
    assert sum(limits(first)) / 2 == pytest.approx(stats.linregress(ranks, rows[0]).slope)


@pytest.mark.parametrize(
    ("ranks", "values", "note"),
    [
        ([0, 1, 2], [1.0, 2, 3], "3 questions, at least 5 are needed"),
        ([0, 0, 1, 1, 2], [0.0] * 5, "not estimable: all questions changed alike"),
        ([0, 0, 0, 0, 2], [1.0, 2, 3, 4, 5], "not estimable: one question alone decides the slope"),
    ],
)
def test_a_slope_that_cannot_be_estimated_says_why(ranks, values, note):
    found = new_questions_slope(ranks, [values])
    assert (found.low, found.note) == (None, note)


@pytest.mark.parametrize(
    "cells",
    [
        [Cell(1, 2.0, math.nan, 0)] * 2,
        [Cell(5, 0.0, 0.0, 0)] * 2,
        [Cell(1, 2.0, math.nan, 0), Cell(9, 2.0, 0.5, 0)],
    ],
)
def test_no_interval_is_made_of_one_sample_or_of_equal_scores(cells):
    found = fixed_questions([(1.0, cells[0]), (-1.0, cells[1])], is_rate=False)
    assert (found.low, found.high, found.p, found.detectable) == (None, None, None, None)
    assert found.note.startswith("not estimable")
    assert superiority_fixed_questions([tuple(cells)]).low is None


def test_two_questions_have_an_interval_for_themselves_and_none_for_new_ones():
    cell = Cell(5, 1.0, 0.5, 0)
    found = fixed_questions([(0.5, cell), (0.5, cell), (-0.5, cell), (-0.5, cell)], is_rate=False)
    low, high = limits(found)
    assert high == -low > 0
    assert new_questions([0.0, 0.0]).note == "2 questions, at least 5 are needed"
    assert superiority_fixed_questions([]).note.startswith("not estimable")


def test_what_could_have_been_found_is_that_of_the_t_test():
    differences = [0.1, 0.5, -0.2, 0.3, 0.6, 0.0, 0.2, 0.4]
    found = new_questions(differences)
    expected = TTestPower().solve_power(nobs=8, alpha=0.05, power=0.8) * stats.tstd(differences)
    assert found.detectable == pytest.approx(expected, rel=1e-3)
