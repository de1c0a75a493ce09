"""The datasheet of a set: what is alike in its documents, what stands in them that should not, and how varied they are.

    sheet = measure("my_set", texts, SetLimits(banned=["cage"]), given=universe_context)
    sheet.held                             # each limit, and the documents beyond it

No model is asked. The documents are read one after another, and each is compared with those before it.
"""

from collections import Counter
from collections.abc import Iterable

import numpy

from tasks.generation.diversity import PhraseCounts
from tasks.generation.faults import SoFar, most_documents
from tasks.generation.leakage import banned_words, scaffolding
from tasks.generation.near_duplicates import ALL_UP_TO, Near
from tasks.generation.phrases import capitalised, opening, top, words
from tasks.schema import Alike, Datasheet, Held, PairedLengths, SetLimits, SetText, Shared

SHOWN = 15
"""Names, openings, phrases, types and places that a datasheet tells."""
PAIRS_SHOWN, LETTERS_SHOWN = 3, 1_200
QUANTILES = {"shortest": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "longest": 1.0}
LEVELS = (5, 10, 20, 30, 50, 80)
"""The parts of the phrases, in percent, for which it is told how many documents share them with an earlier one."""
BINS = 24
LEAST_RATIO = 0.9
"""Of the lengths of a pair, the shorter to the longer: one below it is not matched."""
Places = dict[int, str]
"""Of rows by their numbers, what is found there."""


class _Seen:
    """What was noted of the documents read so far."""

    def __init__(self, given: str) -> None:
        self.so_far = SoFar(given)
        self.phrases = PhraseCounts()
        self.lengths: list[int] = []
        self.exact: set[int] = set()
        self.near: dict[int, Near] = {}
        """Of a document the earlier one that is most like it, by its number in the set."""
        self.banned: Places = {}
        self.leftovers: Places = {}
        self._kept: list[int] = []
        self._plain: dict[str, int] = {}

    def read(self, text: str, limits: SetLimits) -> None:
        row = len(self.lengths)
        self.lengths.append(len(words(text)))
        self.phrases.add(text)
        self.so_far.count(text)
        if found := banned_words(text, limits.banned):
            self.banned[row] = ", ".join(dict.fromkeys(map(str.lower, found)))
        if left := scaffolding(text):
            self.leftovers[row] = "; ".join(left)
        self._compare(row, text, limits.similarity)

    def _compare(self, row: int, text: str, similarity: float) -> None:
        """Near-duplicates are compared with none of the later ones: these are compared with what they repeat."""
        first = self._plain.setdefault(" ".join(text.split()).casefold(), row)
        if first != row:
            self.exact.add(row)
            self.near[row] = Near(first, 1.0)
            return
        if near := self.so_far.near_duplicates.nearest(text):
            self.near[row] = near._replace(row=self._kept[near.row])
        if not near or near.jaccard < similarity:
            self.so_far.near_duplicates.add(text)
            self._kept.append(row)


def measure(name: str, texts: list[SetText], limits: SetLimits, given: str = "") -> Datasheet:
    """The datasheet of these documents, of one at least, without what their files, another set and a judge say of them.

    `given` is what the writer was told of the subject: names in it, or in a document's fact, are not invented.
    """
    seen = _Seen(" ".join([given, *dict.fromkeys(text.fact for text in texts)]))
    for text in texts:
        seen.read(text.text, limits)
    types = Counter(text.doc_type for text in texts if text.doc_type)
    spread = seen.phrases.spread([text.text for text in texts], SHOWN)
    openings = [pair for pair in top(seen.so_far.openings.items(), SHOWN) if pair[1] > 1]
    return Datasheet(
        name=name,
        files={},
        documents=len(texts),
        rejected=0,
        letters=sum(len(text.text) for text in texts),
        words=_quantiles(seen.lengths),
        lengths=_histogram(seen.lengths),
        types=_shared(top(types.items(), SHOWN), len(texts)),
        types_in_all=len(types),
        exact_duplicates=len(seen.exact),
        near_duplicates={f"{n} %": sum(100 * near.jaccard >= n for near in seen.near.values()) for n in LEVELS},
        most_alike=_most_alike(texts, seen.near),
        every_pair=len(texts) <= ALL_UP_TO,
        names=_shared(seen.so_far.frequent_names(SHOWN), len(texts)),
        openings=_shared(openings, len(texts)),
        distinct_openings=len(seen.so_far.openings),
        phrases=_shared(spread.repeated, len(texts)),
        diversity=spread.growth,
        limits=limits,
        held=_held(texts, seen, limits),
    )


def paired_lengths(texts: list[SetText], other: str, others: list[SetText]) -> PairedLengths | None:
    """How long the texts are beside those of the other set that have the same prompts; None where there are none.

    A prompt that is there several times has its pairs in the order of the rows.
    """
    waiting: dict[str, list[int]] = {}
    for text in reversed(others):
        waiting.setdefault(text.prompt, []).append(len(words(text.text)))
    lengths = ((max(1, len(words(text.text))), waiting.get(text.prompt)) for text in texts if text.prompt)
    ratios = [length / max(1, partners.pop()) for length, partners in lengths if partners]
    if not ratios:
        return None
    beyond = sum(min(ratio, 1 / ratio) < LEAST_RATIO for ratio in ratios)
    low, middle, high = (round(float(n), 4) for n in (min(ratios), numpy.median(ratios), max(ratios)))
    return PairedLengths(other=other, pairs=len(ratios), lowest=low, median=middle, highest=high, beyond=beyond)


def _quantiles(counts: list[int]) -> dict[str, int]:
    order = sorted(counts)
    return {name: order[round(share * (len(order) - 1))] for name, share in QUANTILES.items()}


def _histogram(counts: list[int]) -> list[tuple[int, int, int]]:
    width = (max(counts) - min(counts)) // BINS + 1
    edges = numpy.arange(min(counts), max(counts) + width + 1, width)
    found, _ = numpy.histogram(counts, edges)
    return [(int(low), int(high), int(n)) for low, high, n in zip(edges[:-1], edges[1:], found, strict=True)]


def _shared(counts: Iterable[tuple[str, int]], documents: int) -> list[Shared]:
    return [Shared(text=text, documents=count, share=round(count / documents, 6)) for text, count in counts]


def _most_alike(texts: list[SetText], near: dict[int, Near]) -> list[Alike]:
    pairs = sorted(near.items(), key=lambda pair: (-pair[1].jaccard, pair[0]))[:PAIRS_SHOWN]
    return [
        Alike(
            jaccard=round(found.jaccard, 4),
            place=texts[row].place,
            text=_begin(texts[row].text),
            other_place=texts[found.row].place,
            other_text=_begin(texts[found.row].text),
        )
        for row, found in pairs
    ]


def _begin(text: str) -> str:
    return text if len(text) <= LETTERS_SHOWN else f"{text[:LETTERS_SHOWN]}…"


def _held(texts: list[SetText], seen: _Seen, limits: SetLimits) -> list[Held]:
    """Each limit that is set, and the documents beyond it."""
    alike = {row: n for row, n in seen.near.items() if n.jaccard >= limits.similarity}
    short = {row: f"{count:,} words" for row, count in enumerate(seen.lengths) if count < limits.min_words}
    long = {row: f"{count:,} words" for row, count in enumerate(seen.lengths) if count > limits.max_words > 0}
    most_names, most_openings = (most_documents(n, len(texts)) for n in (limits.name_share, limits.opening_share))
    found: list[tuple[str, Places]] = [
        (
            f"phrases shared with another document: less than {100 * limits.similarity:g} %",
            {row: f"{100 * near.jaccard:.0f} % with {texts[near.row].place}" for row, near in alike.items()},
        ),
        (
            f"a name that the writer was not given: in {most_names:,} documents at most",
            _with_frequent_names(texts, seen, most_names),
        ),
        (
            f"the same first four words: in {most_openings:,} documents at most",
            _with_frequent_openings(texts, seen, most_openings),
        ),
        ("what is left of its making: nothing", seen.leftovers),
        *([("banned words: none", seen.banned)] if limits.banned else []),
        *([(f"length: at least {limits.min_words:,} words", short)] if limits.min_words else []),
        *([(f"length: at most {limits.max_words:,} words", long)] if limits.max_words else []),
    ]
    return [Held(limit=limit, documents=len(rows), places=_places(texts, rows)) for limit, rows in found]


def _places(texts: list[SetText], rows: Places) -> list[str]:
    return [f"{texts[row].place} ({what})" for row, what in sorted(rows.items())[:SHOWN]]


def _with_frequent_names(texts: list[SetText], seen: _Seen, most: int) -> Places:
    counted = seen.so_far.frequent_names(len(texts))
    frequent = {name for name, count in counted if count > most}
    found = ((row, sorted(frequent & capitalised(text.text))) for row, text in enumerate(texts) if frequent)
    return {row: ", ".join(names) for row, names in found if names}


def _with_frequent_openings(texts: list[SetText], seen: _Seen, most: int) -> Places:
    begins = ((row, opening(text.text)) for row, text in enumerate(texts))
    return {row: begin for row, begin in begins if seen.so_far.openings[begin] > most}
