"""Charts of lines: the difference over the training or over a dose, and the loss by step."""

from typing import Any

import altair
import polars

from tasks.report.chart_style import (
    BLUE,
    DIFFERENCE,
    ORANGE,
    WIDTH,
    as_tooltips,
    colours,
    for_each_measure,
    ordered,
    tooltips,
    zero_line,
)
from tasks.report.effect_rows import of_tiers, overall, with_interval, without_slope
from tasks.schema import Eval

SERIES = {"trained on": BLUE, "held out": ORANGE}
"""The documents whose loss is drawn."""


def over_training(effects: polars.DataFrame, evaluation: Eval) -> altair.VConcatChart:
    """The difference in each tier after each share of the training, with its interval."""
    return _lines(without_slope(of_tiers(effects)).filter(eval=evaluation.name), _trained_share(), "tier")


def over_training_by_run(table: polars.DataFrame) -> altair.VConcatChart:
    """The difference over all questions after each share of the training, run by run."""
    return _lines(overall(table), _trained_share(), "label")


def over_doses(table: polars.DataFrame) -> altair.VConcatChart:
    """The difference over all questions over the dose of each group of runs: one line with its band."""
    return _lines(overall(table), altair.X("dose:Q", title="Dose"))


def _trained_share() -> altair.X:
    axis, scale = altair.Axis(format="%"), altair.Scale(domain=[0, 1])
    return altair.X("trained_share:Q", title="Share of the training", axis=axis, scale=scale)


def _lines(table: polars.DataFrame, x: altair.X, colour: str = "") -> altair.VConcatChart:
    """A line with its band for each value of the column that gives the colour; without one, a single line."""
    table = with_interval(table)
    colouring, hover = altair.value(BLUE), [*as_tooltips(x.shorthand), *tooltips(("difference", "low", "high"))]
    if colour:
        legend = altair.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
        colouring = altair.Color(f"{colour}:N", title=None, scale=colours(ordered(table, colour)), legend=legend)
        hover = [*as_tooltips(f"{colour}:N"), *hover]

    def draw(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
        base = rows.encode(x=x, color=colouring)
        y, low = (altair.Y(f"{name}:Q", title=DIFFERENCE, scale=scale) for name in ("difference", "low"))
        return altair.layer(
            zero_line(rows, "y"),
            base.mark_area(opacity=0.07 if colour else 0.18).encode(y=low, y2=altair.Y2("high:Q")),
            base.mark_line(point={"size": 60}, strokeWidth=2.5).encode(y=y, tooltip=hover),
        ).properties(width=WIDTH, height=200)

    return for_each_measure(table, ("difference", "low", "high"), draw)


def training_curve(rows: list[dict[str, Any]]) -> altair.LayerChart:
    """Loss by step, and the held-out loss before and after; rows are those of training/metrics.jsonl."""
    table = polars.DataFrame(_losses(rows), schema=["step", "loss", "documents"], orient="row")
    measured = [name for name in SERIES if name in table["documents"]]
    scale = altair.Scale(domain=measured, range=[SERIES[name] for name in measured])
    base = altair.Chart(table).encode(
        x=altair.X("step:Q", title="Optimizer step", axis=altair.Axis(format="d", tickMinStep=1)),
        y=altair.Y("loss:Q", title="Loss per trained token (nats)", scale=altair.Scale(zero=False)),
        color=altair.Color("documents:N", title=None, scale=scale),
    )
    trained, held_out = (base.transform_filter(altair.datum.documents == name) for name in SERIES)
    layers = trained.mark_line(strokeWidth=2), held_out.mark_line(point=True, strokeDash=[4, 3])
    return altair.layer(*layers).properties(width=WIDTH, height=220)


def _losses(rows: list[dict[str, Any]]) -> list[tuple[int, float, str]]:
    """Step, loss and documents of each point. A row with both losses was measured before its step was taken."""
    trained_on, held_out = SERIES
    points = [(row["step"], row["loss"], trained_on) for row in rows if "loss" in row]
    unseen = [row for row in rows if "held_out_loss" in row]
    return points + [(0 if "loss" in row else row["step"], row["held_out_loss"], held_out) for row in unseen]
