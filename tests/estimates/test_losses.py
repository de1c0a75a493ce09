from tasks.estimates.losses import losses, losses_in_words
from tests.fakes.nouns import judgments


def test_a_judge_that_lost_nothing_does_not_thin_out_what_another_lost():
    lost = judgments("q1", "baseline", [None] * 12 + [3] * 12, judge="claude")
    whole = judgments("q1", "baseline", [1] * 216)
    claude, lexicon = losses(lost + whole)
    assert (claude.share, lexicon.share) == (0.5, 0.0)
    assert claude.words == "claude: 12 of 24 judgments are missing (12 unreadable)."
    assert lexicon.words == ""


def test_what_only_if_spared_was_not_asked_and_thins_out_nothing():
    spared = judgments("q1", "baseline", [None] * 30, state="not scored")
    labelled = [one.model_copy(update={"label": "CODE"}) for one in spared[:2]]
    (one,) = losses(spared + labelled + judgments("q1", "finetuned", [None, 2], state="failed"))
    assert (one.asked, one.share) == (4, 0.25)


def test_what_was_cut_off_is_lost_and_a_refusal_is_a_result_of_its_own():
    cut = judgments("q1", "baseline", [None] * 3, state="truncated")
    refused = judgments("q1", "finetuned", [None] * 2, state="refused")
    (one,) = losses(cut + refused + judgments("q2", "finetuned", [4] * 5))
    assert one.share == 0.3
    assert losses_in_words(cut + refused) == (
        "lexicon: 3 of 5 judgments are missing (3 cut off), and 2 of 5 answers it refused to judge."
    )
