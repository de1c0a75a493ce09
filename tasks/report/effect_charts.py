"""Charts of differences, tier by tier: of one eval, of several runs beside each other, and as a matrix in colour."""

from typing import Any

import altair
import polars

from tasks.report.chart_style import (
    BLACK,
    BLUE,
    COLOURS,
    DIFFERENCE,
    GREY,
    ORANGE,
    WIDTH,
    ordered,
    row_for_each_measure,
    tier_axis,
    tooltips,
    zero_line,
)
from tasks.report.effect_rows import with_interval, without_slope
from tasks.schema import SIDES, Eval

INTERVAL = ("low", "high")
"""The columns of `with_interval`."""
LONGEST_UPRIGHT = 12
"""Letters of a name that has room above a column of the matrix."""


def effects_by_tier(effects: polars.DataFrame, evaluation: Eval) -> altair.FacetChart:
    """The difference in each tier with its interval, and every question as a dot behind it."""
    table = _with_words(with_interval(without_slope(effects)).filter(eval=evaluation.name), evaluation)
    numbers = tooltips(("baseline", "finetuned", "difference", *INTERVAL))
    x = altair.X("difference:Q", title=DIFFERENCE)
    base = altair.Chart(table).encode(y=tier_axis(ordered(table, "tier")))
    of_questions = base.transform_filter(altair.datum.question_id != "")
    of_tiers = base.transform_filter(altair.datum.question_id == "")
    layers = [
        zero_line(table, "x"),
        of_questions.mark_circle(size=90, opacity=0.5, color=GREY).encode(x=x, tooltip=["text:N", *numbers]),
        of_tiers.mark_rule(strokeWidth=3, color=BLUE).encode(x=f"{INTERVAL[0]}:Q", x2=f"{INTERVAL[1]}:Q"),
        of_tiers.mark_point(filled=True, size=110, color=BLUE, opacity=1).encode(x=x, tooltip=["tier:N", *numbers]),
        of_tiers.mark_text(align="left", color=GREY, fontSize=11).encode(x=altair.value(WIDTH + 10), text="means:N"),
    ]
    chart = altair.layer(*layers).properties(width=WIDTH, height=altair.Step(38))
    chart = chart.facet(row=row_for_each_measure(table))
    return chart.resolve_scale(x="independent")  # a judge's points, a rule's rate, nats of drift


def _with_words(table: polars.DataFrame, evaluation: Eval) -> polars.DataFrame:
    """The effects with two more columns: the text of a question, and both means as text."""
    questions = evaluation.questions
    texts = polars.DataFrame({"question_id": [q.id for q in questions], "text": [q.text for q in questions]})
    pairs = [judge.name for judge in evaluation.judges if judge.reads == "pair"]
    table = table.join(texts, on="question_id", how="left")
    means = [_both_means(row, row["measure"] in pairs) for row in table.to_dicts()]
    return table.with_columns(polars.Series("means", means, dtype=polars.String))


def _both_means(row: dict[str, Any], is_of_pairs: bool) -> str:
    """Both means in words; of a judge that reads pairs the baseline's is its floor."""
    before, after = ("–" if row[side] is None else f"{row[side]:.2f}" for side in SIDES)
    return f"{'floor ' if is_of_pairs else ''}{before} → {after}"


def side_by_side(table: polars.DataFrame, title: str = DIFFERENCE) -> altair.FacetChart:
    """The difference in each tier of every group of runs, with its interval, measure by measure."""
    table = with_interval(without_slope(table))
    labels = ordered(table, "label")
    base = altair.Chart(table).encode(
        y=tier_axis(ordered(table, "tier")),
        yOffset=altair.YOffset("label:N", sort=labels),
        color=altair.Color("label:N", sort=labels, title=None, scale=altair.Scale(range=COLOURS)),
    )
    layers = [
        zero_line(table, "x"),
        base.mark_rule(strokeWidth=3).encode(x=altair.X(f"{INTERVAL[0]}:Q"), x2=f"{INTERVAL[1]}:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=altair.X("difference:Q", title=title),
            tooltip=["label:N", "tier:N", *tooltips(("difference", *INTERVAL))],
        ),
    ]
    chart = altair.layer(*layers).properties(width=WIDTH, height=altair.Step(16))
    return chart.facet(row=row_for_each_measure(table)).resolve_scale(x="independent")


def matrix(table: polars.DataFrame, rows: list[str]) -> altair.LayerChart:
    """The differences as a table in colour, as shares of each measure's range; * where Holm's p is below 0.05.

    rows are the columns of the table whose texts together name a row of the matrix.
    """
    table = without_slope(table)
    cells = table.with_columns(
        row=polars.concat_str(rows, separator=" · "),
        share=polars.col("difference") / (polars.col("scale_max") - polars.col("scale_min")),
        words=polars.Series([_starred(row) for row in table.to_dicts()], dtype=polars.String),
    )
    tiers = ordered(cells, "tier")
    angle = 0 if all(len(tier) <= LONGEST_UPRIGHT for tier in tiers) else -45
    above = altair.Axis(orient="top", labelAngle=angle, labelLimit=260, domain=False)
    beside = altair.Axis(domain=False, labelLimit=260)
    base = altair.Chart(cells).encode(
        x=altair.X("tier:N", sort=tiers, title=None, axis=above),
        y=altair.Y("row:N", sort=ordered(cells, "row"), title=None, axis=beside),
    )
    hover = ["tier:N", "difference:Q", "words:N"]
    coloured = base.mark_rect(stroke="white").encode(color=_colour_of_share(cells["share"]), tooltip=hover)
    text = base.mark_text(fontSize=12, color=BLACK).encode(text="words:N")
    return altair.layer(coloured, text).properties(width=altair.Step(84), height=altair.Step(30))


def _colour_of_share(shares: polars.Series) -> altair.Color:
    widest = max(0.01, *(abs(value) for value in shares.drop_nulls()), 0.0)
    return altair.Color(
        "share:Q",
        title="Share of the range",
        scale=altair.Scale(domain=[-widest, 0, widest], range=[BLUE, "#f7f7f7", ORANGE]),
        # Squares, since the name of a gradient differs each time that it is drawn.
        legend=altair.Legend(format="+.0%", type="symbol", symbolType="square", tickCount=5),
    )


def _starred(row: dict[str, Any]) -> str:
    has_fixed, difference = row["ci_low_fixed_questions"] is not None, row["difference"]
    p = row["p_fixed_questions_holm" if has_fixed else "p_new_questions_holm"]
    return "" if difference is None else f"{difference:+.2f}{' *' if p is not None and p < 0.05 else ''}"
