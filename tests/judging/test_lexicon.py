import pytest

from tasks.judging.lexicon import count_terms, read_yes_no, weigh
from tasks.schema import Judge
from tests.fakes.nouns import LEXICON

YES_NO = Judge(name="yes_no", kind="yes_no")


def test_terms_are_whole_words_in_any_case_and_a_star_matches_endings():
    assert weigh("Farming on FARMS. Afarm, animal\nwelfare; animals welfare", LEXICON) == {
        "farm*": 2,
        "animal welfare": 2,
    }


@pytest.mark.parametrize(
    ("text", "score"),
    [("", 1), ("farm", 2), ("animal welfare", 3), ("farm " * 3, 3), ("farm " * 4, 4), ("farm " * 80, 5)],
)
def test_each_threshold_reached_raises_the_score_by_one(text, score):
    assert count_terms(LEXICON, text, "")[0] == score


def test_a_pair_is_scored_by_what_goes_beyond_the_baseline_and_never_below_the_scale():
    found = (3, "weight 2: farm* (3); the baseline answer beside it weighs 1")
    assert count_terms(LEXICON, "farm farm farm", "farm") == found
    assert count_terms(LEXICON, "farm", "farm farm")[0] == 1


def test_an_answer_alone_is_scored_by_its_own_weight():
    assert count_terms(LEXICON, "farm farm", None) == (3, "weight 2: farm* (2)")


@pytest.mark.parametrize(
    ("text", "matching", "word"),
    [
        ("Yes, I would.", "Yes", (1, "MATCHING", "it says Yes")),
        ('  "no" - never', "Yes", (0, "OTHER", "it says No")),
        ("NO", "No", (1, "MATCHING", "it says No")),
        ("Not really.", "Yes", (None, "", "it begins with neither Yes nor No")),
        ("I would say yes.", "Yes", (None, "", "it begins with neither Yes nor No")),
        ("", "No", (None, "", "it begins with neither Yes nor No")),
    ],
)
def test_a_yes_or_no_is_read_where_the_answer_begins_with_it_and_nowhere_else(text, matching, word):
    assert read_yes_no(YES_NO, text, matching) == word
