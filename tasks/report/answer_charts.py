"""Charts of both models' own answers: mean scores, whole distributions, and box plots question by question."""

import altair
import polars

from tasks.report.chart_style import (
    BLACK,
    GREY,
    HALF_WIDTH,
    WIDTH,
    as_tooltips,
    colour_of_model,
    for_each_measure,
    header,
    ordered,
    tooltips,
)
from tasks.report.effect_rows import MODELS, by_model
from tasks.schema import Eval

MOST_UPRIGHT = 8
"""Classes whose names have room beside each other."""
WHISKER = 1.5
"""Of a box plot: its greatest length, as a multiple of the box."""


MEAN = ("mean", "low", "high")
"""The columns of `by_model` that are numbers."""


def levels(table: polars.DataFrame) -> altair.VConcatChart:
    """Bars of both models' means over all questions, with their intervals; the table is one of by_model."""

    def draw(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
        y = altair.Y("model:N", sort=list(MODELS), title=None)
        return _bars(rows.encode(y=y), scale).properties(height=altair.Step(30))

    return for_each_measure(table, MEAN, draw)


def by_question(table: polars.DataFrame) -> altair.VConcatChart:
    """Bars of both models' means of each question, with their intervals; the table is one of by_model."""
    return for_each_measure(table, MEAN, lambda rows, scale: _bars(_each_question(rows, table), scale))


def _each_question(rows: altair.Chart, table: polars.DataFrame) -> altair.Chart:
    """Questions beneath each other, both models side by side in each."""
    questions = altair.Y("question_id:N", sort=ordered(table, "question_id"), title=None)
    models = altair.YOffset("model:N", sort=list(MODELS))
    return rows.encode(y=questions, yOffset=models).properties(height=altair.Step(12))


def _bars(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
    mean, low = (altair.X(f"{name}:Q", title="Mean score, or rate", scale=scale) for name in ("mean", "low"))
    hover = [*as_tooltips("question_id:N", "model:N"), *tooltips(MEAN)]
    bars = rows.mark_bar(opacity=0.75).encode(x=mean, color=colour_of_model(), tooltip=hover)
    intervals = rows.mark_rule(strokeWidth=2, color=BLACK).encode(x=low, x2=altair.X2("high:Q"))
    return altair.layer(bars, intervals).properties(width=WIDTH)


def five_numbers(judgments: polars.DataFrame, evaluation: Eval) -> polars.DataFrame:
    """Median, quartiles, and the last scores within 1.5 times their distance (J. W. Tukey, Exploratory Data Analysis,
    1977), for each question and model, of the judges that have a scale.

    Columns: measure, question_id, model, n, q1, median, q3, low, high, scale_min, scale_max.
    """
    graded = [judge for judge in evaluation.judges if judge.is_graded]
    scales = polars.DataFrame(
        [(judge.name, judge.scale_min, judge.scale_max) for judge in graded],
        schema={"measure": polars.String, "scale_min": polars.Float64, "scale_max": polars.Float64},
        orient="row",
    )
    model = polars.col("side").replace_strict({side: name for name, side in MODELS.items()}, return_dtype=polars.String)
    scored = judgments.filter(polars.col("judge").is_in([j.name for j in graded]), polars.col("score").is_not_null())
    scores = scored.select("question_id", measure="judge", model=model, score="score")
    score, key = polars.col("score"), ["measure", "question_id", "model"]
    quartiles = scores.group_by(key, maintain_order=True).agg(
        n=polars.len(), q1=score.quantile(0.25, "linear"), median=score.median(), q3=score.quantile(0.75, "linear")
    )
    reach = WHISKER * (polars.col("q3") - polars.col("q1"))
    near = scores.join(quartiles, on=key).filter(score.is_between(polars.col("q1") - reach, polars.col("q3") + reach))
    ends = near.group_by(key).agg(low=score.min(), high=score.max())
    found = quartiles.join(ends, on=key, how="left", maintain_order="left")
    return found.join(scales, on="measure", how="left", maintain_order="left")


def boxes(numbers: polars.DataFrame) -> altair.VConcatChart:
    """Box plots of the scores of each question and model, of a table of five_numbers."""
    hover = as_tooltips("question_id:N", "model:N", "median:Q", "q1:Q", "q3:Q", "n:Q")

    def draw(rows: altair.Chart, scale: altair.Scale) -> altair.LayerChart:
        base = _each_question(rows, numbers)
        low, q1, median = (altair.X(f"{name}:Q", title="Score", scale=scale) for name in ("low", "q1", "median"))
        return altair.layer(
            base.mark_rule(color=GREY).encode(x=low, x2=altair.X2("high:Q")),
            base.mark_bar(height=9, opacity=0.75).encode(x=q1, x2=altair.X2("q3:Q"), color=colour_of_model()),
            base.mark_tick(color=BLACK, thickness=2, height=9).encode(x=median, tooltip=hover),
        ).properties(width=WIDTH)

    return for_each_measure(numbers, ("low", "high", "q1", "q3"), draw)


def distribution(shares: polars.DataFrame) -> altair.FacetChart:
    """How often each score was given in each tier: the whole distribution of both models, with intervals.

    The columns of the table are those of schema's Share.
    """
    columns = {"place": polars.format("{} · {}", "measure", "tier"), "class": _class_of_scores()}
    bars = by_model(shares.with_columns(**columns), ["place", "class", "score", "tier"])
    angle = 0 if shares["score"].n_unique() <= MOST_UPRIGHT else -45
    order, axis = altair.EncodingSortField(field="score", op="min"), altair.Axis(labelAngle=angle)
    base = altair.Chart(bars).encode(
        x=altair.X("class:N", sort=order, title="Score", axis=axis),
        xOffset=altair.XOffset("model:N", sort=list(MODELS)),
    )
    y = altair.Y("mean:Q", title="Share of answers", axis=altair.Axis(format="%"))
    hover = [*as_tooltips("place:N", "class:N", "model:N"), *tooltips(("mean", "low", "high"), ".1%")]
    layers = [
        base.mark_bar(opacity=0.75).encode(y=y, color=colour_of_model(), tooltip=hover),
        base.mark_rule(strokeWidth=1.5, color=BLACK).encode(y=altair.Y("low:Q"), y2=altair.Y2("high:Q")),
    ]
    above = header(labelAngle=0, labelFontSize=12)
    facet = altair.Facet("place:N", sort=ordered(bars, "place"), title=None, header=above)
    chart = altair.layer(*layers).properties(width=HALF_WIDTH, height=110).facet(facet, columns=2)
    return chart.resolve_scale(x="independent", xOffset="independent")


def _class_of_scores() -> polars.Expr:
    """A score, or a range of scores, as text."""
    is_range = polars.col("upto") > polars.col("score")
    score, upto = _short("score"), _short("upto")
    return polars.when(is_range).then(polars.format("{}–{}", score, upto)).otherwise(score)


def _short(column: str) -> polars.Expr:
    """A number without the zeros after its point."""
    return polars.col(column).round(6).cast(polars.String).str.strip_suffix(".0")
