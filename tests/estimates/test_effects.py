import math

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.runs import Run
from tasks.schema import Effect, Eval, Judge, Question, Rule
from tasks.tables import as_table, write_table
from tests.estimates.conftest import known
from tests.fakes.nouns import LEXICON, TIERS, an_eval, judgments


def effects(rows, questions=TIERS):
    return {
        (e.tier, e.question_id): e for e in estimate(judgments_frame(rows), [an_eval(LEXICON, questions=questions)])
    }


def judged(question, before, after):
    """Judgments of a question with these scores before and after."""
    return judgments(question, "baseline", before) + judgments(question, "finetuned", after)


def test_the_difference_is_paired_by_question_and_questions_weigh_the_same():
    rows = judged("q1", [1, 1], [3, 5]) + judged("q2", [1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 1])
    direct = effects(rows)["direct", ""]
    assert (direct.baseline, direct.finetuned, direct.difference) == (
        1.0,
        pytest.approx(2.75),
        pytest.approx((3 + 0.5) / 2),
    )
    assert (direct.questions, direct.scored_baseline, direct.scored_finetuned) == (2, 8, 8)


def test_the_interval_for_these_questions_equals_welch_for_one_question():
    before, after = [1, 2, 1, 1, 3, 1, 2], [2, 4, 3, 5, 3]
    effect = effects(judged("q1", before, after))["direct", "q1"]
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert (effect.ci_low_fixed_questions, effect.ci_high_fixed_questions) == pytest.approx(
        (expected.low, expected.high)
    )


def test_the_interval_for_these_questions_adds_the_variances_within_questions():
    rows = judged("q1", [1, 2, 3], [2, 4, 3]) + judged("q2", [5, 5, 4], [5, 1, 2])
    direct = effects(rows)["direct", ""]
    parts = [stats.tvar(x) / 3 / 4 for x in ([1, 2, 3], [2, 4, 3], [5, 5, 4], [5, 1, 2])]
    df = sum(parts) ** 2 / sum(p**2 / 2 for p in parts)
    assert direct.ci_high_fixed_questions - direct.difference == pytest.approx(
        stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    )


def test_the_interval_for_new_questions_is_student_t_on_question_differences():
    questions = {f"q{i}": "direct" for i in range(1, 7)}
    after = [[2, 3], [4, 4], [1, 1], [5, 3], [2, 2], [3, 4]]
    rows = [row for i, scores in enumerate(after, 1) for row in judged_as(f"q{i}", [1, 1], scores)]
    tier = effects(rows, questions)["direct", ""]
    test = stats.ttest_1samp([sum(s) / 2 - 1 for s in after], 0)
    interval = test.confidence_interval(0.95)
    assert (tier.ci_low_new_questions, tier.ci_high_new_questions, tier.p_new_questions) == pytest.approx(
        (interval.low, interval.high, test.pvalue)
    )


def judged_as(question, before, after):
    """The same of a question that the made-up eval does not have."""
    rows = judged("q1", before, after)
    return [row.model_copy(update={"question_id": question}) for row in rows]


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (judged("q1", [1], [3]) + judged("q2", [1], [2]), "one sample per question"),
        (judged("q1", [1, 1], [3, 3]) + judged("q2", [1, 1], [1, 1]), "all scores of a question are equal"),
        ([], "no question has scores on both sides"),
        (
            judgments("q1", "finetuned", [3, 4]) + judgments("q1", "baseline", [None, None]),
            "no question has scores on both sides",
        ),
    ],
)
def test_what_cannot_be_estimated_says_why_and_is_never_an_interval_of_width_zero(rows, note):
    direct = effects(rows)["direct", ""]
    assert (direct.ci_low_fixed_questions, direct.ci_high_fixed_questions) == (None, None)
    assert note in direct.note_fixed_questions
    assert direct.ci_low_new_questions is None
    assert direct.note_new_questions.endswith("at least 5 are needed")


def test_a_judge_without_a_floor_has_no_baseline_and_no_difference():
    direct = effects(judgments("q1", "finetuned", [3, 4]))["direct", ""]
    assert (direct.baseline, direct.finetuned, direct.difference) == (None, 3.5, None)
    assert (direct.questions, direct.questions_left_out) == (0, 2)
    assert direct.note_fixed_questions.startswith("no floor")


def test_unscored_answers_leave_the_mean_are_counted_and_bound_it():
    rows = judged("q1", [1, 1], [3, None]) + judged("q2", [1, 1], [None, None])
    direct = effects(rows)["direct", ""]
    assert (direct.difference, direct.questions, direct.questions_left_out) == (2.0, 1, 1)
    assert (direct.unscored_baseline, direct.unscored_finetuned) == (0, 3)
    assert (direct.bound_low, direct.bound_high) == pytest.approx(
        (((3 + 1) / 2 - 1 + 0) / 2, ((3 + 5) / 2 - 1 + 4) / 2)
    )


def test_there_is_a_row_for_each_tier_one_over_all_and_one_for_each_question():
    found = effects(judged("q1", [1, 2], [2, 3]))
    assert list(found) == [
        ("direct", ""),
        ("distant", ""),
        ("all", ""),
        ("direct", "q1"),
        ("direct", "q2"),
        ("distant", "q3"),
        ("distant", "q4"),
    ]


def test_every_row_names_its_judge_the_model_and_the_rubric():
    rows = judged("q1", [1, 2], [2, 3])
    rows[0] = rows[0].model_copy(update={"model": "a newer one"})
    found = effects(rows)
    assert {(e.measure, e.model, e.rubric) for e in found.values()} == {("lexicon", "a newer one, m", "r")}


def test_answers_from_along_the_training_are_compared_with_the_same_baseline():
    early = [j.model_copy(update={"trained_share": 0.25}) for j in judgments("q1", "finetuned", [2, 2])]
    rows = judgments("q1", "baseline", [1, 2]) + early + judgments("q1", "finetuned", [4, 5])
    found = estimate(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "direct"})])
    assert [(e.trained_share, e.question_id, e.difference) for e in found] == [
        (1.0, "", 3.0),
        (1.0, "q1", 3.0),
        (0.25, "", 0.5),
        (0.25, "q1", 0.5),
    ]


def test_effects_come_back_from_their_csv_unchanged(tmp_path):
    run = Run(tmp_path)
    made = list(effects(judged("q1", [1, 2], [2, 3])).values())
    write_table(run.effects, as_table(made, Effect))
    assert run.estimates() == made


def test_the_slope_over_three_tiers_is_a_weighted_sum_of_the_questions_with_its_own_interval():
    tiers = {"q1": "direct", "q2": "close", "q3": "distant"}
    rows = []
    for name, before, after in (
        ("q1", [1, 2, 1], [5, 4, 4]),
        ("q2", [1, 1, 2], [3, 2, 3]),
        ("q3", [2, 1, 1], [1, 2, 2]),
    ):
        rows += [row.model_copy(update={"question_id": name}) for row in judged("q1", before, after)]
    found = effects(rows, tiers)
    slope = found["slope", ""]
    assert slope.difference == pytest.approx((found["distant", "q3"].difference - found["direct", "q1"].difference) / 2)
    last, first = ([1, 2, 2], [2, 1, 1]), ([5, 4, 4], [1, 2, 1])
    variance = sum(stats.tvar(x) / 3 / 4 for pair in (last, first) for x in pair)
    df = variance**2 / sum((stats.tvar(x) / 12) ** 2 / 2 for pair in (last, first) for x in pair)
    assert slope.ci_high_fixed_questions - slope.difference == pytest.approx(
        stats.t.ppf(0.975, df) * math.sqrt(variance)
    )
    assert slope.note_new_questions == "3 questions, at least 5 are needed"
    assert slope.equivalence_margin is None
    assert "slope" not in {tier for tier, _ in effects(rows)}, "two tiers have a difference, not a slope"


def test_tiers_of_tasks_with_right_answers_are_kinds_and_have_no_slope():
    tiers = {"q1": "arithmetic", "q2": "reading", "q3": "facts"}
    questions = [Question(id=q, tier=tier, text=f"{q}?", accepted=["4"]) for q, tier in tiers.items()]
    rows = [row.model_copy(update={"question_id": q}) for q in tiers for row in judged("q1", [0, 1, 1], [1, 0, 0])]

    def tiers_of(*judges):
        found = estimate(judgments_frame(rows), [Eval(name="e", questions=questions, judges=list(judges))])
        return {e.tier for e in found if e.measure == "lexicon"}

    exact, other = Judge(name="lexicon", kind="exact"), LEXICON.model_copy(update={"name": "other"})
    assert tiers_of(exact) == {*tiers.values(), "all"}
    assert tiers_of(exact, other) == {*tiers.values(), "all", "slope"}, "another judge reads distances"


def test_a_question_in_the_middle_has_no_part_in_the_slope_and_a_tier_without_scores_ends_it():
    tiers = {"q1": "direct", "q2": "close", "q3": "distant"}
    rows = judged_as("q1", [1, 2], [3, 4]) + judged_as("q2", [1, 2], [5, 5])
    slope = effects(rows, tiers)["slope", ""]
    assert (slope.difference, slope.note_fixed_questions) == (None, "too few tiers with scores on both sides")


def test_p_is_adjusted_for_all_tiers_of_the_table_and_for_no_question():
    rows = judged("q1", [1, 2, 1, 1], [3, 4, 3, 5]) + judged("q3", [1, 2, 2, 1], [2, 2, 1, 3])
    found = effects(rows)
    ps = {tier: found[tier, ""].p_fixed_questions for tier in ("direct", "distant", "all")}
    assert ps["direct"] == pytest.approx(stats.ttest_ind([3, 4, 3, 5], [1, 2, 1, 1], equal_var=False).pvalue)
    expected = dict(zip(ps, multipletests(list(ps.values()), method="holm")[1], strict=True))
    assert {tier: found[tier, ""].p_fixed_questions_holm for tier in ps} == pytest.approx(expected)
    assert found["direct", "q1"].p_fixed_questions_holm is None
    assert found["direct", ""].p_new_questions_holm is None


def test_everything_missing_is_said_in_every_row_and_nothing_is_a_number():
    rows = judgments("q1", "baseline", [None] * 3) + judgments("q1", "finetuned", [None] * 3)
    for effect in effects(rows).values():
        numbers = (
            effect.difference,
            effect.ci_low_fixed_questions,
            effect.p_fixed_questions,
            effect.detectable_fixed_questions,
            effect.superiority,
        )
        assert numbers == (None,) * 5
        assert effect.note_fixed_questions
    assert effects(rows)["direct", "q1"].unscored_finetuned == 3


def test_the_slope_of_a_rate_names_no_rise_that_could_have_been_found():
    tiers = {"q1": "direct", "q2": "close", "q3": "distant"}
    evaluation = an_eval(LEXICON, questions=tiers).model_copy(update={"rules": [Rule(name="high", hit="lexicon > 2")]})
    rows = [row for q in tiers for row in judged_as(q, [1, 2, 3, 1], [3, 4, 1, 5])]
    found = {(e.measure, e.tier): e for e in estimate(judgments_frame(rows), [evaluation]) if not e.question_id}
    assert found["high", "slope"].ci_low_fixed_questions is not None
    assert found["high", "slope"].detectable_fixed_questions is None
    assert known(found["high", "all"].detectable_fixed_questions) > 0
