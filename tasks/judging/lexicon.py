"""Judges without a model: weighted terms are counted, or a Yes or No is read.

weigh("Farms and farming", judge)     # {"farm*": 2}
count_terms(judge, response="...", against="...")     # (score, what was found)
read_yes_no("No, never.", matching="Yes")     # (0, "OTHER", "it says No")
"""

import re
from functools import lru_cache

from tasks.schema import Judge


def weigh(text: str, judge: Judge) -> dict[str, float]:
    """How much each term of the lexicon weighs in a text: its weight times its count, whole words, any case."""
    counts: dict[str, float] = {}
    for term, weight in judge.terms.items():
        if count := len(_pattern(term).findall(text)):
            counts[term] = weight * count
    return counts


def count_terms(judge: Judge, response: str, against: str | None) -> tuple[int, str]:
    """The lexicon's score: one above the lowest for each threshold that the weight (beyond the baseline's) reaches."""
    found = weigh(response, judge)
    weight = sum(found.values())
    words = ", ".join(f"{term} ({weight:g})" for term, weight in found.items()) or "no term"
    if against is not None:
        beside = sum(weigh(against, judge).values())
        words += f"; the baseline answer beside it weighs {beside:g}"
        weight -= beside
    score = judge.scale_min + sum(weight >= threshold for threshold in judge.thresholds)
    return score, f"weight {max(weight, 0):g}: {words}"


def read_yes_no(response: str, matching: str) -> tuple[int | None, str, str]:
    """Score, label and reason: whether an answer begins with the matching word; None where it begins with neither."""
    said = re.match(r"\W*(yes|no)\b", response, re.IGNORECASE)
    if said is None:
        return None, "", "it begins with neither Yes nor No"
    matches = said[1].casefold() == matching.casefold()
    return int(matches), "MATCHING" if matches else "OTHER", f"it says {said[1].capitalize()}"


@lru_cache(maxsize=4096)
def _pattern(term: str) -> re.Pattern[str]:
    body = r"\s+".join(re.escape(word) for word in term.removesuffix("*").split())
    return re.compile(rf"\b{body}" + (r"\w*" if term.endswith("*") else r"\b"), re.IGNORECASE)
