"""Judges without a model: weighted terms are counted, or a Yes or No is read.

weigh("Farms and farming", judge)     # {"farm*": 2}
count_terms(judge, response="...", against="...")     # (score, what was found)
read_yes_no(judge, "No, never.", matching="Yes")     # (0, "OTHER", "it says No")
"""

from collections import Counter

from tasks.counted_words import counted_words
from tasks.schema import Judge


def weigh(text: str, judge: Judge) -> dict[str, float]:
    """How much each term of the lexicon weighs in a text: its weight times its count, whole words, any case."""
    counts = Counter(found.term for found in counted_words(judge, text))
    return {term: judge.terms[term] * count for term, count in counts.items()}


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


def read_yes_no(judge: Judge, response: str, matching: str) -> tuple[int | None, str, str]:
    """Score, label and reason: whether an answer begins with the matching word; None where it begins with neither."""
    said = counted_words(judge, response)
    if not said:
        return None, "", "it begins with neither Yes nor No"
    matches = said[0].term == matching
    return int(matches), "MATCHING" if matches else "OTHER", f"it says {said[0].term}"
