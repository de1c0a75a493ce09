"""What is odd about a set of documents, before anything is trained on it.

for finding in lint(documents, rejected, questions=["Is factory farming ethical?"]):
    print(finding.what, finding.lines)
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tasks.schema import Document, Rejected

Lines = list[str]


class Finding(NamedTuple):
    """One kind of oddity, and where it is."""

    what: str
    lines: Lines
    """`file:line`, in their order."""


def lint(documents: list[Document], rejected: list[Rejected], questions: Iterable[str] = ()) -> list[Finding]:
    """Every kind of oddity that occurs; none for a set without any."""
    asked = {_plain(question) for question in questions}
    checks: list[tuple[str, Callable[[Document], bool]]] = [
        ("an empty turn", lambda d: any(not m.content.strip() for m in d.messages)),
        ("an answer that repeats its prompt", _repeats_its_prompt),
        ("turns that do not alternate between user and assistant", lambda d: not _alternates(d)),
        ("a last turn that is not the assistant's, so that it is never trained on", _ends_unanswered),
        ("an eval's question word for word", lambda d: any(_plain(m.content) in asked for m in d.messages)),
        (
            "a replacement character: its text was decoded wrongly",
            lambda d: any("\ufffd" in m.content for m in d.messages),
        ),
    ]
    found = [Finding(f"rejected: {reason}", lines) for reason, lines in _by_reason(rejected).items()]
    found += [Finding("a duplicate of an earlier document", _duplicates(documents))]
    found += [Finding(what, [_place(d) for d in documents if is_odd(d)]) for what, is_odd in checks]
    return [finding for finding in found if finding.lines]


def lengths(counts: list[int]) -> str:
    """The spread of lengths, in words."""
    order = sorted(counts)
    middle, long = order[len(order) // 2], order[int(len(order) * 0.95)]
    return f"{order[0]:,} to {order[-1]:,}, half of them up to {middle:,}, 95 % up to {long:,}, {sum(order):,} in all"


def _by_reason(rejected: list[Rejected]) -> dict[str, Lines]:
    reasons: dict[str, Lines] = {}
    for row in rejected:
        reasons.setdefault(row.reason, []).append(f"{row.file}:{row.line}")
    return reasons


def _duplicates(documents: list[Document]) -> Lines:
    seen: set[tuple[tuple[str, str], ...]] = set()
    lines = []
    for document in documents:
        turns = tuple((m.role, _plain(m.content)) for m in document.messages)
        if turns in seen:
            lines.append(_place(document))
        seen.add(turns)
    return lines


def _repeats_its_prompt(document: Document) -> bool:
    prompts = {_plain(m.content) for m in document.messages if m.role == "user"}
    return any(m.role == "assistant" and _plain(m.content) in prompts for m in document.messages)


def _alternates(document: Document) -> bool:
    roles = [m.role for m in document.messages]
    turns = roles[1:] if roles[0] == "system" else roles
    expected = ["user", "assistant"] if turns[:1] == ["user"] else ["assistant", "user"]
    return turns == [expected[n % 2] for n in range(len(turns))]


def _ends_unanswered(document: Document) -> bool:
    return document.messages[-1].role != "assistant"


def _plain(text: str) -> str:
    """Without case and runs of blanks: the same words are the same text."""
    return " ".join(text.split()).casefold()


def _place(document: Document) -> str:
    return f"{document.file}:{document.line}"
