import pytest

from tests.benchmarks.coverage import COVERED, NO_EFFECT, for_paired_rates
from tests.benchmarks.coverage_grids import Crossed, FixedRates, Groups, Skewed
from tests.benchmarks.simulation import simulate

REPLICATES = 500
"""Fewer than in the benchmark, whose limits are 93 to 97 %, and 6 %: these allow for chance besides."""


@pytest.mark.parametrize("name", COVERED)
def test_an_interval_holds_the_truth_as_often_as_it_says(name):
    assert 0.925 <= simulate(COVERED[name], REPLICATES).coverage <= 0.975


@pytest.mark.parametrize("name", NO_EFFECT)
def test_where_there_is_no_effect_one_is_rarely_found(name):
    assert simulate(NO_EFFECT[name], 2 * REPLICATES).rejected <= 0.065


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("questions", [1, 8, 24])
def test_rates_of_half_are_covered_with_few_answers_a_question_too(questions, n):
    found = FixedRates(questions, n, before=0.5, rise=0.0, alike=True).simulate(REPLICATES)
    assert found.coverage >= 0.925
    assert found.rejected <= 0.075


def test_rare_rates_over_many_questions_have_a_far_narrower_interval_than_by_the_limits_of_each_question():
    cell = FixedRates(questions=24, n=10, before=0.05, rise=0.0, alike=True)
    found, (coverage, width) = cell.simulate(REPLICATES), cell.by_mover(REPLICATES)
    assert 0.925 <= found.coverage <= 0.98 < coverage
    assert found.width < 0.7 * width


@pytest.mark.parametrize(
    "cell", [Skewed(0.3, 1.2, 0.0, 8, 50), Skewed(0.1, 0.9, 0.02, 5, 50), Skewed(0.1, 0.9, 0.0, 24, 50)]
)
def test_rates_near_0_for_most_questions_and_high_for_some_are_covered(cell):
    assert simulate(cell.draw, REPLICATES).coverage >= 0.925


def test_rates_that_are_paired_by_question_have_an_interval_hardly_wider_than_students():
    found = simulate(for_paired_rates(8, 10, 1.0), REPLICATES)
    assert 0.91 <= found.coverage <= 0.98
    assert found.width < 0.37


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_or_three_seeds_that_hardly_differ_cost_little(seeds):
    cell = Crossed(questions=24, seeds=seeds, of_questions=0.4, of_seeds=0.0, of_both=0.05)
    found = simulate(cell.draw, REPLICATES)
    assert found.coverage >= 0.925
    assert found.width < 1.2 * cell.ideal()


@pytest.mark.parametrize("seeds", [2, 3])
def test_seeds_that_differ_much_are_covered(seeds):
    cell = Crossed(questions=24, seeds=seeds, of_questions=0.4, of_seeds=1.0, of_both=0.05)
    assert simulate(cell.draw, REPLICATES).coverage >= 0.915


@pytest.mark.parametrize("cell", [Groups(8, 1, 3, 0.4, 0.3, 0.05), Groups(8, 3, 3, 0.4, 0.3, 0.05)])
def test_groups_of_fine_tunes_that_differ_much_are_covered(cell):
    assert simulate(cell.draw, REPLICATES).coverage >= 0.925
