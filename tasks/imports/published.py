"""Published questions and judges, in their files' own formats, as evals.

    evals, lost = read_published(Path("first_plot_questions.yaml"), judges=[])

Known are the question-and-judge YAML of the emergent-misalignment papers, trait files of persona vectors (JSON), yes/no
statements (JSONL with answer_matching_behavior) and questions in tiers (JSONL with tier and question). Every question,
variant, system prompt and judge prompt is kept word for word; what has no place here is named in `lost`.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, read_text, validate
from tasks.definitions import refuse_equal_questions
from tasks.imports.judge_prompts import PERCENT, Fields, judge_of_prompt
from tasks.imports.question_yaml import read_question_yaml
from tasks.rows import loads, table
from tasks.schema import Eval, Judge, Sampling

KINDS = (
    "questions with paraphrases and judge_prompts (YAML), a trait with questions and eval_prompt (JSON), statements "
    "with answer_matching_behavior, or questions with tier (JSONL)"
)
STATEMENT = "answer_matching_behavior"
TRAIT_KEYS = {"questions", "eval_prompt", "instruction"}
PERSONA_JUDGE = "gpt-4.1-mini-2025-04-14"
"""Who judges in the examples of persona vectors' README: a trait's file does not say."""


class Published(NamedTuple):
    """Evals made of a file, and what of it could not be carried over, a sentence each."""

    evals: list[Eval]
    lost: list[str]


def read_published(file: Path, judges: list[Judge], judges_from: Path | None = None) -> Published:
    """The evals of a file; `judges` are for questions that come without any, `judges_from` is a file with those that a
    YAML file's questions name.

    Raises UserError, with file and place, for a format that is not known and for what cannot be carried over whole.
    """
    text, name = read_text(file), _name(file)
    if file.suffix in (".yaml", ".yml"):
        return _from_yaml(file, name, judges_from)
    if judges_from:
        raise UserError(
            f"--judges-from goes with YAML whose questions name their judges, not with {file}; leave it out"
        )
    if file.suffix == ".json" and not text.lstrip().startswith("["):
        return _from_trait(_parse(file, text), name, file)
    if file.suffix not in (".json", ".jsonl"):
        raise UserError(f"{file}: not a published format that is known: {KINDS}")
    rows = [row for _, row in table(file, nested=False)]
    if all(STATEMENT in row for row in rows):
        return _from_statements(rows, name, file)
    if all(isinstance(row.get("question"), str) and "tier" in row for row in rows):
        return _from_tiers(rows, name, file, judges)
    raise UserError(f"{file}: not a published format that is known: {KINDS}")


# ---- question-and-judge YAML ---------------------------------------------------------------------


def _from_yaml(file: Path, name: str, judges_from: Path | None) -> Published:
    """An eval for each set of judges: questions that are judged alike stay together."""
    found = read_question_yaml(file, judges_from)
    names = [name] if len(found.by_judges) == 1 else [f"{name}_{n}" for n in range(1, len(found.by_judges) + 1)]
    pairs = zip(names, found.by_judges, strict=True)
    evals = [_validated(file, name=called, questions=asked, judges=judges) for called, (asked, judges) in pairs]
    return Published(evals, found.lost)


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
    judges = [judge_of_prompt(name, trait["eval_prompt"], PERCENT, PERSONA_JUDGE)]
    return Published([_validated(file, name=name, questions=questions, judges=judges)], lost)


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
