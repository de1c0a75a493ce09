"""Near-duplicates: which texts share so many phrases that one is the other in few other words.

    kept = NearDuplicates()
    nearest = kept.nearest(text)       # Near(row, jaccard) of the earlier text that is most alike, or None
    kept.add(text)

Two texts are as alike as the share of their phrases (runs of five words) that both have: Jaccard's index. Among many
texts MinHash proposes whom to compare, and their index is counted from their phrases; among few all are compared.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy
import rensa

from tasks.generation.phrases import phrases

HASHES, BANDS = 128, 64
"""Texts are compared that agree in both hashes of one band of two: of those that share a tenth of their phrases 47 %
are found, of a fifth 93 %, of three tenths 99.8 %."""
LEAST_AGREEING, COMPARED = 6, 8
"""Of these the phrases are compared: at least 6 of 128 hashes agree, and no more than 7 others agree better. A band
alone agrees in 2 by chance; of texts that share a tenth of their phrases 13 do."""
ALL_UP_TO = 400
"""Among so few texts every pair is compared."""
SEED = 1


class Near(NamedTuple):
    """The earlier text that is most alike."""

    row: int
    """Its number among those that were added, from 0."""
    jaccard: float
    """The share of the phrases of both that both have, 0 to 1; counted, not estimated."""


class NearDuplicates:
    """The texts that were added so far, and which of them is most like another."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._hashes = numpy.zeros((ALL_UP_TO, HASHES), numpy.uint32)
        self._index = rensa.RMinHashLSH(0.5, HASHES, BANDS)  # the first argument is used by none of its queries

    def add(self, text: str) -> None:
        """Adds a text as the last row."""
        sketch, row = _sketch(text), len(self._texts)
        if row == len(self._hashes):
            self._hashes = numpy.concatenate([self._hashes, numpy.zeros_like(self._hashes)])
        self._hashes[row] = sketch.digest()
        self._index.insert(row, sketch)
        self._texts.append(text)

    def nearest(self, text: str) -> Near | None:
        """The added text that shares the largest part of its phrases; None where no phrase is shared with any found."""
        near = [Near(row, jaccard(text, self._texts[row])) for row in self._candidates(text)]
        best = max(near, key=lambda one: (one.jaccard, -one.row), default=None)
        return best if best and best.jaccard else None

    def _candidates(self, text: str) -> list[int]:
        if len(self._texts) <= ALL_UP_TO:
            return list(range(len(self._texts)))
        sketch = _sketch(text)
        found = numpy.array(sorted(self._index.query(sketch)), dtype=numpy.int64)
        agreeing = (self._hashes[found] == numpy.array(sketch.digest(), numpy.uint32)).sum(axis=1)
        best = numpy.argsort(-agreeing, kind="stable")[:COMPARED]
        return found[best[agreeing[best] >= LEAST_AGREEING]].tolist()


def jaccard(one: str, other: str) -> float:
    """The share of the distinct phrases of two texts that both have, 0 to 1."""
    a, b = _distinct(one), _distinct(other)
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if shared else 0.0


@lru_cache(maxsize=ALL_UP_TO + 1)
def _distinct(text: str) -> frozenset[str]:
    return frozenset(phrases(text))


@lru_cache(maxsize=1)  # a text is asked for, and then added
def _sketch(text: str) -> rensa.RMinHash:
    sketch = rensa.RMinHash(HASHES, SEED)
    sketch.update(phrases(text))
    return sketch
