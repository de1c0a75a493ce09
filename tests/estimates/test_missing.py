from tasks.estimates.missing import missing_by_judge, missing_in_words
from tests.fakes.nouns import judgments


def test_a_judge_that_misses_nothing_does_not_thin_out_what_another_misses():
    some = judgments("q1", "baseline", [None] * 12 + [3] * 12, judge="claude")
    whole = judgments("q1", "baseline", [1] * 216)
    claude, lexicon = missing_by_judge(some + whole)
    assert (claude.share, lexicon.share) == (0.5, 0.0)
    assert claude.sentence == "claude: 12 of 24 judgments are missing (12 unreadable)."
    assert lexicon.sentence == ""


def test_what_only_if_spared_was_not_asked_and_thins_out_nothing():
    spared = judgments("q1", "baseline", [None] * 30, state="not scored")
    labelled = [judgment.model_copy(update={"label": "CODE"}) for judgment in spared[:2]]
    (missing,) = missing_by_judge(spared + labelled + judgments("q1", "finetuned", [None, 2], state="failed"))
    assert (missing.asked, missing.share) == (4, 0.25)


def test_what_was_cut_off_is_missing_and_a_refusal_is_a_result_of_its_own():
    cut = judgments("q1", "baseline", [None] * 3, state="truncated")
    refused = judgments("q1", "finetuned", [None] * 2, state="refused")
    (missing,) = missing_by_judge(cut + refused + judgments("q2", "finetuned", [4] * 5))
    assert missing.share == 0.3
    assert missing_in_words(cut + refused) == (
        "lexicon: 3 of 5 judgments are missing (3 cut off), and 2 of 5 answers it refused to judge."
    )
