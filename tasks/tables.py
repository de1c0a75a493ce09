"""CSV tables: one writer for all of them, whose cells no spreadsheet computes, and one reader for ours.

text = to_csv(["tier", "mean"], [["=HYPERLINK(1)", 0.4]])    # '=HYPERLINK(1),0.4
text_of("'=HYPERLINK(1)")                                    # =HYPERLINK(1)
"""

import csv
import io
import re
from collections.abc import Iterable

FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a text begins that a spreadsheet computes; full-width signs are the same to some."""
GENERATIONS = ("model", "eval", "tier", "question_id", "sample", "question", "response", "at")
"""The first columns of model_generations.csv, by which it is known where it is read as answers from elsewhere."""
csv.field_size_limit(10_000_000)  # an answer can be longer than the 131,072 characters that csv takes unless told


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """The table as text. Numbers stay numbers; a text that a spreadsheet would compute has an apostrophe before it."""
    table = io.StringIO()
    # The line ends of RFC 4180: with others a lone carriage return in a cell would not be quoted.
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in rows)
    return table.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def text_of(cell: str) -> str:
    """The text that `to_csv` wrote as this cell: one apostrophe less where it put one."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
