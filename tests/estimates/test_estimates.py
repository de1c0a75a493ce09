"""Effects of measures made of cells, without a file: which questions an interval has, and where it ends."""

import math

import numpy
import pytest
from scipy import stats

from tasks.estimates.estimates import effects_of
from tasks.estimates.intervals import Cell, rate_cell
from tasks.estimates.measures import Measure
from tasks.schema import Eval, Judge, Rule
from tests.estimates.conftest import known
from tests.fakes.nouns import an_eval

JUDGE = Judge(name="j", kind="claude", prompt="?")
SCORES = {
    "q1": ([1, 2, 1, 1], [3, 4, 3, 5]),
    "q2": ([2, 2, 1, 3], [2, 3, 3, 2]),
    "q3": ([1, 1, 2, 2], [1, 2, 2, 3]),
    "q4": ([3, 2, 2, 3], [5, 5, 4, 5]),
    "q5": ([1, 3, 1, 2], [2, 2, 4, 2]),
}


def scores_cell(scores):
    values = numpy.array(scores, dtype=float)
    return Cell(len(values), values.mean(), values.var(ddof=1) if len(values) > 1 else math.nan, 0)


def measure_of(cells, **more) -> Measure:
    return Measure("e", "j", "m", "r", cells, scale_min=1, scale_max=5, margin_share=0.05, **more)


def of_scores(scores) -> Measure:
    before = {(q, "baseline"): scores_cell(x) for q, (x, _) in scores.items() if x}
    return measure_of(before | {(q, "finetuned"): scores_cell(x) for q, (_, x) in scores.items() if x})


def effects(measure: Measure, tiers=None):
    evaluation: Eval = an_eval(JUDGE, questions=tiers or dict.fromkeys(SCORES, "direct"))
    return {(e.tier, e.question_id): e for e in effects_of([measure], evaluation)}


def welch(scores):
    """The limits of the mean difference over these questions, by the variances within them."""
    weight = 1 / len(scores)
    parts = [weight**2 * numpy.var(x, ddof=1) / len(x) for both in scores.values() for x in both]
    free = [len(x) - 1 for both in scores.values() for x in both]
    df = sum(parts) ** 2 / sum(part**2 / n for part, n in zip(parts, free, strict=True))
    mean = numpy.mean([numpy.mean(after) - numpy.mean(before) for before, after in scores.values()])
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    return mean - half, mean + half


def test_a_question_with_a_single_score_is_left_out_of_the_interval_and_of_nothing_else():
    found = effects(of_scores(SCORES | {"q2": ([2, 2, 1, 3], [4])}))
    whole = found["direct", ""]
    others = {q: both for q, both in SCORES.items() if q != "q2"}
    assert (whole.ci_low_fixed_questions, whole.ci_high_fixed_questions) == pytest.approx(welch(others))
    assert whole.note_fixed_questions == "without 1 question that has a single score"
    assert whole.difference == pytest.approx((sum(numpy.subtract(b, a).mean() for a, b in others.values()) + 2) / 5)
    assert known(whole.p_fixed_questions) < 0.05
    assert whole.baseline_low == pytest.approx(found_level(SCORES, 0)[0]), "the other side has its scores"
    assert known(whole.finetuned_low) == pytest.approx(found_level(others, 1)[0])
    assert found["direct", "q2"].note_fixed_questions == "not estimable: a question has a single score"
    assert effects(of_scores(SCORES))["direct", ""].note_fixed_questions == ""


def found_level(scores, side):
    """The limits of the mean of one side."""
    cells = [numpy.array(both[side]) for both in scores.values()]
    parts = [x.var(ddof=1) / len(x) / len(cells) ** 2 for x in cells]
    df = sum(parts) ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, cells, strict=True))
    mean, half = numpy.mean([x.mean() for x in cells]), stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    return max(1, mean - half), min(5, mean + half)


def test_the_slope_is_without_a_question_of_a_single_score_too_unless_a_tier_would_be_empty():
    tiers = {"q1": "direct", "q2": "direct", "q3": "close", "q4": "distant", "q5": "distant"}
    single = ([1, 2, 1], [4])
    slope = effects(of_scores(SCORES | {"q2": single}), tiers)["slope", ""]
    rest = effects(of_scores({q: both for q, both in SCORES.items() if q != "q2"}), tiers)["slope", ""]
    assert slope.ci_low_fixed_questions == pytest.approx(rest.ci_low_fixed_questions)
    assert slope.note_fixed_questions == "without 1 question that has a single score"
    emptied = effects(of_scores(SCORES | {"q3": single}), tiers)["slope", ""]
    assert (emptied.ci_low_fixed_questions, emptied.note_fixed_questions) == (
        None,
        "not estimable: a question has a single score",
    )


def test_several_questions_with_a_single_score_are_counted_and_all_of_them_leave_no_interval():
    few = effects(of_scores(SCORES | {"q2": ([1], [2]), "q3": ([1], [2])}))["direct", ""]
    assert few.note_fixed_questions == "without 2 questions that have a single score"
    none = effects(of_scores({q: (before[:1], after[:1]) for q, (before, after) in SCORES.items()}))["direct", ""]
    assert (none.ci_low_fixed_questions, none.note_fixed_questions) == (
        None,
        "not estimable: one sample per question",
    )
    assert none.ci_low_new_questions is not None


def test_one_model_without_a_baseline_has_an_interval_of_its_mean_for_new_questions():
    whole = effects(of_scores({q: ([], after) for q, (_, after) in SCORES.items()}))["direct", ""]
    interval = stats.ttest_1samp([numpy.mean(after) for _, after in SCORES.values()], 0).confidence_interval(0.95)
    limits = (whole.finetuned_low_new_questions, whole.finetuned_high_new_questions)
    assert limits == pytest.approx((interval.low, interval.high))
    assert (whole.baseline_low_new_questions, whole.note_new_questions) == (None, "no baseline")


def test_means_of_both_sides_have_their_interval_for_new_questions():
    whole = effects(of_scores(SCORES))["direct", ""]
    for side, low, high in (
        (0, whole.baseline_low_new_questions, whole.baseline_high_new_questions),
        (1, whole.finetuned_low_new_questions, whole.finetuned_high_new_questions),
    ):
        test = stats.ttest_1samp([numpy.mean(both[side]) for both in SCORES.values()], 0)
        interval = test.confidence_interval(0.95)
        assert (low, high) == pytest.approx((max(1, interval.low), min(5, interval.high)))


def test_no_interval_leaves_the_scale():
    far = {q: ([1, 1, 1, 2], [5, 5, 5, 3]) for q in SCORES} | {"q5": ([1, 3], [5, 1])}
    whole = effects(of_scores(far))["direct", ""]
    question = effects(of_scores(far))["direct", "q5"]
    assert (question.ci_low_fixed_questions, question.ci_high_fixed_questions) == (-4, 4)
    assert (question.finetuned_low, question.finetuned_high) == (1, 5)
    assert (whole.baseline_low_new_questions, whole.finetuned_high_new_questions) == (1, 5)


def test_a_pooled_rule_has_the_interval_of_its_ratio_for_new_questions_on_each_side():
    hits = {"q1": (0, 4), "q2": (1, 10), "q3": (5, 9), "q4": (2, 6), "q5": (7, 7)}
    cells = {(q, "finetuned"): rate_cell(h, n, 0, n) for q, (h, n) in hits.items()}
    rule = Rule(name="j", hit="j >= 3", over="pooled")
    found = effects(measure_of(cells, rule=rule, is_rate=True)._replace(scale_min=0, scale_max=1))["direct", ""]
    h, n = (numpy.array(column) for column in zip(*hits.values(), strict=True))
    rate, count = h.sum() / n.sum(), len(h)
    error = math.sqrt(count / (count - 1) * (((h - rate * n) / n.sum()) ** 2).sum())
    assert found.finetuned == pytest.approx(rate)
    reach = stats.t.ppf(0.975, count - 1) * error
    assert (found.finetuned_low_new_questions, found.finetuned_high_new_questions) == (
        max(0, rate - reach),
        pytest.approx(rate + reach),
    )


def test_a_pooled_rule_over_seeds_is_crossed_with_them():
    seeds = [
        {"q1": (0, 4), "q2": (1, 10), "q3": (5, 9), "q4": (2, 6), "q5": (7, 7)},
        {"q1": (1, 4), "q2": (3, 10), "q3": (6, 9), "q4": (1, 6), "q5": (5, 7)},
    ]
    rule, values = Rule(name="j", hit="j >= 3", over="pooled"), []
    by_run = []
    for hits in seeds:
        cells = {(q, "finetuned"): rate_cell(h, n, 0, n) for q, (h, n) in hits.items()}
        cells |= {(q, "baseline"): rate_cell(0, 10, 0, 10) for q in hits}
        by_run.append(measure_of(cells, rule=rule, is_rate=True)._replace(scale_min=0, scale_max=1))
        h, n = (numpy.array(column) for column in zip(*hits.values(), strict=True))
        values.append(h.sum() / n.sum() + len(h) * (h - h.sum() / n.sum() * n) / n.sum())
    whole = effects_of(by_run, an_eval(JUDGE, questions=dict.fromkeys(SCORES, "direct")))[0]
    table = numpy.array(values)
    of_seeds, of_questions = table.mean(axis=1).var(ddof=1) / 2, table.mean(axis=0).var(ddof=1) / 5
    reach = (of_seeds * stats.t.ppf(0.975, 1) + of_questions * stats.t.ppf(0.975, 4)) / (of_seeds + of_questions)
    assert whole.difference == pytest.approx(table.mean())
    assert whole.ci_low_new_questions == pytest.approx(table.mean() - reach * math.sqrt(of_seeds + of_questions))
    assert whole.note_new_questions == ""


def test_superiority_has_an_interval_without_a_question_of_a_single_score_too():
    def with_placements(scores):
        cells = {}
        for q, (before, after) in scores.items():
            for side, mine, other in (("baseline", before, after), ("finetuned", after, before)):
                cells[q, side] = scores_cell([numpy.mean([(y < x) + (y == x) / 2 for y in other]) for x in mine])
        return of_scores(scores)._replace(placements=cells)

    whole = effects(with_placements(SCORES | {"q2": ([2, 2, 1, 3], [4])}))["direct", ""]
    others = effects(with_placements({q: both for q, both in SCORES.items() if q != "q2"}))["direct", ""]
    limits = (whole.superiority_low, whole.superiority_high)
    assert limits == pytest.approx((others.superiority_low, others.superiority_high))
    assert known(whole.superiority) > known(others.superiority), "the question has its part in the mean"
