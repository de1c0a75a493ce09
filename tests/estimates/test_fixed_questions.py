import math
import statistics

import numpy
import pytest
from scipy import optimize, stats

from tasks.estimates.fixed_questions import fixed_questions, superiority_fixed_questions
from tasks.estimates.intervals import Cell, rate_cell, wilson
from tests.estimates.conftest import known, limits


def rates_of(before, after, weights=None):
    """Terms of rates from (hits, answers) of each question on both sides, and by default of equal weights."""
    weights = weights or [1 / len(before)] * len(before)
    cells = [[rate_cell(hits, n, 0, n) for hits, n in side] for side in (before, after)]
    return [(w, c) for w, c in zip(weights, cells[1], strict=True)] + [
        (-w, c) for w, c in zip(weights, cells[0], strict=True)
    ]


def equal_answers(weights, n):
    """Satterthwaite's formula for parts w²/n of n degrees of freedom each."""
    parts = numpy.square(weights) / n
    return parts.sum() ** 2 / (parts**2 / n).sum()


def mean_rate(weights, side):
    """A mean rate and its effective number of answers, from (hits, answers) of each question."""
    hits, n = numpy.array(side, dtype=float).T
    w, p = numpy.array(weights) / sum(weights), hits / n
    mean, answers = (w * p).sum(), 1 / (w**2 / n).sum()
    within = (w**2 * p * (1 - p) / (n - 1)).sum()
    few = min(mean, 1 - mean) * equal_answers(w, n)
    ratio = within * (answers - 1) / (mean * (1 - mean)) if 0 < mean < 1 else 1
    return mean, answers * (few + 1) / (few * ratio + 1)


def by_mover(before, after, weights, q):
    """The limits of the difference of both mean rates for the quantile q."""
    (p, n), (r, m) = mean_rate(weights, before), mean_rate(weights, after)
    (p_low, p_high), (r_low, r_high) = wilson(p, n, q), wilson(r, m, q)
    return r - p - math.hypot(r - r_low, p_high - p), r - p + math.hypot(r_high - r, p - p_low)


UNLIKE = [(0, 4), (1, 10), (9, 10), (3, 30)], [(2, 4), (8, 9), (10, 10), (4, 25)]
"""Hits and answers of four questions before and after, which are alike in nothing."""


def test_a_difference_of_rates_has_newcombes_limits_with_t_for_z():
    """R. G. Newcombe, Statistics in Medicine 17, 1998, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339."""
    assert by_mover([(48, 80)], [(56, 70)], [1], stats.norm.ppf(0.975)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    quantile = stats.t.ppf(0.975, (1 / 70 + 1 / 80) ** 2 / (1 / 70**3 + 1 / 80**3))
    found = fixed_questions(rates_of([(48, 80)], [(56, 70)]), is_rate=True)
    assert limits(found) == pytest.approx(by_mover([(48, 80)], [(56, 70)], [1], quantile))


def test_rates_of_several_questions_are_two_mean_rates_of_as_many_answers_as_tell_as_much():
    before, after = UNLIKE
    weights, answers = [0.25] * 4, numpy.array([n for _, n in before + after])
    quantile = stats.t.ppf(0.975, equal_answers(numpy.array(weights * 2), answers))
    found = fixed_questions(rates_of(before, after), is_rate=True)
    assert limits(found) == pytest.approx(by_mover(before, after, weights, quantile))
    alike = [(3, 10)] * 8
    same = fixed_questions(rates_of(alike, alike), is_rate=True)
    once = fixed_questions(rates_of([(24, 80)], [(24, 80)]), is_rate=True)
    assert limits(same) == pytest.approx(limits(once), rel=0.05), "questions that are alike tell as much as one"


def test_the_p_of_rates_is_where_their_interval_just_touches_0():
    before, after = UNLIKE
    weights, answers = [0.25] * 4, numpy.array([n for _, n in before + after])
    touches = optimize.brentq(lambda q: by_mover(before, after, weights, q)[0], 0.1, 20)
    found = fixed_questions(rates_of(before, after), is_rate=True)
    assert found.p == pytest.approx(2 * stats.t.sf(touches, equal_answers(numpy.array(weights * 2), answers)))
    turned = fixed_questions([(-w, cell) for w, cell in rates_of(before, after)], is_rate=True)
    assert turned.p == pytest.approx(found.p)
    assert limits(turned) == pytest.approx(tuple(-limit for limit in reversed(limits(found))))


@pytest.mark.parametrize("questions", [1, 5, 40])
def test_rare_hits_are_told_from_none_however_many_questions_they_are_spread_over(questions):
    """Nine hits of 400 answers against none of 400: pooled p is 0.006."""
    n = 400 // questions
    hits = numpy.bincount(numpy.arange(9) % questions, minlength=questions)
    terms = rates_of([(0, n)] * questions, [(int(h), n) for h in hits])
    found = fixed_questions(terms, is_rate=True)
    assert 0.005 < known(found.p) < 0.007
    assert known(found.low) > 0


def test_a_question_with_a_single_answer_has_its_part_in_the_interval_of_rates():
    found = fixed_questions(rates_of([(0, 1), (2, 10)], [(1, 1), (3, 10)]), is_rate=True)
    low, high = limits(found)
    assert low < 0 < high
    assert limits(fixed_questions(rates_of([(1, 1)] * 9 + [(0, 1)] * 9, [(1, 1)] * 18), is_rate=True))[0] > 0


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


def test_rates_that_are_equal_have_a_p_of_1_and_those_far_apart_one_near_0():
    half, full = rate_cell(5, 10, 0, 10), rate_cell(4000, 4000, 0, 4000)
    assert fixed_questions([(1.0, half), (-1.0, half)], is_rate=True).p == 1.0
    assert known(fixed_questions([(1.0, full), (-1.0, rate_cell(0, 4000, 0, 4000))], is_rate=True).p) < 1e-20


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


def test_two_questions_have_an_interval_for_themselves():
    cell = Cell(5, 1.0, 0.5, 0)
    found = fixed_questions([(0.5, cell), (0.5, cell), (-0.5, cell), (-0.5, cell)], is_rate=False)
    low, high = limits(found)
    assert high == -low > 0
    assert superiority_fixed_questions([]).note.startswith("not estimable")
