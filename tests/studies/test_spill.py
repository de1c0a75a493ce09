import math

import numpy
import pytest
from scipy import stats

from tasks.estimates.new_questions import new_questions_and_seeds
from tasks.studies.spill import HOLDS_0, Estimate, Sample, correlation, ratio
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
    return Sample((evaluation,), values.tolist(), [""] * questions)


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
    one, other = (Sample(("e", "q"), rows, [""] * 5) for rows in (values, [[2 * v for v in values[0]]]))
    assert correlation(one, other) == pytest.approx(1)
    assert correlation(one, other._replace(asked=("f", "q"))) == 0


def test_within_strata_what_lies_between_them_does_not_count():
    strata = ["Yes", "Yes", "Yes", "No", "No", "No"]
    one = Sample(("e",), [[1.0, 2.0, 3.0, 11.0, 12.0, 13.0]], strata)
    other = Sample(("e",), [[3.0, 2.0, 1.0, 13.0, 12.0, 11.0]], strata)
    assert correlation(one, other) == pytest.approx(-1)
    assert correlation(*(sample._replace(strata=[""] * 6) for sample in (one, other))) > 0.9


def test_a_shift_that_no_question_has_a_part_in_is_related_to_none():
    known_one, empty = Sample(("e", "q"), [[0.1], [0.2]], ["a"]), Sample(("e",), [[], []], [])
    assert correlation(known_one, empty) == correlation(empty, known_one) == correlation(empty, empty) == 0
