"""The chart of every answer by the scores of two judges, on which a rule shades what it counts as a hit."""

from typing import NamedTuple

import altair
import polars

from tasks.estimates.judgments import ANSWER
from tasks.report.chart_style import GREY, HALF_WIDTH, as_tooltips, colour_of_model, header
from tasks.report.effect_rows import MODELS
from tasks.schema import Condition, Eval, Judge, Rule

CELLS = 25
"""A longer scale is cut into so many."""


class JudgePair(NamedTuple):
    """Two judges of one eval that score every answer on a scale, and the rule whose part of the plane is shaded."""

    across: Judge
    up: Judge
    rule: Rule | None


def judge_pair(evaluation: Eval) -> JudgePair | None:
    """The judges of the first rule that reads two with a scale, what it counts going up; else the first two of them."""
    graded = {judge.name: judge for judge in evaluation.judges if judge.is_graded}
    for rule in evaluation.rules:
        names = list(dict.fromkeys(condition.judge for condition in _thresholds(rule)))
        if len(names) == 2 and all(name in graded for name in names):
            return JudgePair(graded[names[1]], graded[names[0]], rule)
    across, up, *_ = [*graded.values(), None, None]
    return JudgePair(across, up, None) if across and up else None


def _thresholds(rule: Rule) -> list[Condition]:
    """The rule's conditions on a number."""
    conditions = Condition.parse_all(rule.hit) + Condition.parse_all(rule.among)
    return [condition for condition in conditions if condition.number is not None]


def pairs_of_scores(judgments: polars.DataFrame, pair: JudgePair) -> polars.DataFrame:
    """How many answers of each model got each two scores; a long scale is cut into cells, named by their middle.

    Columns: side, across, up, answers, model.
    """
    scored = judgments.filter(polars.col("score").is_not_null())
    across, up = (
        scored.filter(judge=judge.name).select(*ANSWER, _cell(judge).alias(axis))
        for judge, axis in ((pair.across, "across"), (pair.up, "up"))
    )
    sides = {side: model for model, side in MODELS.items()}
    counted = across.join(up, on=ANSWER).group_by("side", "across", "up").len("answers")
    return counted.with_columns(model=polars.col("side").replace_strict(sides)).sort("model", "across", "up")


def _cell(judge: Judge) -> polars.Expr:
    span = judge.scale_max - judge.scale_min
    if span < CELLS:
        return polars.col("score")
    cell = ((polars.col("score") - judge.scale_min) / span * CELLS).floor().clip(0, CELLS - 1)
    return judge.scale_min + (cell + 0.5) * span / CELLS


def two_judges(table: polars.DataFrame, pair: JudgePair) -> altair.FacetChart:
    """Every answer by two judges' scores, both models side by side; what the rule calls a hit is shaded."""
    across, up = _scale(pair.across), _scale(pair.up)
    areas = [_hit_area(pair.rule, pair)] if pair.rule else []
    base = altair.Chart(polars.concat([table, *areas], how="diagonal"))
    points = base.transform_filter("isValid(datum.answers)").mark_circle(opacity=0.65)
    points = points.encode(
        x=altair.X("across:Q", title=pair.across.name, scale=across),
        y=altair.Y("up:Q", title=pair.up.name, scale=up),
        color=colour_of_model().legend(None),
        size=altair.Size("answers:Q", title="Answers", scale=altair.Scale(range=[10, 260], zero=False)),
        tooltip=as_tooltips("across:Q", "up:Q", "answers:Q", "model:N"),
    )
    layers = [points]
    if pair.rule:
        area = base.transform_filter("isValid(datum.left)").mark_rect(color=GREY, opacity=0.16)
        x, y = altair.X("left:Q", scale=across), altair.Y("bottom:Q")
        layers = [area.encode(x=x, x2=altair.X2("right:Q"), y=y, y2=altair.Y2("top:Q")), points]
    above = header(labelFontSize=13, labelFontWeight="bold")
    column = altair.Column("model:N", sort=list(MODELS), title=None, header=above)
    return altair.layer(*layers).properties(width=HALF_WIDTH, height=HALF_WIDTH).facet(column=column)


def _scale(judge: Judge) -> altair.Scale:
    return altair.Scale(domain=[judge.scale_min, judge.scale_max], nice=False, padding=8)


def _hit_area(rule: Rule, pair: JudgePair) -> polars.DataFrame:
    """The part of the plane in which the rule counts an answer as a hit, once for each model."""
    (left, right), (bottom, top) = (_hit_range(rule, judge) for judge in (pair.across, pair.up))
    corners = {"left": left, "right": right, "bottom": bottom, "top": top}
    values = {name: polars.lit(value) for name, value in corners.items()}
    return polars.DataFrame({"model": list(MODELS)}).with_columns(**values)


def _hit_range(rule: Rule, judge: Judge) -> tuple[float, float]:
    """The scores of one judge that meet the rule's conditions on it."""
    low, high = float(judge.scale_min), float(judge.scale_max)
    for condition in _thresholds(rule):
        if condition.judge == judge.name and condition.number is not None:
            low = max(low, condition.number) if condition.sign in (">", ">=", "==") else low
            high = min(high, condition.number) if condition.sign in ("<", "<=", "==") else high
    return low, high
