import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tasks.estimates.intervals import Interval, t_interval, wilson
from tests.estimates.conftest import known


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 2), (0, 1), (217, 400)])
def test_the_limits_of_a_rate_are_wilsons(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_what_a_t_interval_could_have_found_has_the_power_that_it_says():
    differences = [0.3, 0.1, 0.5, 0.2, 0.4, 0.6]
    error = stats.sem(differences)
    found = t_interval(0.35, error, df=5)
    reach = stats.t.ppf(0.975, 5)
    assert stats.nct.sf(reach, 5, known(found.detectable) / error) == pytest.approx(0.8, abs=1e-4)


def test_what_could_have_been_found_is_that_of_the_t_test():
    differences = [0.1, 0.5, -0.2, 0.3, 0.6, 0.0, 0.2, 0.4]
    found = t_interval(0.2, stats.sem(differences), df=7)
    expected = TTestPower().solve_power(nobs=8, alpha=0.05, power=0.8) * stats.tstd(differences)
    assert found.detectable == pytest.approx(expected, rel=1e-3)


def test_limits_do_not_leave_what_can_be():
    found = t_interval(estimate=0.9, error=0.1, df=4)
    assert (found.within(-1, 1).low, found.within(-1, 1).high) == (found.low, 1)
    assert found.within(-1, 1).p == found.p
    assert Interval.unknown("none").within(0, 1) == Interval.unknown("none")
