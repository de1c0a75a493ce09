import math
import statistics

import numpy
import pytest
from scipy import optimize, stats

from tasks.estimates.intervals import pool, rate_cell, slope_weights, wilson
from tasks.estimates.new_questions import (
    APPROXIMATE,
    new_questions,
    new_questions_and_groups,
    new_questions_and_seeds,
    new_questions_slope,
    pooled_values,
)
from tests.estimates.conftest import known, limits


def test_one_question_has_no_interval_for_new_ones_and_neither_have_equal_differences():
    assert new_questions([0.5]).note == "1 question, at least 5 are needed"
    assert new_questions([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]).note == "not estimable: all questions changed alike"


def test_pooled_rates_of_equal_counts_have_the_interval_of_the_mean_of_rates():
    before = [rate_cell(h, 10, 0, 10) for h in (1, 2, 0, 3, 1, 2)]
    after = [rate_cell(h, 10, 0, 10) for h in (4, 2, 5, 3, 6, 9)]
    values = zip(pooled_values(before), pooled_values(after), strict=True)
    pooled = new_questions([second - first for first, second in values], is_rate=True)
    plain = new_questions([f.mean - b.mean for b, f in zip(before, after, strict=True)], is_rate=True)
    assert limits(pooled) == pytest.approx(limits(plain))
    assert pool(after).mean == pytest.approx(29 / 60)
    assert math.isnan(pool([rate_cell(0, 0, 3, 3)]).mean)


def test_the_mean_over_questions_has_students_limits():
    values = [0.3, 0.1, 0.5, 0.2, 0.4, 0.6]
    found, test = new_questions(values), stats.ttest_1samp(values, 0)
    assert limits(found) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.p == pytest.approx(test.pvalue)


def skewed(values, q):
    """How far the limits of rates lie below and above their mean for the quantile q: of two the wider."""
    reaches = []
    for part in (numpy.clip(values, 0, None), numpy.clip(numpy.negative(values), 0, None)):
        mean, variance = part.mean(), part.var(ddof=1) / len(part)
        low, high = wilson(mean, mean * (1 - mean) / variance, q) if variance else (mean, mean)
        reaches.append((mean - low, high - mean))
    (down, up), (falls_down, falls_up) = reaches
    student = q * stats.sem(values)
    return max(student, math.hypot(down, falls_up)), max(student, math.hypot(up, falls_down))


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.02, 0.0, 0.9, 0.1, 0.0, 0.3, 0.05],
        [0.1, -0.6, 0.0, 0.05, -0.1, 0.02, -0.9],
        [0.4, 0.5, 0.45, 0.52, 0.38] * 4,
        [-0.2, 0.1, 0.15, -0.05, 0.2],
    ],
)
def test_rates_that_are_skewed_over_questions_have_the_wider_of_two_limits_on_each_side(values):
    found, df = new_questions(values, is_rate=True), len(values) - 1
    mean, (below, above) = numpy.mean(values), skewed(values, stats.t.ppf(0.975, df))
    assert limits(found) == pytest.approx((mean - below, mean + above))
    touches = optimize.brentq(lambda q: abs(mean) - skewed(values, q)[0 if mean > 0 else 1], 0.01, 200)
    assert found.p == pytest.approx(2 * stats.t.sf(touches, df))
    assert known(found.p) >= known(new_questions(values).p) - 1e-12
    assert found.note == (APPROXIMATE if len(values) < 20 else "")


def test_rates_of_one_kind_have_limits_farther_out_where_more_of_them_may_lie():
    low, high = limits(new_questions([0.0] * 7 + [0.8], is_rate=True))
    student_low, student_high = limits(new_questions([0.0] * 7 + [0.8]))
    assert high > student_high + 0.05
    assert low == pytest.approx(student_low)


def crossed(rows):
    """The mean of rows of values, its standard error, and how many of them the limits lie from it."""
    values = numpy.array(rows)
    of_seeds = values.mean(axis=1).var(ddof=1) / values.shape[0]
    of_questions = values.mean(axis=0).var(ddof=1) / values.shape[1]
    t_seeds, t_questions = (stats.t.ppf(0.975, count - 1) for count in values.shape)
    variance = of_seeds + of_questions
    return values.mean(), math.sqrt(variance), (of_seeds * t_seeds + of_questions * t_questions) / variance


def test_seeds_and_questions_are_crossed_and_each_has_its_own_degrees_of_freedom():
    rows = [[0.1, 0.4, 0.3, 0.2, 0.6], [0.3, 0.5, 0.2, 0.4, 0.9], [0.0, 0.1, 0.2, 0.1, 0.3]]
    mean, error, reach = crossed(rows)
    found = new_questions_and_seeds(rows)
    assert limits(found) == pytest.approx((mean - reach * error, mean + reach * error))
    df = optimize.brentq(lambda df: stats.t.ppf(0.975, df) - reach, 1, 10)
    assert found.p == pytest.approx(2 * stats.t.sf(mean / error, df))
    assert new_questions_and_seeds([[1.0, 2.0], [1.0, 3.0]]).note == "2 questions, at least 5 are needed"
    assert new_questions_and_seeds([[1.0] * 5] * 2).note == "not estimable: all questions changed alike"


@pytest.mark.parametrize(("mine", "theirs"), [(3, 2), (2, 4), (1, 3), (3, 1)])
def test_groups_of_any_size_have_the_variances_of_questions_and_of_the_fine_tunes_in_each(mine, theirs):
    random = numpy.random.default_rng(7)
    after, before = random.normal(0.3, 1, (mine, 6)), random.normal(0, 1, (theirs, 6))
    differences = after.mean(axis=0) - before.mean(axis=0)
    parts = [(differences.var(ddof=1) / 6, 5)]
    for some, other in ((after, before), (before, after)):
        like = some if len(some) > 1 else other
        parts.append((like.mean(axis=1).var(ddof=1) / len(some), len(like) - 1))
    variance = sum(part for part, _ in parts)
    reach = sum(part * stats.t.ppf(0.975, df) for part, df in parts) / math.sqrt(variance)
    found = new_questions_and_groups(after.tolist(), before.tolist())
    assert limits(found) == pytest.approx((differences.mean() - reach, differences.mean() + reach))
    assert (known(found.p) < 0.05) == (abs(differences.mean()) > reach)


def test_seeds_that_differ_in_nothing_leave_the_interval_of_the_questions():
    row = [0.1, 0.4, 0.3, 0.2, 0.6]
    assert limits(new_questions_and_seeds([row, row])) == pytest.approx(limits(new_questions(row)))


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
