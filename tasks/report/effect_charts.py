"""Charts of differences, tier by tier: of one eval, of several runs beside each other, and as a matrix in colour."""

from typing import Any

import altair
import polars

from tasks.estimates.findings import verdict
from tasks.estimates.wording import alike
from tasks.report.chart_style import (
    BLACK,
    BLUE,
    DIFFERENCE,
    GREY,
    LIGHT_GREY,
    WIDTH,
    as_tooltips,
    colours,
    for_each_measure,
    names_axis,
    ordered,
    tier_axis,
    tooltips,
    zero_line,
)
from tasks.report.effect_rows import with_interval, without_slope
from tasks.schema import SIDES, Effect, Eval

INTERVAL = ("low", "high")
"""The columns of `with_interval`."""
OVERVIEW_WIDTH = 660
"""Of the overview, whose names are sentences, in pixels."""
LONGEST_UPRIGHT = 12
"""Letters of a name that has room above a column of the matrix."""


def effects_by_tier(effects: polars.DataFrame, evaluation: Eval) -> altair.VConcatChart:
    """The difference in each tier with its interval, and every question as a dot behind it."""
    table = _with_words(with_interval(without_slope(effects)).filter(eval=evaluation.name), evaluation)
    numbers = tooltips(("baseline", "finetuned", "difference", *INTERVAL))

    def draw(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
        base = rows.encode(y=tier_axis(ordered(table, "tier")))
        of_questions = base.transform_filter(altair.datum.question_id != "")
        of_tiers = base.transform_filter(altair.datum.question_id == "")
        x, low = (altair.X(f"{name}:Q", title=DIFFERENCE, scale=scale) for name in ("difference", INTERVAL[0]))
        words = of_tiers.mark_text(align="left", color=GREY, fontSize=12)
        return altair.layer(
            zero_line(rows, "x"),
            of_questions.mark_circle(size=90, opacity=0.75, color=GREY).encode(
                x=x, tooltip=[*as_tooltips("text:N"), *numbers]
            ),
            of_tiers.mark_rule(strokeWidth=3, color=BLUE).encode(x=low, x2=altair.X2(f"{INTERVAL[1]}:Q")),
            of_tiers.mark_point(filled=True, size=110, color=BLUE, opacity=1).encode(
                x=x, tooltip=[*as_tooltips("tier:N"), *numbers]
            ),
            words.encode(x=altair.value(WIDTH + 10), text=altair.Text("means:N")),
        ).properties(width=WIDTH, height=altair.Step(30))

    return for_each_measure(table, ("difference", *INTERVAL), draw)


def overview(table: polars.DataFrame) -> altair.LayerChart:
    """The difference of each measure as a share of its range, with its interval; the table has one row of each.

    A measure without a range, as drift, is left out.
    """
    table = table.filter(polars.col("scale_min").is_not_null())
    span, rows, names = polars.col("scale_max") - polars.col("scale_min"), table.to_dicts(), [*table["measure"]]
    table = with_interval(table).with_columns(
        row=polars.Series([_called(row, names.count(row["measure"]) > 1) for row in rows], dtype=polars.String),
        means=polars.Series([_both_means(row, False) for row in rows], dtype=polars.String),
        shown=polars.Series([verdict(Effect(**row)) for row in rows], dtype=polars.String),
    )
    table = table.with_columns(polars.col(name) / span for name in ("difference", *INTERVAL))
    base = altair.Chart(table).encode(y=altair.Y("row:N", sort=ordered(table, "row"), title=None, axis=names_axis()))
    title, axis = "Change, as a share of the measure's range", altair.Axis(format="+.0%")
    x, low = (altair.X(f"{name}:Q", title=title, axis=axis) for name in ("difference", INTERVAL[0]))
    changed = altair.FieldEqualPredicate(field="shown", equal="changed")
    colour = altair.when(changed).then(altair.value(BLUE)).otherwise(altair.value(LIGHT_GREY))
    points, words = (
        base.mark_point(filled=True, size=120, opacity=1),
        base.mark_text(align="left", color=GREY, fontSize=12),
    )
    return altair.layer(
        zero_line(altair.Chart(table), "x"),
        base.mark_rule(strokeWidth=3).encode(x=low, x2=altair.X2(f"{INTERVAL[1]}:Q"), color=colour),
        points.encode(x=x, color=colour, tooltip=as_tooltips("row:N", "shown:N", "means:N")),
        words.encode(x=altair.value(OVERVIEW_WIDTH + 12), text=altair.Text("means:N")),
    ).properties(width=OVERVIEW_WIDTH, height=altair.Step(28))


def _called(row: dict[str, Any], is_shared: bool) -> str:
    """What the model does that is measured, and the measure's name, with its eval where two have one of that name."""
    name = f"{row['measure']}, {row['eval']}" if is_shared else row["measure"]
    return f"{row['in_words']} ({name})" if row["in_words"] else name


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
    before, after = (words or "–" for words in alike(*(row[side] for side in SIDES)))
    return f"{'floor ' if is_of_pairs else ''}{before} → {after}"


def side_by_side(table: polars.DataFrame, runs: list[str], title: str = DIFFERENCE) -> altair.VConcatChart:
    """The difference in each tier of every group of runs, with its interval, measure by measure.

    `runs` are the labels of all groups of the comparison, also of those that are not in the table: each has its colour.
    """
    table = with_interval(without_slope(table))
    labels, hover = ordered(table, "label"), [*as_tooltips("label:N", "tier:N"), *tooltips(("difference", *INTERVAL))]
    legend = altair.Legend(values=labels)

    def draw(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
        base = rows.encode(
            y=tier_axis(ordered(table, "tier")),
            yOffset=altair.YOffset("label:N", sort=labels),
            color=altair.Color("label:N", title=None, scale=colours(runs), legend=legend),
        )
        x, low = (altair.X(f"{name}:Q", title=title, scale=scale) for name in ("difference", INTERVAL[0]))
        return altair.layer(
            zero_line(rows, "x"),
            base.mark_rule(strokeWidth=3).encode(x=low, x2=altair.X2(f"{INTERVAL[1]}:Q")),
            base.mark_point(filled=True, size=80, opacity=1).encode(x=x, tooltip=hover),
        ).properties(width=WIDTH, height=altair.Step(16))

    return for_each_measure(table, ("difference", *INTERVAL), draw)


def matrix(table: polars.DataFrame, rows: list[str]) -> altair.LayerChart:
    """The differences as a table in colour, as shares of each measure's range; * where Holm's p is below 0.05.

    rows are the columns of the table whose texts together name a row of the matrix.
    """
    table = without_slope(table).with_columns(row=polars.concat_str(rows, separator=" · "))
    cells = table.with_columns(
        share=polars.col("difference") / (polars.col("scale_max") - polars.col("scale_min")),
        words=polars.Series(_starred(table), dtype=polars.String),
    )
    tiers = ordered(cells, "tier")
    angle = 0 if all(len(tier) <= LONGEST_UPRIGHT for tier in tiers) else -45
    above = altair.Axis(orient="top", labelAngle=angle, labelLimit=260, domain=False)
    beside = altair.Axis(domain=False, labelLimit=260)
    base = altair.Chart(cells).encode(
        x=altair.X("tier:N", sort=tiers, title=None, axis=above),
        y=altair.Y("row:N", sort=ordered(cells, "row"), title=None, axis=beside),
    )
    hover = as_tooltips("tier:N", "difference:Q", "words:N")
    coloured = base.mark_rect(stroke="white").encode(color=_colour_of_share(cells["share"]), tooltip=hover)
    text = base.mark_text(fontSize=12, color=BLACK).encode(text=altair.Text("words:N"))
    return altair.layer(coloured, text).properties(width=altair.Step(84), height=altair.Step(30))


def _colour_of_share(shares: polars.Series) -> altair.Color:
    widest = max(0.01, *(abs(value) for value in shares.drop_nulls()), 0.0)
    return altair.Color(
        "share:Q",
        title="Share of the range",
        scale=altair.Scale(domain=[-widest, 0, widest], range=["#5aa7d6", "#f7f7f7", "#e9925a"]),
        # Squares, since the name of a gradient differs each time that it is drawn.
        legend=altair.Legend(format="+.0%", type="symbol", symbolType="square", tickCount=5),
    )


def _starred(cells: polars.DataFrame) -> list[str]:
    """The differences as text, in each row of the matrix with as many digits, and * where Holm's p is below 0.05."""
    in_row = {
        row: iter(alike(*part["difference"], sign="+")) for (row,), part in cells.group_by("row", maintain_order=True)
    }
    return [next(in_row[cell["row"]]) + (" *" if _is_sure(cell) else "") for cell in cells.to_dicts()]


def _is_sure(row: dict[str, Any]) -> bool:
    has_fixed = row["ci_low_fixed_questions"] is not None
    p = row["p_fixed_questions_holm" if has_fixed else "p_new_questions_holm"]
    return p is not None and p < 0.05
