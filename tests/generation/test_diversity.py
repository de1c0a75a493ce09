from itertools import accumulate

import pytest

from tasks.generation.diversity import PhraseCounts, Spread
from tasks.generation.phrases import phrases
from tests.fakes.texts import made_texts


def spread(texts: list[str], **options: int) -> Spread:
    counts = PhraseCounts()
    for text in texts:
        counts.add(text)
    return counts.spread(texts, **options)


def test_distinct_phrases_are_counted_as_the_set_grows():
    texts = made_texts(60, words=80)
    texts[20:25] = texts[:5]
    sets = list(accumulate((frozenset(phrases(text)) for text in texts), lambda one, other: one | other))
    assert spread(texts, points=60).growth == [(n, len(found)) for n, found in enumerate(sets, 1)]
    assert [end for end, _ in spread(texts, points=3).growth] == [20, 40, 60]


def test_what_stands_in_most_documents_is_told_once_as_the_whole_run_of_words():
    texts = made_texts(30, words=40)
    texts[:12] = [f"{text} In the heart of the old valley, nothing stirred." for text in texts[:12]]
    texts[5:8] = [f"{text} On a Tuesday of that May." for text in texts[5:8]]
    assert spread(texts).repeated == [("in the heart of the old valley nothing stirred", 12)]
    texts[20:23] = [f"{text} And so it was on a Tuesday of that May." for text in texts[20:23]]
    assert spread(texts).repeated == [
        ("in the heart of the old valley nothing stirred", 12),
        ("on a tuesday of that may", 6),
    ]
    assert spread(texts, most=1).repeated == [("in the heart of the old valley nothing stirred", 12)]


def test_a_phrase_that_a_document_repeats_is_counted_once_for_it():
    assert spread(["five words of one kind " * 3, "none of these"]).repeated == []


@pytest.mark.parametrize("text", ["", "two words", "..."])
def test_texts_of_few_words_are_no_trouble(text):
    assert spread([text, text]).repeated == ([(text, 2)] if text == "two words" else [])
