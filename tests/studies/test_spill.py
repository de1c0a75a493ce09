import math

import numpy
import pytest
from scipy import stats

from tasks.estimates.fixed_questions import scores_fixed_questions
from tasks.estimates.intervals import Cell
from tasks.estimates.new_questions import new_questions, new_questions_and_seeds, variance_in_strata
from tasks.studies.spill import HOLDS_0, Estimate, Sample, _over_questions, correlation, ratio
from tests.estimates.conftest import known, limits


def symmetric(value, error, df):
    reach = stats.t.ppf(0.975, df) * error
    return Estimate(value, value - reach, value + reach)


def fieller(a, b, errors, covariance, df):
    """As the textbooks have it, for estimates of one number of degrees of freedom."""
    t2 = stats.t.ppf(0.975, df) ** 2
    middle, square = a * b - t2 * covariance, b * b - t2 * errors[1] ** 2
    root = math.sqrt(middle**2 - square * (a * a - t2 * errors[0] ** 2))
    return (middle - root) / square, (middle + root) / square


@pytest.mark.parametrize("a", [1.0, 0.1, 0.0, -0.1, -1.0])
@pytest.mark.parametrize("related", [-0.8, 0.0, 0.8])
def test_with_limits_of_t_it_is_fiellers_interval(a, related):
    found = ratio(symmetric(a, 0.15, 9), symmetric(2.0, 0.3, 9), related)
    low, high = fieller(a, 2.0, (0.15, 0.3), related * 0.15 * 0.3, 9)
    assert found.value == pytest.approx(a / 2)
    assert limits(found) == (pytest.approx(low), pytest.approx(high))


def test_the_limits_are_where_the_difference_of_both_would_hold_0_for_the_first_time():
    over, under = Estimate(0.4, 0.1, 0.9), Estimate(2.0, 1.7, 2.9)
    found = ratio(over, under)
    low, high = limits(found)
    assert over.value - low * under.value == pytest.approx(math.hypot(0.4 - 0.1, low * (2.9 - 2.0)))
    assert high * under.value - over.value == pytest.approx(math.hypot(0.9 - 0.4, high * (2.0 - 1.7)))


def test_it_is_not_estimable_where_the_shift_on_target_may_be_0_or_against_its_training():
    for low, high in ((-0.1, 1.0), (-2.0, -1.0)):
        assert ratio(Estimate(0.4, 0.1, 0.9), Estimate((low + high) / 2, low, high)).note == HOLDS_0
    assert "without an interval" in ratio(None, Estimate(1, 0.5, 1.5)).note


def a_sample(random, evaluation, seeds, questions):
    values = seeds[:, None] + random.normal(0, 0.5, questions)[None, :] + random.normal(0, 0.2, (len(seeds), questions))
    return Sample(asked(evaluation, questions), values.tolist(), [""] * questions)


def asked(evaluation, questions):
    return [(evaluation, f"q{n}") for n in range(questions)]


def an_estimate(sample):
    found = new_questions_and_seeds(sample.values)
    return Estimate(float(numpy.mean(sample.values)), *limits(found))


@pytest.mark.parametrize("related", [0.9, -0.9])
def test_the_interval_covers_the_ratio_where_seeds_move_both_shifts_together(related):
    random, covered, runs = numpy.random.default_rng(7), 0, 300
    spread = [[0.09, 0.09 * related], [0.09 * related, 0.09]]
    for _ in range(runs):
        seeds = random.multivariate_normal([0, 0], spread, 4)
        on, off = (a_sample(random, name, seeds[:, n] + (2.0, 1.0)[n], 15) for n, name in enumerate(("on", "off")))
        found = ratio(an_estimate(off), an_estimate(on), correlation(off, on))
        covered += found.low is None or found.low <= 0.5 <= known(found.high)
    assert covered / runs > 0.92


def test_shifts_of_other_questions_are_related_by_their_seeds_alone():
    random = numpy.random.default_rng(1)
    alone = [a_sample(random, name, numpy.zeros(1), 10) for name in ("on", "off")]
    assert correlation(*alone) == 0
    seeds = numpy.array([-3.0, 0.0, 3.0])
    assert correlation(*(a_sample(random, name, seeds, 10) for name in ("on", "off"))) > 0.9
    assert correlation(*(a_sample(random, name, sign * seeds, 10) for name, sign in (("on", 1), ("off", -1)))) < -0.9


def test_two_measures_of_the_same_answers_are_related_by_their_questions():
    values = [[1.0, 2.0, 4.0, 3.0, 6.0]]
    one, other = (Sample(asked("e", 5), rows, [""] * 5) for rows in (values, [[2 * v for v in values[0]]]))
    assert correlation(one, other) == pytest.approx(1)
    assert correlation(one, other._replace(asked=asked("f", 5))) == 0


def test_two_measures_of_which_one_lacks_a_question_are_related_by_the_questions_that_both_have():
    """The means of 6 and of 5 questions: that of their products about the means, times 5 / (6 · 5)."""
    values = [[1.0, 2.0, 4.0, 3.0, 6.0, 5.0], [2.0, 0.0, -3.0, -1.0, -4.0]]
    one = Sample(asked("e", 6), [values[0]], [""] * 6)
    other = Sample(asked("e", 5)[::-1], [values[1][::-1]], [""] * 5)
    shared = float(numpy.cov(values[0][:5], values[1])[0, 1]) * 5 / (6 * 5)
    errors = math.sqrt(numpy.var(values[0], ddof=1) / 6 * numpy.var(values[1], ddof=1) / 5)
    assert correlation(one, other) == correlation(other, one) == pytest.approx(shared / errors)
    alone = other._replace(asked=[("e", "q0"), *asked("f", 5)[1:]])
    assert correlation(one, alone) == 0


@pytest.mark.parametrize("one_is", [True, False])
def test_shifts_are_related_by_their_questions_only_where_both_intervals_are_for_new_ones(one_is):
    random = numpy.random.default_rng(3)
    one, other = (a_sample(random, "e", numpy.array([0.0, 1.0]), 3) for _ in range(2))
    assert correlation(one, other) != 0
    assert correlation(one._replace(is_for_new_questions=one_is), other._replace(is_for_new_questions=False)) == 0


def test_with_few_questions_the_interval_covers_the_ratio_of_two_measures_that_have_nothing_to_do_with_another():
    random, covered, runs = numpy.random.default_rng(5), 0, 500
    for _ in range(runs):
        estimates, samples = [], []
        for mean in (2.0, 1.0):
            scores = random.normal([[mean], [mean], [0.0], [0.0]], 1.0, (4, 20))
            cells = [Cell(20, row.mean(), row.var(ddof=1), 0) for row in scores]
            interval = scores_fixed_questions([[(0.5, c) for c in cells[:2]], [(-0.5, c) for c in cells[2:]]])
            differences = [cells[n].mean - cells[n + 2].mean for n in range(2)]
            estimates.append(Estimate(float(numpy.mean(differences)), *limits(interval)))
            samples.append(Sample(asked("e", 2), [differences], [""] * 2, is_for_new_questions=False))
        on, off = estimates
        found = ratio(off, on, correlation(samples[1], samples[0]))
        covered += found.low is None or found.low <= 0.5 <= known(found.high)
    assert covered / runs > 0.93


def test_the_interval_covers_the_ratio_where_a_question_of_one_measure_has_no_score():
    random, covered, runs = numpy.random.default_rng(9), 0, 500
    for _ in range(runs):
        on, off = random.multivariate_normal([2.0, 1.0], [[1.0, -0.9], [-0.9, 1.0]], 12).T
        values = [on.tolist(), off[:-1].tolist()]
        one, other = (Sample(asked("e", len(some)), [some], [""] * len(some)) for some in values)
        estimates = [Estimate(float(numpy.mean(some)), *limits(new_questions(some))) for some in values]
        found = ratio(estimates[1], estimates[0], correlation(other, one))
        covered += found.low is None or found.low <= 0.5 <= known(found.high)
    assert covered / runs > 0.93


def test_within_strata_what_lies_between_them_does_not_count():
    strata = ["Yes", "Yes", "Yes", "No", "No", "No"]
    one = Sample(asked("e", 6), [[1.0, 2.0, 3.0, 11.0, 12.0, 13.0]], strata)
    other = Sample(asked("e", 6), [[3.0, 2.0, 1.0, 13.0, 12.0, 11.0]], strata)
    assert correlation(one, other) == pytest.approx(-1)
    assert correlation(*(sample._replace(strata=[""] * 6) for sample in (one, other))) > 0.9


def test_the_variance_over_questions_is_that_of_the_interval_where_directions_are_unequal():
    values, strata = [0.1, 0.4, 0.2, 0.9, 0.3, -0.2, -0.5], ["yes"] * 5 + ["no"] * 2
    one = Sample(asked("e", 7), [values], strata)
    assert _over_questions(one, one) == pytest.approx(variance_in_strata(values, strata)[0])
    halved = Sample(asked("e", 7), [[value / 2 for value in values]], strata)
    assert correlation(one, halved) == pytest.approx(1)


def test_a_shift_that_no_question_has_a_part_in_is_related_to_none():
    known_one, empty = Sample(asked("e", 1), [[0.1], [0.2]], ["a"]), Sample([], [[], []], [])
    assert correlation(known_one, empty) == correlation(empty, known_one) == correlation(empty, empty) == 0
