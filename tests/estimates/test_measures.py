"""Measures, against numbers worked out with numpy and scipy alone."""

import numpy
import pytest
from scipy import special, stats

from tasks.definitions import choose_judges
from tasks.estimates.effects import estimate
from tasks.estimates.findings import headline
from tasks.estimates.judgments import judgments_frame
from tasks.schema import Eval, Rule
from tests.fakes.nouns import LEXICON, an_eval, judgments
from tests.fakes.statements import EACH, TIERS, a_statement_eval, drift_rows, yes_rows

RANDOM = numpy.random.default_rng(5)
BEFORE, AFTER = RANDOM.uniform(0.1, 0.9, (2, len(TIERS) * EACH))
MATCHES_YES = numpy.tile(numpy.arange(EACH) < EACH // 2, len(TIERS))
DIFFERENCES = {"yes": AFTER - BEFORE, "choice": numpy.where(MATCHES_YES, AFTER - BEFORE, BEFORE - AFTER)}


def effects_of_statements(measure):
    rows = yes_rows(BEFORE.tolist(), AFTER.tolist())
    effects = estimate(judgments_frame([]), [a_statement_eval()], rows)
    return {e.tier: e for e in effects if e.measure == measure and not e.is_of_question}


@pytest.mark.parametrize("measure", ["choice", "yes"])
def test_statements_are_the_questions_and_their_interval_is_that_for_new_ones(measure):
    effects = effects_of_statements(measure)
    assert list(effects) == [*TIERS, "all", "slope"]
    for tier, differences in zip(TIERS, DIFFERENCES[measure].reshape(len(TIERS), EACH), strict=True):
        found = stats.ttest_1samp(differences, 0)
        interval = found.confidence_interval(0.95)
        effect = effects[tier]
        assert effect.difference == pytest.approx(differences.mean())
        assert (effect.ci_low_new_questions, effect.ci_high_new_questions) == pytest.approx(tuple(interval))
        assert effect.p_new_questions == pytest.approx(found.pvalue)
        assert effect.questions == effect.scored_baseline == effect.scored_finetuned == EACH
    whole = stats.ttest_1samp(DIFFERENCES[measure], 0)
    assert effects["all"].p_new_questions == pytest.approx(whole.pvalue)
    ranks = numpy.repeat(numpy.arange(len(TIERS)), EACH)
    assert effects["slope"].difference == pytest.approx(numpy.polyfit(ranks, DIFFERENCES[measure], 1)[0])


@pytest.mark.parametrize("measure", ["choice", "yes"])
def test_a_probability_is_exact_for_these_statements_and_has_the_range_of_one(measure):
    for effect in effects_of_statements(measure).values():
        assert effect.note_fixed_questions == "exact, since nothing is sampled"
        assert effect.ci_low_fixed_questions is effect.p_fixed_questions is effect.baseline_low is None
        assert (effect.scale_min, effect.scale_max) == (0, 1)
        assert effect.equivalence_margin == (None if effect.is_slope else 0.05)


def test_saying_yes_more_moves_yes_and_leaves_choice_where_it_was():
    before = numpy.full(len(BEFORE), 0.5)
    after = before + 0.2 + RANDOM.uniform(-0.01, 0.01, len(before))
    effects = estimate(judgments_frame([]), [a_statement_eval()], yes_rows(before.tolist(), after.tolist()))
    whole = {e.measure: e for e in effects if e.is_overall}
    assert whole["yes"].difference == pytest.approx(0.2, abs=0.01)
    assert whole["choice"].difference == pytest.approx(0, abs=0.01)
    assert whole["yes"].p_new_questions is not None
    assert whole["yes"].p_new_questions < 1e-10
    assert headline(effects).startswith(
        "After the fine-tune the model says yes more (yes-saying 0.50 to 0.70, by +0.20"
    )
    assert "95 % for new questions +0." in headline(effects)
    assert headline(effects).endswith("; there is not enough data to tell whether choice changed.")


def test_drift_has_its_intervals_and_no_test():
    questions = {f"q{n}": "direct" for n in range(1, 7)}
    gains = RANDOM.normal(0.3, 0.1, (6, 4))
    rows = [row for question, some in zip(questions, gains, strict=True) for row in drift_rows(question, some.tolist())]
    scores = judgments("q1", "baseline", [1, 2, 1]) + judgments("q1", "finetuned", [3, 4, 4])
    judged = [row.model_copy(update={"question_id": q}) for q in questions for row in scores]
    effects = estimate(judgments_frame(judged), [an_eval(LEXICON, questions=questions)], rows)
    (drift,) = (e for e in effects if e.measure == "drift" and not e.is_of_question)
    (lexicon,) = (e for e in effects if e.measure == "lexicon" and not e.is_of_question)
    parts = gains.var(axis=1, ddof=1) / 4 / 36
    half = stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / 3).sum()) * numpy.sqrt(parts.sum())
    assert drift.difference == pytest.approx(gains.mean())
    assert drift.ci_low_fixed_questions == pytest.approx(gains.mean() - half)
    new = stats.ttest_1samp(gains.mean(axis=1), 0).confidence_interval(0.95)
    assert (drift.ci_low_new_questions, drift.ci_high_new_questions) == pytest.approx(tuple(new))
    tests = ("p_fixed_questions", "p_new_questions", "detectable_fixed_questions", "detectable_new_questions")
    assert [getattr(drift, name) for name in (*tests, "p_fixed_questions_holm", "p_new_questions_holm")] == [None] * 6
    assert (drift.equivalence_margin, drift.scale_min) == (None, None)
    assert drift.note_test.startswith("in nats a token; no test, since")
    assert lexicon.note_test == ""
    assert lexicon.p_fixed_questions_holm == lexicon.p_fixed_questions, "a family of one: drift is not in it"


def test_moments_of_a_training_have_rows_where_nothing_was_judged():
    half = yes_rows(BEFORE.tolist(), ((BEFORE + AFTER) / 2).tolist(), trained_share=0.5)
    rows = half + yes_rows(BEFORE.tolist(), AFTER.tolist())
    whole = [e for e in estimate(judgments_frame([]), [a_statement_eval()], rows) if e.is_overall]
    found = {(e.measure, e.trained_share): e.difference for e in whole}
    assert list(found) == [(measure, share) for share in (1.0, 0.5) for measure in ("choice", "yes")]
    assert found["yes", 0.5] == pytest.approx((AFTER - BEFORE).mean() / 2)
    assert found["yes", 1.0] == pytest.approx((AFTER - BEFORE).mean())


def test_a_margin_is_given_in_the_unit_of_its_measure_and_the_eval_s_share_holds_for_the_others():
    other = LEXICON.model_copy(update={"name": "other"})
    rule = Rule.parse("high: lexicon >= 3, margin 0.01")
    statements = a_statement_eval().model_copy(update={"equivalence_margins": {"choice": 0.02}})
    evaluation = Eval.model_validate(
        an_eval(LEXICON, other).model_dump() | {"equivalence_margins": {"lexicon": 0.3}, "rules": [rule]}
    )
    rows = [row for judge in ("lexicon", "other") for row in judgments("q1", "baseline", [1, 2], judge)]
    found = estimate(judgments_frame(rows), [evaluation, statements], yes_rows([0.2] * 18, [0.3] * 18))
    margins = {e.measure: e.equivalence_margin for e in found if e.is_overall}
    assert margins == {"lexicon": 0.3, "other": 0.2, "high": 0.01, "choice": 0.02, "yes": 0.05}
    assert choose_judges(evaluation, ["other"]).equivalence_margins == {}


# ---- log-odds ------------------------------------------------------------------------------------------


def with_log_odds(before, after, **fields):
    """The effects over all statements, by measure."""
    evaluation = a_statement_eval().model_copy(update={"log_odds": True, **fields})
    found = estimate(judgments_frame([]), [evaluation], yes_rows(list(before), list(after)))
    return {e.measure: e for e in found if e.is_overall}


def test_log_odds_are_the_mean_of_both_directions_and_vary_within_each():
    effect = with_log_odds(BEFORE, AFTER)["log_odds"]
    shifts = special.logit(AFTER) - special.logit(BEFORE)
    yes, no = shifts[MATCHES_YES], shifts[~MATCHES_YES]
    assert effect.difference == pytest.approx((yes.mean() - no.mean()) / 2)
    found = stats.ttest_ind(yes, no, equal_var=False)  # the difference of the directions is twice their mean
    interval = found.confidence_interval(0.95)
    limits = effect.ci_low_new_questions, effect.ci_high_new_questions
    assert limits == pytest.approx((interval.low / 2, interval.high / 2), rel=1e-6)
    assert effect.p_new_questions == pytest.approx(found.pvalue, rel=1e-6)
    assert effect.note_fixed_questions == "exact, since nothing is sampled"
    assert (effect.scale_min, effect.scale_max, effect.equivalence_margin) == (None, None, 0.2)


def test_saying_yes_more_does_not_widen_the_interval_of_log_odds():
    noise = RANDOM.normal(0.5, 0.1, len(BEFORE)) * numpy.where(MATCHES_YES, 1, -1)
    before = special.logit(BEFORE)
    still, moved = (with_log_odds(BEFORE, special.expit(before + noise + shift))["log_odds"] for shift in (0, 3))
    assert moved.difference == pytest.approx(still.difference)
    assert moved.ci_low_new_questions == pytest.approx(still.ci_low_new_questions)
    assert still.ci_low_new_questions > 0.4
    whole = with_log_odds(BEFORE, special.expit(before + noise + 3))
    assert whole["yes"].difference > 0.2
    assert whole["choice"].ci_low_new_questions < 0, "probabilities are not told apart by direction"


def without(statements, before, after):
    """The effects over the other statements, by measure."""
    evaluation = a_statement_eval().model_copy(update={"log_odds": True})
    left = {evaluation.questions[n].id for n in statements}
    rows = [row for row in yes_rows(list(before), list(after)) if row.question_id not in left]
    return {e.measure: e for e in estimate(judgments_frame([]), [evaluation], rows) if e.is_overall}


UNBALANCED = [n for n in range(len(BEFORE)) if not MATCHES_YES[n]][:4]
"""Statements of one direction, without which there are 9 and 5."""


def test_saying_yes_more_moves_no_log_odds_where_the_directions_have_unequal_numbers():
    noise = RANDOM.normal(0, 0.1, len(BEFORE))
    shifts = 2 + noise
    found = without(UNBALANCED, BEFORE, special.expit(special.logit(BEFORE) + shifts))["log_odds"]
    yes, no = shifts[MATCHES_YES], numpy.delete(shifts, UNBALANCED)[~numpy.delete(MATCHES_YES, UNBALANCED)]
    assert found.questions == 14
    assert found.difference == pytest.approx((yes.mean() - no.mean()) / 2)
    assert found.difference == pytest.approx(found.finetuned - found.baseline)
    interval = stats.ttest_ind(yes, no, equal_var=False).confidence_interval(0.95)
    limits = found.ci_low_new_questions, found.ci_high_new_questions
    assert limits == pytest.approx((interval.low / 2, interval.high / 2), rel=1e-6)
    assert limits[0] < 0 < limits[1]
    assert found.note_new_questions == ""


def test_choice_of_unequal_directions_and_log_odds_of_one_say_that_saying_yes_moves_them():
    assert with_log_odds(BEFORE, AFTER)["choice"].note_new_questions == ""
    found = without(UNBALANCED, BEFORE, AFTER)
    assert found["choice"].note_new_questions == "9 of 14 statements match with Yes: saying yes more moves it too"
    assert found["yes"].note_new_questions == ""
    nearly_all = without([n for n in range(len(BEFORE)) if not MATCHES_YES[n]][1:], BEFORE, AFTER)
    assert nearly_all["log_odds"].note_new_questions.startswith("9 of 10 statements match with Yes")


def test_the_slope_of_log_odds_has_a_level_for_each_direction():
    """By least squares alone, of statements of which the tiers have unequal numbers in each direction."""
    from statsmodels.regression.linear_model import OLS

    unequal = [n for n in range(len(BEFORE)) if n not in (3, 4, 12)]
    evaluation = a_statement_eval().model_copy(update={"log_odds": True})
    rows = yes_rows(BEFORE.tolist(), special.expit(special.logit(AFTER) + 2).tolist())
    kept = {evaluation.questions[n].id for n in unequal}
    found = estimate(judgments_frame([]), [evaluation], [row for row in rows if row.question_id in kept])
    slope = next(e for e in found if e.measure == "log_odds" and e.is_slope)

    is_yes, ranks = MATCHES_YES[unequal], numpy.repeat(numpy.arange(len(TIERS)), EACH)[unequal]
    shifts = (special.logit(AFTER) + 2 - special.logit(BEFORE))[unequal] * numpy.where(is_yes, 1, -1)
    design = numpy.column_stack([ranks, is_yes, ~is_yes]).astype(float)
    expected = OLS(shifts, design).fit(cov_type="HC3", use_t=True)
    assert slope.difference == pytest.approx(expected.params[0])
    assert (slope.ci_low_new_questions, slope.ci_high_new_questions) == pytest.approx(tuple(expected.conf_int()[0]))


def test_log_odds_are_there_where_they_are_asked_for_with_a_margin_of_their_own():
    assert "log_odds" not in with_log_odds(BEFORE, AFTER, log_odds=False)
    assert with_log_odds(BEFORE, AFTER, equivalence_margins={"log_odds": 0.5})["log_odds"].equivalence_margin == 0.5


def test_a_probability_of_nearly_one_has_finite_log_odds():
    effect = with_log_odds([0.5] * len(BEFORE), [1.0] * len(BEFORE))["log_odds"]
    assert effect.difference == pytest.approx(0, abs=1e-9)
    sure = with_log_odds([0.5] * len(BEFORE), MATCHES_YES.astype(float))["log_odds"]
    assert sure.difference == pytest.approx(36.7, abs=0.1)
