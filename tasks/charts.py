"""Charts, in Altair, each as html, svg, png and pdf with its table beside it as CSV. The only module that draws."""

import io
from pathlib import Path
from typing import Any

import altair
import polars
import vl_convert
from prefect import task

from tasks.runs import Comparison, Run, as_table, write_bytes, write_text
from tasks.schema import ALL, Compared, Eval, Judgment

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6b6b6b"
"""Okabe and Ito's, told apart by every kind of sight."""
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", "#1c1c1e", "#56b4e9", "#e69f00"]
MODELS = {"baseline": "baseline", "fine-tuned": "finetuned"}
"""What each model is called in a chart, and its columns."""
BOX = {"measure": polars.String, "question": polars.String, "model": polars.String, "score": polars.Float64}
LINES = altair.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
PIXELS_PER_INCH = 160


def _by_measure(table: polars.DataFrame) -> altair.Row:
    """A row for each judge and rule in their order, with its name above."""
    header = altair.Header(
        labelOrient="top", labelAngle=0, labelAnchor="start", labelFontSize=13, labelFontWeight="bold"
    )
    return altair.Row("measure:N", sort=list(dict.fromkeys(table["measure"])), title=None, header=header)


def effects_by_tier(effects: polars.DataFrame, one: Eval) -> altair.FacetChart:
    """The difference in each tier with its interval for these questions, and every question as a dot behind it."""
    texts = polars.DataFrame({"question": [q.id for q in one.questions], "text": [q.text for q in one.questions]})
    pairs = [judge.name for judge in one.judges if judge.reads == "pair"]
    table = effects.filter(eval=one.name).join(texts, on="question", how="left")
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
        for name in ("baseline", "finetuned", "difference", "these_low", "these_high")
    ]
    base = altair.Chart(table).encode(y=y)
    layers = [
        base.mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=altair.datum(0), y=altair.Y()),
        base.transform_filter(questions)
        .mark_circle(size=42, opacity=0.45, color=GREY)
        .encode(x=x, tooltip=["text:N", *numbers]),
        base.transform_filter(tiers).mark_rule(strokeWidth=3, color=BLUE).encode(x="these_low:Q", x2="these_high:Q"),
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
    colour = altair.Color("model:N", sort=list(MODELS), title=None, scale=altair.Scale(range=[BLUE, ORANGE]))
    bars = base.mark_bar(opacity=0.75).encode(
        x=altair.X("mean:Q", title="Mean score, or rate"), color=colour, tooltip=["question:N", "model:N", *numbers]
    )
    return bars, base.mark_rule(strokeWidth=2, color="#1c1c1e").encode(x="low:Q", x2="high:Q")


def by_model(effects: polars.DataFrame) -> polars.DataFrame:
    """A row for each model instead of one for both: mean, interval, scored answers."""
    shared = ["eval", "measure", "tier", "question"]
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


def overall(effects: polars.DataFrame) -> polars.DataFrame:
    """The effects over all questions: those of the tier `all`, or of the only tier."""
    tiers = effects.filter(question="")
    several = tiers.filter(tier=ALL)["measure"].implode()
    return tiers.filter((polars.col("tier") == ALL) | ~polars.col("measure").is_in(several))


def five_numbers(judgments: list[Judgment], one: Eval) -> polars.DataFrame:
    """Median, quartiles, and the last scores within 1.5 times their distance (J. W. Tukey, Exploratory Data Analysis,
    1977), for each question and model, of the judges that have a scale."""
    scales = [judge.name for judge in one.judges if judge.highest - judge.lowest > 1]
    words = {side: name for name, side in MODELS.items()}
    rows = [
        (j.judge, j.question_id, words[j.side], j.score)
        for j in judgments
        if j.eval == one.name and j.judge in scales and j.score is not None and (j.side == "baseline" or j.at == 1)
    ]
    scores = polars.DataFrame(rows, schema=BOX, orient="row")
    score, place = polars.col("score"), list(BOX)[:3]
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
    colour = altair.Color("model:N", sort=list(MODELS), title=None, scale=altair.Scale(range=[BLUE, ORANGE]))
    hover = ["question:N", "model:N", "median:Q", "q1:Q", "q3:Q", "n:Q"]
    layers = [
        base.mark_rule(color=GREY).encode(x=altair.X("low:Q", title="Score"), x2="high:Q"),
        base.mark_bar(height=9, opacity=0.75).encode(x=altair.X("q1:Q", title="Score"), x2="q3:Q", color=colour),
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


def over_training(effects: polars.DataFrame, one: Eval) -> altair.FacetChart:
    """The difference in each tier after each share of the training, with its interval for these questions."""
    table = effects.filter(eval=one.name, question="")
    tiers = list(dict.fromkeys(table["tier"]))
    base = altair.Chart(table).encode(
        x=altair.X(
            "at:Q", title="Share of the training", scale=altair.Scale(domain=[0, 1]), axis=altair.Axis(format="%")
        ),
        color=altair.Color("tier:N", sort=tiers, title=None, scale=altair.Scale(range=COLOURS), legend=LINES),
    )
    title = "Fine-tuned minus baseline"
    layers = [
        altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(y=altair.datum(0)),
        base.mark_area(opacity=0.1).encode(y=altair.Y("these_low:Q", title=title), y2="these_high:Q"),
        base.mark_line(point=True, strokeWidth=2).encode(
            y=altair.Y("difference:Q", title=title), tooltip=["tier:N", "at:Q", "difference:Q"]
        ),
    ]
    return altair.layer(*layers).properties(width=520, height=240).facet(row=_by_measure(table))


def comparison(table: polars.DataFrame) -> altair.FacetChart:
    """The difference in each tier of every group of runs, with its interval for these questions, measure by measure."""
    tiers, labels = (list(dict.fromkeys(table[name])) for name in ("tier", "label"))
    base = altair.Chart(table).encode(
        y=altair.Y("tier:N", sort=tiers, title=None, axis=altair.Axis(labelFontSize=13, ticks=False, domain=False)),
        yOffset=altair.YOffset("label:N", sort=labels),
        color=altair.Color("label:N", sort=labels, title=None, scale=altair.Scale(range=COLOURS)),
    )
    numbers = [altair.Tooltip(f"{name}:Q", format=".2f") for name in ("difference", "these_low", "these_high")]
    layers = [
        altair.Chart(table).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=altair.datum(0)),
        base.mark_rule(strokeWidth=3).encode(x=altair.X("these_low:Q"), x2="these_high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=altair.X("difference:Q", title="Fine-tuned minus baseline"), tooltip=["label:N", "tier:N", *numbers]
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
        x=altair.X("step:Q", title="Optimizer step"),
        y=altair.Y("loss:Q", title="Loss per trained token (nats)", scale=altair.Scale(zero=False)),
        color=colour,
    )
    trained = base.transform_filter(altair.datum.documents == "trained on").mark_line(strokeWidth=2)
    unseen = base.transform_filter(altair.datum.documents == "held out").mark_line(point=True, strokeDash=[4, 3])
    return altair.layer(trained, unseen).properties(width=520, height=220)


def save(chart: Any, place: Path, table: polars.DataFrame) -> None:
    """Writes place.csv, .html, .svg, .png and .pdf; each appears only when it is whole.

    The picture is drawn once, as SVG, and the others are made of it. The HTML asks the network for nothing.
    """
    html, svg = io.StringIO(), io.StringIO()
    chart.save(html, format="html", inline=True)
    chart.save(svg, format="svg")
    drawn = svg.getvalue()
    write_text(place.with_name(f"{place.name}.csv"), table.write_csv())
    write_text(place.with_name(f"{place.name}.html"), html.getvalue())
    write_text(place.with_name(f"{place.name}.svg"), drawn)
    write_bytes(place.with_name(f"{place.name}.png"), vl_convert.svg_to_png(drawn, ppi=PIXELS_PER_INCH))
    write_bytes(place.with_name(f"{place.name}.pdf"), vl_convert.svg_to_pdf(drawn))


def draw(run: Run) -> Path:
    """All charts of a run: those of each eval, and the training curve where there was a training."""
    effects, judgments = run.effects_table(), run.judgments()
    for one in run.evals():
        final, mine = effects.filter(at=1.0), effects.filter(eval=one.name)
        whole, each = (
            by_model(overall(mine.filter(at=1.0))),
            by_model(mine.filter(polars.col("question") != "", at=1.0)),
        )
        save(levels(whole), run.charts / f"levels_{one.name}", whole)
        save(by_question(each), run.charts / f"questions_{one.name}", each)
        if len(numbers := five_numbers(judgments, one)):
            save(boxes(numbers), run.charts / f"boxes_{one.name}", numbers)
        save(effects_by_tier(final, one), run.charts / f"effects_{one.name}", mine.filter(at=1.0))
        if mine["at"].n_unique() > 1:
            save(over_training(effects, one), run.charts / f"over_training_{one.name}", mine)
    if curve := run.training_curve():
        save(training_curve(curve), run.charts / "training_curve", polars.DataFrame(curve, infer_schema_length=None))
    return run.charts


@task(name="comparison-charts", task_run_name="draw the comparison")
def comparison_charts_task(place: Comparison, rows: list[Compared]) -> None:
    table = as_table(rows, Compared).filter(question="")
    for name in table["eval"].unique(maintain_order=True):
        mine = table.filter(eval=name)
        save(comparison(mine), place.chart(str(name)).with_suffix(""), mine)


@task(name="charts", task_run_name="draw the charts")
def charts_task(folder: Path) -> Path:
    return draw(Run(folder))
