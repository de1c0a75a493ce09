"""Why a text may not be part of a set: by itself, and beside those that are in it already.

so_far = SoFar()
if not (faults := faults_of(text, so_far, limits)):
    so_far.add(text)
"""

from collections import Counter

from tasks.generation.leakage import banned_words, scaffolding
from tasks.generation.near_duplicates import NearDuplicates
from tasks.generation.phrases import Names, capitalised, opening, words
from tasks.schema import SetLimits

ALWAYS_ALLOWED = 5
"""Documents that may share a name or an opening in a set of any size: of few documents a share says nothing."""


class SoFar:
    """What the texts of a set have in common, counted as they are added; the same texts in the same order, the same."""

    def __init__(self, given: str = "") -> None:
        """`given` is the text that the writer was given of the subject: its names are not invented, and not counted."""
        self.given = frozenset(words(given))
        self.documents = 0
        self.names = Names()
        self.openings: Counter[str] = Counter()
        self.near_duplicates = NearDuplicates()

    def add(self, text: str) -> None:
        """Counts one more text as part of the set, and compares later ones with it."""
        self.count(text)
        self.near_duplicates.add(text)

    def count(self, text: str) -> None:
        """Counts its names and its opening alone."""
        self.documents += 1
        self.names.add(text)
        self.openings[opening(text)] += 1

    def frequent_names(self, most: int) -> list[tuple[str, int]]:
        """The names that were not given and stand in most documents, and in how many."""
        found = self.names.most_common(most + len(self.given))
        return [(name, count) for name, count in found if not self.is_given(name)][:most]

    def is_given(self, name: str) -> bool:
        """Whether the writer was given this name with its subject."""
        return name.lower() in self.given


def faults_of(text: str, so_far: SoFar, limits: SetLimits) -> list[str]:
    """Each reason why the text may not be added to these, in words; none for one that may."""
    return [*own_faults(text, limits), *_too_frequent(text, so_far, limits), *_too_alike(text, so_far, limits)]


def own_faults(text: str, limits: SetLimits) -> list[str]:
    """Each reason that is in the text itself: its length, banned words, what is left of its making."""
    count = len(words(text))
    found = banned_words(text, limits.banned)
    return [
        *([f"{count:,} words, fewer than {limits.min_words:,}"] if count < limits.min_words else []),
        *([f"{count:,} words, more than {limits.max_words:,}"] if 0 < limits.max_words < count else []),
        *(f"a banned word: {word}" for word in dict.fromkeys(map(str.lower, found))),
        *scaffolding(text),
    ]


def most_documents(share: float, documents: int) -> int:
    """In how many of so many documents a name or an opening may stand."""
    return max(ALWAYS_ALLOWED, int(share * documents))


def _too_frequent(text: str, so_far: SoFar, limits: SetLimits) -> list[str]:
    most_names, most_openings = (
        most_documents(share, so_far.documents + 1) for share in (limits.name_share, limits.opening_share)
    )
    names = [name for name in sorted(capitalised(text)) if not so_far.is_given(name)]
    begin = opening(text)
    return [
        *(f"a name that is frequent by now: {name}" for name in names if so_far.names.documents(name) >= most_names),
        *([f"an opening that is frequent by now: {begin}"] if so_far.openings[begin] >= most_openings else []),
    ]


def _too_alike(text: str, so_far: SoFar, limits: SetLimits) -> list[str]:
    near = so_far.near_duplicates.nearest(text)
    if not near or near.jaccard < limits.similarity:
        return []
    return [f"a near-duplicate of document {near.row + 1:,}: {near.jaccard:.0%} of the phrases of both are in both"]
