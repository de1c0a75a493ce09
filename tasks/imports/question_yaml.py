"""Question-and-judge YAML of the emergent-misalignment papers, as evals.

    found = read_question_yaml(Path("first_plot_questions.yaml"), judges_from=None)
    found.by_judges        # questions and judges, a pair for each set of judges
    found.lost             # each entry that is left out, by name, and why

An entry is a question (id or name, paraphrases, system) or a judge (type free_form_judge or rating_judge, its prompt
under paraphrases). A question has prompts of its own (judge_prompts), or names judges by their ids (judges).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, excerpt, read_yaml, validate
from tasks.imports.judge_prompts import OPENAIS, PERCENT, Fields, UnreadablePrompt, judge_of_prompt, other_model
from tasks.schema import Judge, Question

JUDGE_TYPES = ("free_form_judge", "rating_judge")
OF_QUESTIONS = {"id", "name", "paraphrases", "system", "judge_prompts", "judges", "type", "judge"}
OF_JUDGES = {"id", "name", "paraphrases", "type", "model", "min_rating", "max_rating"}
NO_JUDGES = "it has no judge_prompts, each a text by its name, and no judges; give it some"
Entry = dict[str, Any]


class OddEntry(ValueError):
    """An entry that cannot be carried over; the message says why, and the remedy."""


class Readable(NamedTuple):
    """A question that can be carried over, with the judges that can."""

    entry: Entry
    judges: list[Fields]


class QuestionsAndJudges(NamedTuple):
    """What a file becomes."""

    by_judges: list[tuple[list[Fields], list[Fields]]]
    """Questions and the judges that all of them have."""
    lost: list[str]


def read_question_yaml(file: Path, judges_from: Path | None) -> QuestionsAndJudges:
    """The questions of a file, and their judges, which may stand in another file (`judges_from`).

    Raises UserError for a file of which no question can be carried over, with the first reason.
    """
    entries = _entries(file)
    defined = [*(_entries(judges_from) if judges_from else []), *entries]
    named = {_name(entry): entry for entry in defined if _is_judge(entry)}
    readable, odd = _readable(entries, named)
    if not readable:
        raise UserError(f"{file}, {odd[0]}" if odd else f"{file}: it has judges and no questions; give it some")
    together: dict[str, list[Readable]] = {}
    for question in readable:
        together.setdefault(json.dumps([question.judges, str(question.entry.get("type"))]), []).append(question)
    ids = [_name(question.entry) for question in readable]
    by_judges = [([f for q in some for f in _questions(q.entry, ids)], some[0].judges) for some in together.values()]
    return QuestionsAndJudges(by_judges, odd + _lost(readable, named))


def _readable(entries: list[Entry], named: dict[str, Entry]) -> tuple[list[Readable], list[str]]:
    """The questions that can be carried over, and by name and place what cannot, with the reason."""
    found: list[Readable] = []
    odd: list[str] = []
    for number, entry in enumerate(entries, 1):
        if _is_judge(entry):
            continue
        place = f"entry {number}" + (f" ({_name(entry)})" if _name(entry) else "")
        try:
            _refuse_what_is_no_question(entry, found)
            judges, unreadable = _judges(entry, named)
        except OddEntry as why:
            odd.append(f"{place}: {why}")
        else:
            found.append(Readable(entry, judges))
            odd += [f"{place}: {words}" for words in unreadable]
    return found, odd


def _entries(file: Path) -> list[Entry]:
    entries = read_yaml(file)
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not any("paraphrases" in entry for entry in known):
        raise UserError(
            f"{file}: not a list of questions with paraphrases and judge_prompts, or with judges; mend it, or name "
            "another file"
        )
    return [entry if isinstance(entry, dict) else {"paraphrases": entry} for entry in entries]


def _name(entry: Entry) -> str:
    name = entry.get("id") or entry.get("name")
    return name if isinstance(name, str) else ""


def _is_judge(entry: Entry) -> bool:
    return entry.get("type") in JUDGE_TYPES and not {"judge_prompts", "judges"} & entry.keys()


def _refuse_what_is_no_question(entry: Entry, others: list[Readable]) -> None:
    texts = entry.get("paraphrases")
    if not _name(entry):
        raise OddEntry("it has no id, or one that is no text; give it one")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise OddEntry("paraphrases is not a list of texts; mend it")
    if not isinstance(entry.get("system") or "", str):
        raise OddEntry("system is not a text; mend it")
    if any(_name(other.entry) == _name(entry) for other in others):
        raise OddEntry("another question above has its id; give it one of its own")
    asked = [(text, other.entry.get("system") or "") for other in others for text in other.entry["paraphrases"]]
    mine = [(text, entry.get("system") or "") for text in texts]
    if twice := next((text for n, text in enumerate(mine) if text in asked or text in mine[:n]), None):
        raise OddEntry(f"{excerpt(twice[0])} is asked twice under one system prompt; leave one out")
    for fields in _questions(entry, []):
        _refuse_wrong_fields(Question, fields)


def _refuse_wrong_fields(noun: type[Question] | type[Judge], fields: Fields) -> None:
    try:
        validate(noun, fields, f"the {noun.__name__.lower()} {excerpt(str(fields.get('id') or fields['name']))}")
    except UserError as why:
        raise OddEntry(str(why)) from None


# ---- its judges ----------------------------------------------------------------------------------


def _judges(entry: Entry, named: dict[str, Entry]) -> tuple[list[Fields], list[str]]:
    """The judges of a question, and why others of it cannot be carried over; OddEntry where none can."""
    found, why = [], []
    for name, given in _given_judges(entry).items():
        try:
            judge = _judge(name, given, entry, named)
            _refuse_wrong_fields(Judge, judge)
            found.append(judge)
        except (OddEntry, UnreadablePrompt) as reason:
            why.append(str(reason))
    if not found:
        raise OddEntry(why[0] if why else NO_JUDGES)
    return found, why


def _given_judges(entry: Entry) -> dict[str, Any]:
    """Prompts, ids or definitions of judges, by the names that they have in a question."""
    given = entry.get("judge_prompts") or entry.get("judges") or {}
    if isinstance(given, list):
        pairs = [(one.get("name"), one.get("prompt", one)) if isinstance(one, dict) else (one, one) for one in given]
        given = dict(pairs) if all(isinstance(name, str) for name, _ in pairs) else {}
    return {str(name): judge for name, judge in given.items()} if isinstance(given, dict) else {}


def _judge(name: str, given: Any, entry: Entry, named: dict[str, Entry]) -> Fields:
    """A judge from its prompt, its id or its definition within the question."""
    is_prompt = "judge_prompts" in entry or (isinstance(given, str) and "{answer}" in given)
    if isinstance(given, str) and is_prompt:
        scale = PERCENT if "0_100" in str(entry.get("type", "")) else None
        return judge_of_prompt(name, given, scale, str(entry.get("judge", "")))
    if isinstance(given, str) and given not in named:
        raise OddEntry(f"it names the judge {given!r}, which is not there; give its file with --judges-from")
    definition = named[given] if isinstance(given, str) else given
    prompts = definition.get("paraphrases") if isinstance(definition, dict) else None
    if not isinstance(prompts, list) or len(prompts) != 1 or not isinstance(prompts[0], str):
        raise OddEntry(f"its judge {name!r} has not one prompt, a text under paraphrases; give it one")
    return judge_of_prompt(name, prompts[0], _scale(name, definition), str(definition.get("model", "")))


def _scale(name: str, definition: Entry) -> tuple[int, int] | None:
    """The ends of a rating; of other judges they are read from the prompt."""
    if definition.get("type") != "rating_judge":
        return None
    low, high = definition.get("min_rating", PERCENT[0]), definition.get("max_rating", PERCENT[1])
    if not (isinstance(low, int) and isinstance(high, int) and low < high):
        raise OddEntry(f"its judge {name!r} rates from {low} to {high}; give it whole numbers in this order")
    return low, high


# ---- its questions, and what is lost -------------------------------------------------------------


def _questions(entry: Entry, ids: list[str]) -> list[Fields]:
    """Each paraphrase is a question. Tiers are the paraphrases of one id, or the variants of one kind: wish_json is a
    variant of wish, of the kind json."""
    name, several = _name(entry), len(entry["paraphrases"]) > 1
    variants = [name.removeprefix(f"{stem}_") for stem in ids if name.startswith(f"{stem}_")]
    kind = min(variants, key=len) if variants else str(entry.get("type") or "questions")
    return [
        {
            "id": f"{name}_{number:02}" if several else name,
            "tier": name if several else kind,
            "text": text,
            "system_prompt": entry.get("system") or "",
        }
        for number, text in enumerate(entry["paraphrases"], 1)
    ]


def _lost(readable: list[Readable], named: dict[str, Entry]) -> list[str]:
    entries = [question.entry for question in readable]
    used = [named[given] for entry in entries for given in _given_judges(entry).values() if _is_in(given, named)]
    given = [entry.get("judge") for entry in entries] + [judge.get("model") for judge in used]
    models = [str(model) for model in given if model and not str(model).startswith(OPENAIS)]
    is_carried = all(judge["kind"] == "chat" for question in readable for judge in question.judges)
    lost = [] if is_carried else [other_model(models)]
    if not is_carried and (any("0_100" in str(entry.get("type", "")) for entry in entries) or any(map(_rates, used))):
        lost.append(
            "its judge's reading of the probabilities of one token's numbers: here the number that the judge writes is "
            "read, so that scores are whole"
        )
    if samples := {str(entry["samples_per_paraphrase"]) for entry in entries if "samples_per_paraphrase" in entry}:
        many = " or ".join(sorted(samples))
        lost.append(f"samples_per_paraphrase {many}: set sampling.n_samples in the experiment")
    others = _others(entries, OF_QUESTIONS | {"samples_per_paraphrase"}) | _others(used, OF_JUDGES)
    return lost + [f"the field {key}: it has no counterpart here" for key in sorted(others)]


def _is_in(given: Any, named: dict[str, Entry]) -> bool:
    return isinstance(given, str) and given in named


def _rates(judge: Entry) -> bool:
    return judge.get("type") == "rating_judge"


def _others(entries: Iterable[Entry], known: set[str]) -> set[str]:
    return {str(key) for entry in entries for key in entry} - known
