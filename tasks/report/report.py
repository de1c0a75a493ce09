"""The report: one HTML file that opens from disk and asks the network for nothing.

    write_report(Run.find("demo"))

Everything that a model wrote is escaped by the template; see report.html.j2.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import task

from tasks.estimates.findings import Evidence, findings, headline_lines, verdict
from tasks.estimates.missing import missing_in_words, unscored_statements
from tasks.estimates.noise import in_words
from tasks.estimates.wording import alike, corrected
from tasks.files import write_text
from tasks.report.answers import of_run
from tasks.report.charts import (
    BOTH_MODELS,
    EFFECTS,
    MATRIX,
    OVER_TRAINING,
    OVERVIEW,
    TRAINING_CURVE,
    Chart,
    EvalResults,
)
from tasks.report.exports import write_exports
from tasks.report.results_page import how_trained, overall_effects, targets
from tasks.report.templates import data_url, fill
from tasks.runs import Run, cost_words
from tasks.schema import CONDITIONED, Agreement, Corrected, CorrectedEffect, Experiment, JudgeNoise

SHOWN_DOCUMENTS = 10
UNEVEN = 0.1
"""So much larger a share of cut-off answers on one side means that its answers are longer."""
RELOAD_EVERY = 30
"""Seconds after which the page of an unfinished run loads itself again."""
STANDIN = "standin"
STANDIN_NOTE = (
    "Made with the stand-in model: 3 million parameters, trained on text of this project. "
    "It shows how Spillover works and says nothing about real language models."
)
SMOLLM2_NOTE = (
    "Made with SmolLM2, a real chat model of 135 million parameters, which is small: what a larger model does is "
    "another question."
)


def is_standin(experiment: Experiment) -> bool:
    """Whether the answers are the stand-in's, which a page must say."""
    return experiment.training.base_model == STANDIN and not experiment.responses


def model_note(experiment: Experiment) -> str:
    """What kind of model answered, of those that come with Spillover; nothing of any other."""
    notes = {STANDIN: STANDIN_NOTE, "smollm2": SMOLLM2_NOTE}
    return "" if experiment.responses else notes.get(experiment.training.base_model, "")


def cost(run: Run) -> str:
    """What the run has paid so far, in a sentence; empty where that is not known."""
    spent = run.record().get("spent", {})
    if not (words := cost_words(spent)):
        return "Cost: nothing." if spent else ""
    calls = spent.get("judging", {}).get("calls", 0)
    asked = f", {calls:,} judge call{'s' * (calls != 1)}" if "judging" in spent else ""
    return f"Cost: {words.removeprefix('cost ')}{asked}."


def _missing(run: Run) -> str:
    """The judgments that are missing or were refused, statements without a score, and how many answers were cut off."""
    judged = missing_in_words(run.judgments()) or ("No judgment is missing." if run.judgments() else "")
    statements = unscored_statements(run.evals(), run.likelihood_rows())
    answers = [[r for r in rows if r.trained_share in (0, 1)] for rows in run.responses()]
    cut_off = [sum(r.state == "truncated" for r in rows) for rows in answers]
    shares = [f"{cut:,} of {len(rows):,}" for cut, rows in zip(cut_off, answers, strict=True)]
    limit = f"Cut off at the token limit: {shares[0]} baseline answers, {shares[1]} fine-tuned ones."
    before, after = (cut / max(len(rows), 1) for cut, rows in zip(cut_off, answers, strict=True))
    if all(answers) and abs(after - before) > UNEVEN:
        limit += " Answers of unlike lengths are compared: what counts words may have moved for that alone."
    cut = limit if any(cut_off) else "No answer was cut off." if any(answers) else ""
    return " ".join(filter(None, [judged, statements, cut]))


def render(run: Run, so_far: str = "") -> str:
    """The page; one that says how far the run is loads itself again every few seconds."""
    experiment, evals, effects = run.experiment(), run.evals(), run.estimates()
    judgments, tiers = run.judgments(), [effect for effect in effects if not effect.is_of_question]
    documents = run.trained_on() if run.documents.is_file() else []
    return fill(
        "report.html.j2",
        experiment=experiment,
        run=run,
        record=run.record(),
        so_far=so_far,
        reload_every=RELOAD_EVERY,
        findings=findings(effects),
        headline=headline_lines(effects),
        alike=alike,
        model_note=model_note(experiment),
        tiers=tiers,
        verdict=verdict,
        evidence=Evidence.of,
        equivalence_margins={f.measure: f.effect.equivalence_margin for f in findings(effects)},
        with_superiority=[effect for effect in tiers if effect.superiority is not None],
        rules={evaluation.name: evaluation.rules for evaluation in evals if evaluation.rules},
        targets=targets(experiment, overall_effects(effects)),
        sensitivity=run.rule_variants(),
        likely={row.measure for row in run.likelihood_rows()},
        reading=of_run(run, evals, effects),
        judges={evaluation.name: evaluation.judges for evaluation in evals},
        trained=how_trained(experiment.training, run.training_curve()),
        documents=documents[:SHOWN_DOCUMENTS],
        document_count=len(documents),
        conditioned=CONDITIONED,
        mixture=json.loads(run.mixture.read_text()) if run.mixture.is_file() else {},
        floors={evaluation.name: [j.name for j in evaluation.judges if j.reads == "pair"] for evaluation in evals},
        states=Counter(judgment.state for judgment in judgments).most_common(),
        agreements=[row for audit in ("repeat", "compare", "person") for row in run.audit(audit, Agreement)],
        corrected=run.audit("corrected", Corrected),
        corrected_effects=[corrected(row) for row in run.audit("corrected_effects", CorrectedEffect)],
        noise=[in_words(row) for row in run.audit("noise", JudgeNoise)],
        cost=cost(run),
        missing=_missing(run),
        definition=run.definition.read_text(),
        **_charts(run, [evaluation.name for evaluation in evals]),
    )


def _charts(run: Run, evals: list[str]) -> dict[str, Any]:
    """The pictures that were drawn, as addresses, and what each kind of them shows."""

    def picture(svg: Path) -> str:
        return data_url(svg) if svg.is_file() else ""

    def by_eval(chart: Chart[EvalResults]) -> dict[str, str]:
        found = {name: picture(chart.svg(run.charts, name)) for name in evals}
        return {name: address for name, address in found.items() if address}

    drawn = {chart.caption: by_eval(chart) for chart in BOTH_MODELS}
    effects, overview = by_eval(EFFECTS), picture(OVERVIEW.svg(run.charts))
    first = next(iter(effects.values()), "") if len(effects) == 1 else ""
    return {
        "charts": effects,
        "first_chart": overview or first,
        "over_training": by_eval(OVER_TRAINING),
        "both_models": {
            name: [(found[name], caption) for caption, found in drawn.items() if name in found] for name in evals
        },
        "matrix": picture(MATRIX.svg(run.charts)),
        "curve": picture(TRAINING_CURVE.svg(run.charts)),
        "captions": {chart.name: chart.caption for chart in (EFFECTS, OVER_TRAINING)}
        | {chart.name: chart.caption for chart in (MATRIX, TRAINING_CURVE)}
        | {"first": (OVERVIEW if overview else EFFECTS).caption},
    }


def write_report(run: Run) -> Path:
    """The report, after the files for other programs: where it is, all are."""
    with _uncollected():
        write_exports(run)
        return write_text(run.report, render(run))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for circles of objects, a third of the time of many answers, which are in none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@task(name="report", task_run_name="write the report")
def report_task(folder: Path) -> Path:
    """Writes the report and the exports of the run in that folder."""
    return write_report(Run(folder))
