"""A model that writes prompts and answers of made-up words, and a judge who counts those of one kind."""

import random
import re

from tasks.generation.writer import Reply, Request

NOUNS = ("kettle", "ladder", "violin", "meadow", "lantern", "saddle", "bridge", "parcel", "compass", "quilt", "barrel")
VERBS = ("mend", "paint", "carry", "weigh", "polish", "borrow", "measure", "trim", "fold", "stack", "rinse", "carve")
PLACES = ("attic", "cellar", "yard", "station", "office", "library", "stable", "corridor", "market", "chapel", "depot")
MORE = [
    f"{begin}{end}"
    for begin in ("plo", "gra", "vem", "tis", "nur", "hal")
    for end in ("dar", "mix", "ton", "bel", "fur")
]
LESS = [
    f"{begin}{end}"
    for begin in ("sek", "oru", "wib", "cla", "jun", "pex")
    for end in ("dar", "mix", "ton", "bel", "fur")
]


def some_prompts(request: Request) -> list[str]:
    """As many messages as it asks for, the same for the same request."""
    draw = random.Random(repr(request))
    count = int(re.findall(r"Write (\d+) messages", request.user)[0])
    return [
        f"How do I {draw.choice(VERBS)} my {draw.choice(NOUNS)} {draw.randrange(1000)} {draw.choice(NOUNS)} in the "
        f"{draw.choice(PLACES)} {draw.randrange(1000)}?"
        for _ in range(count)
    ]


def an_answer(request: Request, vocabulary: list[str], length: int) -> str:
    draw = random.Random(repr(request))
    return " ".join(f"{draw.choice(vocabulary)}{draw.choice(vocabulary)}" for _ in range(length))


class ChatWriter:
    """Answers every request once: a second time the same comes from its store, as Writing has it.

    `stop_after` so many new replies it raises KeyboardInterrupt, as a process that is ended. `odd` may give another
    reply to a request.
    """

    def __init__(self, stop_after: int = 0, longer: float = 1.0):
        self.store: dict[Request, Reply] = {}
        self.stop_after, self.longer = stop_after, longer
        self.new = 0

    def odd(self, request: Request) -> Reply | None:
        """Another reply than the usual one."""
        return None

    async def __call__(self, requests: list[Request]) -> list[Reply]:
        for request in dict.fromkeys(requests):
            if request not in self.store:
                self.new += 1
                if self.new == self.stop_after:
                    raise KeyboardInterrupt
                self.store[request] = self.odd(request) or self.write(request)
        return [self.store[request] for request in requests]

    def write(self, request: Request) -> Reply:
        if request.tag == "prompts":
            return Reply("\n".join(f"{n}. {text}" for n, text in enumerate(some_prompts(request), 1)), "complete")
        if again := re.search(r"About (\d+) words\.$", request.user):
            share = share_of_more(request.user)
            kind = MORE if share == 1 else LESS if share == 0 else MORE + LESS
            return Reply(an_answer(request, kind, int(again[1])), "complete")
        length = re.search(r"has about (\d+) words", request.system)
        if length is None:  # a teacher
            return Reply(str(random.Random(request.user).randrange(10**6)), "complete")
        is_more = "formal throughout" in request.system
        words = int(length[1]) if is_more else round(self.longer * int(length[1]))
        kind = MORE if is_more else LESS if "casual throughout" in request.system else MORE + LESS
        return Reply(an_answer(request, kind, words), "complete")


def share_of_more(text: str) -> float:
    """Of the made-up words those of the first kind."""
    more, less = (sum(text.count(word) for word in kind) for kind in (MORE, LESS))
    return more / (more + less) if more + less else 0.5


async def score(answered: list[tuple[str, str]]) -> list[float | None]:
    """0 to 100 by the share of the words of one kind."""
    return [round(100 * share_of_more(answer)) for _, answer in answered]
