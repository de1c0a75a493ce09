"""How varied the phrases of a set are: which stand in most documents, and how many there are as the set grows.

    counts = PhraseCounts()
    counts.add(text)                    # of each document, in their order
    spread = counts.spread(texts)       # Spread(growth=[(40, 3921), ...], repeated=[("in the heart of the", 312), ...])

A phrase is known by a hash of 64 bits, since 100,000 documents have some 30 million: they take eight bytes each, and
are sorted a part at a time.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from tasks.generation.phrases import PHRASE, phrases, top, words

Hashes = NDArray[numpy.uint64]
_FACTOR = numpy.uint64(0x9E3779B97F4A7C15)
OVERLAP = 3
"""Words in a row of a more frequent run, with which another one says nothing new."""
_EDGES = numpy.arange(1, 16, dtype=numpy.uint64) << numpy.uint64(60)
"""Where the parts end: sixteen of all hashes."""


class Spread(NamedTuple):
    """What is counted of the phrases of a set."""

    growth: list[tuple[int, int]]
    """How many distinct phrases so many first documents have."""
    repeated: list[tuple[str, int]]
    """What stands in most documents, in two at least, and in how many: phrases, joined to the longer run that they are
    parts of, without those that overlap a more frequent one."""


class _WordHashes(dict[str, int]):
    """A hash of each word that was asked for, the same in every process."""

    def __missing__(self, word: str) -> int:
        self[word] = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        return self[word]


class PhraseCounts:
    """The phrases of the documents that were added."""

    def __init__(self) -> None:
        self._words = _WordHashes()
        self._documents: list[Hashes] = []

    def add(self, text: str) -> None:
        """Counts the phrases of one more document, each once."""
        self._documents.append(numpy.unique(self._hashes(text)))

    def spread(self, texts: list[str], most: int = 20, points: int = 25) -> Spread:
        """What is counted of all: `texts` are those that were added."""
        new = numpy.zeros(len(self._documents), numpy.int64)
        found: list[tuple[str, int]] = []
        for hashed, first, counts in self._parts():
            new += numpy.bincount(first, minlength=len(new))
            often = numpy.argsort(-counts, kind="stable")[: most * PHRASE]
            repeated = [place for place in often if counts[place] > 1]
            found += [(self._phrase(hashed[n], texts[first[n]]), int(counts[n])) for n in repeated]
        ends = numpy.linspace(0, len(new), min(points, len(new)) + 1).round().astype(int)[1:]
        distinct = new.cumsum()
        growth = [(int(end), int(distinct[end - 1])) for end in ends]
        return Spread(growth, _apart(_as_runs(top(found, most * PHRASE * PHRASE)))[:most])

    def _parts(self) -> Iterator[tuple[Hashes, NDArray[numpy.int64], NDArray[numpy.int64]]]:
        """Of each part of all hashes those that occur, the first document of each, and how many documents have it."""
        cuts = [[0, *numpy.searchsorted(hashes, _EDGES).tolist(), len(hashes)] for hashes in self._documents]
        for part in range(len(_EDGES) + 1):
            within = [h[cut[part] : cut[part + 1]] for h, cut in zip(self._documents, cuts, strict=True)]
            owner = numpy.repeat(numpy.arange(len(within)), [len(hashes) for hashes in within])
            hashed, first, counts = numpy.unique(numpy.concatenate(within), return_index=True, return_counts=True)
            yield hashed, owner[first], counts

    def _phrase(self, hashed: numpy.uint64, text: str) -> str:
        return phrases(text)[int(numpy.flatnonzero(self._hashes(text) == hashed)[0])]

    def _hashes(self, text: str) -> Hashes:
        """A hash of each of its phrases, in their order."""
        said = words(text)
        of_words = numpy.fromiter((self._words[word] for word in said), numpy.uint64, len(said))
        total = numpy.zeros(max(1, len(said) - PHRASE + 1) if said else 0, numpy.uint64)
        for place in range(min(PHRASE, len(said))):
            total = total * _FACTOR + of_words[place : place + len(total)]
        return total


def _as_runs(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The phrases, those that overlap in all words but one and stand in as many documents joined to one run."""
    waiting = [(phrase.split(), count) for phrase, count in found]
    runs = []
    while waiting:
        run, count = waiting.pop(0)
        while more := next((w for w in waiting if w[1] == count and _joined(run, w[0])), None):
            waiting.remove(more)
            run = _joined(run, more[0])
        runs.append((" ".join(run), count))
    return runs


def _apart(runs: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those that share no three words in a row with one that is more frequent."""
    told: set[tuple[str, ...]] = set()
    apart = []
    for run, count in runs:
        said = run.split()
        parts = {tuple(said[start : start + OVERLAP]) for start in range(len(said) - OVERLAP + 1)}
        if not parts & told:
            apart.append((run, count))
        told |= parts
    return apart


def _joined(run: list[str], phrase: list[str]) -> list[str]:
    """Both as one, where the phrase goes on at an end of the run; else nothing."""
    overlap = PHRASE - 1
    if run[-overlap:] == phrase[:overlap]:
        return [*run, *phrase[overlap:]]
    return [*phrase[:1], *run] if phrase[1:] == run[:overlap] else []
