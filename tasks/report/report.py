"""The report: one HTML file that opens from disk and asks the network for nothing.

Everything that a model wrote is escaped by the template; see report.html.j2.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from prefect import task

from tasks.estimates.findings import findings, verdict
from tasks.estimates.missing import missing_in_words
from tasks.files import read_rows, write_text
from tasks.report.exports import how_trained, over_all, targets, write_exports
from tasks.report.templates import image, page
from tasks.runs import Run, cost_words
from tasks.schema import Agreement, Corrected, Document, Effect, Eval, Experiment, Judgment, Response

SHOWN_DOCUMENTS = 10
RENEWED = 30
"""Seconds after which the page of an unfinished run loads itself again."""
STANDIN = "standin"
STANDIN_NOTE = (
    "Made with the stand-in model: 3 million parameters, trained on text of this project. "
    "It shows how Spillover works and says nothing about real language models."
)


class Answer(NamedTuple):
    """A response and what the judges said of it."""

    response: Response | None
    judgments: list[Judgment]


class Asked(NamedTuple):
    """A question with its answers, sample by sample, and its own effects."""

    eval: str
    id: str
    tier: str
    text: str
    samples: list[tuple[Answer, Answer]]
    """Baseline and fine-tuned."""
    effects: list[Effect]


def is_standin(experiment: Experiment) -> bool:
    return experiment.training.base_model == STANDIN and not experiment.responses


def cost(run: Run) -> str:
    """What the run has paid so far, in a sentence; nothing where it was free."""
    spent = run.record().get("spent", {})
    if not (words := cost_words(spent)):
        return ""
    calls = f", {spent['judging']['calls']:,} calls to Claude" if "judging" in spent else ""
    return f"Cost: {words.removeprefix('cost ')}{calls}."


def questions_asked(run: Run, evals: list[Eval], effects: list[Effect]) -> list[Asked]:
    """Every question with both models' answers side by side and every judge's words."""
    baseline, finetuned = run.responses()
    answers = {
        (side, r.eval, r.question_id, r.sample): r
        for side, rows in (("b", baseline), ("f", [r for r in finetuned if r.trained_share == 1]))
        for r in rows
    }
    words: dict[Any, list[Judgment]] = defaultdict(list)
    for judgment in (j for j in run.judgments() if j.side == "baseline" or j.trained_share == 1):
        words[judgment.side[0], judgment.eval, judgment.question_id, judgment.sample].append(judgment)
    samples = sorted({key[3] for key in answers})
    return [
        Asked(
            one.name,
            q.id,
            q.tier,
            q.text,
            [
                (Answer(answers.get(b), words[b]), Answer(answers.get(f), words[f]))
                for n in samples
                for b, f in [(("b", one.name, q.id, n), ("f", one.name, q.id, n))]
                if b in answers or f in answers
            ],
            [e for e in effects if (e.eval, e.question) == (one.name, q.id)],
        )
        for one in evals
        for q in one.questions
    ]


def render(run: Run, so_far: str = "") -> str:
    """The page; one that says how far the run is loads itself again every few seconds."""
    experiment, evals, effects = run.experiment(), run.evals(), run.estimates()
    documents = read_rows(run.documents, Document) if run.documents.is_file() else []
    return page(
        "report.html.j2",
        experiment=experiment,
        run=run,
        record=run.record(),
        so_far=so_far,
        renewed=RENEWED,
        findings=findings(effects),
        standin_note=STANDIN_NOTE if is_standin(experiment) else "",
        tiers=(tiers := [e for e in effects if not e.question]),
        verdict=verdict,
        equivalence_margin={e.measure: e.equivalence_margin for e in tiers if e.equivalence_margin is not None},
        ranked=[e for e in tiers if e.superiority is not None],
        matrix=image(drawn) if (drawn := run.charts / "matrix.svg").is_file() else "",
        judge_names=list(dict.fromkeys(judge.name for one in evals for judge in one.judges)),
        rules={one.name: one.rules for one in evals if one.rules},
        targets=targets(experiment, over_all(effects)),
        sensitivity=run.moved(),
        likely={row.measure for row in run.likely()},
        questions=questions_asked(run, evals, effects),
        charts={one.name: image(chart) for one in evals if (chart := run.charts / f"effects_{one.name}.svg").is_file()},
        more_charts={one.name: _more_charts(run, one.name) for one in evals},
        over_training={
            one.name: image(chart) for one in evals if (chart := run.charts / f"over_training_{one.name}.svg").is_file()
        },
        judges={one.name: one.judges for one in evals},
        trained=how_trained(experiment.training, run.training_curve()),
        curve=image(run.charts / "training_curve.svg") if run.training_curve() else "",
        documents=documents[:SHOWN_DOCUMENTS],
        document_count=len(documents),
        mixture=json.loads(run.mixture.read_text()) if run.mixture.is_file() else {},
        floors={one.name: [j.name for j in one.judges if j.reads == "pair"] for one in evals},
        states=Counter(judgment.state for judgment in run.judgments()).most_common(),
        agreements=[row for audit in ("repeat", "compare", "person") for row in run.audit(audit, Agreement)],
        corrected=run.audit("corrected", Corrected),
        cost=cost(run),
        missing=missing_in_words(run.judgments()),
        definition=run.definition.read_text(),
    )


def _more_charts(run: Run, name: str) -> list[tuple[str, str]]:
    """The charts of both models' own means and scores, with their descriptions."""
    kinds = {
        "levels": "Both models' means over all questions, with 95 % intervals for these questions",
        "questions": "Both models' means by question, with 95 % intervals",
        "scores": "How often each score was given, with 95 % intervals for these questions",
        "judges": "Every answer by two judges' scores; where a rule counts a hit, the area is grey",
        "boxes": "The scores by question: median, middle half, and whiskers of at most 1.5 times its length",
    }
    files = [(run.charts / f"{kind}_{name}.svg", words) for kind, words in kinds.items()]
    return [(image(file), words) for file, words in files if file.is_file()]


def write_report(run: Run) -> Path:
    """The report, after the files for other programs: where it is, all are."""
    write_exports(run)
    return write_text(run.report, render(run))


@task(name="report", task_run_name="write the report")
def report_task(folder: Path) -> Path:
    return write_report(Run(folder))
