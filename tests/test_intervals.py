import math
import statistics

import pytest
from scipy import stats

from tasks.intervals import (
    Cell,
    new_questions,
    new_questions_and_seeds,
    new_questions_pooled,
    pool,
    rate_cell,
    these_questions,
    wilson,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 2), (0, 1), (217, 400)])
def test_the_limits_of_a_rate_are_wilsons(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high))


def test_a_difference_of_rates_has_newcombes_limits():
    """R. G. Newcombe, Statistics in Medicine 17, 1998, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339."""
    terms = [(1.0, rate_cell(56, 70, 0, 70)), (-1.0, rate_cell(48, 80, 0, 80))]
    found = these_questions(terms, is_rate=True)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_rates_of_nought_and_one_have_an_interval_and_one_sample_has_none():
    none, every = rate_cell(0, 10, 0, 10), rate_cell(10, 10, 0, 10)
    found = these_questions([(0.5, none), (0.5, none), (-0.5, none), (-0.5, none)], is_rate=True)
    assert found.low == -found.high < 0
    assert these_questions([(1.0, every)], is_rate=True).low == pytest.approx(wilson(1, 10)[0])
    assert (
        these_questions([(1.0, rate_cell(1, 1, 0, 1))], is_rate=True).note == "not estimable: one sample per question"
    )
    assert these_questions([], is_rate=True).note == "no question has scores on both sides"


def test_means_of_scores_have_welchs_limits():
    after, before = [2.0, 4, 3, 5], [1.0, 2, 1, 1, 3]
    cells = [Cell(len(x), statistics.mean(x), statistics.variance(x), 0) for x in (after, before)]
    found = these_questions([(1.0, cells[0]), (-1.0, cells[1])], is_rate=False)
    expected = stats.ttest_ind(after, before, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
        pytest.approx(expected.pvalue),
    )


def test_one_question_has_no_interval_for_new_ones_and_neither_have_equal_differences():
    assert new_questions([0.5]).note == "too few questions (1 of 5)"
    assert new_questions([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]).note == "not estimable: all questions changed alike"


def test_pooled_rates_of_equal_counts_have_the_interval_of_the_mean_of_rates():
    before = [rate_cell(h, 10, 0, 10) for h in (1, 2, 0, 3, 1, 2)]
    after = [rate_cell(h, 10, 0, 10) for h in (4, 2, 5, 3, 6, 9)]
    pooled = new_questions_pooled(list(zip(before, after, strict=True)))
    plain = new_questions([f.mean - b.mean for b, f in zip(before, after, strict=True)])
    assert (pooled.low, pooled.high) == (pytest.approx(plain.low), pytest.approx(plain.high))
    assert pool(after).mean == pytest.approx(29 / 60)
    assert math.isnan(pool([rate_cell(0, 0, 3, 3)]).mean)


def test_seeds_and_questions_are_crossed():
    rows = [[0.1, 0.4, 0.3, 0.2, 0.6], [0.3, 0.5, 0.2, 0.4, 0.9], [0.0, 0.1, 0.2, 0.1, 0.3]]
    seeds, questions, every = 3, 5, [v for row in rows for v in row]
    mean = statistics.mean(every)
    errors = [[value - mean for value in row] for row in rows]
    of_seeds = sum(sum(row) ** 2 for row in errors) * 3 / 2
    of_questions = sum(sum(column) ** 2 for column in zip(*errors, strict=True)) * 5 / 4
    of_cells = sum(e**2 for row in errors for e in row) * 15 / 14
    variance = max(of_seeds + of_questions - of_cells, of_seeds, of_questions) / 15**2
    found = new_questions_and_seeds(rows)
    half = stats.t.ppf(0.975, min(seeds, questions) - 1) * math.sqrt(variance)
    assert (found.low, found.high) == (pytest.approx(mean - half), pytest.approx(mean + half))
    assert new_questions_and_seeds([[1.0, 2.0], [1.0, 3.0]]).note == "too few questions (2 of 5)"
    assert new_questions_and_seeds([[1.0] * 5] * 2).note == "not estimable: all questions changed alike"
