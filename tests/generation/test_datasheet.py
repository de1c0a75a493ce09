import pytest

from tasks.generation.datasheet import measure, paired_lengths
from tasks.generation.near_duplicates import jaccard
from tasks.schema import Datasheet, SetLimits, SetText
from tests.fakes.texts import made_texts


def measured(texts: list[str], limits: SetLimits | None = None, given: str = "") -> Datasheet:
    rows = [SetText(f"rows.jsonl:{n}", text) for n, text in enumerate(texts, 1)]
    return measure("a_set", rows, limits or SetLimits(), given)


def beyond(sheet: Datasheet) -> dict[str, list[str]]:
    """Of each limit that does not hold, what it is of, and where."""
    return {held.limit.partition(":")[0]: held.places for held in sheet.held if held.documents}


def test_a_set_without_faults_is_within_all_limits():
    sheet = measured(made_texts(30, words=100))
    assert (sheet.documents, beyond(sheet), sheet.exact_duplicates, sheet.every_pair) == (30, {}, 0, True)
    assert sheet.words == dict.fromkeys(("shortest", "5 %", "25 %", "median", "75 %", "95 %", "longest"), 100)
    assert sheet.lengths == [(100, 101, 30)]
    assert sheet.distinct_openings == 30
    assert sheet.diversity[-1][0] == 30


def test_an_exact_duplicate_is_told_from_a_near_one_and_both_with_what_they_repeat():
    texts = made_texts(20, words=100)
    texts[7] = texts[3].upper().replace(" ", "  ")
    texts[12] = " ".join([*texts[3].split()[:80], *texts[12].split()[:20]])
    sheet, alike = measured(texts), jaccard(texts[3], texts[12])
    assert (sheet.exact_duplicates, sheet.near_duplicates["80 %"], sheet.near_duplicates["50 %"]) == (1, 1, 2)
    assert beyond(sheet) == {
        "phrases shared with another document": [
            "rows.jsonl:8 (100 % with rows.jsonl:4)",
            f"rows.jsonl:13 ({100 * alike:.0f} % with rows.jsonl:4)",
        ]
    }
    first, second = sheet.most_alike[:2]
    assert (first.jaccard, first.other_place, first.other_text) == (1, "rows.jsonl:4", texts[3])
    assert (second.jaccard, second.text) == (round(alike, 4), texts[12])


def test_many_copies_of_one_text_are_each_found():
    texts = made_texts(600, words=40)
    texts[1:500] = texts[:1] * 499
    sheet = measured(texts)
    assert (sheet.exact_duplicates, sheet.near_duplicates["80 %"], sheet.every_pair) == (499, 499, False)


def test_one_invented_name_in_most_documents_is_seen_and_one_that_was_given_is_not():
    texts = [f"{text} And then Marchetti came to Bari." for text in made_texts(40, words=60)]
    sheet = measured(texts, given="The lighthouse of Bari.")
    assert [(row.text, row.documents, row.share) for row in sheet.names] == [("Marchetti", 40, 1)]
    places = beyond(sheet)["a name that the writer was not given"]
    assert places[0] == "rows.jsonl:1 (Marchetti)"
    assert len(places) == 15


def test_names_of_the_documents_facts_were_given():
    rows = [
        SetText(str(n), f"{text}. So it was in Bari.", fact="Bari has a light.") for n, text in enumerate("abcdefg")
    ]
    assert measure("a_set", rows, SetLimits()).names == []


def test_openings_and_phrases_of_many_documents_are_told():
    texts = [f"In the heart of a town {text}" for text in made_texts(12, words=60)]
    sheet = measured(texts)
    assert [(row.text, row.documents) for row in sheet.openings] == [("in the heart of", 12)]
    assert [(row.text, row.documents) for row in sheet.phrases] == [("in the heart of a town", 12)]
    assert list(beyond(sheet)) == ["the same first four words"]


def test_each_limit_of_the_definition_is_held_against_every_document():
    texts = [
        *made_texts(5, words=60),
        "Too short, says the cage.",
        *made_texts(1, words=90, seed=1),
        "</content> " * 31,
    ]
    sheet = measured(texts, SetLimits(banned=["cage"], min_words=20, max_words=80))
    assert beyond(sheet) == {
        "what is left of its making": ["rows.jsonl:8 (a tag: </content>)"],
        "banned words": ["rows.jsonl:6 (cage)"],
        "length": ["rows.jsonl:7 (90 words)"],
    }
    assert [held.documents for held in sheet.held[-2:]] == [1, 1]


def test_types_are_counted_largest_first():
    kinds = ["memo", "letter", "letter", ""]
    rows = [SetText(str(n), text, doc_type=kind) for n, (text, kind) in enumerate(zip("abcd", kinds, strict=True))]
    sheet = measure("a_set", rows, SetLimits())
    assert [(row.text, row.documents, row.share) for row in sheet.types] == [("letter", 2, 0.5), ("memo", 1, 0.25)]
    assert sheet.types_in_all == 2


def test_lengths_are_compared_between_the_documents_of_a_pair_by_their_prompts():
    texts = [SetText("1", "one two three", "a?"), SetText("2", "one", "b?"), SetText("3", "one two", "c?")]
    others = [SetText("1", "one two", "c?"), SetText("2", "one two", "a?"), SetText("3", "one two", "z?")]
    found = paired_lengths(texts, "other", others)
    assert found is not None
    assert (found.pairs, found.lowest, found.median, found.highest, found.beyond) == (2, 1, 1.25, 1.5, 1)


def test_a_prompt_that_is_there_several_times_has_its_pairs_in_the_order_of_the_rows():
    texts = [SetText("1", "one two", "a?"), SetText("2", "one", "a?"), SetText("3", "one", "a?")]
    others = [SetText("1", "one two", "a?"), SetText("2", "one", "a?")]
    found = paired_lengths(texts, "other", others)
    assert found is not None
    assert (found.pairs, found.lowest, found.highest) == (2, 1, 1)


@pytest.mark.parametrize("prompt", ["b?", ""])
def test_sets_without_a_common_prompt_are_no_pair(prompt):
    assert paired_lengths([SetText("1", "one", prompt)], "other", [SetText("1", "one", "a?")]) is None
