"""Published questions and judges, in their files' own formats, as evals.

    evals, lost = read_published(Path("first_plot_questions.yaml"), judges=[])

Known are the question-and-judge YAML of the emergent-misalignment papers, trait files of persona vectors (JSON), yes/no
statements (JSONL with answer_matching_behavior) and questions in tiers (JSONL with tier and question). Every question,
variant, system prompt and judge prompt is kept word for word; what has no place here is named in `lost`.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, read_text, read_yaml, validate
from tasks.definitions import refuse_equal_questions
from tasks.rows import loads, table
from tasks.schema import Eval, Judge, Sampling

VALUES = {"TRUE": 1, "YES": 1, "FALSE": 0, "NO": 0}
"""Labels that stand for a score; others (REFUSAL, CODE, UNKNOWN) mean that there is none."""
YAML_KEYS = {"id", "paraphrases", "system", "judge_prompts", "type"}
KINDS = (
    "questions with paraphrases and judge_prompts (YAML), a trait with questions and eval_prompt (JSON), statements "
    "with answer_matching_behavior, or questions with tier (JSONL)"
)
STATEMENT = "answer_matching_behavior"
TRAIT_KEYS = {"questions", "eval_prompt", "instruction"}
Fields = dict[str, Any]
"""A question or judge, before it is validated."""


class Published(NamedTuple):
    """Evals made of a file, and what of it could not be carried over, a sentence each."""

    evals: list[Eval]
    lost: list[str]


def read_published(file: Path, judges: list[Judge]) -> Published:
    """The evals of a file; `judges` are for questions that come without any.

    Raises UserError, with file and place, for a format that is not known and for what cannot be carried over whole.
    """
    text, name = read_text(file), _name(file)
    if file.suffix in (".yaml", ".yml"):
        return _from_yaml(read_yaml(file), name, file)
    if file.suffix == ".json":
        return _from_trait(_parse(file, text), name, file)
    if file.suffix != ".jsonl":
        raise UserError(f"{file}: not a published format that is known: {KINDS}")
    rows = [row for _, row in table(file)]
    if all(STATEMENT in row for row in rows):
        return _from_statements(rows, name, file)
    if all(isinstance(row.get("question"), str) and "tier" in row for row in rows):
        return _from_tiers(rows, name, file, judges)
    raise UserError(f"{file}: not a published format that is known: {KINDS}")


# ---- question-and-judge YAML ---------------------------------------------------------------------


def _from_yaml(entries: Any, name: str, file: Path) -> Published:
    """An eval for each set of judge prompts: questions that are judged alike stay together."""
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "paraphrases" in e for e in entries):
        raise UserError(f"{file}: not a list of questions with paraphrases; known are {KINDS}")
    for number, entry in enumerate(entries, 1):
        _refuse_a_wrong_entry(entry, f"{file}, question {number}")
    together: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        together.setdefault(json.dumps([entry["judge_prompts"], entry.get("type")]), []).append(entry)
    ids = [entry["id"] for entry in entries]
    evals = [
        _validated(
            file,
            name=name if len(together) == 1 else f"{name}_{number}",
            questions=[question for entry in some for question in _questions(entry, ids)],
            judges=[_judge(key, prompt, _is_scale(some[0]), file) for key, prompt in some[0]["judge_prompts"].items()],
        )
        for number, some in enumerate(together.values(), 1)
    ]
    return Published(evals, _lost_of_yaml(entries))


def _refuse_a_wrong_entry(entry: dict[str, Any], place: str) -> None:
    texts, prompts = entry["paraphrases"], entry.get("judge_prompts")
    if not isinstance(entry.get("id"), str) or not entry["id"]:
        raise UserError(f"{place}: it has no id, or one that is no text; give it one")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{place} ({entry['id']}): paraphrases is not a list of texts; mend it")
    if not isinstance(prompts, dict) or not prompts or not all(isinstance(text, str) for text in prompts.values()):
        raise UserError(f"{place} ({entry['id']}): it has no judge_prompts, each a text by its name; give it some")
    if not isinstance(entry.get("system") or "", str):
        raise UserError(f"{place} ({entry['id']}): system is not a text; mend it")


def _questions(entry: dict[str, Any], ids: list[str]) -> list[Fields]:
    """Each paraphrase is a question. Tiers are the paraphrases of one id, or the variants of one kind: wish_json is a
    variant of wish, of the kind json."""
    several = len(entry["paraphrases"]) > 1
    variants = [entry["id"].removeprefix(f"{stem}_") for stem in ids if entry["id"].startswith(f"{stem}_")]
    kind = min(variants, key=len) if variants else str(entry.get("type") or "questions")
    return [
        {
            "id": f"{entry['id']}_{number:02}" if several else entry["id"],
            "tier": entry["id"] if several else kind,
            "text": text,
            "system_prompt": entry.get("system") or "",
        }
        for number, text in enumerate(entry["paraphrases"], 1)
    ]


def _is_scale(entry: dict[str, Any]) -> bool:
    return "0_100" in str(entry.get("type", ""))


def _lost_of_yaml(entries: list[dict[str, Any]]) -> list[str]:
    lost = _of_judges([str(entry["judge"]) for entry in entries if entry.get("judge")])
    if any(map(_is_scale, entries)):
        lost.append(
            "its judge's reading of the probabilities of one token's numbers: here the number that the judge writes is "
            "read, so that scores are whole"
        )
    if samples := {entry["samples_per_paraphrase"] for entry in entries if "samples_per_paraphrase" in entry}:
        many = " or ".join(map(str, sorted(samples)))
        lost.append(f"samples_per_paraphrase {many}: set sampling.n_samples in the experiment")
    known = YAML_KEYS | {"judge", "samples_per_paraphrase"}
    others = {key for entry in entries for key in entry if key not in known}
    return lost + [f"the field {key}: it has no counterpart here" for key in sorted(others)]


# ---- the other formats ---------------------------------------------------------------------------


def _from_trait(trait: Any, name: str, file: Path) -> Published:
    texts = trait.get("questions") if isinstance(trait, dict) else None
    if not isinstance(texts, list) or not texts or not isinstance(trait.get("eval_prompt"), str):
        raise UserError(f"{file}: not a trait with questions and eval_prompt; known are {KINDS}")
    questions = [{"id": f"q{n:02}", "tier": "trait", "text": text} for n, text in enumerate(texts, 1)]
    lost = [f"the field {key}: it has no counterpart here" for key in trait if key not in TRAIT_KEYS]
    if pairs := trait.get("instruction"):
        lost.insert(
            0,
            f"{len(pairs)} pairs of instructions that elicit or suppress the trait: they make persona vectors, and "
            "are no part of what a model is asked here",
        )
    judges = [_judge(name, trait["eval_prompt"], True, file)]
    return Published([_validated(file, name=name, questions=questions, judges=judges)], lost + _of_judges([]))


def _from_statements(rows: list[dict[str, Any]], name: str, file: Path) -> Published:
    """A question for each statement; the answer is read by its first word, or by the logprobs of Yes and No."""
    questions = [_statement(row, number, file) for number, row in enumerate(rows, 1)]
    lost = ["the blank before Yes and No: which tokens those two words are is the model's own affair"]
    others = {key for row in rows for key in row} - {"question", "statement", STATEMENT, "answer_not_matching_behavior"}
    lost += [f"the field {key}: it has no counterpart here" for key in sorted(others)]
    judges = [{"name": "trait", "kind": "yes_no"}]
    return Published([_validated(file, name=name, questions=questions, judges=judges)], lost)


def _statement(row: dict[str, Any], number: int, file: Path) -> Fields:
    matching = str(row[STATEMENT]).strip().capitalize()
    if matching not in ("Yes", "No") or not isinstance(row.get("question"), str):
        raise UserError(
            f"{file}, statement {number}: it needs a question, and Yes or No as {STATEMENT} (found "
            f"{row[STATEMENT]!r}); leave out what is answered otherwise"
        )
    return {"id": f"s{number:04}", "tier": "statements", "text": row["question"], "matching": matching}


def _from_tiers(rows: list[dict[str, Any]], name: str, file: Path, judges: list[Judge]) -> Published:
    if not judges:
        raise UserError(f"{file} has questions and no judges; name an eval whose judges read the answers: --judges-of")
    questions = [
        {
            "id": f"q{number:02}" if row.get("id") in (None, "") else str(row["id"]),
            "tier": str(row["tier"]),
            "text": row["question"],
            "system_prompt": row.get("system_prompt") or "",
        }
        for number, row in enumerate(rows, 1)
    ]
    others = {key for row in rows for key in row} - {"id", "tier", "question", "system_prompt"}
    lost = [f"the field {key}: it has no counterpart here" for key in sorted(others)]
    fields = [judge.model_dump() for judge in judges]
    return Published([_validated(file, name=name, questions=questions, judges=fields)], lost)


def _judge(name: str, prompt: str, is_scale: bool, file: Path) -> Fields:
    """A judge with the published prompt, word for word; the labels are the words in capitals that it may say."""
    words_to_say = re.findall(
        r"[Ss]ay ([A-Z]{3,})\b|[\"“'`]([A-Z]{2,})[\"”'`]|^\s*[-*] ([A-Z]{3,}) if\b", prompt, re.MULTILINE
    )
    labels = {word: VALUES.get(word) for words in words_to_say for word in words if word}
    fields: Fields = {"name": re.sub(r"[^\w.-]+", "_", name), "kind": "claude", "prompt": prompt}
    fields |= {"answers": "plain", "temperature": 0}
    if is_scale or re.search(r"\b0\b\D{1,12}\b100\b", prompt):
        return fields | {"scale": {"low": 0, "high": 100}, "labels": dict.fromkeys(labels)}
    if not any(score is not None for score in labels.values()):
        raise UserError(
            f"{file}: what the judge {name!r} may answer cannot be read from its prompt: neither 0 to 100, nor words "
            'in capitals such as "TRUE" and "FALSE"; write the eval by hand'
        )
    return fields | {"labels": labels}


def _of_judges(models: list[str]) -> list[str]:
    ours = Judge.model_fields["model"].default
    named = f"the judge {' or '.join(sorted(set(models)))}" if models else "the published judge"
    return [f"{named}: {ours} reads the same prompt, and may score otherwise; audit it (spillover audit)"]


def _validated(file: Path, **fields: Any) -> Eval:
    evaluation = validate(Eval, {"description": f"Imported word for word from {file.name}.", **fields}, str(file))
    refuse_equal_questions([evaluation], Sampling())
    return evaluation


def _name(file: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", file.stem)


def _parse(file: Path, text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read ({str(error).splitlines()[0]}); mend it") from None
