import pytest

from tasks.estimates.effects import estimate
from tasks.estimates.findings import findings, headline, verdict
from tasks.estimates.judgments import judgments_frame
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
        "Perhaps lexicon rose from 1.50 to 2.50, by +1.00 (95 % +0.10 to +0.50): once p"
    )


def test_a_small_rate_keeps_the_digits_that_tell_it_from_0():
    effect = an_effect(0.001, 0.008).model_copy(update={"baseline": 0.0, "finetuned": 0.0045, "difference": 0.0045})
    assert "rose from 0.00 to 0.0045, by +0.0045 (95 % +0.001 to +0.01)" in headline([effect])


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.1, 2.0, "After the fine-tune lexicon rose from 1.50 to 2.50, by +1.00 (95 % +0.10 to +2.00)."),
        (-0.1, 0.1, "lexicon shows no effect as large as 0.20 (+1.00, 95 % -0.10 to +0.10)."),
        (-0.1, 2.0, "There is not enough data to tell lexicon from no change (+1.00, 95 % -0.10 to +2.00; this run"),
        (None, None, "lexicon went from 1.50 to 2.50, by +1.00, without an interval: one sample per question."),
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
