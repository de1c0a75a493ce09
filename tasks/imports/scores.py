"""Cells of scores (numbers, labels, truth values, percentages, 7/10, counts), and the judge that a column becomes.

measured = measure("aligned", rows, choices.scale_of("aligned"))
measured.scores("85 %")                # [85.0] on 0 to 100, [0.85] on 0 to 1
measured.scores("7 of 10")             # seven times 1, three times 0
"""

import math
import re
from collections import Counter
from typing import Any, Literal, NamedTuple

from tasks.catalog import UserError, excerpt, validate
from tasks.imports.model_rows import Row, number
from tasks.schema import Judge, Scale

MISSING = {"", "nan", "none", "null", "n/a", "na", "-"}
"""Cells without a score, in small letters."""
SCALES = ((0, 1), (1, 5), (0, 10), (0, 100))
"""The usual ends of scales, from the narrowest on."""
PERCENT = re.compile(r"(-?\d+(?:\.\d+)?)\s*%")
FRACTION = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(\d+)")
COUNT = re.compile(r"(\d+)\s+of\s+(\d+)")
TRUTH = {"true": 1.0, "false": 0.0}
"""Truth values, in small letters."""
OF_PERCENTAGES, OF_COUNTS = Scale(low=0, high=100), Scale(low=0, high=1)
MOST_COUNTED = 1_000_000
"""Answers in one cell: a larger count is a typing mistake."""
Kind = Literal["missing", "number", "label", "truth", "percent", "fraction", "count", "text"]


class Measured(NamedTuple):
    """A column of scores, and the judge that it becomes; a rule can name only words, so its name can differ."""

    column: str
    judge: Judge
    is_guessed: bool
    """Whether its scale was guessed from its scores."""

    def scores(self, value: Any) -> list[float | None]:
        """The scores in a cell: one, or none of a cell without; of counts one for each answer."""
        if (score := number(value)) is not None:
            return [score]
        low, high, text = self.judge.scale_min, self.judge.scale_max, str(value).strip()
        if text.casefold() in TRUTH:
            return [TRUTH[text.casefold()]]
        if count := COUNT.fullmatch(text):
            hits, answers = int(count[1]), int(count[2])
            return [*[1.0] * hits, *[0.0] * (answers - hits)]
        if percent := PERCENT.fullmatch(text):
            return [low + (high - low) * float(percent[1]) / 100]
        if fraction := FRACTION.fullmatch(text):
            given, out_of = float(fraction[1]), int(fraction[2])
            return [given if out_of == high else given * high / out_of]
        return [None]


def kind_of(value: Any) -> Kind:
    """What a cell holds."""
    text = str(value).strip()
    if value is None or (isinstance(value, float) and math.isnan(value)) or text.casefold() in MISSING:
        return "missing"
    if number(value) is not None:
        return "number"
    if text.casefold() in TRUTH:
        return "truth"
    patterns: dict[Kind, re.Pattern[str]] = {"percent": PERCENT, "fraction": FRACTION, "count": COUNT}
    found = next((kind for kind, pattern in patterns.items() if pattern.fullmatch(text)), None)
    return found or ("label" if label_of(value) else "text")


def label_of(value: Any) -> str:
    """The word in capitals that stands for no score (CODE, REFUSAL); empty where there is none."""
    word = value.strip() if isinstance(value, str) else ""
    return word if re.fullmatch(r"[A-Z_]{2,}", word) and word.casefold() not in TRUTH else ""


def holds_scores(values: list[Any]) -> bool:
    """Whether more than half of the cells are scores or labels, and at least one is a score."""
    kinds: Counter[Kind] = Counter()
    for text, count in Counter(map(str, values)).items():
        kinds[kind_of(text)] += count
    return 2 * (kinds.total() - kinds["missing"] - kinds["text"]) > kinds.total() - kinds["missing"] and bool(
        set(kinds) - {"missing", "text", "label"}
    )


def measure(column: str, rows: list[Row], stated: Scale | None) -> Measured:
    """The judge of a column, which asks nothing.

    Its scale is the stated one; of counts and truth values 0 to 1, of percentages 0 to 100; or else the narrowest usual
    one that holds its scores. Raises UserError, with its line, for a cell that cannot be read, or not on that scale.
    """
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(str(row.fields.get(column)), row)
    rows = list(first.values())
    kinds = _kinds(column, rows)
    scale = OF_COUNTS if kinds.keys() & {"count", "truth"} else stated
    if "fraction" in kinds and not stated:
        raise UserError(
            f"{kinds['fraction'].place}: {excerpt(kinds['fraction'].cell(column))} in {column} is no score without a "
            f"scale; write --scale {column}=0-10 if a judge gave it, or a count as 7 of 10"
        )
    if "percent" in kinds:
        scale = scale or OF_PERCENTAGES
    measured = Measured(column, _judge(column, rows, scale or _narrowest(column, rows)), scale is None)
    for row in rows:
        _refuse_what_is_not_on_the_scale(measured, row)
    return measured


def _kinds(column: str, rows: list[Row]) -> dict[Kind, Row]:
    """The kinds of a column's cells, each with its first row; UserError for kinds that do not go together."""
    kinds: dict[Kind, Row] = {}
    for row in rows:
        kinds.setdefault(kind_of(row.fields.get(column)), row)
    if "text" in kinds:
        row = kinds["text"]
        raise UserError(
            f"{row.place}: {excerpt(row.fields.get(column))} in {column} is neither a number nor a word in capitals; "
            "mend it, or name the columns of scores with --measures"
        )
    if len(written := [kind for kind in kinds if kind not in ("missing", "label")]) > 1:
        first, other = (kinds[kind] for kind in written[:2])
        raise UserError(
            f"{other.place}: {excerpt(other.cell(column))} in {column}, which has {excerpt(first.cell(column))} "
            "above; write all of them alike"
        )
    return kinds


def _narrowest(column: str, rows: list[Row]) -> Scale:
    values = (number(row.fields.get(column)) for row in rows)
    numbers = [value for value in values if value is not None] or [0.0]
    ends = (math.floor(min(numbers)), max(math.ceil(max(numbers)), math.floor(min(numbers)) + 1))
    low, high = next((scale for scale in SCALES if scale[0] <= ends[0] and ends[1] <= scale[1]), ends)
    return validate(Scale, {"low": low, "high": high}, f"column {column}")


def _judge(column: str, rows: list[Row], scale: Scale) -> Judge:
    fields = {
        "name": re.sub(r"[^\w.-]+", "_", column),
        "kind": "imported",
        "scale": scale.model_dump(),
        "labels": {label: None for row in rows if (label := label_of(row.fields.get(column)))},
    }
    return validate(Judge, fields, f"column {column}")


def _refuse_what_is_not_on_the_scale(measured: Measured, row: Row) -> None:
    value, low, high = row.fields.get(measured.column), measured.judge.scale_min, measured.judge.scale_max
    text = str(value).strip()
    where = f"{row.place}: {excerpt(text)} in {measured.column}"
    if count := COUNT.fullmatch(text):
        if not int(count[1]) <= int(count[2]) <= MOST_COUNTED:
            raise UserError(f"{where} is no count of answers; mend it")
        return
    out_of = FRACTION.fullmatch(text)
    if out_of and int(out_of[2]) == 0:
        raise UserError(f"{where} is no score: nothing is out of 0; mend it")
    if low != 0 and (PERCENT.fullmatch(text) or (out_of and int(out_of[2]) != high)):
        raise UserError(f"{where} cannot be read on a scale from {low} to {high}; give one from 0 with --scale")
    if any(score is not None and not low <= score <= high for score in measured.scores(value)):
        raise UserError(f"{where} is not on the scale from {low} to {high}; mend it, or give the scale with --scale")
