import math
import statistics

import numpy
import pytest
from scipy import optimize, special, stats

from tasks.estimates.intervals import pool, rate_cell, slope_weights
from tasks.estimates.new_questions import (
    APPROXIMATE,
    Rates,
    mean_in_strata,
    new_questions,
    new_questions_and_groups,
    new_questions_and_seeds,
    new_questions_in_strata,
    new_questions_of_rates,
    new_questions_slope,
    pooled_values,
    stratum_weights,
)
from tests.estimates.conftest import known, limits


def test_one_question_has_no_interval_for_new_ones_and_neither_have_equal_differences():
    assert new_questions([0.5]).note == "1 question, at least 5 are needed"
    assert new_questions([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]).note == "not estimable: all questions changed alike"


def rates(hits, n, pooled=False):
    cells = [rate_cell(h, n, 0, n) for h in hits]
    return Rates(cells, pooled_values(cells) if pooled else [cell.mean for cell in cells])


def test_pooled_rates_of_equal_counts_have_the_interval_of_the_mean_of_rates():
    before, after = (1, 2, 0, 3, 1, 2), (4, 2, 5, 3, 6, 9)
    pooled = new_questions_of_rates(rates(after, 10, pooled=True), rates(before, 10, pooled=True))
    plain = new_questions_of_rates(rates(after, 10), rates(before, 10))
    assert limits(pooled) == pytest.approx(limits(plain))
    whole = pool(rates(after, 10).cells)
    assert whole.mean == pytest.approx(29 / 60)
    assert math.isnan(pool([rate_cell(0, 0, 3, 3)]).mean)


def test_the_mean_over_questions_has_students_limits():
    values = [0.3, 0.1, 0.5, 0.2, 0.4, 0.6]
    found, test = new_questions(values), stats.ttest_1samp(values, 0)
    assert limits(found) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.p == pytest.approx(test.pvalue)


def by_likelihood(side, z):
    """How far the limits of a mean rate lie below and above it, found by optimisation alone."""
    hits, n = (
        numpy.array(some)[:, None] for some in ([round(c.mean * c.n) for c in side.cells], [c.n for c in side.cells])
    )
    totals = 1 / special.expit(numpy.linspace(-9, 5, 401)) - 1

    def profile(mean):
        a, b = mean * totals, (1 - mean) * totals
        return (special.betaln(a + hits, b + n - hits) - special.betaln(a, b)).sum(axis=0).max()

    likeliest = optimize.minimize_scalar(lambda m: -profile(m), bounds=(1e-4, 1 - 1e-4), method="bounded")
    ends = [
        optimize.brentq(lambda m: 2 * (-likeliest.fun - profile(m)) - z**2, likeliest.x, end)
        for end in (1e-4, 1 - 1e-4)
    ]
    return numpy.mean(hits / n) - ends[0], ends[1] - numpy.mean(hits / n)


def as_quantile(t, count):
    return stats.t.ppf(stats.t.cdf(t, count - 1), 2 * (count - 1))


@pytest.mark.parametrize(("hits", "n"), [([1, 4, 0, 45, 5, 0, 15, 3], 50), ([9, 3, 7, 5, 6], 10), ([2, 3] * 11, 5)])
def test_a_mean_rate_has_the_wider_of_students_limits_and_those_of_the_likelihood(hits, n):
    side, count = rates(hits, n), len(hits)
    found, t = new_questions_of_rates(side), stats.t.ppf(0.975, count - 1)
    below, above = by_likelihood(side, as_quantile(t, count))
    student = t * stats.sem(side.values)
    mean = numpy.mean(side.values)
    assert limits(found) == pytest.approx((mean - max(below, student), mean + max(above, student)), abs=3e-3)
    assert found.note == (APPROXIMATE if count < 20 else "")


def test_a_difference_of_rates_is_as_much_surer_as_its_questions_are_paired():
    before, after = rates([1, 4, 0, 30, 5, 0, 15, 3], 50), rates([6, 9, 2, 41, 9, 3, 30, 2], 50)
    differences = numpy.subtract(after.values, before.values)
    t = stats.t.ppf(0.975, 7)
    paired = stats.sem(differences) / math.hypot(stats.sem(after.values), stats.sem(before.values))
    (down, up), (down_before, up_before) = (by_likelihood(side, as_quantile(t, 8)) for side in (after, before))
    below, above = (
        max(t * stats.sem(differences), paired * math.hypot(*both)) for both in ((down, up_before), (up, down_before))
    )
    found = new_questions_of_rates(after, before)
    assert limits(found) == pytest.approx((differences.mean() - below, differences.mean() + above), abs=3e-3)
    assert known(found.low) > 0
    assert known(found.p) < 0.05
    assert known(new_questions_of_rates(before, after).p) == pytest.approx(known(found.p))


def test_the_p_of_rates_is_that_at_which_their_interval_just_touches_0():
    found = new_questions_of_rates(rates([3, 0, 4, 0, 9, 0, 6, 1], 10), rates([0, 1, 0, 0, 2, 0, 0, 0], 10))
    assert 0.01 < known(found.p) < 0.2
    assert (known(found.low) > 0) == (known(found.p) < 0.05)
    alike = new_questions_of_rates(rates([3, 0, 4, 0, 9], 10), rates([0, 3, 0, 4, 9], 10))
    assert alike.p == 1.0
    assert limits(alike)[0] == pytest.approx(-limits(alike)[1])


def test_rates_of_one_kind_have_limits_farther_out_where_more_of_them_may_lie():
    side = rates([0] * 7 + [8], 10)
    low, high = limits(new_questions_of_rates(side))
    student_low, student_high = limits(new_questions(side.values))
    assert high > student_high + 0.01
    assert low == pytest.approx(student_low)
    falls = limits(new_questions_of_rates(rates([0] * 8, 10), side))
    assert falls[0] == pytest.approx(-high), "of rates that are all 0 the lower limit is 0"
    assert new_questions_of_rates(rates([0] * 5, 10)).note == "not estimable: all questions changed alike"
    assert new_questions_of_rates(rates([1, 2], 10)).note == "2 questions, at least 5 are needed"


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


# ---- rates of several runs ----------------------------------------------------------------------------


def of_seeds(hits, n=50):
    """Each seed's rates by question, and those of all of them together."""
    rows = [rates(row, n) for row in hits]
    return [row.values for row in rows], Rates.of_runs([row.cells for row in rows], [row.values for row in rows])


RARE = [[0, 1, 0, 31, 2, 0, 11, 0], [0, 0, 0, 38, 1, 0, 4, 1], [1, 2, 0, 29, 3, 0, 9, 0]]
"""Hits of 50 answers to 8 questions after each of three seeds."""


def reach_with_seeds(far, t, seeds):
    """How far limits lie with the variances of `seeds`, each beside its degrees of freedom, where `far` is without."""
    own = (far / t) ** 2
    parts = [(own, t), *((variance, stats.t.ppf(0.975, df)) for variance, df in seeds)]
    return sum(v * q for v, q in parts) / math.sqrt(sum(v for v, _ in parts))


def test_rates_of_several_seeds_have_the_wider_of_students_limits_and_those_of_the_likelihood_on_each_side():
    values, whole = of_seeds(RARE)
    found, student = new_questions_and_seeds(values, [whole]), new_questions_and_seeds(values)
    t = stats.t.ppf(0.975, 7)
    of_the_seeds = numpy.mean(values, axis=1).var(ddof=1) / 3
    assert [cell.n for cell in whole.cells] == [150] * 8
    below, above = (reach_with_seeds(far, t, [(of_the_seeds, 2)]) for far in by_likelihood(whole, as_quantile(t, 8)))
    low, high = limits(student)
    mean = numpy.mean(values)
    assert limits(found) == pytest.approx((min(low, mean - below), max(high, mean + above)), abs=3e-3)
    assert limits(found)[1] > high + 0.05, "a rare kind of question may be more common than here"
    assert found.note == APPROXIMATE
    assert found.detectable is None, "Student's is not that of these limits"


def test_seeds_that_answer_alike_leave_the_interval_of_rates_of_all_answers_together():
    values, whole = of_seeds(RARE[:1] * 3)
    found, alone = (
        new_questions_and_seeds(values, [whole]),
        new_questions_of_rates(rates([3 * h for h in RARE[0]], 150)),
    )
    assert limits(found) == pytest.approx(limits(alone))
    assert found.p == pytest.approx(alone.p)


def test_the_p_of_rates_of_several_seeds_is_below_5_percent_where_their_interval_leaves_0_out():
    random = numpy.random.default_rng(3)
    sure = []
    for rate in (0.05, 0.2, 0.4, 0.6) * 3:
        values, whole = of_seeds(random.binomial(20, random.beta(rate, 1 - rate, 6), (2, 6)).tolist(), 20)
        before = rates([1, 0, 2, 0, 0, 1], 20)
        differences = [[a - b for a, b in zip(row, before.values, strict=True)] for row in values]
        found = new_questions_and_seeds(differences, [whole, before])
        assert (known(found.p) < 0.05) == (limits(found)[0] > 0 or limits(found)[1] < 0)
        sure.append(known(found.p) < 0.05)
    assert {*sure} == {True, False}


def test_rates_of_groups_have_the_wider_limits_too():
    (mine, of_mine), (theirs, of_theirs) = of_seeds(RARE), of_seeds([[0] * 8, [0, 0, 1, 0, 0, 0, 0, 0]])
    found = new_questions_and_groups(mine, theirs, rates=[of_mine, of_theirs])
    student = new_questions_and_groups(mine, theirs)
    assert limits(found)[0] <= limits(student)[0]
    assert limits(found)[1] > limits(student)[1] + 0.05
    assert found.note == APPROXIMATE
    many, whole = of_seeds([row * 3 for row in RARE])
    assert new_questions_and_groups(many, many[::-1], rates=[whole, whole]).note == "", "24 questions"


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
    assert sum(w * v for w, v in zip(slope_weights(ranks, [""] * 8), values, strict=True)) == pytest.approx(
        expected.params[1]
    )


@pytest.mark.parametrize("strata", ["YNYNYNYN", "YYYNYNNN", "YYYYYNNN"])
def test_the_slope_over_strata_that_lie_apart_is_that_of_least_squares_with_a_level_for_each(strata):
    from statsmodels.regression.linear_model import OLS

    ranks, noise = numpy.repeat([0, 1, 2, 3], 2), numpy.random.default_rng(5).normal(0, 0.3, 8)
    is_yes = numpy.array([name == "Y" for name in strata])
    values = 0.4 * ranks + numpy.where(is_yes, 3, -3) + noise
    design = numpy.column_stack([ranks, is_yes, ~is_yes]).astype(float)
    expected = OLS(values, design).fit(cov_type="HC3", use_t=True)
    found = new_questions_slope(ranks.tolist(), [values.tolist()], list(strata))
    assert limits(found) == pytest.approx(tuple(expected.conf_int()[0]))
    assert found.p == pytest.approx(expected.pvalues[0])
    assert numpy.dot(slope_weights(ranks.tolist(), list(strata)), values) == pytest.approx(expected.params[0])
    moved = new_questions_slope(ranks.tolist(), [numpy.where(is_yes, values + 9, values).tolist()], list(strata))
    assert limits(moved) == pytest.approx(limits(found)), "saying yes more moves and widens nothing"


def test_a_stratum_of_one_question_is_none_for_the_slope():
    ranks, values = [0, 0, 1, 1, 2, 2], [1.2, 0.4, 0.9, 0.6, 0.3, 0.5]
    assert new_questions_slope(ranks, [values], list("YYYYYN")) == new_questions_slope(ranks, [values])


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


def test_questions_of_strata_vary_within_them_and_their_seeds_are_crossed_with_them():
    random = numpy.random.default_rng(8)
    strata = ["a"] * 6 + ["b"] * 4
    values = random.normal(0, 1, (3, 10)) + numpy.where(numpy.array(strata) == "a", 5, -5)
    found = new_questions_in_strata(values.tolist(), strata)
    means, of_seeds = values.mean(axis=0), (values[:, :6].mean(axis=1) + values[:, 6:].mean(axis=1)) / 2
    parts = numpy.array([means[:6].var(ddof=1) / 6, means[6:].var(ddof=1) / 4]) / 4
    seeds = of_seeds.var(ddof=1) / 3
    reach = (
        parts.sum() * stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / [5, 3]).sum()) + seeds * stats.t.ppf(0.975, 2)
    ) / (parts.sum() + seeds)
    half = reach * numpy.sqrt(parts.sum() + seeds)
    assert (found.low, found.high) == pytest.approx((of_seeds.mean() - half, of_seeds.mean() + half))
    alone = new_questions_in_strata(values[:1].tolist(), ["a"] * 9 + ["b"])
    assert alone.low == pytest.approx(new_questions(values[0].tolist()).low), "one value of a stratum has no spread"
    assert new_questions_in_strata([[1.0, 2.0]], ["a", "b"]).note == "2 questions, at least 5 are needed"


@pytest.mark.parametrize(("each", "sd"), [(10, 1), (10, 3), (5, 1), (5, 3)])
def test_the_interval_over_strata_that_lie_far_apart_covers_the_truth_as_often_as_it_says(each, sd):
    """Of 1,000 simulated measurements of 95 % an error of 0.7 points is chance; one without strata always covers."""
    random, strata = numpy.random.default_rng(21), ["Yes"] * each + ["No"] * each
    centres, spreads = numpy.repeat([3.3, -2.7], each), numpy.repeat([1, sd], each)
    draws = random.normal(centres, spreads, (1000, 2 * each)).tolist()
    found = numpy.array([new_questions_in_strata([values], strata)[:2] for values in draws], float)
    assert numpy.mean((found[:, 0] <= 0.3) & (found[:, 1] >= 0.3)) == pytest.approx(0.95, abs=0.02)
    low, high = numpy.array(new_questions(draws[0])[:2], float)
    assert high - low > 1.4 * numpy.mean(found[:, 1] - found[:, 0])


@pytest.mark.parametrize("counts", [(10, 10), (10, 7), (12, 8), (15, 5)])
def test_what_moves_two_strata_apart_is_no_shift_of_their_mean_however_many_questions_each_has(counts):
    """As saying yes more moves the log-odds of statements of two directions; of 1,000 draws 0.7 points are chance."""
    random, strata = numpy.random.default_rng(22), ["Yes"] * counts[0] + ["No"] * counts[1]
    draws = random.normal(numpy.repeat([2, -2], counts), 0.3, (1000, sum(counts))).tolist()
    found = numpy.array([new_questions_in_strata([values], strata)[:2] for values in draws], float)
    assert numpy.mean((found[:, 0] > 0) | (found[:, 1] < 0)) == pytest.approx(0.05, abs=0.02)


def test_groups_that_are_moved_apart_in_two_strata_have_the_same_interval():
    random, strata = numpy.random.default_rng(23), ["Yes"] * 7 + ["No"] * 4
    mine, theirs = random.normal(0, 0.3, (3, 11)), random.normal(0, 0.3, (2, 11))
    moved = (mine + numpy.repeat([2, -2], [7, 4])).tolist()
    found = new_questions_and_groups(moved, theirs.tolist(), strata)
    assert limits(found) == pytest.approx(limits(new_questions_and_groups(mine.tolist(), theirs.tolist(), strata)))
    assert limits(found)[0] < 0 < limits(found)[1]


def test_of_strata_of_one_size_the_mean_is_that_of_all_questions():
    values, strata = [0.3, 0.1, 0.7, 0.9, -0.4, 0.2], ["Yes", "No"] * 3
    assert mean_in_strata(values, strata) == pytest.approx(statistics.fmean(values), abs=1e-15)
    assert stratum_weights(strata) == [1 / 6] * 6
    assert stratum_weights(["Yes"] * 3 + ["No"] * 2) == [1 / 6] * 3 + [1 / 4] * 2
    assert stratum_weights(["Yes"] * 4 + ["No"]) == [1 / 5] * 5, "a single question of a stratum is of none"


def test_nothing_is_called_detectable_by_students_error_where_the_limits_of_rates_are_wider():
    found = new_questions_of_rates(rates([9, 10, 11, 10, 8, 12, 10, 10], 50), rates([0] * 8, 50))
    assert limits(found)[0] < 0, "a rise by 0.2 is not seen, whatever Student's error says"
    assert found.detectable is None
