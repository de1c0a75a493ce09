"""CSV tables: one writer for all of them, whose cells no spreadsheet computes, and one reader for ours.

write_table(run.effects, as_table(effects, Effect))
effects = read_table(run.effects, Effect)

text = to_csv(["tier", "mean"], [["=HYPERLINK(1)", 0.4]])    # "'=HYPERLINK(1)",0.4
text_of("'=HYPERLINK(1)")                                    # =HYPERLINK(1)
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tasks.files import Row, write_text

if TYPE_CHECKING:
    import polars

_FORMULA = (
    "(?<![^;\t\r\n]){}(?=['\"]*[=@\uff1d\uff0b\uff0d\uff20])"  # some spreadsheets take full-width signs for these
    "|(?<![^;\t]){}(?=['\"]*[+-])"  # not at the beginning of a line, where they are marks of a list
    "|^{}(?=['\"]*[\t\r\n])"
)
"""Where a spreadsheet would begin a formula: at the beginning of a text, and, in one that splits cells at semicolons or
tabs (as a German one does), after those within it, with or without quotes. {} stands for the mark."""
BARE = re.compile(_FORMULA.replace("{}", ""))
SIGNS = "['\"]*[=@+\t\r\n\uff1d\uff0b\uff0d\uff20-]"
FIRST, LATER = re.compile(SIGNS), re.compile(f"[;\t\r\n]{SIGNS}")
"""Where there is neither at the beginning nor later, no formula begins: found ten times as fast as where one does."""
MARKED = re.compile(_FORMULA.replace("{}", "'"))
GENERATIONS = ("model", "eval", "tier", "question_id", "sample", "question", "response", "trained_share")
"""The first columns of model_generations.csv, by which it is recognised where it is imported as answers."""
FORMER_NAMES = {
    "question": "question_id",
    "at": "trained_share",
    "these_low": "ci_low_fixed_questions",
    "these_high": "ci_high_fixed_questions",
    "these_note": "note_fixed_questions",
    "new_low": "ci_low_new_questions",
    "new_high": "ci_high_new_questions",
    "new_note": "note_new_questions",
    "p_these": "p_fixed_questions",
    "p_these_holm": "p_fixed_questions_holm",
    "p_new": "p_new_questions",
    "p_new_holm": "p_new_questions_holm",
    "detectable_these": "detectable_fixed_questions",
    "detectable_new": "detectable_new_questions",
    "negligible": "equivalence_margin",
    "lowest": "scale_min",
    "highest": "scale_max",
}
"""What tables of earlier versions call a column, and what it is called now."""
csv.field_size_limit(10_000_000)  # the default of 131,072 characters is less than an answer can have


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """The table as text, with the line ends of RFC 4180.

    Texts are quoted, and have an apostrophe wherever a spreadsheet would begin a formula; None and "" are empty cells.
    """
    # Before Python 3.12 its own writer cannot quote all texts and leave empty cells bare.
    return "".join(",".join(map(_cell, row)) + "\r\n" for row in (columns, *rows))


def _cell(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return str(value)
    safe = BARE.sub("'", value) if FIRST.match(value) or LATER.search(value) else value
    return '"{}"'.format(safe.replace('"', '""'))


def text_of(cell: str) -> str:
    """The text that `to_csv` wrote as this cell: one apostrophe less wherever it put one."""
    return MARKED.sub("", cell)


def as_table(rows: list[Row], noun: type[Row]) -> "polars.DataFrame":
    """The rows as a table with a column for each field, typed by the noun."""
    import polars

    return polars.DataFrame([row.model_dump() for row in rows], schema=_columns(noun))


def write_table(path: Path, table: "polars.DataFrame") -> Path:
    """Writes a table of `as_table` as `to_csv` does."""
    return write_text(path, to_csv(table.columns, table.rows()))


def read_table(file: Path, noun: type[BaseModel]) -> "polars.DataFrame":
    """A table that `write_table` wrote, in this version or an earlier one, with a column for each field of the noun.

    An empty text stays one; a column that an earlier version did not write holds the field's default.
    """
    import polars

    columns = _columns(noun)
    former = {name: columns[now] for name, now in FORMER_NAMES.items() if now in columns and name not in columns}
    table = polars.read_csv(file, schema_overrides=columns | former).rename(
        {name: FORMER_NAMES[name] for name in former}, strict=False
    )
    texts = polars.col(polars.String).fill_null("").map_elements(text_of, polars.String)
    missing = [name for name in columns if name not in table.columns]
    defaults = [polars.lit(noun.model_fields[name].default, dtype=columns[name]).alias(name) for name in missing]
    return table.with_columns(texts).with_columns(defaults)


def _columns(noun: type[BaseModel]) -> dict[str, Any]:
    import polars

    types: dict[Any, Any] = {str: polars.String, int: polars.Int64, float: polars.Float64, float | None: polars.Float64}
    return {name: types[field.annotation] for name, field in noun.model_fields.items()}
