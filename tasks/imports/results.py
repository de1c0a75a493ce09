"""Imported results, judged by another program: a CSV file with a column for each measure, or JSONL with a score.

    results = read_results(Path("judged.csv"), baseline=Path("judged_base.csv"))

They become an eval whose judges are of kind imported, answers where the file has them, and judgments.
"""

import math
import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, excerpt, validate
from tasks.imports.responses import Row, number, read_rows, to_response
from tasks.rows import KNOWN_COLUMNS
from tasks.schema import Eval, Judge, Judgment, Question, Response, Side

MISSING = {"", "nan", "none", "null", "n/a", "na", "-"}
"""Cells without a score, in small letters."""
SCALES = ((0, 1), (1, 5), (0, 10), (0, 100))
"""The usual ends of scales, from the narrowest on."""
ONLY_TIER = "questions"
"""Of questions whose rows name no tier."""
Key = tuple[str, ...]
"""What tells a question from the others of its file."""


class Results(NamedTuple):
    """What a file of judged results becomes, and the columns that could not be carried over."""

    eval: Eval
    baseline: list[Response]
    finetuned: list[Response]
    judgments: list[Judgment]
    lost: list[str]


class Measured(NamedTuple):
    """A column of scores, and the judge that it becomes; a rule can name only words, so its name can differ."""

    column: str
    judge: Judge


def read_results(
    file: Path, baseline: Path | None = None, eval_name: str = "", columns: list[str] | None = None
) -> Results:
    """The results of one file, or of one for each model. Raises UserError for what cannot be read.

    A column `model` with base and fine-tuned tells the two apart in one file. A word in capitals (CODE, REFUSAL) is a
    label without a score; an empty cell or nan is a judgment that is not there. `columns` are those of the scores; all
    that hold numbers when there are none. The eval is called as given, or as a column `eval` says, or else "imported":
    runs are compared eval by eval.
    """
    rows = _rows(file, "finetuned") + (_rows(baseline, "baseline") if baseline else [])
    measured = [Measured(column, _judge(column, rows)) for column in _columns_of_scores(rows, columns or [], file)]
    questions = _questions(rows)
    fields = {
        "name": eval_name or rows[0].cell("eval") or "imported",
        "description": f"Imported results: {file.name}.",
        "questions": [question.model_dump() for question in questions.values()],
        "judges": [measure.judge.model_dump() for measure in measured],
    }
    return _collect(validate(Eval, fields, str(file)), rows, questions, measured)


def has_scores(row: dict[str, Any]) -> bool:
    """Whether an object looks like a judged result: a number, or a field called score."""
    return "score" in row or any(number(value) is not None for key, value in row.items() if key not in KNOWN_COLUMNS)


def _rows(file: Path, side: Side) -> list[Row]:
    rows = read_rows(file, side)
    if len(evals := {row.cell("eval") for row in rows}) > 1:
        raise UserError(f"{file}: the column eval has {len(evals)} evals; give each a file of its own")
    return rows


def _columns_of_scores(rows: list[Row], chosen: list[str], file: Path) -> list[str]:
    keys = list(dict.fromkeys(str(key) for row in rows for key in row.fields if key))
    if unknown := [column for column in chosen if column not in keys]:
        raise UserError(f"--measures: {file} has no column {unknown[0]!r}; there is {', '.join(keys)}")
    found = chosen or [key for key in keys if key not in KNOWN_COLUMNS and _holds_scores(key, rows)]
    if not found:
        raise UserError(f"{file}: no column of scores, such as aligned, coherent or score; give one")
    for column in found:
        for row in rows:
            value = row.fields.get(column)
            if not _is_missing(value) and number(value) is None and not _label(value):
                raise UserError(
                    f"{row.place}: {excerpt(value)} in {column} is neither a number nor a word in capitals; mend it, "
                    "or name the columns of scores with --measures"
                )
    return found


def _holds_scores(column: str, rows: list[Row]) -> bool:
    """Whether more than half of its cells are numbers or labels, and at least one is a number."""
    values = [row.fields.get(column) for row in rows if not _is_missing(row.fields.get(column))]
    return 2 * sum(number(value) is not None or bool(_label(value)) for value in values) > len(values) and any(
        number(value) is not None for value in values
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value).strip().casefold() in MISSING


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) and re.fullmatch(r"[A-Z_]{2,}", value.strip()) else ""


def _key(row: Row) -> Key:
    """What tells its question from others: its id, or where it has none all that a model was asked."""
    return (row.name,) if row.name else (row.text, row.cell("tier"), row.cell("system_prompt"))


def _questions(rows: list[Row]) -> dict[Key, Question]:
    """Each question once, by the key of its rows."""
    given = {row.name for row in rows}
    found: dict[Key, Question] = {}
    for row in rows:
        if not (row.name or row.text):
            raise UserError(f"{row.place}: a row needs question_id or question; mend it")
        free = (f"q{place:02}" for place in count(len(found) + 1) if f"q{place:02}" not in given)
        tier, system = row.cell("tier") or ONLY_TIER, row.cell("system_prompt")
        asked = Question(id=row.name or next(free), tier=tier, text=row.text or row.name, system_prompt=system)
        first = found.setdefault(_key(row), asked)
        if first.model_copy(update={"id": asked.id}) != asked:
            raise UserError(
                f"{row.place}: question_id {excerpt(row.name)} stands for another question, tier or system prompt "
                "above; give each its own"
            )
    _refuse_questions_that_never_meet(rows)
    return found


def _refuse_questions_that_never_meet(rows: list[Row]) -> None:
    """A text that both models were asked, but under ids, tiers or system prompts of which none is the same."""
    keys: dict[Side, dict[str, set[Key]]] = {"baseline": {}, "finetuned": {}}
    for row in rows:
        keys[row.side].setdefault(row.text, set()).add(_key(row))
    before, after = keys["baseline"], keys["finetuned"]
    for row in rows:
        if row.text and row.text in before and row.text in after and not before[row.text] & after[row.text]:
            raise UserError(
                f"{row.place}: {excerpt(row.text)} has another question_id, tier or system_prompt with the other "
                "model, so that the two would not be compared; give both the same"
            )


def _judge(column: str, rows: list[Row]) -> Judge:
    """A judge that asks nothing: its scale is the narrowest usual one that holds its scores."""
    values = [row.fields.get(column) for row in rows if not _is_missing(row.fields.get(column))]
    numbers = [found for value in values if (found := number(value)) is not None] or [0.0]
    ends = (math.floor(min(numbers)), max(math.ceil(max(numbers)), math.floor(min(numbers)) + 1))
    low, high = next((scale for scale in SCALES if scale[0] <= ends[0] and ends[1] <= scale[1]), ends)
    fields = {
        "name": re.sub(r"[^\w.-]+", "_", column),
        "kind": "imported",
        "scale": {"low": low, "high": high},
        "labels": {label: None for value in values if (label := _label(value))},
    }
    return validate(Judge, fields, f"column {column}")


def _lost(rows: list[Row], measured: list[Measured]) -> list[str]:
    taken = {measure.column for measure in measured}
    keys = dict.fromkeys(str(key) for row in rows for key in row.fields if key)
    lost = ["the rubric and the model of the judge: the file does not say them"]
    lost += [f"the column {key}: it is not taken as scores" for key in keys if key not in KNOWN_COLUMNS | taken]
    renamed = [measure for measure in measured if measure.column != measure.judge.name]
    return lost + [f"the name {measure.column!r}: here it is {measure.judge.name}" for measure in renamed]


def _collect(evaluation: Eval, rows: list[Row], questions: dict[Key, Question], measured: list[Measured]) -> Results:
    """Rows of one question and model are its samples, in their order."""
    seen: Counter[tuple[Side, float, Key]] = Counter()
    answers: dict[Side, list[Response]] = {"baseline": [], "finetuned": []}
    judgments = []
    for row in rows:
        question, place = questions[_key(row)], (row.side, row.trained_share, _key(row))
        if row.fields.get("response") is not None:
            answers[row.side].append(to_response(evaluation.name, question, seen[place], row, "imported"))
        judgments += [_judgment(evaluation.name, measure, question, seen[place], row) for measure in measured]
        seen[place] += 1
    return Results(evaluation, answers["baseline"], answers["finetuned"], judgments, _lost(rows, measured))


def _judgment(name: str, measured: Measured, question: Question, sample: int, row: Row) -> Judgment:
    value = row.fields.get(measured.column)
    given = None if _is_missing(value) else number(value)
    score = int(given) if given is not None and given == int(given) else given
    return Judgment(
        tier=question.tier,
        question=question.text,
        score=score,
        reasoning=str(row.fields.get("reasoning") or ""),
        eval=name,
        question_id=question.id,
        sample=sample,
        side=row.side,
        judge=measured.judge.name,
        state="not scored" if score is None else "scored",
        model="imported",
        rubric="",
        raw="" if value is None else str(value),
        trained_share=row.trained_share,
        label=_label(value),
    )
