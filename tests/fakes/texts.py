"""Texts of no meaning, made of the words of a seeded model of our own: few words are frequent, most are rare."""

import random
from itertools import accumulate

SYLLABLES = [a + b for a in ("b", "cl", "d", "fr", "g", "l", "m", "n", "p", "st", "t", "v") for b in "aeiou"]
VOCABULARY = 6_000


def made_texts(count: int, words: int, seed: int = 0) -> list[str]:
    """So many texts of sentences with so many words in all, the same for the same seed."""
    rng = random.Random(f"texts/{seed}")
    vocabulary = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(VOCABULARY)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(VOCABULARY)))  # as frequent as Zipf says
    return [_text(rng.choices(vocabulary, cum_weights=weights, k=words), rng) for _ in range(count)]


def _text(said: list[str], rng: random.Random) -> str:
    sentences, start = [], 0
    while start < len(said):
        end = start + rng.randint(6, 18)
        sentences.append(" ".join(said[start:end]).capitalize() + ".")
        start = end
    return " ".join(sentences)
