import math

import numpy
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tasks.estimates.intervals import Cell, rate_cell
from tasks.estimates.new_questions import Rates, new_questions_of_rates
from tasks.estimates.power import (
    Spread,
    plan,
    share_counted,
    share_with_enough,
    spread_of,
    spread_of_exact,
    spread_of_rate,
    statements,
)
from tests.estimates.conftest import known


@pytest.mark.parametrize("samples", [1, 5, 20])
def test_the_questions_that_an_effect_takes_are_those_of_the_t_test(samples):
    spread = Spread(within=0.8, between=0.3)
    row = next(row for row in plan(spread, 0.25) if row.samples == samples)
    sd = math.sqrt(0.3**2 + 2 * 0.8**2 / samples)
    assert row.new_questions == math.ceil(TTestPower().solve_power(effect_size=0.25 / sd, alpha=0.05, power=0.8))


def test_questions_that_are_fixed_take_fewer_and_a_single_sample_estimates_nothing():
    rows = plan(Spread(within=0.8, between=0.3), 0.25)
    assert rows[0].fixed_questions is None
    assert all(known(row.fixed_questions) < known(row.new_questions) for row in rows[1:])
    assert plan(Spread(within=50.0, between=30.0), 0.1)[-1].new_questions is None


def test_a_pilot_tells_the_spread_of_answers_from_that_of_questions():
    cells = [(Cell(100, 1.0, 0.64, 0), Cell(100, 1.0 + d, 0.64, 0)) for d in (0.1, 0.5, 0.9)]
    spread = known(spread_of(cells))
    assert spread.within == pytest.approx(0.8)
    assert spread.between == pytest.approx(math.sqrt(0.16 - 2 * 0.64 / 100))
    assert known(spread_of([(Cell(9, 1, 0.5, 0), Cell(9, 1.2, 0.5, 0))] * 2)).between == 0
    assert spread_of(cells[:1]) is None
    assert spread_of([(Cell(1, 1, math.nan, 0), Cell(1, 1, math.nan, 0))] * 5) is None


def test_statements_vary_within_their_directions_and_each_takes_a_degree_of_freedom():
    yes, no = numpy.array([3.1, 2.6, 3.9, 2.8, 3.3, 3.5]), numpy.array([-3.0, -2.2, -3.6, -2.9])
    pairs = [(Cell(1, 0.5, 0, 0), Cell(1, 0.5 + change, 0, 0)) for change in (*yes, *no)]
    strata = ["Yes"] * 6 + ["No"] * 4
    between = math.sqrt(10 * (yes.var(ddof=1) / 6 + no.var(ddof=1) / 4) / 4)
    spread = known(spread_of_exact(pairs, strata))
    assert spread[:2] == (0.0, pytest.approx(between))
    assert known(spread_of_exact(pairs, [""] * 10)).between == pytest.approx(numpy.concatenate([yes, no]).std(ddof=1))
    assert spread_of_exact(pairs, ["Yes"] * 9 + ["No"]) == spread_of_exact(pairs, [""] * 10)
    assert spread_of_exact(pairs[:1], ["Yes"]) is None

    def power(count):
        t, df = stats.t.ppf(0.975, count - 2), count - 2
        return stats.nct.sf(t, df, 0.3 * math.sqrt(count) / between)

    needed = next(count for count in range(5, 1000) if power(count) >= 0.8)
    assert statements(spread, 0.3, strata=2) == needed
    assert known(statements(spread, 0.65, strata=2)) > known(statements(spread, 0.65))


def test_the_spread_of_a_rate_is_that_of_the_rates_that_are_planned_for():
    """Of questions at different rates, the variance within after all of them rise by the effect."""
    before = numpy.array([0.0, 0.1, 0.3, 0.2])
    pairs = [(rate_cell(p * 1000, 1000, 0, 1000), rate_cell(500, 1000, 0, 1000)) for p in before]
    after = before + 0.05
    expected = numpy.concatenate([before * (1 - before), after * (1 - after)]).mean() ** 0.5
    assert known(spread_of_rate(pairs, 0.05)).within == pytest.approx(expected, rel=1e-3)
    never = [(rate_cell(0, 50, 0, 50), rate_cell(0, 50, 0, 50))] * 8
    assert known(spread_of_rate(never, 0.02)).within == pytest.approx((0.02 * 0.98 / 2) ** 0.5)
    always = [(rate_cell(50, 50, 0, 50), rate_cell(50, 50, 0, 50))] * 8
    assert known(spread_of_rate(always, 0.02)).within == pytest.approx((0.02 * 0.98 / 2) ** 0.5)


def test_what_counts_is_a_share_of_what_was_judged():
    cells = [(rate_cell(1, 30, 5, 50), Cell(40, 1.0, 0.2, 10))]
    assert share_counted(cells) == 0.7
    half = {row.samples: row for row in plan(Spread(within=0.8, between=0.3), 0.25, counted=0.5)}
    wider = {row.samples: row for row in plan(Spread(0.8 * 2**0.5, 0.3), 0.25)}
    assert all(half[samples].new_questions == wider[samples].new_questions for samples in (10, 20, 40))
    assert half[2].fixed_questions is None, "one of the two samples counts"


def test_too_few_samples_for_most_questions_to_count_are_not_planned_for_and_others_take_more_questions():
    assert share_with_enough(10, 0.6, 5) == pytest.approx(stats.binom.sf(4, 10, 0.6) ** 2)
    assert share_with_enough(2, 1.0, 5) == 0
    spread = Spread(within=0.3, between=0.1)
    assert [row.samples for row in plan(spread, 0.1, min_answers=5)] == [5, 10, 20, 40, 80]
    assert [row.samples for row in plan(spread, 0.1, counted=0.6, min_answers=5)] == [10, 20, 40, 80]
    assert plan(spread, 0.1, counted=0.01, min_answers=5) == []
    few, many = (plan(spread, 0.1, counted=0.6, min_answers=some)[-4] for some in (5, 1))
    assert (few.samples, many.samples) == (10, 10)
    assert known(few.new_questions) == pytest.approx(known(many.new_questions) / share_with_enough(10, 0.6, 5), abs=1)


def side(hits, n):
    cells = [rate_cell(int(some), n, 0, n) for some in hits]
    return Rates(cells, [cell.mean for cell in cells])


def of_alike(rate, effect):
    """The spread that a large pilot of questions of one rate would find."""
    pairs = [(rate_cell(rate * 10_000, 10_000, 0, 10_000), rate_cell(5_000, 10_000, 0, 10_000))] * 8
    return known(spread_of_rate(pairs, effect))


def found(questions, samples, before, after, runs=300):
    """How often the test of rates finds the rise."""
    rng = numpy.random.default_rng(1)
    drawn = rng.binomial(samples, before, (runs, questions)), rng.binomial(samples, after, (runs, questions))
    intervals = [new_questions_of_rates(side(a, samples), side(b, samples)) for b, a in zip(*drawn, strict=True)]
    return sum(known(some.low) > 0 for some in intervals if some.low is not None) / runs


@pytest.mark.parametrize(
    ("before", "effect"), [(0.0, 0.02), (0.0, 0.05), (0.005, 0.045), (0.3, 0.1)], ids=["0+2", "0+5", "0.5+4.5", "30+10"]
)
def test_as_many_new_questions_as_a_rate_takes_by_plan_find_it_as_often_as_was_promised(before, effect):
    """By Student's error 22 questions of 20 samples would do for a rise from 0 to 2 %, of which the test finds none."""
    rows = {row.samples: known(row.new_questions) for row in plan(of_alike(before, effect), effect)}
    assert all(0.7 < found(rows[n], n, before, before + effect) < 0.93 for n in (5, 10, 20, 40))


def test_a_rate_falls_from_near_1_as_it_rises_from_near_0():
    assert plan(of_alike(0.995, 0.02), 0.02)[3:] == plan(of_alike(0.005, 0.02), 0.02)[3:]


def test_questions_that_change_unlike_take_more_of_them():
    alike = of_alike(0.05, 0.1)
    unlike = alike._replace(between=0.2)
    assert known(plan(unlike, 0.1)[-1].new_questions) > 2 * known(plan(alike, 0.1)[-1].new_questions)
