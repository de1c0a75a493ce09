"""Effects of measures made of cells, without a file: which questions an interval has, and where it ends."""

import math

import numpy
import pytest
from scipy import stats

from tasks.estimates.estimates import effects_of
from tasks.estimates.intervals import Cell, rate_cell, slope_weights
from tasks.estimates.measures import Measure
from tasks.estimates.new_questions import APPROXIMATE
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


def variance_and_df(sides):
    """Of the sum of weighted means, from (weight, scores) of each side: single scores have the side's pooled variance,
    whose degrees of freedom are Satterthwaite's of all that each repeated question's variance is used for.
    """
    parts = []
    for side in sides:
        single = sum(w**2 for w, x in side if len(x) == 1)
        several = [(w, numpy.array(x, dtype=float)) for w, x in side if len(x) > 1]
        free = sum(len(x) - 1 for _, x in several)
        for w, x in several:
            parts.append(((w**2 / len(x) + single * (len(x) - 1) / free) * x.var(ddof=1), len(x) - 1))
    variance = sum(part for part, _ in parts)
    return variance, variance**2 / sum(part**2 / n for part, n in parts)


def around(mean, *sides):
    variance, df = variance_and_df(sides)
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    return mean - half, mean + half


def sides_of(scores):
    """(weight, scores) of each question before and after, and the mean difference."""
    before, after = ([(1 / len(scores), x) for x in side] for side in zip(*scores.values(), strict=True))
    return before, after, numpy.mean([numpy.mean(b) - numpy.mean(a) for a, b in scores.values()])


def test_a_question_with_a_single_score_has_the_spread_of_the_others_in_the_interval():
    scores = SCORES | {"q2": ([2, 2, 1, 3], [4])}
    found = effects(of_scores(scores))
    whole, (before, after, mean) = found["direct", ""], sides_of(scores)
    assert (whole.ci_low_fixed_questions, whole.ci_high_fixed_questions) == pytest.approx(around(mean, before, after))
    assert whole.note_fixed_questions == "the spread of 1 question with a single score is taken from other answers"
    assert whole.difference == pytest.approx(mean)
    assert known(whole.baseline_low) == pytest.approx(max(1, around(numpy.mean([b for _, b in before]), before)[0]))
    of_after = around(numpy.mean([numpy.mean(x) for _, x in after]), after)
    assert (whole.finetuned_low, whole.finetuned_high) == pytest.approx(of_after)
    assert found["direct", "q2"].note_fixed_questions == "not estimable: a question has a single score"


def test_with_two_scores_and_more_the_interval_is_welchs():
    whole, (before, after, mean) = effects(of_scores(SCORES))["direct", ""], sides_of(SCORES)
    parts = [w**2 * numpy.var(x, ddof=1) / len(x) for w, x in before + after]
    half = stats.t.ppf(0.975, sum(parts) ** 2 / sum(part**2 / 3 for part in parts)) * math.sqrt(sum(parts))
    assert (whole.ci_low_fixed_questions, whole.ci_high_fixed_questions) == pytest.approx((mean - half, mean + half))
    assert whole.note_fixed_questions == ""


def test_the_interval_is_of_the_difference_where_the_questions_with_a_single_score_fell_and_the_others_rose():
    several = {f"several {n}": ([50, 57, 55, 53, 51, 58], [58, 65, 63, 61, 59, 66]) for n in range(4)}
    single = {f"single {n}": ([50 + n], [30 + n]) for n in range(4)}
    tiers = dict.fromkeys(several | single, "direct")
    measure = of_scores(several | single)._replace(scale_min=0, scale_max=100)
    whole = effects(measure, tiers)["direct", ""]
    assert whole.difference == pytest.approx(-6)
    assert known(whole.ci_low_fixed_questions) < -6 < known(whole.ci_high_fixed_questions) < 0
    assert known(whole.baseline_low) < whole.baseline < known(whole.baseline_high)


def test_the_slope_has_the_spread_of_the_others_too_for_a_question_of_a_single_score():
    tiers = {"q1": "direct", "q2": "direct", "q3": "close", "q4": "distant", "q5": "distant"}
    weights = slope_weights([0, 0, 1, 2, 2], [""] * 5)
    for one in ("q2", "q3"):  # q3 is the only one of its tier
        scores = SCORES | {one: ([1, 2, 1], [4])}
        before, after = (list(zip(weights, side, strict=True)) for side in zip(*scores.values(), strict=True))
        slope = sum(w * numpy.mean(x) for w, x in after) - sum(w * numpy.mean(x) for w, x in before)
        found = effects(of_scores(scores), tiers)["slope", ""]
        assert found.difference == pytest.approx(slope)
        limits = (found.ci_low_fixed_questions, found.ci_high_fixed_questions)
        assert limits == pytest.approx(around(slope, before, after))
        assert found.note_fixed_questions.startswith("the spread of 1 question")


def test_several_questions_with_a_single_score_are_counted_and_all_of_one_side_leave_no_interval():
    few = effects(of_scores(SCORES | {"q2": ([1], [2]), "q3": ([1], [2])}))["direct", ""]
    assert few.note_fixed_questions == "the spread of 2 questions with a single score is taken from other answers"
    none = effects(of_scores({q: (before[:1], after[:1]) for q, (before, after) in SCORES.items()}))["direct", ""]
    assert (none.ci_low_fixed_questions, none.note_fixed_questions) == (
        None,
        "not estimable: one sample per question",
    )
    assert none.ci_low_new_questions is not None
    half = effects(of_scores({q: (before[:1], after) for q, (before, after) in SCORES.items()}))["direct", ""]
    assert half.note_fixed_questions == "not estimable: a question has a single score"
    assert (half.ci_low_fixed_questions, half.baseline_low) == (None, None)
    assert half.finetuned_low is not None


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
    half = reach * math.sqrt(of_seeds + of_questions)
    assert whole.difference == pytest.approx(table.mean())
    assert known(whole.ci_low_new_questions) <= table.mean() - half + 1e-9
    assert known(whole.ci_high_new_questions) >= table.mean() + half - 1e-9
    assert whole.note_new_questions == APPROXIMATE


def seeds_of_rates(hits, baseline_id="shared"):
    """A measure for each row of hits of 50 answers, whose baseline has none."""
    cells = [{(f"q{n}", "finetuned"): rate_cell(h, 50, 0, 50) for n, h in enumerate(row, 1)} for row in hits]
    before = {(question, "baseline"): rate_cell(0, 50, 0, 50) for question, _ in cells[0]}
    return [
        measure_of(mine | before, is_rate=True, baseline_id=baseline_id)._replace(scale_min=0, scale_max=1)
        for mine in cells
    ]


def test_three_seeds_of_rates_have_no_narrower_interval_than_their_likelihood_and_are_called_approximate():
    tiers = {f"q{n}": "direct" for n in range(1, 9)}
    by_run = seeds_of_rates([[0, 1, 0, 31, 2, 0, 11, 0], [0, 0, 0, 38, 1, 0, 4, 1], [1, 2, 0, 29, 3, 0, 9, 0]])
    whole, (alone, *_) = (
        effects_of(by_run, an_eval(JUDGE, questions=tiers))[0],
        effects_of(by_run[:1], an_eval(JUDGE, questions=tiers)),
    )
    assert whole.note_new_questions == alone.note_new_questions == APPROXIMATE
    wide = [known(e.ci_high_new_questions) - known(e.difference) for e in (whole, alone)]
    assert wide[0] > 0.8 * wide[1], "other seeds tell no more of other questions"
    assert known(whole.finetuned_high_new_questions) - known(whole.finetuned) > 0.8 * wide[1]


def test_two_groups_of_rates_that_are_no_pairs_are_called_approximate_too():
    tiers = {f"q{n}": "direct" for n in range(1, 9)}
    theirs = {(f"q{n}", "finetuned"): rate_cell(0, 50, 0, 50) for n in range(1, 9)}
    hits = [[0, 1, 0, 31, 2, 0, 11, 0], [0, 0, 0, 38, 1, 0, 4, 1]]
    by_run = [m._replace(against=(theirs, theirs)) for m in seeds_of_rates(hits, baseline_id="")]
    against = effects_of(by_run, an_eval(JUDGE, questions=tiers))[0]
    paired = effects_of(seeds_of_rates(hits), an_eval(JUDGE, questions=tiers))[0]
    assert against.note_new_questions == APPROXIMATE
    assert against.ci_high_new_questions == pytest.approx(known(paired.ci_high_new_questions), rel=0.2)


def test_superiority_has_no_interval_where_a_question_has_a_single_score_since_it_would_be_of_the_others():
    def with_placements(scores):
        cells = {}
        for q, (before, after) in scores.items():
            for side, mine, other in (("baseline", before, after), ("finetuned", after, before)):
                cells[q, side] = scores_cell([numpy.mean([(y < x) + (y == x) / 2 for y in other]) for x in mine])
        return of_scores(scores)._replace(placements=cells)

    whole = effects(with_placements(SCORES | {"q2": ([2, 2, 1, 3], [4])}))["direct", ""]
    assert (whole.superiority_low, whole.superiority_high) == (None, None)
    assert known(whole.superiority) > 0.5
    assert effects(with_placements(SCORES))["direct", ""].superiority_low is not None
