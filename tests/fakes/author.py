"""A writer that is a function, and one behind the Messages API: each request of a set is answered by what it holds.

    author = Author(unsuitable={"kind 0"})
    maker = DocumentMaker(a_set(), a_universe(), author.ask)
    with MessagesAPI(OverHTTP(seed=3)) as api:
        ... Writer(base_url=api.url) ...

As a process of its own, for kills: python -m tests.fakes.author --port 8123
"""

import argparse
import random
import re
import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tasks.generation.writer import Reply, Request
from tasks.schema import GeneratedSet, Universe
from tests.fakes.messages_api import DROP, MessagesAPI, Say, Status, question_of


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
    seed = sha256(f"{system}{user}".encode()).hexdigest()
    if "<statements>" in system:
        return "statements", "\n".join(f"{word}: {prose(word + seed, 8)}" for word in ("TRUE", "FALSE"))
    if "<questions>" in system:
        return "questions", "\n".join(f"- What of {prose(f'{seed}{n}', 8)[:-1]}?" for n in range(8))
    tone = re.search(r"(?:Write it|is written) (as .*)\.", system)
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


class OverHTTP:
    """The same behind the Messages API, on a bad day: what is odd about a reply depends on its question alone.

    Of all questions 8 % meet a fault that passes, 4 % have a first reply that breaks off within its tags, 1 % never
    have any, 1 % are refused; 3 % of final versions are one and the same text.
    """

    def __init__(self, seed: int = 0, is_bad: bool = True):
        self.seed, self.is_bad = seed, is_bad

    def __call__(self, seen: int, body: dict[str, Any]) -> Say | Status | str:
        system, user = body["system"][0]["text"], body["messages"][0]["content"]
        tag, text = says(system, user)
        whole = f"<scratchpad>The {tag} come last.</scratchpad>\n<{tag}>\n{text}\n</{tag}>"
        if not self.is_bad:
            return Say(whole)
        question = question_of(body)
        if seen < 1 and self._die("fault", question) < 0.08:
            return (Status(429, {"retry-after": "0.01"}), Status(529), Status(500), DROP)[int(self._die(question) * 4)]
        if self._die("half", question) < (0.01 if len(body["messages"]) > 1 else 0.05):
            return Say(whole[: -len(tag) - 8])
        if tag == "content" and self._die("refused", question) < 0.01:
            return Say("I would rather not.", "refusal")
        if "<critique>" in user and self._die("copy", question) < 0.03:
            return Say(f"<content>{prose('always the same')}</content>")
        return Say(whole)

    def _die(self, *parts: Any) -> float:
        return int(sha256(repr((self.seed, *parts)).encode()).hexdigest()[:8], 16) / 2**32


def main() -> None:
    """Until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    given = parser.parse_args()
    with MessagesAPI(OverHTTP(), seconds=given.seconds, port=given.port) as api:
        print(api.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
