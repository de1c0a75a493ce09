"""Charts, in Altair, each as html, svg, png and pdf with its table beside it as CSV. The only module that draws."""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import altair
import polars
import pypdf
import vl_convert
from prefect import task

from tasks.estimates.judgments import ANSWER, at_checkpoint, scan_judgments
from tasks.files import write_bytes, write_text
from tasks.report.templates import Script, hashed, page, source
from tasks.runs import Comparison, Run
from tasks.schema import ALL, SLOPE, Compared, Condition, Eval, Rule
from tasks.tables import as_table, write_table
from tasks.visible import visible

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6b6b6b"
"""Okabe and Ito's, told apart by every kind of sight."""
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", "#1c1c1e", "#56b4e9", "#e69f00"]
MODELS = {"baseline": "baseline", "fine-tuned": "finetuned"}
"""What each model is called in a chart, and its columns."""
EFFECT = ("eval", "measure", "tier", "question", "scale_min", "scale_max")
LINES = altair.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
PIXELS_PER_INCH = 160
VEGA_LITE = altair.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
MOST_UPRIGHT = 8
"""Classes whose names have room beside each other."""
LONGEST_UPRIGHT = 12
"""Letters of a name that has room above a column of the matrix."""
SMALL = 250
"""Width of a chart of which two stand side by side, in pixels."""
CELLS = 25
"""A scale of more scores is cut into so many for the chart of two judges."""
TITLES = {
    "comparison": "what changed, run beside run",
    "between": "fine-tune against fine-tune",
    "matrix": "differences in colour",
    "doses": "by dose",
    "checkpoints": "over the training",
}
"""What the charts of a comparison show."""
WHOLE = {"scale": altair.Scale(domain=[0, 1]), "axis": altair.Axis(format="%")}


def _by_measure(table: polars.DataFrame) -> altair.Row:
    """A row for each judge and rule in their order, with its name and its unit above."""
    units = dict(map(_with_unit, table.unique(["measure"], maintain_order=True).to_dicts()))
    header = _header(labelExpr=f"({json.dumps(units)})[datum.value]")
    return altair.Row("measure:N", sort=list(units), title=None, header=header)


def _with_unit(row: dict[str, Any]) -> tuple[str, str]:
    """A measure and what it is called above its chart: with its scale's ends, as a rate, or in nats."""
    name, low, high = visible(row["measure"]), row.get("scale_min"), row.get("scale_max")
    if low is None or high is None:
        return name, f"{name} (nats a token)" if name == "drift" else name
    return name, f"{name} (rate, 0 to 1)" if (low, high) == (0, 1) else f"{name} (score, {low:g} to {high:g})"


def _header(**more: Any) -> altair.Header:
    return altair.Header(
        **more, labelOrient="top", labelAngle=0, labelAnchor="start", labelFontSize=13, labelFontWeight="bold"
    )


def effects_by_tier(effects: polars.DataFrame, one: Eval) -> altair.FacetChart:
    """The difference in each tier with its interval for these questions, and every question as a dot behind it."""
    texts = polars.DataFrame({"question": [q.id for q in one.questions], "text": [q.text for q in one.questions]})
    pairs = [judge.name for judge in one.judges if judge.reads == "pair"]
    table = without_slope(effects).filter(eval=one.name).join(texts, on="question", how="left")
    table = table.with_columns(_means(table, pairs))
    tiers, questions = altair.datum.question == "", altair.datum.question != ""
    x = altair.X("difference:Q", title="Fine-tuned minus baseline")
    y = altair.Y(
        "tier:N",
        sort=list(dict.fromkeys(table["tier"])),
        title=None,
        axis=altair.Axis(labelFontSize=13, ticks=False, domain=False),
    )
    numbers = [
        altair.Tooltip(f"{name}:Q", format=".2f")
        for name in ("baseline", "finetuned", "difference", "ci_low_fixed_questions", "ci_high_fixed_questions")
    ]
    base = altair.Chart(table).encode(y=y)
    layers = [
        altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=altair.datum(0)),
        base.transform_filter(questions)
        .mark_circle(size=90, opacity=0.5, color=GREY)
        .encode(x=x, tooltip=["text:N", *numbers]),
        base.transform_filter(tiers)
        .mark_rule(strokeWidth=3, color=BLUE)
        .encode(x="ci_low_fixed_questions:Q", x2="ci_high_fixed_questions:Q"),
        base.transform_filter(tiers)
        .mark_point(filled=True, size=110, color=BLUE, opacity=1)
        .encode(x=x, tooltip=["tier:N", *numbers]),
        base.transform_filter(tiers)
        .mark_text(align="left", color=GREY, fontSize=11)
        .encode(x=altair.value(530), text="means:N"),
    ]
    chart = altair.layer(*layers).properties(width=520, height=altair.Step(38)).facet(row=_by_measure(table))
    return chart.resolve_scale(x="independent")  # a judge's points, a rule's rate, nats of drift


def levels(table: polars.DataFrame) -> altair.FacetChart:
    """Bars of both models' means over all questions, with their intervals for these questions."""
    bars, lines = _bars(table, altair.Y("model:N", sort=list(MODELS), title=None))
    return (
        altair.layer(bars, lines)
        .properties(width=520, height=altair.Step(30))
        .facet(row=_by_measure(table))
        .resolve_scale(x="independent")
    )


def by_question(table: polars.DataFrame) -> altair.FacetChart:
    """Bars of both models' means of each question, with their intervals."""
    questions = list(dict.fromkeys(table["question"]))
    bars, lines = _bars(table, altair.Y("question:N", sort=questions, title=None))
    offset = altair.YOffset("model:N", sort=list(MODELS))
    chart = altair.layer(bars.encode(yOffset=offset), lines.encode(yOffset=offset))
    return (
        chart.properties(width=520, height=altair.Step(14)).facet(row=_by_measure(table)).resolve_scale(x="independent")
    )


def _bars(table: polars.DataFrame, y: altair.Y) -> tuple[altair.Chart, altair.Chart]:
    base = altair.Chart(table).encode(y=y)
    numbers = [altair.Tooltip(f"{name}:Q", format=".2f") for name in ("mean", "low", "high")]
    bars = base.mark_bar(opacity=0.75).encode(
        x=altair.X("mean:Q", title="Mean score, or rate"),
        color=_colour_of_model(),
        tooltip=["question:N", "model:N", *numbers],
    )
    return bars, base.mark_rule(strokeWidth=2, color="#1c1c1e").encode(x="low:Q", x2="high:Q")


def by_model(effects: polars.DataFrame, shared: Sequence[str] = EFFECT) -> polars.DataFrame:
    """A row for each model instead of one for both: mean, interval, scored answers."""
    sides = [
        effects.select(
            *shared,
            polars.lit(words).alias("model"),
            polars.col(side).alias("mean"),
            polars.col(f"{side}_low").alias("low"),
            polars.col(f"{side}_high").alias("high"),
            polars.col(f"scored_{side}").alias("scored"),
        )
        for words, side in MODELS.items()
    ]
    return polars.concat(sides)


def without_slope(effects: polars.DataFrame) -> polars.DataFrame:
    """The effects that are differences: a slope is a difference by tier and has no place on their axis."""
    return effects.filter(polars.col("tier") != SLOPE)


def overall(effects: polars.DataFrame) -> polars.DataFrame:
    """The effects over all questions: those of the tier `all`, or of the only tier."""
    tiers = effects.filter(question="")
    whole = [name for name in ("label", "eval", "measure", "trained_share") if name in tiers.columns]
    several = tiers.filter(tier=ALL).select(whole)
    return polars.concat([tiers.filter(tier=ALL), tiers.join(several, on=whole, how="anti")])


def five_numbers(words: polars.DataFrame, one: Eval) -> polars.DataFrame:
    """Median, quartiles, and the last scores within 1.5 times their distance (J. W. Tukey, Exploratory Data Analysis,
    1977), for each question and model, of the judges that have a scale."""
    scales = [judge.name for judge in one.judges if judge.scale_max - judge.scale_min > 1]
    sides = {side: model for model, side in MODELS.items()}
    scored = words.filter(polars.col("judge").is_in(scales), polars.col("score").is_not_null())
    model = polars.col("side").replace_strict(sides, return_dtype=polars.String)
    scores = scored.select(
        polars.col("judge").alias("measure"), question=polars.col("question_id"), model=model, score="score"
    )
    score, place = polars.col("score"), ["measure", "question", "model"]
    quartiles = scores.group_by(place, maintain_order=True).agg(
        n=polars.len(), q1=score.quantile(0.25, "linear"), median=score.median(), q3=score.quantile(0.75, "linear")
    )
    reach = 1.5 * (polars.col("q3") - polars.col("q1"))
    near = scores.join(quartiles, on=place).filter(score.is_between(polars.col("q1") - reach, polars.col("q3") + reach))
    ends = near.group_by(place).agg(low=score.min(), high=score.max())
    return quartiles.join(ends, on=place, how="left", maintain_order="left")


def boxes(numbers: polars.DataFrame) -> altair.FacetChart:
    """Box plots of the scores of each question and model."""
    questions = list(dict.fromkeys(numbers["question"]))
    base = altair.Chart(numbers).encode(
        y=altair.Y("question:N", sort=questions, title=None), yOffset=altair.YOffset("model:N", sort=list(MODELS))
    )
    hover = ["question:N", "model:N", "median:Q", "q1:Q", "q3:Q", "n:Q"]
    layers = [
        base.mark_rule(color=GREY).encode(x=altair.X("low:Q", title="Score"), x2="high:Q"),
        base.mark_bar(height=9, opacity=0.75).encode(
            x=altair.X("q1:Q", title="Score"), x2="q3:Q", color=_colour_of_model()
        ),
        base.mark_tick(color="#1c1c1e", thickness=2, height=9).encode(x="median:Q", tooltip=hover),
    ]
    chart = altair.layer(*layers).properties(width=520, height=altair.Step(14)).facet(row=_by_measure(numbers))
    return chart.resolve_scale(x="independent")


def _means(table: polars.DataFrame, pairs: list[str]) -> polars.Series:
    """Both means in words; of a pair judge the baseline's is its floor."""

    def words(row: dict[str, Any]) -> str:
        before, after = ("–" if row[side] is None else f"{row[side]:.2f}" for side in ("baseline", "finetuned"))
        return f"{'floor ' if row['measure'] in pairs else ''}{before} → {after}"

    return polars.Series("means", [words(row) for row in table.to_dicts()], dtype=polars.String)


def scores(table: polars.DataFrame) -> altair.FacetChart:
    """How often each score was given in each tier: the whole distribution of both models, with intervals."""
    columns = [
        polars.format("{} · {}", "measure", "tier").alias("place"),
        polars.when(polars.col("upto") > polars.col("score"))
        .then(polars.format("{}–{}", _short("score"), _short("upto")))
        .otherwise(_short("score"))
        .alias("class"),
    ]
    bars = by_model(table.with_columns(columns), ["place", "class", "score", "tier"])
    places = list(dict.fromkeys(bars["place"]))
    base = altair.Chart(bars).encode(
        x=altair.X(
            "class:N",
            sort=altair.EncodingSortField(field="score", op="min"),
            title="Score",
            axis=altair.Axis(labelAngle=0 if table["score"].n_unique() <= MOST_UPRIGHT else -45),
        ),
        xOffset=altair.XOffset("model:N", sort=list(MODELS)),
    )
    numbers = [altair.Tooltip(f"{name}:Q", format=".1%") for name in ("mean", "low", "high")]
    layers = [
        base.mark_bar(opacity=0.75).encode(
            y=altair.Y("mean:Q", title="Share of answers", axis=altair.Axis(format="%")),
            color=_colour_of_model(),
            tooltip=["place:N", "class:N", "model:N", *numbers],
        ),
        base.mark_rule(strokeWidth=1.5, color="#1c1c1e").encode(y="low:Q", y2="high:Q"),
    ]
    header = altair.Header(labelOrient="top", labelAngle=0, labelAnchor="start", labelFontSize=12)
    facet = altair.Facet("place:N", sort=places, title=None, header=header)
    chart = altair.layer(*layers).properties(width=SMALL, height=110).facet(facet, columns=2)
    return chart.resolve_scale(x="independent")


def _short(column: str) -> polars.Expr:
    """A number without the zeros after its point."""
    text = polars.col(column).round(6).cast(polars.String)
    return text.str.strip_suffix(".0")


def _colour_of_model() -> altair.Color:
    return altair.Color("model:N", sort=list(MODELS), title=None, scale=altair.Scale(range=[BLUE, ORANGE]))


class Axes(NamedTuple):
    """Two judges of one eval that score every answer on a scale, and the rule whose part of the plane is shaded."""

    across: str
    up: str
    rule: Rule | None


def axes(one: Eval) -> Axes | None:
    """The judges of the first rule that reads two with a scale, what it counts going up; else the first two of them."""
    scaled = {judge.name: judge for judge in one.judges if judge.scale_max - judge.scale_min > 1}
    for rule in one.rules:
        told = [c for c in Condition.parse_all(rule.hit) + Condition.parse_all(rule.among) if c.number is not None]
        names = list(dict.fromkeys(condition.judge for condition in told))
        if len(names) == 2 and all(name in scaled for name in names):
            return Axes(names[1], names[0], rule)
    across, up, *_ = [*scaled, "", ""]
    return Axes(across, up, None) if up else None


def both_scores(words: polars.DataFrame, one: Eval, pair: Axes) -> polars.DataFrame:
    """How many answers of each model got each two scores; a long scale is cut into cells, named by their middle."""
    mine = words.filter(polars.col("score").is_not_null())
    across, up = (
        mine.filter(judge=name).select(*ANSWER, _cell(name, one).alias(axis))
        for name, axis in ((pair.across, "across"), (pair.up, "up"))
    )
    sides = {side: model for model, side in MODELS.items()}
    counted = across.join(up, on=ANSWER).group_by("side", "across", "up").len("answers")
    return counted.with_columns(model=polars.col("side").replace_strict(sides)).sort("model", "across", "up")


def _cell(name: str, one: Eval) -> polars.Expr:
    judge = next(judge for judge in one.judges if judge.name == name)
    span = judge.scale_max - judge.scale_min
    if span < CELLS:
        return polars.col("score")
    place = ((polars.col("score") - judge.scale_min) / span * CELLS).floor().clip(0, CELLS - 1)
    return judge.scale_min + (place + 0.5) * span / CELLS


def two_judges(table: polars.DataFrame, one: Eval, pair: Axes) -> altair.FacetChart:
    """Every answer by two judges' scores, both models side by side; what the rule calls a hit is shaded."""
    scales = [
        altair.Scale(domain=[judge.scale_min, judge.scale_max], nice=False, padding=8)
        for name in (pair.across, pair.up)
        for judge in one.judges
        if judge.name == name
    ]
    x = altair.X("across:Q", title=pair.across, scale=scales[0])
    y = altair.Y("up:Q", title=pair.up, scale=scales[1])
    told = table if pair.rule is None else polars.concat([table, _quadrant(one, pair)], how="diagonal")
    base = altair.Chart(told)
    points = base.transform_filter("isValid(datum.answers)").mark_circle(opacity=0.65)
    points = points.encode(
        x=x,
        y=y,
        color=_colour_of_model().legend(None),
        size=altair.Size("answers:Q", title="Answers", scale=altair.Scale(range=[10, 260], zero=False)),
        tooltip=["across:Q", "up:Q", "answers:Q", "model:N"],
    )
    layers = [points]
    if pair.rule:
        area = base.transform_filter("isValid(datum.left)").mark_rect(color=GREY, opacity=0.16)
        layers = [area.encode(x=altair.X("left:Q", scale=scales[0]), x2="right:Q", y="bottom:Q", y2="top:Q"), points]
    header = altair.Header(labelFontSize=13, labelFontWeight="bold", labelOrient="top", labelAnchor="start")
    facet = altair.Column("model:N", sort=list(MODELS), title=None, header=header)
    return altair.layer(*layers).properties(width=SMALL, height=SMALL).facet(column=facet)


def _quadrant(one: Eval, pair: Axes) -> polars.DataFrame:
    """The part of the plane in which the rule counts an answer as a hit, once for each model."""
    (left, right), (bottom, top) = (_hit_range(one, pair.rule, name) for name in (pair.across, pair.up))
    corners = {"left": left, "right": right, "bottom": bottom, "top": top}
    return polars.DataFrame({"model": list(MODELS)}).with_columns(**{k: polars.lit(v) for k, v in corners.items()})


def _hit_range(one: Eval, rule: Rule | None, name: str) -> tuple[float, float]:
    judge = next(judge for judge in one.judges if judge.name == name)
    low, high = float(judge.scale_min), float(judge.scale_max)
    for condition in Condition.parse_all(rule.hit) + Condition.parse_all(rule.among) if rule else []:
        if condition.judge == name and condition.number is not None:
            low = max(low, condition.number) if condition.sign in (">", ">=", "==") else low
            high = min(high, condition.number) if condition.sign in ("<", "<=", "==") else high
    return low, high


def matrix(table: polars.DataFrame, rows: list[str]) -> altair.LayerChart:
    """The differences as a table in colour, as shares of each measure's range; * where Holm's p is below 0.05."""
    told = without_slope(table).with_columns(
        row=polars.concat_str(rows, separator=" · "),
        share=polars.col("difference") / (polars.col("scale_max") - polars.col("scale_min")),
        words=polars.Series([_starred(row) for row in without_slope(table).to_dicts()], dtype=polars.String),
    )
    widest = max(0.01, *(abs(value) for value in told["share"].drop_nulls()), 0.0)
    tiers, names = (list(dict.fromkeys(told[name])) for name in ("tier", "row"))
    angle = 0 if all(len(tier) <= LONGEST_UPRIGHT for tier in tiers) else -45
    above = altair.Axis(orient="top", labelAngle=angle, labelLimit=260, domain=False)
    base = altair.Chart(told).encode(
        x=altair.X("tier:N", sort=tiers, title=None, axis=above),
        y=altair.Y("row:N", sort=names, title=None, axis=altair.Axis(domain=False, labelLimit=260)),
    )
    colour = altair.Color(
        "share:Q",
        title="Share of the range",
        scale=altair.Scale(domain=[-widest, 0, widest], range=[BLUE, "#f7f7f7", ORANGE]),
        legend=altair.Legend(
            format="+.0%", type="symbol", symbolType="square", tickCount=5
        ),  # a gradient is named anew each time,
    )
    cells = base.mark_rect(stroke="white").encode(color=colour, tooltip=["tier:N", "difference:Q", "words:N"])
    text = base.mark_text(fontSize=12, color="#1c1c1e").encode(text="words:N")
    return altair.layer(cells, text).properties(width=altair.Step(84), height=altair.Step(30))


def _starred(row: dict[str, Any]) -> str:
    p, difference = row["p_fixed_questions_holm"], row["difference"]
    return "" if difference is None else f"{difference:+.2f}{' *' if p is not None and p < 0.05 else ''}"


def over_training(effects: polars.DataFrame, one: Eval) -> altair.FacetChart:
    """The difference in each tier after each share of the training, with its interval for these questions."""
    table = without_slope(effects).filter(eval=one.name, question="")
    return _along(table, altair.X("trained_share:Q", title="Share of the training", **WHOLE), "tier")


def dose_response(table: polars.DataFrame) -> altair.FacetChart:
    """The difference in each tier over the dose of each group of runs."""
    return _along(without_slope(table), altair.X("dose:Q", title="Dose"), "tier")


def checkpoints(table: polars.DataFrame) -> altair.FacetChart:
    """The difference over all questions after each share of the training, run by run."""
    return _along(overall(table), altair.X("trained_share:Q", title="Share of the training", **WHOLE), "label")


def _along(table: polars.DataFrame, x: altair.X, colour: str) -> altair.FacetChart:
    lines = list(dict.fromkeys(table[colour]))
    base = altair.Chart(table).encode(
        x=x,
        color=altair.Color(f"{colour}:N", sort=lines, title=None, scale=altair.Scale(range=COLOURS), legend=LINES),
    )
    title = "Fine-tuned minus baseline"
    layers = [
        altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(y=altair.datum(0)),
        base.mark_area(opacity=0.07).encode(
            y=altair.Y("ci_low_fixed_questions:Q", title=title), y2="ci_high_fixed_questions:Q"
        ),
        base.mark_line(point=True, strokeWidth=2).encode(
            y=altair.Y("difference:Q", title=title), tooltip=[f"{colour}:N", x.shorthand, "difference:Q"]
        ),
    ]
    chart = altair.layer(*layers).properties(width=520, height=240).facet(row=_by_measure(table))
    return chart.resolve_scale(y="independent")


def draw_comparison(place: Comparison, rows: list[Compared]) -> None:
    """The charts of a comparison, eval by eval, and all of them in one PDF, a page each."""
    shutil.rmtree(place.charts, ignore_errors=True)  # another comparison of that name may have had other charts
    table, pages, content = as_table(rows, Compared).filter(question=""), pypdf.PdfWriter(), io.BytesIO()
    for name in table["eval"].unique(maintain_order=True):
        for kind, chart, mine in _compared_charts(table.filter(eval=name)):
            titled = chart.properties(title=f"{name}: {TITLES[kind]}")
            save(titled, place.chart(kind, str(name)).with_suffix(""), mine)
            pages.append(place.chart(kind, str(name)).with_suffix(".pdf"))
    pages.write(content)
    write_bytes(place.pdf, content.getvalue())


def _compared_charts(table: polars.DataFrame) -> Iterator[tuple[str, Any, polars.DataFrame]]:
    """Kind, chart and table of each picture that these runs allow."""
    final, between = table.filter(trained_share=1.0, against=""), table.filter(polars.col("against") != "")
    yield "comparison", comparison(final), final
    if len(between):
        told = between.with_columns(label=polars.format("{} − {}", "label", "against"))
        yield "between", comparison(told, "Fine-tuned minus fine-tuned"), between
    yield "matrix", matrix(final, ["label", "measure"]), final
    if final["dose"].drop_nulls().n_unique() > 1:
        yield "doses", dose_response(final.filter(polars.col("dose").is_not_null())), final
    if table["trained_share"].n_unique() > 1:
        along = table.filter(against="")
        yield "checkpoints", checkpoints(along), along


def comparison(table: polars.DataFrame, title: str = "Fine-tuned minus baseline") -> altair.FacetChart:
    """The difference in each tier of every group of runs, with its interval for these questions, measure by measure."""
    table = without_slope(table)
    tiers, labels = (list(dict.fromkeys(table[name])) for name in ("tier", "label"))
    base = altair.Chart(table).encode(
        y=altair.Y("tier:N", sort=tiers, title=None, axis=altair.Axis(labelFontSize=13, ticks=False, domain=False)),
        yOffset=altair.YOffset("label:N", sort=labels),
        color=altair.Color("label:N", sort=labels, title=None, scale=altair.Scale(range=COLOURS)),
    )
    numbers = [
        altair.Tooltip(f"{name}:Q", format=".2f")
        for name in ("difference", "ci_low_fixed_questions", "ci_high_fixed_questions")
    ]
    layers = [
        altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=altair.datum(0)),
        base.mark_rule(strokeWidth=3).encode(x=altair.X("ci_low_fixed_questions:Q"), x2="ci_high_fixed_questions:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=altair.X("difference:Q", title=title), tooltip=["label:N", "tier:N", *numbers]
        ),
    ]
    chart = altair.layer(*layers).properties(width=520, height=altair.Step(16)).facet(row=_by_measure(table))
    return chart.resolve_scale(x="independent")


def training_curve(rows: list[dict[str, Any]]) -> altair.LayerChart:
    """Loss by step, and the held-out loss before and after."""
    points = [(row["step"], row["loss"], "trained on") for row in rows if "loss" in row]
    points += [
        (0 if "loss" in row else row["step"], row["held_out_loss"], "held out")
        for row in rows
        if "held_out_loss" in row
    ]
    table = polars.DataFrame(points, schema=["step", "loss", "documents"], orient="row")
    colour = altair.Color(
        "documents:N", title=None, scale=altair.Scale(domain=["trained on", "held out"], range=[BLUE, ORANGE])
    )
    base = altair.Chart(table).encode(
        x=altair.X("step:Q", title="Optimizer step", axis=altair.Axis(format="d", tickMinStep=1)),
        y=altair.Y("loss:Q", title="Loss per trained token (nats)", scale=altair.Scale(zero=False)),
        color=colour,
    )
    trained = base.transform_filter(altair.datum.documents == "trained on").mark_line(strokeWidth=2)
    unseen = base.transform_filter(altair.datum.documents == "held out").mark_line(point=True, strokeDash=[4, 3])
    return altair.layer(trained, unseen).properties(width=520, height=220)


Save = Callable[[Any, Path, polars.DataFrame], None]


def save_drawing(chart: Any, place: Path, table: polars.DataFrame) -> None:
    """Writes place.csv and place.svg, of which the other formats are made."""
    _save_drawing(_made(chart), place, table)


def save(chart: Any, place: Path, table: polars.DataFrame) -> None:
    """Writes place.csv, .svg, .html, .png and .pdf; each appears only when it is whole.

    The chart is drawn once, and the pictures are made of that. The HTML asks the network for nothing.
    """
    made = _made(chart)
    drawn = _save_drawing(made, place, table)
    shown = page("chart.html.j2", title=place.name, spec=made, drawing=_drawing_script())
    write_text(place.with_name(f"{place.name}.html"), shown)
    write_bytes(place.with_name(f"{place.name}.png"), vl_convert.svg_to_png(drawn, ppi=PIXELS_PER_INCH))
    write_bytes(place.with_name(f"{place.name}.pdf"), vl_convert.svg_to_pdf(drawn))


@cache
def _drawing_script() -> Script:
    """Vega and the few lines that draw what a page holds: the same for every chart, so it is bundled once (3 s)."""
    return hashed(vl_convert.javascript_bundle(source("chart.js"), VEGA_LITE))


def _made(chart: Any) -> dict[str, Any]:
    """Every string of it visible: an SVG is XML, which can hold no control character."""
    with altair.data_transformers.disable_max_rows():
        return dict(_visible(chart.to_dict()))


def _visible(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _visible(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_visible(value) for value in part]
    return visible(part) if isinstance(part, str) else part


def _save_drawing(made: dict[str, Any], place: Path, table: polars.DataFrame) -> str:
    drawn = str(vl_convert.vegalite_to_svg(made, vl_version=VEGA_LITE))
    write_table(place.with_name(f"{place.name}.csv"), table)
    write_text(place.with_name(f"{place.name}.svg"), drawn)
    return drawn


def draw(run: Run, save: Save = save) -> Path:
    """All charts of a run: those of each eval, the matrix of several measures, the training curve if there is one."""
    effects, shares, words = run.effects_table(), run.shares(), scan_judgments(run.judged)
    for one in run.evals() if len(words) else []:
        _draw_eval(run, one, effects.filter(eval=one.name), save)
        if len(numbers := five_numbers(at_checkpoint(words, one, 1.0), one)):
            save(boxes(numbers), run.charts / f"boxes_{one.name}", numbers)
        if len(mine := shares.filter(eval=one.name)):
            save(scores(mine), run.charts / f"scores_{one.name}", mine)
        if pair := axes(one):
            counted = both_scores(at_checkpoint(words, one, 1.0), one, pair)
            save(two_judges(counted, one, pair), run.charts / f"judges_{one.name}", counted)
    tiers = effects.filter(trained_share=1.0, question="")
    if len(words) and len(tiers.unique(["eval", "measure"])) > 1:
        save(matrix(tiers, ["eval", "measure"]), run.charts / "matrix", tiers)
    if curve := run.training_curve():
        save(training_curve(curve), run.charts / "training_curve", polars.DataFrame(curve, infer_schema_length=None))
    return run.charts


def _draw_eval(run: Run, one: Eval, mine: polars.DataFrame, save: Save) -> None:
    final = mine.filter(trained_share=1.0)
    whole, each = by_model(overall(final)), by_model(final.filter(polars.col("question") != ""))
    save(levels(whole), run.charts / f"levels_{one.name}", whole)
    save(by_question(each), run.charts / f"questions_{one.name}", each)
    save(effects_by_tier(final, one), run.charts / f"effects_{one.name}", final)
    if mine["trained_share"].n_unique() > 1:
        save(over_training(mine, one), run.charts / f"over_training_{one.name}", mine)


@task(name="comparison-charts", task_run_name="draw the comparison")
def comparison_charts_task(place: Comparison, rows: list[Compared]) -> None:
    draw_comparison(place, rows)


@task(name="charts", task_run_name="draw the charts")
def charts_task(folder: Path) -> Path:
    return draw(Run(folder))
