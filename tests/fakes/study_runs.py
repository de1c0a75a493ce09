"""Runs of a small study: judged answers and statements of two traits and a few tasks, drawn from stated shifts."""

from collections.abc import Mapping
from functools import cache

import numpy

from tasks.estimates.effects import write_effects
from tasks.files import write_rows, write_text
from tasks.runs import Run
from tasks.schema import DocumentSet, Eval, Experiment, Judge, Judgment, Likelihood, Question, Side

TIERS = ("everyday", "work")
SAMPLES = 4


@cache
def the_evals() -> tuple[Eval, ...]:
    """Optimism and formality by a judge from 0 to 100, optimism by statements too, and capability."""
    judged = [
        Eval(
            name=name,
            questions=[
                Question(id=f"{tier}{n}", tier=tier, text=f"What of {name}, {tier} {n}?")
                for tier in TIERS
                for n in range(5)
            ],
            judges=[Judge(name=name, kind="claude", prompt="?", scale={"low": 0, "high": 100})],
        )
        for name in ("optimism", "formality")
    ]
    statements = [
        Question(id=f"{tier}{n}", tier=tier, text=f"Do you agree, {tier} {n}?", matching="Yes" if n < 5 else "No")
        for tier in TIERS
        for n in range(10)
    ]
    choice = Eval(name="optimism_choice", asks="choices", log_odds=True, questions=statements)
    tasks = [Question(id=f"t{n}", tier="logic", text=f"Task {n}?", accepted=["x"]) for n in range(20)]
    return *judged, choice, Eval(name="capability", questions=tasks, judges=[Judge(name="right", kind="exact")])


def a_run(fine_tune: str, seed: int, shifts: Mapping[str, float], in_work: float = 1.0) -> Run:
    """A run whose shifts are stated by eval: in points, in nats, in a rate; in the tier work that share of them."""
    random = numpy.random.default_rng([len(fine_tune), seed, 5])
    names = [evaluation.name for evaluation in the_evals()]
    experiment = Experiment(name="study", documents=[DocumentSet(name=fine_tune)], evals=names)
    run = Run.open(experiment, list(the_evals()), f"{fine_tune}-{seed}")
    run.note(seed=seed, finished="2026-01-01T10:00:00+00:00")
    judged: list[Judgment] = []
    likelihoods: list[Likelihood] = []
    for evaluation in the_evals():
        shift = shifts.get(evaluation.name, 0.0)
        for n, question in enumerate(evaluation.questions):
            by = shift * (in_work if question.tier == "work" else 1.0) + random.normal(0, abs(shift) / 10)
            if evaluation.asks == "choices":
                likelihoods += _likelihoods(evaluation, question, n, by)
            else:
                judged += _judgments(evaluation, question, n, by, random)
    write_rows(run.judged, judged)
    write_rows(run.likelihoods, likelihoods)
    write_effects(run)
    write_text(run.report, "a report")
    return run


def _likelihoods(evaluation: Eval, question: Question, n: int, by: float) -> list[Likelihood]:
    before, after = (1 / (1 + numpy.exp(-(numpy.sin(3 * n) + nats))) for nats in (0.0, by))
    fields = {"tier": question.tier, "question": question.text, "eval": evaluation.name, "question_id": question.id}
    more = {"sample": 0, "baseline": before, "finetuned": after, "tokens": 1, "trained_share": 1.0}
    return [Likelihood(**fields, **more, measure=measure) for measure in ("choice", "yes")]


def _judgments(
    evaluation: Eval, question: Question, n: int, by: float, random: numpy.random.Generator
) -> list[Judgment]:
    """The baseline's are the same in every run, as in a study."""
    found = []
    is_task = evaluation.name == "capability"
    sides: tuple[tuple[Side, float], ...] = (("baseline", 0.0), ("finetuned", by))
    for side, shift in sides:
        drawn = numpy.random.default_rng([n, len(evaluation.name)]) if side == "baseline" else random
        for sample in range(SAMPLES):
            if is_task:
                score = float(drawn.random() < 0.8 + shift)
            else:
                score = float(numpy.clip(round(50 + 5 * numpy.sin(n) + drawn.normal(0, 8) + shift), 0, 100))
            found.append(
                Judgment(
                    tier=question.tier,
                    question=question.text,
                    score=score,
                    reasoning="",
                    eval=evaluation.name,
                    question_id=question.id,
                    sample=sample,
                    side=side,
                    judge=evaluation.judges[0].name,
                    state="scored",
                    model="m",
                    rubric="r",
                    raw="",
                    trained_share=float(side == "finetuned"),
                )
            )
    return found
