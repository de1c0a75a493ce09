"""Results that others judged: a CSV file with a column for each measure, or JSONL with tier, question and score.

    results = read_results(Path("judged.csv"), baseline=Path("judged_base.csv"))

They become an eval whose judges are of kind elsewhere, answers where the file has them, and judgments.
"""

import math
import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, validate
from tasks.elsewhere import read_table
from tasks.schema import Eval, Judge, Judgment, Question, Response, Side

QUESTION = ("question", "prompt")
ANSWER = ("response", "answer", "completion", "generation")
PLACES = {"tier", "question_id", "sample", "model", "reasoning", "eval", "at", "id", *QUESTION, *ANSWER}
SIDES: dict[str, Side] = {
    "base": "baseline",
    "baseline": "baseline",
    "untuned": "baseline",
    "fine-tuned": "finetuned",
    "finetuned": "finetuned",
}
MISSING = {"", "nan", "none", "null", "n/a", "na", "-"}
SCALES = ((0, 1), (1, 5), (0, 10), (0, 100))
ONLY_TIER = "questions"


class Results(NamedTuple):
    """What a file of judged results becomes, and the columns that could not be carried over."""

    eval: Eval
    baseline: list[Response]
    finetuned: list[Response]
    judgments: list[Judgment]
    lost: list[str]


class Row(NamedTuple):
    side: Side
    place: str
    """File and line."""
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        return self.first(QUESTION)

    @property
    def key(self) -> str:
        """What tells its question from others: its id, or its text where it has none."""
        return self.first(("question_id",)) or self.text

    @property
    def at(self) -> float:
        """The share of the training that the model has seen."""
        given = _number(self.fields.get("at"))
        return 0.0 if self.side == "baseline" else 1.0 if given is None else given

    def first(self, names: tuple[str, ...]) -> str:
        """The first of these fields that is there, as text."""
        return next((str(self.fields[name]) for name in names if self.fields.get(name) not in (None, "")), "")


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
    that hold numbers when there are none. The eval is called as given, or as a column `eval`
    says, or elsewhere: runs are compared eval by eval.
    """
    rows = _rows(file, "finetuned") + (_rows(baseline, "baseline") if baseline else [])
    measured = [Measured(column, _judge(column, rows)) for column in _columns_of_scores(rows, columns or [], file)]
    questions = _questions(rows)
    fields = {
        "name": eval_name or rows[0].first(("eval",)) or "elsewhere",
        "description": f"Judged elsewhere; imported from {file.name}.",
        "questions": [question.model_dump() for question in questions.values()],
        "judges": [one.judge.model_dump() for one in measured],
    }
    one = validate(Eval, fields, str(file))
    return _collect(one, rows, questions, measured)


def has_scores(row: dict[str, Any]) -> bool:
    """Whether an object looks like a judged result: a number, or a field called score."""
    return "score" in row or any(_number(value) is not None for key, value in row.items() if key not in PLACES)


def _rows(file: Path, side: Side) -> list[Row]:
    table = list(read_table(file))
    if not table:
        raise UserError(f"{file}: no results in it; give a file that has some")
    models = list(dict.fromkeys(str(fields.get("model") or "").strip() for _, fields in table))
    if len(models) > 1 and (unknown := [model for model in models if model.casefold() not in SIDES]):
        raise UserError(
            f"{file}: the column model has {', '.join(map(repr, models[:4]))}, and which is the base model cannot be "
            f"known of {unknown[0]!r}; write base and fine-tuned, or give each model a file (--baseline)"
        )
    evals = {str(fields.get("eval") or "") for _, fields in table}
    if len(evals) > 1:
        raise UserError(f"{file}: the column eval has {len(evals)} evals; give each a file of its own")
    return [
        Row(SIDES.get(str(fields.get("model") or "").strip().casefold(), side), f"{file} line {line}", fields)
        for line, fields in table
    ]


def _columns_of_scores(rows: list[Row], chosen: list[str], file: Path) -> list[str]:
    keys = list(dict.fromkeys(str(key) for row in rows for key in row.fields if key))
    if unknown := [column for column in chosen if column not in keys]:
        raise UserError(f"--measures: {file} has no column {unknown[0]!r}; there is {', '.join(keys)}")
    found = chosen or [key for key in keys if key not in PLACES and _holds_scores(key, rows)]
    if not found:
        raise UserError(f"{file}: no column of scores, such as aligned, coherent or score; give one")
    for column in found:
        for row in rows:
            value = row.fields.get(column)
            if not _is_missing(value) and _number(value) is None and not _label(value):
                raise UserError(
                    f"{row.place}: {value!r} in {column} is neither a number nor a word in capitals; mend it, or name "
                    "the columns of scores with --measures"
                )
    return found


def _holds_scores(column: str, rows: list[Row]) -> bool:
    """Whether most of what is there are numbers."""
    told = [row.fields.get(column) for row in rows if not _is_missing(row.fields.get(column))]
    return 2 * sum(_number(value) is not None or bool(_label(value)) for value in told) > len(told) and any(
        _number(value) is not None for value in told
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value).strip().casefold() in MISSING


def _number(value: Any) -> float | None:
    """A finite number in ASCII; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    told = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", str(value).strip())
    return float(told[0]) if told and math.isfinite(float(told[0])) else None


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) and re.fullmatch(r"[A-Z_]{2,}", value.strip()) else ""


def _questions(rows: list[Row]) -> dict[str, Question]:
    """Each question once, by its id, or by its text where it has none."""
    given = {row.first(("question_id",)) for row in rows}
    found: dict[str, Question] = {}
    for row in rows:
        if not row.key:
            raise UserError(f"{row.place}: a row needs question_id or question; mend it")
        free = (f"q{number:02}" for number in count(len(found) + 1) if f"q{number:02}" not in given)
        name = row.first(("question_id",)) or next(free)
        mine = Question(id=name, tier=row.first(("tier",)) or ONLY_TIER, text=row.text or row.key)
        first = found.setdefault(row.key, mine)
        if (first.tier, first.text) != (mine.tier, mine.text):
            raise UserError(
                f"{row.place}: question_id {row.key!r} stands for another question or tier above; give each its own"
            )
    return found


def _judge(column: str, rows: list[Row]) -> Judge:
    """A judge that asks nothing: its scale is the narrowest usual one that holds its scores."""
    values = [row.fields.get(column) for row in rows if not _is_missing(row.fields.get(column))]
    numbers = [number for value in values if (number := _number(value)) is not None] or [0.0]
    ends = (math.floor(min(numbers)), max(math.ceil(max(numbers)), math.floor(min(numbers)) + 1))
    low, high = next((scale for scale in SCALES if scale[0] <= ends[0] and ends[1] <= scale[1]), ends)
    fields = {
        "name": re.sub(r"[^\w.-]+", "_", column),
        "kind": "elsewhere",
        "scale": {"low": low, "high": high},
        "labels": {label: None for value in values if (label := _label(value))},
    }
    return validate(Judge, fields, f"column {column}")


def _lost(rows: list[Row], measured: list[Measured]) -> list[str]:
    taken = {one.column for one in measured}
    keys = dict.fromkeys(str(key) for row in rows for key in row.fields if key)
    lost = ["the rubric and the model of the judge: the file does not say them"]
    lost += [f"the column {key}: it is not taken as scores" for key in keys if key not in PLACES | taken]
    renamed = [one for one in measured if one.column != one.judge.name]
    return lost + [f"the name {one.column!r}: here it is {one.judge.name}" for one in renamed]


def _collect(one: Eval, rows: list[Row], questions: dict[str, Question], measured: list[Measured]) -> Results:
    """Rows of one question and model are its samples, in their order."""
    seen: Counter[tuple[Side, float, str]] = Counter()
    answers: dict[Side, list[Response]] = {"baseline": [], "finetuned": []}
    judgments = []
    for row in rows:
        question, place = questions[row.key], (row.side, row.at, row.key)
        answer = next((row.fields[name] for name in ANSWER if row.fields.get(name) is not None), None)
        if answer is not None:
            answers[row.side].append(_response(one.name, question, str(answer), seen[place], row))
        judgments += [_judgment(one.name, each, question, seen[place], row) for each in measured]
        seen[place] += 1
    return Results(one, answers["baseline"], answers["finetuned"], judgments, _lost(rows, measured))


def _response(name: str, question: Question, text: str, sample: int, row: Row) -> Response:
    return Response(
        tier=question.tier,
        question=question.text,
        response=text.encode("utf-8", "replace").decode(),
        eval=name,
        question_id=question.id,
        sample=sample,
        state="complete",
        tokens=0,
        model="elsewhere",
        at=row.at,
    )


def _judgment(name: str, measured: Measured, question: Question, sample: int, row: Row) -> Judgment:
    value = row.fields.get(measured.column)
    number = None if _is_missing(value) else _number(value)
    score = int(number) if number is not None and number == int(number) else number
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
        model="elsewhere",
        rubric="",
        raw="" if value is None else str(value),
        at=row.at,
        label=_label(value),
    )
