"""CSV tables: one writer for all of them, whose cells no spreadsheet computes, and one reader for ours.

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
    "(?<![^;\t\r\n]){}(?=['\"]*[=@\uff1d\uff0b\uff0d\uff20])"  # full-width signs are the same to some
    "|(?<![^;\t]){}(?=['\"]*[+-])"  # at a line's beginning they are a list's
    "|^{}(?=['\"]*[\t\r\n])"
)
"""Where a spreadsheet would begin to compute: where a text begins, or where one that splits at other signs than commas
(a German one does at semicolons) begins a cell within it, whatever quotes are around."""
BARE = re.compile(_FORMULA.replace("{}", ""))
MARKED = re.compile(_FORMULA.replace("{}", "'"))
GENERATIONS = ("model", "eval", "tier", "question_id", "sample", "question", "response", "trained_share")
"""The first columns of model_generations.csv, by which it is known where it is read as answers from elsewhere."""
csv.field_size_limit(10_000_000)  # an answer can be longer than the 131,072 characters that csv takes unless told


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """The table as text. Numbers stay numbers and what is empty stays so; every text is quoted, and has an apostrophe
    wherever a spreadsheet would begin to compute."""
    # The line ends of RFC 4180. Python's own writer cannot quote texts and leave empty cells bare before 3.12.
    return "".join(",".join(map(_cell, row)) + "\r\n" for row in (columns, *rows))


def _cell(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return str(value)
    return '"{}"'.format(BARE.sub("'", value).replace('"', '""'))


def text_of(cell: str) -> str:
    """The text that `to_csv` wrote as this cell: one apostrophe less wherever it put one."""
    return MARKED.sub("", cell)


def as_table(rows: list[Row], noun: type[Row]) -> "polars.DataFrame":
    """The rows as a table with a column for each field, typed by the noun."""
    import polars

    return polars.DataFrame([row.model_dump() for row in rows], schema=_columns(noun))


def write_table(path: Path, table: "polars.DataFrame") -> Path:
    return write_text(path, to_csv(table.columns, table.rows()))


def read_table(file: Path, noun: type[BaseModel]) -> "polars.DataFrame":
    """A table of `as_table` that `write_table` wrote; an empty text stays one."""
    import polars

    columns = _columns(noun)
    table = polars.read_csv(file, schema_overrides=columns)
    texts = polars.col(polars.String).fill_null("").map_elements(text_of, polars.String)
    table = table.with_columns(texts)
    missing = [name for name in columns if name not in table.columns]  # in a table that an earlier version wrote
    defaults = [polars.lit(noun.model_fields[name].default, dtype=columns[name]).alias(name) for name in missing]
    return table.with_columns(defaults)


def _columns(noun: type[BaseModel]) -> dict[str, Any]:
    import polars

    types: dict[Any, Any] = {str: polars.String, int: polars.Int64, float: polars.Float64, float | None: polars.Float64}
    return {name: types[field.annotation] for name, field in noun.model_fields.items()}
