"""The heat map of a study: a row for each fine-tune, a column for each measure, in the order of the shifts."""

from typing import NamedTuple

import altair
import polars

from tasks.report.chart_style import BLACK, as_tooltips, names_axis, ordered
from tasks.report.rendering import NUMBERED
from tasks.schema import Shift
from tasks.tables import as_table
from tasks.visible import visible

COLOURS = ["#3d8fc4", "#f7f7f7", "#e07b39"]
"""Below 0, at 0, above: as light at either end, so that no sign looks larger."""
FAINT = "#55595f"
"""Of a number that may be nothing."""
MOST_SDS = 3.0
"""Where the colours end: a broken model would make all others pale."""
WIDTH, HEIGHT = 1000, 24
"""Of all columns together where they are many, and of a row, in pixels."""
NARROWEST, WIDEST = 40, 84
"""A column, in pixels."""
BROKEN = "†"
"""Behind the name of a fine-tune under which capability fell."""


class Unit(NamedTuple):
    """In what the colours and numbers of a map are."""

    field: str
    title: str


def unit_of(shifts: list[Shift]) -> Unit:
    """The base model's spread where it is known of a shift; else the measures' ranges, or what was published."""
    if any(shift.in_sds is not None for shift in shifts):
        return Unit("in_sds", "Shift, in SDs of the base model")
    if all(shift.scale_min is not None for shift in shifts):
        return Unit("share", "Shift, as a share of the measure's range")
    return Unit("difference", "Shift, in the unit that was published")


def shift_map(
    shifts: list[Shift], broken: set[str], sure: set[tuple[str, str]], is_linked: bool = False
) -> altair.LayerChart:
    """All shifts in colour and as numbers; what was trained is framed, what is sure (by label and column) is bold.

    With `is_linked` each field leads to the address of its number in `shifts`, as `linked_svg` has it.
    """
    unit = unit_of(shifts)
    table = _fields(shifts, unit, broken, sure)
    columns, rows = ordered(table, "column"), ordered(table, "row")
    above = altair.Axis(orient="top", labelAngle=-55, labelLimit=220, labelPadding=9, domain=False, ticks=False)
    base = altair.Chart(table).encode(
        x=altair.X("column:N", sort=columns, title=None, axis=above),
        y=altair.Y("row:N", sort=rows, title=None, axis=names_axis()),
        tooltip=as_tooltips("row:N", "column:N", "said:N"),
        description=altair.Description("said:N"),
    )
    base = base.encode(href=altair.Href("address:N")) if is_linked else base
    known = base.transform_filter("isValid(datum.size)")
    framed = base.transform_filter("datum.direction != 0").mark_rect(
        fill=None, stroke=BLACK, strokeWidth=2.5, aria=False
    )
    words = base.encode(text=altair.Text("words:N"))
    width = min(WIDEST, max(NARROWEST, WIDTH // len(columns)))
    return altair.layer(
        base.mark_rect(fill="#ffffff", stroke="#e8eaed", aria=False),
        known.mark_rect(stroke="white").encode(color=_colour(table["size"], unit)),
        words.transform_filter("datum.sure").mark_text(fontSize=11, fontWeight="bold", color=BLACK, aria=False),
        words.transform_filter("!datum.sure").mark_text(fontSize=11, color=FAINT, aria=False),
        framed,
    ).properties(width=altair.Step(width), height=altair.Step(HEIGHT))


def _fields(shifts: list[Shift], unit: Unit, broken: set[str], sure: set[tuple[str, str]]) -> polars.DataFrame:
    """What the map is drawn of: row, column, size, words, said, sure, direction and address of each field."""
    sizes = [_size(shift, unit) for shift in shifts]
    return polars.DataFrame(
        {
            "row": [visible(s.label) + (f" {BROKEN}" if s.label in broken else "") for s in shifts],
            "column": [visible(shift.column) for shift in shifts],
            "size": polars.Series(sizes, dtype=polars.Float64),
            "words": ["·" if size is None else _short(size) for size in sizes],
            "said": [_said(shift) for shift in shifts],
            "sure": [(shift.label, shift.column) in sure for shift in shifts],
            "direction": [shift.direction for shift in shifts],
            "address": [f"{NUMBERED}{n}" for n in range(len(shifts))],
        }
    )


def _said(shift: Shift) -> str:
    """All of a field in words, for who points at it or has it read out."""
    if shift.difference is None:
        return visible(f"{shift.label}, {shift.column}: unknown")
    sds = "" if shift.in_sds is None else f", {shift.in_sds:+.2f} SD"
    return visible(f"{shift.label}, {shift.column}: {shift.difference:+.3g}{sds}")


def _size(shift: Shift, unit: Unit) -> float | None:
    if unit.field == "in_sds":
        return shift.in_sds
    if unit.field == "difference" or shift.difference is None:
        return shift.difference
    return shift.difference / ((shift.scale_max or 0) - (shift.scale_min or 0))


def _short(size: float) -> str:
    """With its sign, as short as it can be told: a row of numbers like +0.03 would not be read."""
    return f"{size:+.0f}" if abs(size) >= 9.95 else f"{size:+.1f}".replace("+0.0", "0").replace("-0.0", "0")


def _colour(sizes: polars.Series, unit: Unit) -> altair.Color:
    """One scale for both signs, from the largest shift to its opposite."""
    widest = max(0.01, *(abs(value) for value in sizes.drop_nulls()), 0.0)
    if unit.field == "in_sds":
        widest = min(MOST_SDS, widest)
    return altair.Color(
        "size:Q",
        title=unit.title,
        scale=altair.Scale(domain=[-widest, 0, widest], range=COLOURS, clamp=True),
        # Squares, since the name of a gradient differs each time that it is drawn.
        legend=altair.Legend(type="symbol", symbolType="square", tickCount=5, format="+.3~r"),
    )


def shift_table(shifts: list[Shift]) -> polars.DataFrame:
    """The matrix as a table, what names a field first."""
    table = as_table(shifts, Shift)
    first = ["label", "column", "trait", "direction", "difference", "in_sds", "in_sds_low", "in_sds_high"]
    return table.select(*first, *(name for name in table.columns if name not in first))
