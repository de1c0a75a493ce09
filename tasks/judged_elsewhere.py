"""Results that others judged: a CSV file with a column for each measure, or JSONL with tier, question and score.

    results = read_results(Path("judged.csv"), baseline=Path("judged_base.csv"))

They become an eval whose judges are of kind elsewhere, answers where the file has them, and judgments.
"""

import math
import re
from collections import Counter
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
MISSING = {"", "nan", "none", "null"}
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
    line: int
    fields: dict[str, Any]


def read_results(file: Path, baseline: Path | None = None, name: str = "") -> Results:
    """The results of one file, or of one for each model. Raises UserError for what cannot be read.

    A column `model` with base and fine-tuned tells the two apart in one file. A word in capitals (CODE, REFUSAL) is a
    label without a score; an empty cell or nan is a judgment that is not there.
    """
    rows = _rows(file, "finetuned") + (_rows(baseline, "baseline") if baseline else [])
    measures = [key for key in _keys(rows) if key not in PLACES and _is_measure([row.fields.get(key) for row in rows])]
    if not measures:
        raise UserError(f"{file}: no column of scores, such as aligned, coherent or score; give one")
    questions = _questions(rows, file)
    judges = [_judge(key, [row.fields.get(key) for row in rows]) for key in measures]
    fields = {
        "name": name or re.sub(r"[^A-Za-z0-9_.-]+", "_", file.stem),
        "description": f"Judged elsewhere; imported from {file.name}.",
        "questions": [question.model_dump() for question in questions.values()],
        "judges": [judge.model_dump() for judge in judges],
    }
    one = validate(Eval, fields, str(file))
    return _collect(one, rows, questions, _lost(rows, measures))


def _rows(file: Path, side: Side) -> list[Row]:
    rows = []
    for line, fields in read_table(file):
        model = str(fields.get("model") or "").strip().casefold()
        rows.append(Row(SIDES.get(model, side), line, fields))
    if not rows:
        raise UserError(f"{file}: no results in it; give a file that has some")
    return rows


def _keys(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(str(key) for row in rows for key in row.fields if key))


def _is_measure(values: list[Any]) -> bool:
    """Whether all that is there are numbers and words in capitals, and there is a number."""
    told = [value for value in values if not _is_missing(value)]
    numbers = [value for value in told if _number(value) is not None]
    return bool(numbers) and all(_number(value) is not None or _label(value) for value in told)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value).strip().casefold() in MISSING


def _number(value: Any) -> float | None:
    """A number in ASCII; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return float(value) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", str(value).strip()) else None


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) and re.fullmatch(r"[A-Z_]{2,}", value.strip()) else ""


def _questions(rows: list[Row], file: Path) -> dict[str, Question]:
    """Each question once, by its id, or by its text where it has none."""
    found: dict[str, Question] = {}
    for row in rows:
        key, text = _key(row), _text(row)
        if not key:
            raise UserError(f"{file} line {row.line}: a row needs question_id or question; mend it")
        tier = str(row.fields.get("tier") or ONLY_TIER)
        name = str(row.fields.get("question_id") or f"q{len(found) + 1:02}")
        found.setdefault(key, Question(id=name, tier=tier, text=text or key))
    return found


def _key(row: Row) -> str:
    return str(row.fields.get("question_id") or "") or _text(row)


def _text(row: Row) -> str:
    return next((str(row.fields[name]) for name in QUESTION if row.fields.get(name)), "")


def _judge(name: str, values: list[Any]) -> Judge:
    """A judge that asks nothing: its scale is the narrowest usual one that holds its scores."""
    numbers = [number for value in values if not _is_missing(value) and (number := _number(value)) is not None]
    ends = (math.floor(min(numbers)), max(math.ceil(max(numbers)), math.floor(min(numbers)) + 1))
    low, high = next((scale for scale in SCALES if scale[0] <= ends[0] and ends[1] <= scale[1]), ends)
    labels = {label: None for value in values if (label := _label(value))}
    scale = {"low": low, "high": high}
    return validate(Judge, {"name": name, "kind": "elsewhere", "scale": scale, "labels": labels}, f"column {name}")


def _lost(rows: list[Row], measures: list[str]) -> list[str]:
    others = [key for key in _keys(rows) if key not in PLACES and key not in measures]
    lost = ["the rubric and the model of the judge: the file does not say them"]
    return lost + [f"the column {key}: it holds no scores" for key in others]


def _collect(one: Eval, rows: list[Row], questions: dict[str, Question], lost: list[str]) -> Results:
    """Rows of one question and model are its samples, in their order."""
    seen: Counter[tuple[Side, str]] = Counter()
    answers: dict[Side, list[Response]] = {"baseline": [], "finetuned": []}
    judgments = []
    for row in rows:
        key = _key(row)
        question, sample = questions[key], seen[row.side, key]
        seen[row.side, key] += 1
        if (
            answer := next((row.fields[name] for name in ANSWER if row.fields.get(name) is not None), None)
        ) is not None:
            answers[row.side].append(_response(one.name, question, str(answer), sample, row.side))
        judgments += [_judgment(one.name, judge, question, sample, row) for judge in one.judges]
    return Results(one, answers["baseline"], answers["finetuned"], judgments, lost)


def _response(name: str, question: Question, text: str, sample: int, side: Side) -> Response:
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
        at=0 if side == "baseline" else 1,
    )


def _judgment(name: str, judge: Judge, question: Question, sample: int, row: Row) -> Judgment:
    value = row.fields.get(judge.name)
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
        judge=judge.name,
        state="not scored" if score is None else "scored",
        model="elsewhere",
        rubric="",
        raw="" if value is None else str(value),
        at=0 if row.side == "baseline" else 1,
        label=_label(value),
    )
