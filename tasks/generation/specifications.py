"""What each document of a set is to be: a fact, a kind of document that could state it, and an idea of one.

    specifications = Specifications(wanted, universe, ask, counts)
    await specifications.choose_types()
    some = await specifications.between(0, 200)

Ideas are asked for as they come up, so that a small set pays for few, and the first specifications are the same in a
larger one. They know no tone: sets in several tones are written from the same ones. When all were used, they begin
again, in turn 1.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tasks.catalog import UserError
from tasks.generation.document_prompts import UNSUITABLE, entries, ideas_request, types_request
from tasks.generation.writer import Ask, Request
from tasks.schema import GeneratedSet, Universe

AT_ONCE = 20
"""Types or ideas that one call is asked for."""
SPARE_ROUNDS = 2
"""Further calls for a list that is not full, because some were there already or could not be read."""
IDEAS_AT_ONCE = 200
"""Lists of ideas that are asked for together."""


class Specification(NamedTuple):
    """One document to be written."""

    number: int
    """Counted from 0, over all turns."""
    fact: str
    doc_type: str
    doc_idea: str
    turn: int
    """How often the same idea was used before."""


class Pair(NamedTuple):
    """A fact, and a kind of document that could state it."""

    fact: str
    doc_type: str


ToRequest = Callable[[list[str], int, int], Request]
"""The request for so many more entries of a list than those that are known, in a round of this number."""


class Specifications:
    """The specifications of a set in their order: first one idea of every pair, then the next one of each."""

    def __init__(self, wanted: GeneratedSet, universe: Universe, ask: Ask, counts: Counter[str]):
        """`counts` is added to: types, ideas, unsuitable lists, and replies without a list by their state."""
        self.wanted, self.universe, self.ask, self.counts = wanted, universe, ask, counts
        self.pairs: list[Pair] = []
        self.ideas: dict[Pair, list[str]] = {}
        """Of the first so many pairs; none of one that is unsuitable."""
        self._first: list[Pair] = []
        self._turn: list[tuple[Pair, str]] = []
        """One whole turn, once the ideas of all pairs are known."""

    async def choose_types(self) -> None:
        """Asks for kinds of document for each fact. Raises UserError where there are none at all."""
        facts = list(dict.fromkeys(self.universe.key_facts))
        makers = [self._types_of(fact) for fact in facts]
        lists = await fill_lists(makers, self.wanted.types_per_fact, self.ask, self.counts)
        self.counts["types"] += sum(map(len, lists))
        several = [[Pair(fact, kind) for kind in kinds] for fact, kinds in zip(facts, lists, strict=True)]
        self.pairs = [pairs[n] for n in range(self.wanted.types_per_fact) for pairs in several if n < len(pairs)]
        if not self.pairs:
            raise UserError(
                f"{self.wanted.writer.model} named no kind of document for any fact of {self.universe.id}; see to the "
                "universe, or name another writer"
            )

    def _types_of(self, fact: str) -> ToRequest:
        return lambda known, count, repeat: types_request(self.universe, fact, known, count, repeat)

    def _ideas_of(self, pair: Pair) -> ToRequest:
        return lambda known, count, repeat: ideas_request(self.universe, *pair, known, count, repeat)

    async def between(self, start: int, end: int) -> list[Specification]:
        """Those of these numbers. Raises UserError where every pair is unsuitable."""
        while len(self._first) < end and len(self.ideas) < len(self.pairs):
            await self._look_for_ideas(end - len(self._first))
        if len(self.ideas) == len(self.pairs) and not self._turn:
            self._turn = self._whole_turn()
        return [self._at(number) for number in range(start, end)]

    async def _look_for_ideas(self, count: int) -> None:
        """Of the next pairs."""
        pairs = self.pairs[len(self.ideas) :][: min(count, IDEAS_AT_ONCE)]
        makers = [self._ideas_of(pair) for pair in pairs]
        lists = await fill_lists(makers, self.wanted.ideas_per_type, self.ask, self.counts)
        self.ideas |= zip(pairs, lists, strict=True)
        self._first += [pair for pair in pairs if self.ideas[pair]]
        self.counts["ideas"] += sum(map(len, lists))

    def _whole_turn(self) -> list[tuple[Pair, str]]:
        most = range(self.wanted.ideas_per_type)
        whole = [(pair, self.ideas[pair][n]) for n in most for pair in self.pairs if n < len(self.ideas[pair])]
        if not whole:
            raise UserError(
                f"{self.wanted.writer.model} has no idea of a document for any fact of {self.universe.id}; see to the "
                "universe, or name another writer"
            )
        return whole

    def _at(self, number: int) -> Specification:
        if number < len(self._first):
            pair = self._first[number]
            return Specification(number, *pair, self.ideas[pair][0], 0)
        turn, place = divmod(number, len(self._turn))
        pair, idea = self._turn[place]
        return Specification(number, *pair, idea, turn)


async def fill_lists(makers: list[ToRequest], wanted: int, ask: Ask, counts: Counter[str]) -> list[list[str]]:
    """A list for each, asked for until it has as many different entries as are wanted, for so many rounds at most.

    A list that is called UNSUITABLE stays empty, and is counted so, apart from documents that are.
    """
    lists: list[dict[str, str]] = [{} for _ in makers]
    unsuitable = set[int]()
    for repeat in range(-(-wanted // AT_ONCE) + SPARE_ROUNDS):
        open_ones = [n for n, known in enumerate(lists) if len(known) < wanted and n not in unsuitable]
        requests = [makers[n](list(lists[n].values()), min(AT_ONCE, wanted - len(lists[n])), repeat) for n in open_ones]
        for n, reply in zip(open_ones, await ask(requests) if requests else [], strict=True):
            found = entries(reply.text) if reply.state == "complete" else []
            if found[:1] == [UNSUITABLE] and not lists[n]:  # what follows says why
                unsuitable.add(n)
                found = []
            for entry in found:
                if entry != UNSUITABLE and len(lists[n]) < wanted:
                    lists[n].setdefault(entry.casefold(), entry)
            counts.update([f"lists {reply.state}"] if reply.state != "complete" else [])
    counts["lists unsuitable"] += len(unsuitable)
    return [list(known.values()) for known in lists]
