"""Charts of both models' own answers: mean scores, whole distributions, and box plots question by question."""

import altair
import polars

from tasks.report.chart_style import (
    BLACK,
    GREY,
    HALF_WIDTH,
    WIDTH,
    colour_of_model,
    header,
    ordered,
    row_for_each_measure,
    tooltips,
)
from tasks.report.effect_rows import MODELS, by_model
from tasks.schema import Eval

MOST_UPRIGHT = 8
"""Classes whose names have room beside each other."""
WHISKER = 1.5
"""Of a box plot: its greatest length, as a multiple of the box."""


def levels(table: polars.DataFrame) -> altair.FacetChart:
    """Bars of both models' means over all questions, with their intervals; the table is one of by_model."""
    bars, rules = _bars(table, altair.Y("model:N", sort=list(MODELS), title=None))
    chart = altair.layer(bars, rules).properties(width=WIDTH, height=altair.Step(30))
    return chart.facet(row=row_for_each_measure(table)).resolve_scale(x="independent")


def by_question(table: polars.DataFrame) -> altair.FacetChart:
    """Bars of both models' means of each question, with their intervals; the table is one of by_model."""
    bars, rules = _bars(table, altair.Y("question_id:N", sort=ordered(table, "question_id"), title=None))
    offset = altair.YOffset("model:N", sort=list(MODELS))
    chart = altair.layer(bars.encode(yOffset=offset), rules.encode(yOffset=offset))
    chart = chart.properties(width=WIDTH, height=altair.Step(14))
    return chart.facet(row=row_for_each_measure(table)).resolve_scale(x="independent")


def _bars(table: polars.DataFrame, y: altair.Y) -> tuple[altair.Chart, altair.Chart]:
    base = altair.Chart(table).encode(y=y)
    bars = base.mark_bar(opacity=0.75).encode(
        x=altair.X("mean:Q", title="Mean score, or rate"),
        color=colour_of_model(),
        tooltip=["question_id:N", "model:N", *tooltips(("mean", "low", "high"))],
    )
    return bars, base.mark_rule(strokeWidth=2, color=BLACK).encode(x="low:Q", x2="high:Q")


def five_numbers(judgments: polars.DataFrame, evaluation: Eval) -> polars.DataFrame:
    """Median, quartiles, and the last scores within 1.5 times their distance (J. W. Tukey, Exploratory Data Analysis,
    1977), for each question and model, of the judges that have a scale.

    Columns: measure, question_id, model, n, q1, median, q3, low, high.
    """
    graded = [judge.name for judge in evaluation.judges if judge.is_graded]
    model = polars.col("side").replace_strict({side: name for name, side in MODELS.items()}, return_dtype=polars.String)
    scores = judgments.filter(polars.col("judge").is_in(graded), polars.col("score").is_not_null()).select(
        "question_id", measure="judge", model=model, score="score"
    )
    score, key = polars.col("score"), ["measure", "question_id", "model"]
    quartiles = scores.group_by(key, maintain_order=True).agg(
        n=polars.len(), q1=score.quantile(0.25, "linear"), median=score.median(), q3=score.quantile(0.75, "linear")
    )
    reach = WHISKER * (polars.col("q3") - polars.col("q1"))
    near = scores.join(quartiles, on=key).filter(score.is_between(polars.col("q1") - reach, polars.col("q3") + reach))
    ends = near.group_by(key).agg(low=score.min(), high=score.max())
    return quartiles.join(ends, on=key, how="left", maintain_order="left")


def boxes(numbers: polars.DataFrame) -> altair.FacetChart:
    """Box plots of the scores of each question and model, of a table of five_numbers."""
    base = altair.Chart(numbers).encode(
        y=altair.Y("question_id:N", sort=ordered(numbers, "question_id"), title=None),
        yOffset=altair.YOffset("model:N", sort=list(MODELS)),
    )
    low, q1 = (altair.X(f"{name}:Q", title="Score") for name in ("low", "q1"))
    hover = ["question_id:N", "model:N", "median:Q", "q1:Q", "q3:Q", "n:Q"]
    layers = [
        base.mark_rule(color=GREY).encode(x=low, x2="high:Q"),
        base.mark_bar(height=9, opacity=0.75).encode(x=q1, x2="q3:Q", color=colour_of_model()),
        base.mark_tick(color=BLACK, thickness=2, height=9).encode(x="median:Q", tooltip=hover),
    ]
    chart = altair.layer(*layers).properties(width=WIDTH, height=altair.Step(14))
    return chart.facet(row=row_for_each_measure(numbers)).resolve_scale(x="independent")


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
    hover = ["place:N", "class:N", "model:N", *tooltips(("mean", "low", "high"), ".1%")]
    layers = [
        base.mark_bar(opacity=0.75).encode(y=y, color=colour_of_model(), tooltip=hover),
        base.mark_rule(strokeWidth=1.5, color=BLACK).encode(y="low:Q", y2="high:Q"),
    ]
    above = header(labelAngle=0, labelFontSize=12)
    facet = altair.Facet("place:N", sort=ordered(bars, "place"), title=None, header=above)
    chart = altair.layer(*layers).properties(width=HALF_WIDTH, height=110).facet(facet, columns=2)
    return chart.resolve_scale(x="independent")


def _class_of_scores() -> polars.Expr:
    """A score, or a range of scores, as text."""
    is_range = polars.col("upto") > polars.col("score")
    score, upto = _short("score"), _short("upto")
    return polars.when(is_range).then(polars.format("{}–{}", score, upto)).otherwise(score)


def _short(column: str) -> polars.Expr:
    """A number without the zeros after its point."""
    return polars.col(column).round(6).cast(polars.String).str.strip_suffix(".0")
