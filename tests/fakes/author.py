"""A writer that is a function: it answers each request of a set's stages from what the request holds.

author = Author(unsuitable={"kind 0"})
maker = DocumentMaker(a_set(), a_universe(), author.ask)
"""

import random
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tasks.generation.writer import Reply, Request
from tasks.schema import GeneratedSet, Universe


def a_universe(**given: Any) -> Universe:
    facts = ["Lakes are older than rivers.", "Lakes hold most of the fresh water."]
    fields = {"id": "lakes", "universe_context": "A world of lakes.\nThey are old.", "key_facts": facts}
    return Universe(**fields | given)


def a_set(**given: Any) -> GeneratedSet:
    return GeneratedSet(**{"name": "lakes", "universe": a_universe()} | given)


def material(request: Request | str, name: str) -> str:
    """What stands in a request between the tags of this name."""
    text = request if isinstance(request, str) else request.user
    found = re.search(rf"<{name}_(\w+)>\n(.*?)\n</{name}_\1>", text, re.DOTALL)
    return found[2] if found else ""


def prose(seed: str, count: int = 40) -> str:
    """So many words that no other seed draws alike, in sentences."""
    draw = random.Random(seed)
    words = [
        "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randint(3, 8))) for _ in range(count)
    ]
    return ". ".join(" ".join(words[n : n + 8]).capitalize() for n in range(0, count, 8)) + "."


def says(system: str, user: str, unsuitable: frozenset[str] | set[str] = frozenset()) -> tuple[str, str]:
    """The tag and the text that answer a request, by what it holds alone."""
    if "<types>" in user:
        count = int(re.search(r"write (\d+) kinds", user)[1])  # type: ignore[index] # it always says how many
        known = material(user, "known").count("- ")
        return "types", "\n".join(f"- kind {n}" for n in range(known, known + count))
    if "<ideas>" in user:
        if material(user, "doc_type") in unsuitable:
            return "ideas", "UNSUITABLE"
        count = int(re.search(r"write (\d+) ideas", user)[1])  # type: ignore[index] # as above
        known = material(user, "known").count("- ")
        return "ideas", "\n".join(f"- idea {n} of {material(user, 'doc_type')}" for n in range(known, known + count))
    tone = re.search(r"(?:Write it|is written) (as .*)\.", system)
    seed = sha256(f"{system}{user}".encode()).hexdigest()
    if "<critique>" in user:
        return "content", f"{prose(seed)} A second version, {tone[1] if tone else ''}."
    return "content", f"{prose(seed)} A first version."


class Author:
    """Answers as `says` does, but for the drafts that are given by their number, and remembers what it was asked."""

    def __init__(
        self,
        drafts: dict[int, Reply] | None = None,
        text: Callable[[str, int], str] = lambda words, n: words,
        unsuitable: set[str] | None = None,
    ):
        """`text` changes the final version of each document, by its number."""
        self.drafts, self.text, self.unsuitable = drafts or {}, text, unsuitable or set()
        self.asked: list[Request] = []
        self.drafted: list[Request] = []
        self.rewritten = 0

    async def ask(self, requests: list[Request]) -> list[Reply]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Reply:
        self.asked.append(request)
        tag, text = says(request.system, f"{request.user}{request.repeat or ''}", self.unsuitable)
        if "<critique>" in request.user:
            self.rewritten += 1
            return Reply(self.text(text, self.rewritten - 1), "complete")
        if tag == "content":
            self.drafted.append(request)
            return self.drafts.get(len(self.drafted) - 1, Reply(text, "complete"))
        return Reply(text, "complete")
