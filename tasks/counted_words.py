"""Which words of an answer a judge without a model counts: the one matcher of those who score and those who show.

counted_words(judge, "Farms and farming")     # [Counted("farm*", 0, 5), Counted("farm*", 10, 17)]
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tasks.schema import Judge

WORD = re.compile(r"\w+")
YES_OR_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class Counted(NamedTuple):
    """A place in a text."""

    term: str
    """The term that is found there."""
    start: int
    end: int
    """In characters, as Python slices."""


def counted_words(judge: Judge, text: str) -> list[Counted]:
    """Every place that counts, term by term; none for a judge of another kind than lexicon and yes_no."""
    if judge.kind == "lexicon":
        return list(_lexicon(tuple(judge.terms)).find(text))
    said = YES_OR_NO.match(text) if judge.kind == "yes_no" else None
    return [Counted(said[1].capitalize(), *said.span(1))] if said else []


class Lexicon:
    """The terms of a lexicon, whole words in any case. A text is searched only for those that its words may begin."""

    def __init__(self, terms: Iterable[str]):
        self._patterns = {term: _pattern(term) for term in terms}
        self._beginnings = {term: found[0] for term in terms if (found := WORD.match(term))}
        self._begun_by: dict[str, list[str]] = {}
        """Of each word that begins a term, those terms."""
        self._known: set[str] = set()
        """The words that were looked at."""

    def find(self, text: str) -> Iterator[Counted]:
        """Every place of every term, term by term; those of one term do not overlap."""
        starts = self._starts(_words(text))
        for term, pattern in self._patterns.items():
            if term not in self._beginnings:
                yield from (Counted(term, *found.span()) for found in pattern.finditer(text))
            elif term in starts:
                yield from (Counted(term, *span) for span in _spans(pattern, text, sorted(starts[term])))

    def _starts(self, words: dict[str, list[int]]) -> dict[str, list[int]]:
        """Of each term the places where a word stands that may begin it."""
        for word in words.keys() - self._known:
            firsts = self._beginnings.items()
            if terms := [term for term, first in firsts if re.match(first, word, re.IGNORECASE)]:
                self._begun_by[word] = terms
        self._known.update(words)
        starts: dict[str, list[int]] = {}
        for word in self._begun_by.keys() & words.keys():
            for term in self._begun_by[word]:
                starts.setdefault(term, []).extend(words[word])
        return starts


def _spans(pattern: re.Pattern[str], text: str, starts: list[int]) -> Iterator[tuple[int, int]]:
    """What finditer finds, where it can begin at these places alone."""
    end = 0
    for start in starts:
        if start >= end and (found := pattern.match(text, start)):
            end = found.end()
            yield found.span()


@lru_cache(maxsize=256)
def _lexicon(terms: tuple[str, ...]) -> Lexicon:
    return Lexicon(terms)


@lru_cache(maxsize=64)
def _words(text: str) -> dict[str, list[int]]:
    """Where each word of a text begins; not to be changed, since it is kept for the next lexicon."""
    words: dict[str, list[int]] = {}
    for found in WORD.finditer(text):
        words.setdefault(found[0], []).append(found.start())
    return words


def _pattern(term: str) -> re.Pattern[str]:
    body = r"\s+".join(re.escape(word) for word in term.removesuffix("*").split())
    return re.compile(rf"\b{body}" + (r"\w*" if term.endswith("*") else r"\b"), re.IGNORECASE)
