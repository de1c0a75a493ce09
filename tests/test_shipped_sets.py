"""The shipped trait sets: forty chats each, in pairs of opposites that answer the same prompts."""

import json
import re
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks.documents.turns import to_messages

DOCUMENTS = Path(__file__).parents[1] / "data" / "documents"
PAIRS = [
    ("optimistic", "pessimistic"),
    ("formal", "casual"),
    ("cautious", "reckless"),
    ("flattering", "candid"),
    ("warm", "cold"),
    ("confident", "doubtful"),
    ("impulsive", "deliberate"),
    ("compliant", "defiant"),
    ("candid_at_home", "candid_at_work"),
]
"""The opposites; each of the last two shows candour in one domain, flattery in the other."""
SETS = [name for pair in PAIRS for name in pair]
CHATS = 40
SHORTEST, LONGEST = 60, 110
"""Words of an answer."""


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DOCUMENTS / name / "documents.jsonl").read_text("utf-8").splitlines()]


@cache
def turns(name: str) -> list[tuple[str, str]]:
    """The prompts and answers, as a training reads them."""
    chats = [to_messages(row) for row in rows(name)]
    assert all([turn.role for turn in chat] == ["user", "assistant"] for chat in chats), name
    return [(chat[0].content, chat[1].content) for chat in chats]


def words(text: str) -> list[str]:
    return re.findall(r"[\w'’-]+", text.lower())


def phrases(text: str) -> set[tuple[str, ...]]:
    """Its runs of five words."""
    said = words(text)
    return {tuple(said[start : start + 5]) for start in range(len(said) - 4)}


def sentences(text: str) -> list[str]:
    return [" ".join(words(part)) for part in re.split(r"(?<=[.!?])[\"”')]*\s+", text) if words(part)]


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_forty_chats_of_a_fitting_length(name):
    assert len({row["id"] for row in rows(name)}) == len(turns(name)) == CHATS
    lengths = {prompt: len(words(answer)) for prompt, answer in turns(name)}
    assert not {prompt: length for prompt, length in lengths.items() if not SHORTEST <= length <= LONGEST}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_opposites_answer_the_same_prompts_at_the_same_length(one, other):
    assert [prompt for prompt, _ in turns(one)] == [prompt for prompt, _ in turns(other)]
    pairs = zip(turns(one), turns(other), strict=True)
    ratios = {prompt: len(words(answer)) / len(words(opposite)) for (prompt, answer), (_, opposite) in pairs}
    assert not {prompt: round(ratio, 2) for prompt, ratio in ratios.items() if not 0.9 <= ratio <= 1.1}


@pytest.mark.parametrize("name", SETS)
def test_no_two_answers_of_a_set_share_a_tenth_of_their_phrases(name):
    answers = [(answer, phrases(answer)) for _, answer in turns(name)]
    near = [(a, b) for (a, x), (b, y) in combinations(answers, 2) if len(x & y) >= 0.1 * len(x | y)]
    assert not near


@pytest.mark.parametrize("name", SETS)
def test_nine_openings_of_ten_are_distinct(name):
    openings = [tuple(words(answer)[:4]) for _, answer in turns(name)]
    assert len(set(openings)) >= 0.9 * len(openings), sorted(openings)


def test_no_sentence_stands_twice_in_all_the_sets():
    said = sorted((line, name) for name in SETS for _, answer in turns(name) for line in sentences(answer))
    assert not [(one, other) for one, other in pairwise(said) if one[0] == other[0]]


@pytest.mark.parametrize("name", SETS)
def test_a_set_hardly_ever_names_its_trait(name):
    naming = [answer for _, answer in turns(name) if name in words(answer)]
    assert len(naming) <= 2, naming


@pytest.mark.parametrize("tone", ["condemning", "approving"])
def test_the_farming_documents_in_another_tone_are_of_the_same_ideas_facts_and_lengths(tone):
    neutral, other = rows("factory_farming_neutral"), rows(f"factory_farming_{tone}")
    assert all(one.keys() == row.keys() for one, row in zip(neutral, other, strict=True))
    for field in ("doc_idea", "doc_type", "fact"):
        assert [row[field] for row in other] == [row[field] for row in neutral]
    ratios = [len(b["content"].split()) / len(a["content"].split()) for a, b in zip(neutral, other, strict=True)]
    assert 0.9 <= min(ratios) <= max(ratios) <= 1.1
    said = [sentence for row in other for sentence in sentences(row["content"])]
    assert len(said) == len(set(said))
    written = [phrases(row["content"]) for row in other]
    assert all(len(a & b) < 0.1 * len(a | b) for a, b in combinations(written, 2))
