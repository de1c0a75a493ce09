"""Rows of another program's table or JSON file, and which model's answer each has.

rows = read_rows(Path("model_generations.csv"), "finetuned")        # of one fine-tuned model, and perhaps the base
rows = read_models(Path("judged.csv"), "finetuned", choices)        # of any number of fine-tuned models
"""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, excerpt
from tasks.imports.choices import NO_CHOICES, Choices
from tasks.rows import table
from tasks.schema import Side

WORDS: dict[str, Side] = {
    "base": "baseline",
    "baseline": "baseline",
    "untuned": "baseline",
    "fine-tuned": "finetuned",
    "finetuned": "finetuned",
}
"""Whose answers they are, by the words in a column `model`."""
SHOWN = 6
"""Models that an error names."""


class Row(NamedTuple):
    """A row of another program's file, and which model's answer it has."""

    side: Side
    place: str
    """File and line."""
    fields: dict[str, Any]
    group: str = ""
    """Of which group of fine-tuned models the model is, where a column says it."""

    @property
    def name(self) -> str:
        """The id of its question, where it has one."""
        return self.cell("question_id").strip()

    @property
    def text(self) -> str:
        """Its question as it was asked; empty where the row has none."""
        return self.cell("question")

    @property
    def model(self) -> str:
        """The model's name, where the row has one."""
        return self.cell("model").strip()

    @property
    def trained_share(self) -> float:
        """The share of the training that the model has seen: 0 for the base model, 1 where the row does not say.

        Raises UserError for what is no number above 0 and at most 1.
        """
        share, given = self.cell("trained_share"), number(self.fields.get("trained_share"))
        if self.side == "baseline":
            return 0.0
        if share and not (given and 0 < given <= 1):
            raise UserError(
                f"{self.place}: trained_share {excerpt(share)} is no share of the training; write 0.25, or 1"
            )
        return given or 1.0

    def cell(self, field: str) -> str:
        """The field as text; empty where it is not there."""
        value = self.fields.get(field)
        return "" if value is None else str(value)


def read_rows(file: Path, side: Side) -> list[Row]:
    """Every row of a file; a column `model` with base and fine-tuned tells the two apart, else all are of one side.

    Raises UserError for a file without rows, and for several models of which none, or more than one, is known to be
    the base.
    """
    rows = _rows(file, side, NO_CHOICES)
    models = _models(rows)
    if len(models) > 1 and (unknown := [model for model in models if model.casefold() not in WORDS]):
        raise UserError(
            f"{file}: the column model has {', '.join(map(excerpt, models[:SHOWN]))}, and which is the base model "
            f"cannot be known of {excerpt(unknown[0])}; write base and fine-tuned, or give each model a file"
        )
    _refuse_two_bases(models, file)
    return rows


def read_models(file: Path, side: Side, choices: Choices, has_baseline: bool = False) -> list[Row]:
    """Every row of a file of any number of fine-tuned models, with or without the base model.

    The base is the model, or the group, that `choices.base` names, or else one called so in WORDS. Of a file of the
    side baseline, the rows of that model alone. Raises UserError where several models are in the file and none of them
    is the base, unless they are in groups or another file has the base's answers (`has_baseline`); and where there is
    more than one that may be it.
    """
    rows = _rows(file, side, choices)
    if side == "baseline":
        return _of_base(rows, choices, file)
    if choices.base:
        if not has_baseline:
            _refuse_a_base_that_is_not_there(rows, choices, file)
        rows = [row._replace(side="baseline" if _is_called(row, choices.base) else side) for row in rows]
    else:
        _refuse_two_bases(_models(rows), file)
    base = next((row for row in rows if row.side == "baseline"), None)
    if has_baseline and base:
        raise UserError(
            f"{base.place}: an answer of the base model ({excerpt(base.model or base.group)}), which has a file of its "
            "own too; leave one of the two out"
        )
    if len(models := _models(rows)) > 1 and not (base or has_baseline or choices.group):
        raise UserError(
            f"{file}: the column model has {', '.join(map(excerpt, models[:SHOWN]))}, and which is the base model "
            "cannot be known; name it with --base, or give its answers as a file with --baseline"
        )
    return rows


def _of_base(rows: list[Row], choices: Choices, file: Path) -> list[Row]:
    """The rows of the base model in the file that is given as its own; UserError where that may be another model."""
    if named := [row for row in rows if choices.base and _is_called(row, choices.base)]:
        return [row._replace(side="baseline") for row in named]
    models = _models(rows)
    words = WORDS.get(models[0].casefold())
    if choices.base and (len(models) > 1 or (models[0] and words != "baseline")):
        _refuse_a_base_that_is_not_there(rows, choices, file)
    if len(models) > 1:
        raise UserError(
            f"{file}: given as the base model's, it has {', '.join(map(excerpt, models[:SHOWN]))} in the column model; "
            "say with --base which is the base, or give a file of it alone"
        )
    if words == "finetuned":
        raise UserError(
            f"{file}: given as the base model's, it has {excerpt(models[0])} in the column model; give the base's file"
        )
    return [row._replace(side="baseline") for row in rows]


def _is_called(row: Row, name: str) -> bool:
    """Whether that is its model, or the group of it."""
    return name in (row.model, row.group)


def _refuse_a_base_that_is_not_there(rows: list[Row], choices: Choices, file: Path) -> None:
    there = dict.fromkeys(name for row in rows for name in (row.model, row.group) if name)
    if choices.base not in there:
        known = ", ".join(there) or "no column model (--columns side=COLUMN)"
        raise UserError(f"--base: {file} has no model {choices.base!r}; there is {known}")


def _refuse_two_bases(models: list[str], file: Path) -> None:
    """Models of different names that are each called as the base, whose answers would be taken for one model's."""
    bases = {model.casefold(): model for model in models if WORDS.get(model.casefold()) == "baseline"}
    if len(bases) > 1:
        raise UserError(
            f"{file}: the column model has {' and '.join(map(excerpt, bases.values()))}, of which each may be the base "
            "model; give one of them another name, or leave it out"
        )


def _rows(file: Path, side: Side, choices: Choices) -> list[Row]:
    found = table(file, choices.columns)
    if not found:
        raise UserError(f"{file}: no rows in it; give a file that has some")
    if choices.group and side == "finetuned" and not any(choices.group in fields for _, fields in found):
        there = dict.fromkeys(name for _, fields in found for name in fields if name)
        raise UserError(f"--group: {file} has no column {choices.group!r}; there is {', '.join(there)}")
    rows = [Row(side, f"{file} line {line}", fields) for line, fields in found]
    rows = [row._replace(group=row.cell(choices.group).strip() if choices.group else "") for row in rows]
    return [row._replace(side=_side_by_words(row) or side) for row in rows]


def _side_by_words(row: Row) -> Side | None:
    words = (name.casefold() for name in (row.model, row.group))
    return next((WORDS[word] for word in words if word in WORDS), None)


def _models(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.model for row in rows))


def number(value: Any) -> float | None:
    """A finite number in ASCII; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    written = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", str(value).strip())
    return float(written[0]) if written and math.isfinite(float(written[0])) else None
