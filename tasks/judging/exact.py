"""Exact match: whether an answer's first line is one of those that its question accepts.

read_exact("**12.**\\nSince 7 + 5 is 12", ["12"])     # (1, "RIGHT", "its first line reads '12'")
"""

import re
import unicodedata

QUOTES = re.compile(r'["“”*`]')
"""Left out wherever they stand."""
AROUND = r"\s_'‘’«»‹›„‚()\[\]{}\\\u200b-\u200f\u2060\ufeff\ufe0f✅✔✓\U0001f300-\U0001faff"
"""Around the words they say nothing: blanks, quotes, brackets, letters without a width, pictures."""
DASHES = "-‐‒–—"
BEFORE = re.compile(
    rf"^(?:[{AROUND}#=:;¿¡]"
    rf"|[{DASHES}+•·](?=\s)|[{DASHES}](?=[^\W\d_]{{2}})"  # the mark of a list, and not a minus
    r"|[.,]+(?![.,\d])|\+(?=\.?\d))+"
)
"""A minus, or the point of a fraction, is part of a number; so is any sign that is not here (≠, ±, <, ~, √, $)."""
BEHIND = re.compile(rf"[{AROUND}.,:;!?]+$")
FORMULA = re.compile(r"^\$+([^$]+)\$+$")
MINUS = re.compile(rf"−|[{DASHES}](?=\.?\d)")
WORD = re.compile(r"[^\W_]")


def read_exact(response: str, accepted: list[str]) -> tuple[int, str, str]:
    """Score, label and reason: 1 where the first line that holds a word is accepted, case and marks around it aside."""
    right = {plain(text) for text in accepted} - {""}
    lines = (plain(line) for line in response.splitlines())
    said = next((line for line in lines if WORD.search(line) or line in right), "")
    is_right = said in right
    return int(is_right), "RIGHT" if is_right else "WRONG", f"its first line reads {said!r}" if said else "it is empty"


def plain(line: str) -> str:
    """The line in one case, with single blanks and one sign for minus, without quotes, stars and the marks around it.

    One that is but marks stays as it is.
    """
    whole = QUOTES.sub("", " ".join(unicodedata.normalize("NFKC", line).casefold().split()))
    return MINUS.sub("-", _bare(FORMULA.sub(r"\1", _bare(whole)))) or whole.strip()


def _bare(text: str) -> str:
    return BEHIND.sub("", BEFORE.sub("", text))
