"""What the charts share: colours, sizes, and a chart of its own for each measure."""

from collections.abc import Callable, Sequence
from typing import Any

import altair
import polars

from tasks.report.effect_rows import MODELS
from tasks.visible import visible

BLUE, ORANGE, GREY, BLACK, LIGHT_GREY = "#0072b2", "#d55e00", "#6b6b6b", "#1c1c1e", "#8f959c"
"""Okabe and Ito's, which every kind of sight can distinguish."""
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", BLACK, "#56b4e9", "#e69f00"]
WIDTH = 880
"""Of a chart that stands alone in its row, in pixels: with its names and numbers it is as wide as a page."""
HALF_WIDTH = 460
"""Of one of two charts side by side, in pixels."""
CONFIG = {
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e8eaed"},
    "axisX": {"tickCount": 8, "labelFlush": False},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "orient": "top"},
    "title": {"anchor": "start", "offset": 14},
    "view": {"stroke": None},
}
"""What all charts look like, as Vega-Lite writes it."""
UNITS = {
    "drift": "nats a token",
    "choice": "probability of the matching answer",
    "yes": "probability of Yes",
    "log_odds": "of the matching answer, in nats",
}
"""Of the measures without a judge."""
DIFFERENCE = "Fine-tuned minus baseline"
"""Title of an axis of differences."""
Draw = Callable[[altair.Chart, altair.Scale], altair.LayerChart]
"""Makes the chart of one measure of its rows and the scale of its numbers."""


def for_each_measure(table: polars.DataFrame, ends: Sequence[str], draw: Draw) -> altair.VConcatChart:
    """The chart of each measure beneath that of the one before, in the order of the rows, with its name and its unit.

    `ends` are the columns of numbers: measures on one scale share the range that all of theirs take, and 0.
    """
    measures = table.unique(["measure"], maintain_order=True).to_dicts()
    scales, parts = _shared_scales(table, ends), []
    for row in measures:
        rows = altair.Chart(table).transform_filter(altair.FieldEqualPredicate(field="measure", equal=row["measure"]))
        title = altair.Title(_name_with_unit(row), anchor="start", fontSize=14, offset=8)
        parts.append(draw(rows, scales[row["measure"]]).properties(title=title))
    return altair.vconcat(*parts, spacing=26)


def _shared_scales(table: polars.DataFrame, ends: Sequence[str]) -> dict[str, altair.Scale]:
    """Of each measure, from the lowest to the highest number of all measures on its scale."""
    ranges = table.select(
        "measure",
        low=polars.min_horizontal(0.0, *ends).min().over("scale_min", "scale_max"),
        high=polars.max_horizontal(0.0, *ends).max().over("scale_min", "scale_max"),
    ).unique(["measure"])
    return {
        row["measure"]: altair.Scale(domain=[row["low"], row["high"]], nice=True, zero=False)
        for row in ranges.to_dicts()
    }


def colours(names: Sequence[str]) -> altair.Scale:
    """A colour for each name: the same in all charts that are given the same names in the same order."""
    return altair.Scale(domain=list(names), range=[COLOURS[n % len(COLOURS)] for n in range(len(names))])


def header(**options: Any) -> altair.Header:
    """Stands above each part of a chart, at its left."""
    return altair.Header(labelOrient="top", labelAnchor="start", **options)


def _name_with_unit(row: dict[str, Any]) -> str:
    """What a measure is called above its chart: with its scale's ends, as a rate, or with its unit."""
    name, low, high = visible(row["measure"]), row["scale_min"], row["scale_max"]
    if low is None or high is None or (name in UNITS and (low, high) == (0, 1)):
        return f"{name} ({UNITS[name]})" if name in UNITS else name
    return f"{name} (rate, 0 to 1)" if (low, high) == (0, 1) else f"{name} (score, {low:g} to {high:g})"


def tier_axis(tiers: list[str]) -> altair.Y:
    """The tiers beneath each other, in this order."""
    return altair.Y("tier:N", sort=tiers, title=None, axis=names_axis())


def names_axis() -> altair.Axis:
    """Names beside the rows of a chart, without a line."""
    return altair.Axis(labelFontSize=13, labelLimit=420, ticks=False, domain=False, labelPadding=8)


def colour_of_model() -> altair.Color:
    """Blue for the baseline, orange for the fine-tuned model; the table has a column `model`."""
    return altair.Color("model:N", sort=list(MODELS), title=None, scale=altair.Scale(range=[BLUE, ORANGE]))


def zero_line(rows: altair.Chart, axis: str) -> altair.Chart:
    """A dashed line where the difference is 0; axis is x or y."""
    once = rows.transform_aggregate(rows="count()")  # else there would be a line for each row
    return once.mark_rule(color=GREY, strokeDash=[3, 3]).encode(**{axis: altair.datum(0)})


def tooltips(columns: Sequence[str], number_format: str = ".2f") -> list[altair.Tooltip]:
    """What a point says of itself: numbers, each in the same format."""
    return [altair.Tooltip(f"{name}:Q", format=number_format) for name in columns]


def as_tooltips(*columns: str) -> list[altair.Tooltip]:
    """What a point says of itself: columns with their types, as "tier:N".

    For a bare text, here as elsewhere in `encode`, Altair looks through its whole schema: a third of a chart's time.
    """
    return [altair.Tooltip(column) for column in columns]


def ordered(table: polars.DataFrame, column: str) -> list[Any]:
    """The column's values, each once, in the order of the rows."""
    return list(dict.fromkeys(table[column]))
