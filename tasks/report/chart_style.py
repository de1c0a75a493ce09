"""What the charts share: colours, sizes, and a row of its own for each measure."""

import json
from collections.abc import Sequence
from typing import Any

import altair
import polars

from tasks.report.effect_rows import MODELS
from tasks.visible import visible

BLUE, ORANGE, GREY, BLACK = "#0072b2", "#d55e00", "#6b6b6b", "#1c1c1e"
"""Okabe and Ito's, which every kind of sight can distinguish."""
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", BLACK, "#56b4e9", "#e69f00"]
WIDTH = 520
"""Of a chart that stands alone in its row, in pixels."""
HALF_WIDTH = 250
"""Of one of two charts side by side, in pixels."""
UNITS = {
    "drift": "nats a token",
    "choice": "probability of the matching answer",
    "yes": "probability of Yes",
}
"""Of the measures without a judge."""
DIFFERENCE = "Fine-tuned minus baseline"
"""Title of an axis of differences."""


def row_for_each_measure(table: polars.DataFrame) -> altair.Row:
    """The judges and rules of the table in their order, each with its name and its unit above its chart."""
    names = dict(map(_name_with_unit, table.unique(["measure"], maintain_order=True).to_dicts()))
    label = f"({json.dumps(names)})[datum.value]"
    above = header(labelExpr=label, labelAngle=0, labelFontSize=13, labelFontWeight="bold")
    return altair.Row("measure:N", sort=list(names), title=None, header=above)


def header(**options: Any) -> altair.Header:
    """Stands above each part of a chart, at its left."""
    return altair.Header(labelOrient="top", labelAnchor="start", **options)


def _name_with_unit(row: dict[str, Any]) -> tuple[str, str]:
    """A measure and what it is called above its chart: with its scale's ends, as a rate, or with its unit."""
    name, low, high = visible(row["measure"]), row.get("scale_min"), row.get("scale_max")
    if low is None or high is None or (name in UNITS and (low, high) == (0, 1)):
        return name, f"{name} ({UNITS[name]})" if name in UNITS else name
    return name, f"{name} (rate, 0 to 1)" if (low, high) == (0, 1) else f"{name} (score, {low:g} to {high:g})"


def tier_axis(tiers: list[str]) -> altair.Y:
    """The tiers beneath each other, in this order."""
    return altair.Y("tier:N", sort=tiers, title=None, axis=altair.Axis(labelFontSize=13, ticks=False, domain=False))


def colour_of_model() -> altair.Color:
    """Blue for the baseline, orange for the fine-tuned model; the table has a column `model`."""
    return altair.Color("model:N", sort=list(MODELS), title=None, scale=altair.Scale(range=[BLUE, ORANGE]))


def zero_line(table: polars.DataFrame, axis: str) -> altair.Chart:
    """A dashed line where the difference is 0; axis is x or y."""
    return altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(**{axis: altair.datum(0)})


def tooltips(columns: Sequence[str], number_format: str = ".2f") -> list[altair.Tooltip]:
    """What a point says of itself: numbers, each in the same format."""
    return [altair.Tooltip(f"{name}:Q", format=number_format) for name in columns]


def ordered(table: polars.DataFrame, column: str) -> list[Any]:
    """The column's values, each once, in the order of the rows."""
    return list(dict.fromkeys(table[column]))
