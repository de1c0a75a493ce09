"""The page of a study's matrix, and its heat map and tables as files: what tasks/studies/matrix.py estimated, drawn.

write_study(Comparison("traits_on_standin"), StudyResults(shifts=..., sentences=..., ...))
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from tasks.files import write_bytes, write_text
from tasks.report.rendering import linked_svg, saving
from tasks.report.study_charts import BROKEN, shift_map, shift_table, unit_of
from tasks.report.templates import fill
from tasks.runs import Comparison
from tasks.schema import Leak, Shift

MAP = "matrix"
"""What the files of the heat map begin with, and the table beside it."""


class Report(NamedTuple):
    """The report of one run of a fine-tune."""

    name: str
    """What the run is called: its seed, or its own name."""
    address: str
    """Relative to the page."""


class StudyResults(NamedTuple):
    """All that the page of a study shows."""

    shifts: list[Shift]
    """In the order of the rows and columns."""
    leaks: list[Leak]
    sentences: list[str]
    """The verdict."""
    left_out: list[str]
    broken: set[str]
    """The fine-tunes under which capability fell."""
    sure: set[tuple[str, str]]
    """Label and column of the shifts that are told from 0."""
    reports: Mapping[str, Sequence[Report]]
    """Of each fine-tune, by its label; none of what others published as means."""
    places: Mapping[str, str]
    """Where in a report the texts of a column are, behind its #."""
    description: str = ""


def write_study(place: Comparison, results: StudyResults) -> Path:
    """Writes matrix.csv, .parquet, .svg, .png, .pdf and .html and the page, whose path is returned."""
    table = shift_table(results.shifts)
    with saving() as save:
        save(shift_map(results.shifts, results.broken, results.sure), place.folder / MAP, table)
        content = io.BytesIO()
        table.write_parquet(content)
        write_bytes(place.folder / f"{MAP}.parquet", content.getvalue())
        page = render(place, results)  # while the pictures are made beside
    return write_text(place.page, page)


def render(place: Comparison, results: StudyResults) -> str:
    """The page as HTML; nothing is read."""
    shifts = results.shifts
    chart = shift_map(shifts, results.broken, results.sure, is_linked=bool(results.reports))
    svg = linked_svg(chart, [_address(shift, results) for shift in shifts])
    labels = list(dict.fromkeys(shift.label for shift in shifts))
    return fill(
        "study.html.j2",
        name=place.name,
        results=results,
        unit=unit_of(shifts).title,
        files=[f"{MAP}.{ending}" for ending in ("csv", "parquet", "pdf", "svg", "png")],
        mark=BROKEN,
        map=Markup(svg.replace("<svg ", '<svg id="shifts" ', 1)),
        names_width=_left_of_fields(svg),
        targets=[shift for shift in shifts if shift.direction],
        by_label={label: [shift for shift in shifts if shift.label == label] for label in labels},
        has_seeds=any(shift.runs > 1 for shift in shifts),
    )


def _address(shift: Shift, results: StudyResults) -> str:
    """Of the texts of a field: in the report of the fine-tune's first run, or where there is none its row here."""
    reports, place = results.reports.get(shift.label, ()), results.places.get(shift.column, "")
    return f"{reports[0].address}#{place}" if reports else "#fields"


def _left_of_fields(svg: str) -> int:
    """How wide the names of the rows are, in pixels: they stay where they are when a narrow screen scrolls."""
    found = re.search(r'transform="translate\((\d+)', svg)
    return int(found[1]) if found else 0
