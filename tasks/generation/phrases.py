"""Words, phrases, openings and names: what of a text is counted over a set.

phrases("a farm of hens and pigs")       # ["a farm of hens and", "farm of hens and pigs"]
opening("It was a cold, grey morning")   # "it was a cold"
names("Then Marchetti spoke.")           # {"Marchetti"}
"""

import calendar
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

PHRASE = 5
"""Words of a phrase: long enough that two texts by chance share hardly any."""
OPENING = 4
"""Words of an opening."""
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_CAPITALISED = re.compile(r" ([^\W\d_a-z](?:[\w-]|['’]\w)*)")
_WITHIN_A_SENTENCE = re.compile(r"(?:[\w,;)&]|\b(?:Dr|Mr|Ms|Mrs|Prof)\.)$")
_LONGEST_TITLE = len("(Prof.")
_NO_NAMES = frozenset({"Dr", "Mr", "Ms", "Mrs", "Prof", *calendar.day_name, *calendar.month_name})
"""Titles and the calendar: capitals that name nobody."""


@lru_cache(maxsize=4)  # a text is read several times, one text after another
def words(text: str) -> tuple[str, ...]:
    """The words in lower case; numbers are words, and what hyphens and apostrophes join is one."""
    return tuple(WORD.findall(text.lower()))


def phrases(text: str) -> list[str]:
    """Every run of five words, as often as it stands there; all words of a text that has fewer."""
    said = words(text)
    return [" ".join(said[start : start + PHRASE]) for start in range(max(1, len(said) - PHRASE + 1))] if said else []


def opening(text: str) -> str:
    """The first four words."""
    return " ".join(found[0] for found, _ in zip(WORD.finditer(text[:400].lower()), range(OPENING), strict=False))


def capitalised(text: str) -> set[str]:
    """The words with a capital that do not begin a sentence, a line or a quotation, without a possessive's ending."""
    found = {re.sub("['’]s$", "", match[1]) for match in _CAPITALISED.finditer(text) if _names_somebody(match)}
    return {word for word in found if len(word) > 1 and word[1] not in "'’"} - _NO_NAMES


def _names_somebody(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - _LONGEST_TITLE) : match.start()]
    return match[1][0].isupper() and bool(_WITHIN_A_SENTENCE.search(before))


class Names:
    """The names of a set: words that have a capital within sentences in more documents than they have none in.

    A title in capitals makes no name of its words, since the set writes these without capitals elsewhere.
    """

    def __init__(self) -> None:
        self._with_capital: Counter[str] = Counter()
        self._without: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Counts those of one more document."""
        self._with_capital.update(capitalised(text))
        self._without.update(word for word in set(WORD.findall(text)) if word[0].islower())

    def documents(self, name: str) -> int:
        """How many documents hold this word as a name; 0 where it is none."""
        count = self._with_capital[name]
        return count if count > self._without[name.lower()] else 0

    def most_common(self, most: int) -> list[tuple[str, int]]:
        """The names that stand in most documents, and in how many."""
        counts = ((name, self.documents(name)) for name in self._with_capital)
        return top(((name, count) for name, count in counts if count), most)


def top(counts: Iterable[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """The largest counts, largest first, those alike by name: the same on every machine."""
    return sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:most]
