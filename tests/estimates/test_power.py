import math

import numpy
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tasks.estimates.intervals import Cell, rate_cell
from tasks.estimates.power import Spread, plan, share_counted, spread_of, spread_of_exact, spread_of_rate, statements
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
    assert spread == (0.0, pytest.approx(between))
    assert known(spread_of_exact(pairs, [""] * 10)).between == pytest.approx(numpy.concatenate([yes, no]).std(ddof=1))
    assert spread_of_exact(pairs, ["Yes"] * 9 + ["No"]) == spread_of_exact(pairs, [""] * 10)
    assert spread_of_exact(pairs[:1], ["Yes"]) is None

    def power(count):
        t, df = stats.t.ppf(0.975, count - 2), count - 2
        return stats.nct.sf(t, df, 0.3 * math.sqrt(count) / between)

    needed = next(count for count in range(5, 1000) if power(count) >= 0.8)
    assert statements(spread, 0.3, strata=2) == needed
    assert known(statements(spread, 0.6, strata=2)) > known(statements(spread, 0.6))


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
    half = plan(Spread(within=0.8, between=0.3), 0.25, counted=0.5)
    assert [row.new_questions for row in half][2:5] == [
        row.new_questions for row in plan(Spread(0.8 * 2**0.5, 0.3), 0.25)
    ][2:5]
    assert half[1].fixed_questions is None, "one of the two samples counts"
