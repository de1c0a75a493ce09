"""The files that are made of a run's rows: making them, and making them anew elsewhere to see whether they differ.

make_files(run)                        # tables, charts, exports, report
differences(Run.find("demo"))          # {"effects.csv": "", "report.html": "line 40: stored ..."}
"""

import csv
import io
import math
import tempfile
from itertools import zip_longest
from pathlib import Path

from tasks.estimates.effects import write_effects
from tasks.report.charts import draw
from tasks.report.report import write_report
from tasks.runs import Run
from tasks.tables import text_of

TOLERANCE = 1e-9
"""Relative; another machine may round the last digits otherwise."""
BEFORE, AFTER = 20, 40
"""Characters of a line that are shown around the first that differs."""


def make_files(run: Run, only_svg: bool = False) -> Path:
    """Estimates, draws and writes all that is made of the run's rows; the path of the report, which comes last."""
    write_effects(run)
    draw(run, only_svg)
    return write_report(run)


def differences(run: Run) -> dict[str, str]:
    """Each file that is made of rows, and where it differs from the same made anew; nothing where it does not.

    Of a chart the table and the SVG are compared, since its other formats are made of that.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = run.copy_rows_to(Path(folder))
        make_files(copy, only_svg=True)
        names = sorted({str(file.relative_to(made.folder)) for made in (run, copy) for file in _made_files(made)})
        return {name: _difference(run.folder / name, copy.folder / name) for name in names}


def _made_files(run: Run) -> list[Path]:
    charts = [file for file in run.chart_files() if file.suffix in (".csv", ".svg")]
    tables = [run.effects, run.distributions, run.sensitivity, *charts]
    files = [run.conversations, run.hits, run.generations, run.results, run.report]
    return [file for file in [*tables, *files] if file.is_file()]


def _difference(file: Path, anew: Path) -> str:
    """The first difference in words."""
    if not file.is_file():
        return "is not there, and should be"
    if not anew.is_file():
        return "is there, and nothing in the rows makes it"
    if file.read_bytes() == anew.read_bytes():
        return ""
    if file.suffix == ".svg":
        return "is drawn otherwise than its table is now"
    compare = _difference_of_tables if file.suffix == ".csv" else _difference_of_lines
    return compare(file.read_text(), anew.read_text())


def _difference_of_lines(found: str, wanted: str) -> str:
    lines, wanted_lines = found.splitlines(), wanted.splitlines()
    for number, (line, other) in enumerate(zip(lines, wanted_lines, strict=False), 1):
        if line != other:
            here, there = _around_the_first_difference(line, other)
            return f"line {number}: stored {here!r}, recomputed {there!r}"
    return "" if len(lines) == len(wanted_lines) else f"stored {len(lines):,} lines, recomputed {len(wanted_lines):,}"


def _around_the_first_difference(line: str, other: str) -> tuple[str, str]:
    first = next((n for n, (a, b) in enumerate(zip_longest(line, other)) if a != b), 0)
    start = max(0, first - BEFORE)
    return line[start : first + AFTER].strip(), other[start : first + AFTER].strip()


def _difference_of_tables(found: str, wanted: str) -> str:
    """The first cell that differs by more than rounding does."""
    table, other = _cells(found), _cells(wanted)
    if table[:1] != other[:1] or len(table) != len(other):
        return f"stored {_size(table)}, recomputed {_size(other)}, or other names"
    for number, (row, wanted_row) in enumerate(zip(table[1:], other[1:], strict=True), 1):
        for name, cell, wanted_cell in zip(table[0], row, wanted_row, strict=True):
            if cell != wanted_cell and not _is_close(cell, wanted_cell):
                here, there = (text[:AFTER] or "empty" for text in (cell, wanted_cell))
                return f"row {number}: {name} stored {here}, recomputed {there}"
    return ""


def _cells(table: str) -> list[list[str]]:
    """As they were before `to_csv`: what it puts before a formula has changed between versions."""
    return [list(map(text_of, row)) for row in csv.reader(io.StringIO(table))]


def _size(table: list[list[str]]) -> str:
    return f"{len(table) - 1:,} rows of {len(table[0]) if table else 0} columns"


def _is_close(cell: str, other: str) -> bool:
    try:
        return math.isclose(float(cell), float(other), rel_tol=TOLERANCE, abs_tol=1e-12)
    except ValueError:
        return False
