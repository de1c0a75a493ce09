"""Prompts of chats: what people ask an assistant in many domains, of which none names the trait that answers show.

    prompts = Prompts(wanted, trait.name, asked=[question.text for question in evaluation.questions])
    new = await prompts.more(200, ask)      # [Prompt(text="How do I ...", domain="cooking", is_within=False)]

What is asked for does not depend on the trait, so that sets of any trait share what was paid; what names it is dropped.
"""

import random
from itertools import chain, zip_longest
from math import ceil
from typing import NamedTuple

from tasks.generation.leakage import banned_words
from tasks.generation.near_duplicates import NearDuplicates
from tasks.generation.phrases import words
from tasks.generation.writer import Ask, Request, list_entries
from tasks.schema import DroppedChat, GeneratedSet

DOMAINS = (
    "cooking and kitchens",
    "gardens and balconies",
    "travel by train",
    "holidays with children",
    "money in a household",
    "saving and investing",
    "job interviews",
    "a new job",
    "colleagues and meetings",
    "running a small shop",
    "self-employment",
    "letters and emails",
    "speeches and toasts",
    "school homework",
    "studying for examinations",
    "learning a language",
    "history",
    "geography",
    "mathematics in daily life",
    "physics and chemistry in daily life",
    "animals in the wild",
    "dogs, cats and other pets",
    "weather and seasons",
    "stars and planets",
    "computers and telephones",
    "programming",
    "spreadsheets",
    "repairs at home",
    "furniture and rooms",
    "moving house",
    "neighbours",
    "friendship",
    "couples",
    "parents and grandparents",
    "babies and small children",
    "teenagers",
    "sleep and rest",
    "exercise",
    "food and nutrition",
    "bicycles and cars",
    "clothes and washing",
    "music and instruments",
    "books and reading",
    "films and theatre",
    "drawing and painting",
    "photography",
    "sewing and knitting",
    "board games and puzzles",
    "team sports",
    "hiking and camping",
    "festivals and celebrations",
    "clubs and volunteering",
    "museums and monuments",
    "short stories and poems",
    "names, words and grammar",
    "shopping and complaints",
    "letting and renting",
    "offices and forms",
    "farming and villages",
    "cities and streets",
)
"""What people ask about; none of it is a trait."""
PEOPLE = (
    "a schoolchild",
    "an apprentice",
    "a student",
    "a nurse after a night shift",
    "a mechanic",
    "a shopkeeper",
    "a teacher",
    "a manager",
    "a parent with little time",
    "a retired engineer",
    "a newcomer to the country",
    "a farmer",
    "an accountant",
    "a beginner",
    "an amateur of many years",
    "a driver on a break",
    "a librarian",
    "a carpenter",
)
KINDS = (
    "asks how something is done",
    "asks for advice on a choice between two things",
    "asks what something is or how it works",
    "asks for a short text to be written",
    "describes a small trouble and asks what to do",
    "shows a plan or an own attempt and asks what the assistant thinks",
    "asks for an opinion",
    "asks what will come of something",
    "asks for ideas",
    "asks to have two things compared",
)
"""Who asks, and what for: drawn anew for each request, so that the replies to the same words differ."""
LONGEST_PROMPT = 80
"""Words; a longer line is no prompt."""
SYSTEM = """You write messages that people send to an assistant, for a collection that shows what people ask.

Each message stands alone: whoever reads it needs nothing else. It is one or two sentences, in the words that such a
person would use, about something particular: no message may be like another in its subject or its beginning. It does
not say in which manner, mood or character the assistant should answer, and speaks of no model or instruction.

Write each message on a line of its own, without numbers or quotation marks, all of them between <prompts> and
</prompts>."""


class Prompt(NamedTuple):
    """What somebody asks."""

    text: str
    domain: str
    is_within: bool
    """Whether it is of the domain in which the set's answers show the trait; without such a domain, of any."""


class Prompts:
    """The prompts of a set, in an order that depends on its definition and on the replies alone."""

    def __init__(self, wanted: GeneratedSet, trait: str, asked: list[str]):
        """`asked` are texts that may not be among them: the questions of evals."""
        self.wanted, self.trait = wanted, trait
        elsewhere = [domain for domain in DOMAINS if not set(_content(domain)) & set(_content(wanted.when))]
        self.domains = random.Random(f"{wanted.seed}/domains").sample(elsewhere, len(elsewhere))[
            : wanted.types_per_fact
        ]
        self.requested = 0
        self.dropped: list[DroppedChat] = []
        self._asked = {tuple(words(text)) for text in asked}
        self._seen: set[tuple[str, ...]] = set()
        self._alike = NearDuplicates()
        self._waiting: list[Prompt] = []
        """Those that came and were not wanted yet."""

    async def more(self, count: int, ask: Ask) -> list[Prompt]:
        """The next so many; of replies that cannot be used fewer. With `when` one of its domain and one of another in
        turn.
        """
        is_of_two = bool(self.wanted.when) and not self.wanted.teacher
        requests = ceil(max(0, count - len(self._waiting)) / self.wanted.ideas_per_type)
        first, self.requested = self.requested, self.requested + requests + (requests % 2 if is_of_two else 0)
        places = [self._place(number) for number in range(first, self.requested)]
        replies = await ask([self._request(*place) for place in places])
        lists: list[list[Prompt]] = []
        for (domain, is_within, _), reply in zip(places, replies, strict=True):
            if reply.state != "complete":
                self.dropped.append(DroppedChat(prompt=domain, reason=f"prompts {reply.state}: {domain}"))
            lists.append([Prompt(text, domain, is_within) for text in _lines(reply.text) if self._takes(text)])
        self._waiting += _by_turns(lists, 2 if is_of_two else 1)
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        return found

    def first_request(self) -> Request:
        """The first that `more` asks, for an estimate."""
        return self._request(*self._place(0))

    def _place(self, number: int) -> tuple[str, bool, int]:
        """The domain of a request, whether it is that of `when`, and how often it was asked for before."""
        when = self.wanted.when
        if when and (self.wanted.teacher or number % 2 == 0):
            return when, True, number if self.wanted.teacher else number // 2
        turn, place = divmod(number // 2 if when else number, len(self.domains))
        return self.domains[place], not when, turn

    def _request(self, domain: str, is_within: bool, turn: int) -> Request:
        draw = random.Random(f"{self.wanted.seed}/{domain}/{turn}")
        people, kinds = draw.sample(PEOPLE, 3), draw.sample(KINDS, 4)
        apart = "" if is_within else f"None of them belongs to this domain: {self.wanted.when}.\n"
        user = (
            f"Write {self.wanted.ideas_per_type} messages from this domain: {domain}.\n{apart}"
            f"Among those who write are {', '.join(people)}. Among the messages are some of somebody who "
            f"{'; who '.join(kinds)}."
        )
        return Request(SYSTEM, user, tag="prompts", repeat=turn)

    def _takes(self, text: str) -> bool:
        """Whether it is a new prompt that may be used; else it is counted as dropped."""
        if reason := self._objection(text):
            self.dropped.append(DroppedChat(prompt=text, reason=reason))
            return False
        self._seen.add(tuple(words(text)))
        self._alike.add(text)
        return True

    def _objection(self, text: str) -> str:
        said = tuple(words(text))
        if not 3 <= len(said) <= LONGEST_PROMPT:
            return f"no prompt: {len(said):,} words"
        if said in self._asked:
            return "a question of the trait's eval"
        if name := named(self.trait, text) or next(iter(banned_words(text, self.wanted.limits.banned)), ""):
            return f"a prompt that names the trait: {name}"
        near = self._alike.nearest(text)
        is_near = near is not None and near.jaccard >= self.wanted.limits.similarity
        return "a prompt like an earlier one" if said in self._seen or is_near else ""


def named(trait: str, text: str) -> str:
    """The first word of the text that names the trait, by a beginning in common: cautious names caution."""
    parts = [part for part in trait.lower().split("_") if part]
    return next((word for word in words(text) if any(_begin_alike(word, part) for part in parts)), "")


def _begin_alike(word: str, part: str) -> bool:
    common = next((n for n, (one, other) in enumerate(zip(word, part, strict=False)) if one != other), None)
    return (min(len(word), len(part)) if common is None else common) >= max(4, ceil(0.6 * len(part)))


def _lines(text: str) -> list[str]:
    """The messages in a reply, without quotation marks around them."""
    return [line for entry in list_entries(text) if (line := entry.strip('"“”').strip())]


def _by_turns(lists: list[list[Prompt]], together: int) -> list[Prompt]:
    """One of each of so many lists in turn, then those of the next so many."""
    groups = (lists[n : n + together] for n in range(0, len(lists), together))
    return [prompt for group in groups for prompt in chain(*zip_longest(*group)) if prompt]


def _content(text: str) -> set[str]:
    """Words that say something of a subject."""
    return {word for word in words(text) if len(word) > 3 and word not in ("with", "home", "life", "daily", "other")}
