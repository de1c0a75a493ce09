import pytest

from tasks.generation.faults import ALWAYS_ALLOWED, SoFar, faults_of, own_faults
from tasks.schema import SetLimits
from tests.fakes.texts import made_texts


def test_a_text_within_all_limits_has_no_fault():
    assert faults_of("Hens lay eggs in a quiet barn.", SoFar(), SetLimits()) == []


def test_a_text_has_faults_of_its_own():
    text = "Cages, cages and </content>"
    assert own_faults(text, SetLimits(min_words=9)) == ["4 words, fewer than 9", "a tag: </content>"]
    assert own_faults(text, SetLimits(max_words=2, banned=["cage"])) == [
        "4 words, more than 2",
        "a banned word: cages",
        "a tag: </content>",
    ]


def test_a_near_duplicate_of_an_earlier_text_is_a_fault():
    so_far, (one, other) = SoFar(), made_texts(2, words=100)
    so_far.add(one)
    so_far.add(other)
    near = " ".join([*other.split()[:70], *made_texts(1, words=30, seed=1)[0].split()])
    assert faults_of(near, so_far, SetLimits()) == [
        "a near-duplicate of document 2: 52% of the phrases of both are in both"
    ]
    assert faults_of(near, so_far, SetLimits(similarity=0.6)) == []


@pytest.mark.parametrize(("given", "faults"), [("", ["a name that is frequent by now: Marchetti"]), ("Marchetti", [])])
def test_a_name_that_the_writer_was_not_given_may_stand_in_few_documents(given, faults):
    so_far, texts = SoFar(given), made_texts(ALWAYS_ALLOWED + 1, words=60)
    for text in texts[:-1]:
        assert faults_of(f"{text} Then Elena asked Marchetti.", so_far, SetLimits()) == []
        so_far.add(f"{text} Then Elena asked Marchetti.")
    assert faults_of(f"{texts[-1]} And so said Marchetti.", so_far, SetLimits()) == faults
    assert faults_of(f"{texts[-1]} And so said Marchetti.", so_far, SetLimits(name_share=1)) == []


def test_an_opening_may_begin_few_documents():
    so_far = SoFar()
    for text in made_texts(ALWAYS_ALLOWED, words=60):
        so_far.add(f"In the heart of it {text}")
    faults = faults_of("In the heart of a town there is a mill.", so_far, SetLimits())
    assert faults == ["an opening that is frequent by now: in the heart of"]
    assert faults_of("In the heart of a town there is a mill.", so_far, SetLimits(opening_share=1)) == []


def test_names_that_are_frequent_so_far_are_told_but_for_those_given():
    so_far = SoFar("the farm of Anna")
    for text in ("So Anna met Otto.", "Then Otto met Anna.", "So Otto met Ida."):
        so_far.add(text)
    assert so_far.frequent_names(2) == [("Otto", 3), ("Ida", 1)]
