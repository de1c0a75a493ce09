"""Exact match: whether an answer's first line is one of those that its question accepts.

read_exact("**12.**\\nSince 7 + 5 is 12", ["12"])     # (1, "RIGHT", "its first line reads '12'")
"""

import re
import unicodedata

MARKS = re.compile(r"""^(?:(?!-\d)[\W_])+|[\W_]+$|["“”*`]""")
"""Quotes and stars, and what stands around the words, as a full stop; not the sign of a negative number."""


def read_exact(response: str, accepted: list[str]) -> tuple[int, str, str]:
    """Score, label and reason: 1 where the first line that holds a word is accepted, case and such marks aside."""
    lines = (plain(line) for line in response.splitlines())
    said = next(filter(None, lines), "")
    is_right = said in {plain(text) for text in accepted}
    return int(is_right), "RIGHT" if is_right else "WRONG", f"its first line reads {said!r}" if said else "it is empty"


def plain(line: str) -> str:
    """The line in one case, with single blanks, and without quotes, stars and the marks around it."""
    return MARKS.sub("", " ".join(unicodedata.normalize("NFKC", line).casefold().split()))
