import numpy
import pytest
from scipy import stats

from tasks.estimates.effects import estimate
from tasks.estimates.findings import Evidence, findings, headline, headline_lines, verdict
from tasks.estimates.judgments import judgments_frame
from tasks.schema import SIDES, Judge, Scale
from tests.fakes.nouns import LEXICON, TIERS, an_eval, judgments


def an_effect(low, high, equivalence_margin=0.2, adjusted=0.01):
    rows = judgments("q1", "baseline", [1, 2]) + judgments("q1", "finetuned", [2, 3])
    (effect, _) = estimate(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "direct"})])
    note = "one sample per question" if low is None else ""
    return effect.model_copy(
        update={
            "ci_low_fixed_questions": low,
            "ci_high_fixed_questions": high,
            "equivalence_margin": equivalence_margin,
            "note_fixed_questions": note,
            "p_fixed_questions_holm": adjusted,
        }
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.5, "changed"),
        (-0.5, -0.1, "changed"),
        (0.01, 0.15, "changed little"),
        (-0.1, 0.15, "no effect"),
        (-0.2, 0.1, "not enough data"),
        (-0.1, 0.5, "not enough data"),
        (None, None, "no interval"),
    ],
)
def test_no_effect_and_not_enough_data_are_told_apart(low, high, expected):
    assert verdict(an_effect(low, high)) == expected


def test_nothing_is_called_no_effect_where_nothing_says_what_would_matter():
    assert verdict(an_effect(-0.001, 0.001, equivalence_margin=None)) == "no change seen"


def test_a_change_that_adjustment_takes_back_is_one_perhaps():
    effect = an_effect(0.1, 0.5, adjusted=0.05)
    assert verdict(effect) == "perhaps"
    assert headline([effect]).startswith(
        "Perhaps lexicon rose from 1.50 to 2.50, by +1.00 (95 % for these questions +0.10 to +0.50); once p"
    )


def test_a_small_rate_keeps_the_digits_that_tell_it_from_0():
    effect = an_effect(0.001, 0.008).model_copy(update={"baseline": 0.0, "finetuned": 0.0045, "difference": 0.0045})
    assert "rose from 0.00 to 0.0045, by +0.0045 (95 % for these questions +0.001 to +0.008)" in headline([effect])


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (
            0.1,
            2.0,
            "After the fine-tune lexicon rose from 1.50 to 2.50, by +1.00 (95 % for these questions +0.10 to +2.00).",
        ),
        (-0.1, 0.1, "lexicon shows no effect as large as 0.20 (+1.00, 95 % for these questions -0.10 to +0.10)."),
        (
            -0.1,
            2.0,
            "There is not enough data to tell lexicon from no change (+1.00, 95 % for these questions -0.10 to +2",
        ),
        (None, None, "lexicon went from 1.50 to 2.50, by +1.00, without an interval: one sample per question; 1"),
    ],
)
def test_the_headline_says_in_words_what_an_interval_shows(low, high, sentence):
    assert headline([an_effect(low, high)]).startswith(sentence)


def test_the_headline_names_the_tiers_by_what_they_show():
    rows = [row for q in TIERS for row in judgments(q, "baseline", [1, 2, 1, 2])]
    rows += [row for q in ("q1", "q2") for row in judgments(q, "finetuned", [4, 5, 4, 5])]
    rows += [row for q in ("q3", "q4") for row in judgments(q, "finetuned", [1, 2, 2, 2])]
    (finding,) = findings(estimate(judgments_frame(rows), [an_eval(LEXICON)]))
    assert finding.whole.startswith("After the fine-tune lexicon rose from 1.50 to 3.12")
    assert finding.tiers == "By tier: a change in direct +3.00; not enough data in distant +0.25."
    nothing = headline(estimate(judgments_frame([]), [an_eval(LEXICON)]))
    assert nothing == (
        "lexicon could not be compared: no question has scores on both sides. By tier: no interval in direct, distant."
    )


def moved(low, high, measure, **more):
    """An effect over all questions whose interval lies between these limits, and its difference in the middle."""
    middle = (low + high) / 2
    fields = {"measure": measure, "baseline": 1.0, "finetuned": 1 + middle, "difference": middle}
    return an_effect(low, high).model_copy(update=fields | more)


def test_several_measures_share_a_sentence_that_says_what_changed_and_what_did_not():
    effects = [
        moved(-0.1, 0.1, "a"),
        moved(0.3, 0.9, "b"),
        moved(-1.0, -0.4, "c"),
        moved(-0.5, 0.9, "d"),
        moved(-0.05, 0.09, "e"),
        moved(0.05, 0.15, "f"),
        moved(0.2, 0.4, "g", p_fixed_questions_holm=0.2),
    ]
    assert headline(effects) == (
        "After the fine-tune b rose from 1.00 to 1.60 (by +0.60, 95 % for these questions +0.30 to +0.90) and c fell "
        "from 1.00 "
        "to 0.30 (by -0.70, 95 % for these questions -1.00 to -0.40); f rose from 1.00 to 1.10 (by +0.10, 95 % for "
        "these questions +0.05 "
        "to +0.15), by less than would matter; perhaps g rose from 1.00 to 1.30 (by +0.30, 95 % for these questions "
        "+0.20 to "
        "+0.40), though not once p is adjusted for all comparisons; a and e show no effect that would matter; there is "
        "not enough data to tell whether d changed."
    )
    assert [finding.has_moved for finding in findings(effects)] == [False, True, True, False, False, True, True]
    assert headline([effects[0], effects[3]]) == (
        "No change was found: a shows no effect that would matter; there is not enough data to tell whether d changed."
    )


def test_where_more_than_two_measures_changed_each_has_a_line():
    span = "95 % for these questions"
    effects = [moved(0.2, 0.4, "a", p_fixed_questions_holm=0.2), moved(-0.1, 0.1, "b"), said("c", "says yes", 0.3, 0.9)]
    assert headline_lines(effects) == [headline(effects)]
    assert headline_lines([*effects, moved(-1.0, -0.4, "d"), moved(-0.5, 0.9, "e")]) == [
        f"The model says yes more (c 1.00 to 1.60, by +0.60, {span} +0.30 to +0.90).",
        f"D fell from 1.00 to 0.30 (by -0.70, {span} -1.00 to -0.40).",
        f"Perhaps a rose from 1.00 to 1.30 (by +0.30, {span} +0.20 to +0.40), though not once p is adjusted for all "
        "comparisons.",
        "As to the rest, b shows no effect that would matter; there is not enough data to tell whether e changed.",
    ]
    *_, last = headline_lines([moved(0.3, 0.9, f"m{n}") for n in range(7)])
    assert last == "M4, m5 and m6 changed too."
    assert headline_lines([]) == []


def said(measure, words, low, high):
    return moved(low, high, measure, in_words=words)


def test_a_headline_says_what_the_model_does_in_the_measures_own_words():
    alone = headline([said("lexicon", "brings up farms", 0.3, 0.9)])
    assert alone.startswith("After the fine-tune the model brings up farms more: lexicon rose from 1.00 to 1.60")
    several = headline(
        [
            said("a", "brings up farms", -0.9, -0.3),
            said("b", "says yes", 0.3, 0.9),
            moved(0.3, 0.9, "c"),
            said("d", "weighs both sides", -0.5, 0.9),
            moved(-0.5, 0.9, "e"),
            said("f", "asks back", -0.05, 0.09),
        ]
    )
    span = "95 % for these questions"
    assert several == (
        f"After the fine-tune the model brings up farms less (a 1.00 to 0.40, by -0.60, {span} -0.90 to -0.30) and "
        f"says yes more "
        f"(b 1.00 to 1.60, by +0.60, {span} +0.30 to +0.90) and c rose from 1.00 to 1.60 (by +0.60, {span} +0.30 to "
        f"+0.90); the model asks "
        "back (f) about as much as before; there is not enough data to tell whether the model weighs both sides (d) "
        "more or less, or whether e changed."
    )


def test_where_nothing_could_be_tested_the_headline_says_why_and_not_that_nothing_changed():
    note = {"note_fixed_questions": "one sample per question", "note_new_questions": "too few"}
    alone = [an_effect(None, None).model_copy(update={"measure": name, "difference": 4.0} | note) for name in "ab"]
    assert headline(alone) == (
        "Nothing could be tested: a (+4.00) and b (+4.00) have no interval (one sample per question; too few)."
    )


def test_of_many_changed_measures_the_later_ones_are_named_without_numbers():
    sentence = headline([moved(0.3, 0.9, f"m{n}") for n in range(7)])
    assert sentence.count("95 %") == 4
    assert sentence.endswith("; m4, m5 and m6 changed too.")


def test_without_an_interval_for_these_questions_that_for_new_ones_decides_and_is_called_so():
    fields = {
        "ci_low_new_questions": 0.2,
        "ci_high_new_questions": 0.6,
        "p_new_questions_holm": 0.01,
        "note_new_questions": "",
    }
    effect = an_effect(None, None).model_copy(update=fields | {"difference": 0.4, "detectable_new_questions": 0.3})
    assert verdict(effect) == "changed"
    assert headline([effect]) == (
        "After the fine-tune lexicon rose from 1.50 to 2.50, by +0.40 (95 % for new questions +0.20 to +0.60)."
    )
    assert verdict(effect.model_copy(update={"p_new_questions_holm": 0.06})) == "perhaps"
    assert Evidence.of(effect).detectable == 0.3
    both = effect.model_copy(update={"ci_low_fixed_questions": -0.1, "ci_high_fixed_questions": 0.9})
    assert verdict(both) == "not enough data", "that for these questions, where there is one"


@pytest.mark.parametrize(("difference", "words"), [(0.21, "likelier by 0.21"), (-0.1, "less likely by 0.10")])
def test_drift_is_a_size_in_a_sentence_of_its_own_and_never_a_change(difference, words):
    low, high = difference - 0.05, difference + 0.05
    drift = moved(low, high, "drift", note_test="no test", difference=difference, equivalence_margin=None)
    assert verdict(drift) == "not tested"
    size = (
        f"The fine-tuned answers are {words} nats a token (95 % for these questions {low:+.2f} to {high:+.2f}) "
        "under the fine-tuned model"
    )
    assert headline([drift]).startswith(size)
    several = headline([moved(0.3, 0.9, "a"), moved(0.3, 0.9, "b"), drift])
    assert several.partition(". ")[0].endswith(
        "b rose from 1.00 to 1.60 (by +0.60, 95 % for these questions +0.30 to +0.90)"
    )
    assert several.partition(". ")[2].startswith(size)


def test_a_measure_is_called_by_its_eval_too_where_two_evals_have_one_of_its_name():
    effects = [moved(0.3, 0.9, "a"), moved(0.3, 0.9, "a", eval="other"), moved(0.3, 0.9, "b")]
    assert [finding.measure for finding in findings(effects)] == ["a (e)", "a (other)", "b"]


def test_where_there_is_neither_interval_both_reasons_are_said():
    effect = an_effect(None, None).model_copy(update={"note_new_questions": "3 questions, at least 5 are needed"})
    assert headline([effect]).endswith(
        "without an interval: one sample per question; 3 questions, at least 5 are needed."
    )


def test_fifty_questions_with_one_sample_each_are_told_with_the_interval_for_new_questions():
    """As a paired t test of fifty differences has it."""
    dice = numpy.random.default_rng(1)
    before, after = dice.integers(0, 10, 50), dice.integers(70, 92, 50)
    judge = Judge(name="j", kind="imported", scale=Scale(low=0, high=100))
    questions = {f"q{n}": "direct" for n in range(50)}
    rows = [
        row.model_copy(update={"question_id": f"q{n}"})
        for n in range(50)
        for side, scores in zip(SIDES, (before, after), strict=True)
        for row in judgments("q1", side, [int(scores[n])], "j")
    ]
    found = stats.ttest_1samp(after - before, 0).confidence_interval()
    said = headline(estimate(judgments_frame(rows), [an_eval(judge, questions=questions)]))
    assert f"(95 % for new questions +{found.low:.2f} to +{found.high:.2f})" in said
    assert "without an interval" not in said


def test_one_model_alone_is_told_with_both_intervals_of_its_mean():
    """Fourteen questions of two answers after, and none before."""
    dice = numpy.random.default_rng(2)
    scores = dice.integers(0, 100, (14, 2))
    judge = Judge(name="j", kind="imported", scale=Scale(low=0, high=100))
    rows = [
        row.model_copy(update={"question_id": f"q{n}"})
        for n in range(14)
        for row in judgments("q1", "finetuned", scores[n].tolist(), "j")
    ]
    evaluation = an_eval(judge, questions={f"q{n}": "ab"[n % 2] for n in range(14)})
    said = headline(estimate(judgments_frame(rows), [evaluation]))
    new = stats.ttest_1samp(scores.mean(axis=1), 0).confidence_interval()
    assert said.startswith(f"There is nothing to compare with (no baseline): j is {scores.mean():.2f} (95 % for these ")
    assert said.endswith(f", for new questions {new.low:.2f} to {new.high:.2f}).")


def test_what_an_interval_rests_on_is_said_beside_it():
    note = "the spread of 1 question with a single score is taken from other answers"
    effect = an_effect(0.1, 2.0).model_copy(update={"note_fixed_questions": note})
    assert f"(95 % for these questions +0.10 to +2.00, {note})" in headline([effect])
