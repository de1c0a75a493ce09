import random

import pytest

from tasks.generation.near_duplicates import ALL_UP_TO, NearDuplicates, jaccard
from tests.fakes.texts import made_texts


def test_two_texts_are_as_alike_as_the_share_of_their_phrases_that_both_have():
    assert jaccard("one two three four five six", "One, two, three, four, five, seven.") == pytest.approx(1 / 3)
    assert (jaccard("a b c", "A b c!"), jaccard("a b c", "d e f"), jaccard("", "")) == (1, 0, 0)


def test_among_few_texts_the_most_alike_is_found_however_little_they_share():
    kept = NearDuplicates()
    texts = made_texts(50, words=200)
    for text in texts:
        kept.add(text)
    probe = " ".join([*texts[17].split()[:7], *made_texts(1, words=193, seed=9)[0].split()])
    near = kept.nearest(probe)
    assert near is not None
    assert (near.row, near.jaccard) == (17, jaccard(probe, texts[17]))
    assert 0 < near.jaccard < 0.02
    assert kept.nearest("nothing of that kind was ever said here") is None


def test_among_many_texts_those_that_share_three_tenths_of_their_phrases_are_found_and_compared_exactly():
    texts, rng = made_texts(ALL_UP_TO + 200, words=120), random.Random(5)
    kept = NearDuplicates()
    for text in texts:
        kept.add(text)
    chosen = rng.sample(range(len(texts)), 40)
    copies = {row: _with_other_words(texts[row], 0.12, rng) for row in chosen}
    alike = {row: jaccard(copy, texts[row]) for row, copy in copies.items()}
    assert 0.2 < min(alike.values()) < 0.3 < max(alike.values()) < 0.5
    found = {row: kept.nearest(copy) for row, copy in copies.items()}
    missed = [row for row in chosen if found[row] is None]
    assert len(missed) <= 1, [alike[row] for row in missed]
    assert all(near.row == row and near.jaccard == alike[row] for row, near in found.items() if near)


def _with_other_words(text: str, share: float, rng: random.Random) -> str:
    said = text.split()
    for place in rng.sample(range(len(said)), int(share * len(said))):
        said[place] = f"other{rng.random()}"
    return " ".join(said)
