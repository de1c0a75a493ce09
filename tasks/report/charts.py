"""The charts of a run and of a comparison: one table of what each is called, how it is made and what it shows.

    draw(Run.find("demo"))

A new chart is a function that makes it, beside those that it resembles, and an entry in this table: drawing, the report
and the page of a comparison take its name and its caption from here.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import polars
from prefect import task

from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.report.answer_charts import boxes, by_question, distribution, five_numbers, levels
from tasks.report.chart_style import ordered
from tasks.report.effect_charts import effects_by_tier, matrix, overview, side_by_side
from tasks.report.effect_rows import by_model, final, of_questions, of_tiers, overall
from tasks.report.judge_pair_chart import judge_pair, pairs_of_scores, two_judges
from tasks.report.line_charts import over_doses, over_training, over_training_by_run, training_curve
from tasks.report.rendering import join_pdfs, saving
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Eval
from tasks.tables import as_table


class Picture(NamedTuple):
    """A chart in Altair, and the table that stands beside it as CSV."""

    chart: Any
    table: polars.DataFrame


class EvalResults(NamedTuple):
    """What the charts of one eval are made of."""

    evaluation: Eval
    effects: polars.DataFrame
    """The rows of effects.csv, along the training too."""
    shares: polars.DataFrame
    """The rows of distributions.csv."""
    judgments: polars.DataFrame
    """On the baseline and on the model after its whole training."""


class RunResults(NamedTuple):
    """What the charts of a whole run are made of."""

    effects: polars.DataFrame
    shares: polars.DataFrame
    judgments: polars.DataFrame
    curve: list[dict[str, Any]]
    """The rows of training/metrics.jsonl."""
    has_measured: bool
    """Whether an answer was judged, or a statement asked about."""

    @classmethod
    def of(cls, run: Run) -> "RunResults":
        """What the run's files hold; its effects must have been estimated."""
        judgments = scan_judgments(run.judged)
        has_measured = bool(len(judgments) or run.likelihood_rows())
        return cls(run.effects_table(), run.shares(), judgments, run.training_curve(), has_measured)

    def of_eval(self, evaluation: Eval) -> EvalResults:
        """The rows of one eval."""
        effects, shares = (table.filter(eval=evaluation.name) for table in (self.effects, self.shares))
        return EvalResults(evaluation, effects, shares, at_checkpoint(self.judgments, evaluation, 1.0))


Results = TypeVar("Results")


class Chart(NamedTuple, Generic[Results]):
    """A kind of chart, drawn for each eval or once for a run."""

    name: str
    """Its files begin with it."""
    make: Callable[[Results], Picture | None]
    """None where the results have not what the chart needs."""
    caption: str
    """What a reader is told beneath it, without a full stop: the templates add it. The training curve has it as its
    alternative text alone."""
    title: str = ""
    """Stands in the picture, behind the eval's name; only the charts of a comparison have one."""

    def path(self, folder: Path, evaluation: str = "") -> Path:
        """Its files in a folder of charts, without a suffix: NAME_EVAL, or NAME of a chart of the whole run."""
        return folder / (f"{self.name}_{evaluation}" if evaluation else self.name)

    def svg(self, folder: Path, evaluation: str = "") -> Path:
        """Its picture, whether or not it is there."""
        path = self.path(folder, evaluation)
        return path.with_name(f"{path.name}.svg")


# ---- how each is made -----------------------------------------------------------------------------


def _effects(results: EvalResults) -> Picture:
    table = final(results.effects)
    return Picture(effects_by_tier(table, results.evaluation), table)


def _over_training(results: EvalResults) -> Picture | None:
    if results.effects["trained_share"].n_unique() < 2:
        return None
    return Picture(over_training(results.effects, results.evaluation), results.effects)


def _levels(results: EvalResults) -> Picture:
    table = by_model(overall(final(results.effects)))
    return Picture(levels(table), table)


def _questions(results: EvalResults) -> Picture:
    table = by_model(of_questions(final(results.effects)))
    return Picture(by_question(table), table)


def _scores(results: EvalResults) -> Picture | None:
    return Picture(distribution(results.shares), results.shares) if len(results.shares) else None


def _judges(results: EvalResults) -> Picture | None:
    if not (pair := judge_pair(results.evaluation)):
        return None
    table = pairs_of_scores(results.judgments, pair)
    return Picture(two_judges(table, pair), table)


def _boxes(results: EvalResults) -> Picture | None:
    table = five_numbers(results.judgments, results.evaluation)
    return Picture(boxes(table), table) if len(table) else None


def _overview(results: RunResults) -> Picture | None:
    measured = polars.col("difference").is_not_null(), polars.col("scale_min").is_not_null()
    table = overall(final(results.effects)).filter(*measured)
    if not results.has_measured or len(table) < 2:
        return None
    return Picture(overview(table), table)


def _matrix(results: RunResults) -> Picture | None:
    table = of_tiers(final(results.effects))
    if not results.has_measured or len(table.unique(["eval", "measure"])) < 2:
        return None
    return Picture(matrix(table, ["eval", "measure"]), table)


def _training_curve(results: RunResults) -> Picture | None:
    table = polars.DataFrame(results.curve, infer_schema_length=None)
    return Picture(training_curve(results.curve), table) if results.curve else None


def _groups(effects: polars.DataFrame) -> Picture:
    table = _against_baselines(final(effects))
    return Picture(side_by_side(table, ordered(table, "label")), table)


def _between(effects: polars.DataFrame) -> Picture | None:
    table, runs = effects.filter(polars.col("against") != ""), ordered(effects, "label")
    if not len(table):
        return None
    return Picture(side_by_side(table, runs, f"Fine-tuned minus fine-tuned of {table['against'][0]}"), table)


def _groups_matrix(effects: polars.DataFrame) -> Picture:
    table = _against_baselines(final(effects))
    return Picture(matrix(table, ["label", "measure"]), table)


def _doses(effects: polars.DataFrame) -> Picture | None:
    table = _against_baselines(final(effects))
    dosed = table.filter(polars.col("dose").is_not_null())
    return Picture(over_doses(dosed), table) if dosed["dose"].n_unique() > 1 else None


def _checkpoints(effects: polars.DataFrame) -> Picture | None:
    table = _against_baselines(effects)
    return Picture(over_training_by_run(table), table) if effects["trained_share"].n_unique() > 1 else None


def _against_baselines(effects: polars.DataFrame) -> polars.DataFrame:
    return effects.filter(against="")


# ---- the table ------------------------------------------------------------------------------------

EFFECTS = Chart(
    "effects",
    _effects,
    "A point is a tier's mean difference, the line its 95 % interval for these questions (where there is none, for new "
    "ones), a grey dot one question, the numbers at the right are the means before and after",
)
OVER_TRAINING = Chart(
    "over_training",
    _over_training,
    "The same difference after a share of the training's steps; the band is the 95 % interval for these questions "
    "(where there is none, for new ones)",
)
BOTH_MODELS = (
    Chart("levels", _levels, "Both models' means over all questions, with 95 % intervals for these questions"),
    Chart("questions", _questions, "Both models' means by question, with 95 % intervals"),
    Chart("scores", _scores, "How often each score was given, with 95 % intervals for these questions"),
    Chart("judges", _judges, "Every answer by two judges' scores; where a rule counts a hit, the area is grey"),
    Chart(
        "boxes",
        _boxes,
        "The scores by question: median, middle half, and whiskers of at most 1.5 times its length",
    ),
)
OVERVIEW = Chart(
    "overview",
    _overview,
    "Over all questions, as a share of each measure's range, with the 95 % interval for these questions (where there "
    "is none, for new ones): blue is changed, grey is not, or not surely; the numbers at the right are the means "
    "before and after",
)
MATRIX = Chart(
    "matrix",
    _matrix,
    "All differences; the colour is their share of the measure's range, * where the adjusted p is below 0.05",
)
TRAINING_CURVE = Chart("training_curve", _training_curve, "Training curve: loss by step")
OF_EVAL: tuple[Chart[EvalResults], ...] = (EFFECTS, OVER_TRAINING, *BOTH_MODELS)
OF_RUN: tuple[Chart[RunResults], ...] = (OVERVIEW, MATRIX, TRAINING_CURVE)

BETWEEN = Chart(
    "between",
    _between,
    "Fine-tuned answers against those of the control, or else of the first group, by question, with 95 % intervals",
    "fine-tune against fine-tune",
)
DOSES = Chart(
    "doses",
    _doses,
    "The difference over all questions by dose; the band is its 95 % interval for these questions (where there is "
    "none, for new ones)",
    "by dose",
)
OF_COMPARISON: tuple[Chart[polars.DataFrame], ...] = (
    Chart(
        "comparison",
        _groups,
        "A point is the mean difference from the baseline, the line its 95 % interval for these questions (where there "
        "is none, for new ones)",
        "what changed, run beside run",
    ),
    BETWEEN,
    Chart(
        "matrix",
        _groups_matrix,
        "The same as numbers; the colour is their share of the measure's range; * where Holm's p is below 0.05",
        "differences in colour",
    ),
    DOSES,
    Chart(
        "checkpoints",
        _checkpoints,
        "The difference over all questions along the training, with its 95 % interval for these questions",
        "over the training",
    ),
)
"""Each of one eval, made of the comparison's rows without those of single questions."""


# ---- drawing --------------------------------------------------------------------------------------


def draw(run: Run, only_svg: bool = False) -> Path:
    """Draws all charts of a run, those of each eval first, in all formats or as SVG alone; returns their folder."""
    results = RunResults.of(run)
    with saving(only_svg) as save:
        for evaluation in run.evals() if results.has_measured else []:
            of_eval = results.of_eval(evaluation)
            for chart in OF_EVAL:
                if picture := chart.make(of_eval):
                    save(picture.chart, chart.path(run.charts, evaluation.name), picture.table)
        for chart_of_run in OF_RUN:
            if picture := chart_of_run.make(results):
                save(picture.chart, chart_of_run.path(run.charts), picture.table)
    return run.charts


def draw_comparison(place: Comparison, rows: list[Compared]) -> None:
    """Draws the charts of a comparison, eval by eval, and all of them in one PDF, a page each."""
    shutil.rmtree(place.charts, ignore_errors=True)  # another comparison of that name may have had other charts
    effects, drawn = of_tiers(as_table(rows, Compared)), []
    with saving() as save:
        for name in effects["eval"].unique(maintain_order=True):
            for chart in OF_COMPARISON:
                if picture := chart.make(effects.filter(eval=name)):
                    path = chart.path(place.charts, name)
                    save(picture.chart.properties(title=f"{name}: {chart.title}"), path, picture.table)
                    drawn.append(path.with_name(f"{path.name}.pdf"))
    join_pdfs(drawn, place.pdf)


@task(name="comparison-charts", task_run_name="draw the comparison")
def comparison_charts_task(place: Comparison, rows: list[Compared]) -> None:
    """Draws the charts of a comparison."""
    draw_comparison(place, rows)


@task(name="charts", task_run_name="draw the charts")
def charts_task(folder: Path) -> Path:
    """Draws the charts of the run in that folder."""
    return draw(Run(folder))
