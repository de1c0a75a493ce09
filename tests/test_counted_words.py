import re

import pytest

from tasks.counted_words import Counted, counted_words
from tasks.schema import Judge
from tests.fakes.nouns import CLAUDE, LEXICON

ODD = ["well-kept", "co* op", "(sic)", "c++", "naïve*", "straße", "ſo", "kelvin", "*st", "so so"]


def lexicon(*terms: str) -> Judge:
    return LEXICON.model_copy(update={"terms": dict.fromkeys(terms, 1.0)})


def words(judge: Judge, text: str) -> list[str]:
    return [text[found.start : found.end] for found in counted_words(judge, text)]


def test_every_place_of_a_term_is_found_in_the_text_as_it_stands():
    text = "Farming on FARMS. Afarm, animal\nwelfare; animals welfare"
    assert words(LEXICON, text) == ["Farming", "FARMS", "animal\nwelfare"]
    assert counted_words(LEXICON, "a farm") == [Counted("farm*", 2, 6)]


@pytest.mark.parametrize("term", ODD)
@pytest.mark.parametrize(
    "text",
    ["It is WELL-KEPT (sic), co op, coop, C++", "Naïvely STRASSE straße So so so so", "\u212aelvin *st bust", ""],
)
def test_no_place_is_missed_for_the_words_that_a_text_has(term, text):
    body = r"\s+".join(map(re.escape, term.removesuffix("*").split()))
    every = re.compile(rf"\b{body}" + (r"\w*" if term.endswith("*") else r"\b"), re.IGNORECASE)
    assert words(lexicon(term), text) == [found[0] for found in every.finditer(text)]


def test_of_a_yes_or_no_the_word_that_the_answer_begins_with_counts():
    judge = Judge(name="yes_no", kind="yes_no")
    assert counted_words(judge, ' "YES", yes') == [Counted("Yes", 2, 5)]
    assert counted_words(judge, "Not yes") == []


def test_a_judge_that_is_asked_counts_no_words():
    assert counted_words(CLAUDE, "a farm") == []
