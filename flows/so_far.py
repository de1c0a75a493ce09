"""The report of what there is of a run so far; nobody is asked for it.

write_so_far(Run.find("demo"), folder)
"""

import tempfile
from pathlib import Path

from flows.judging import cases_of
from tasks.estimates.effects import write_effects
from tasks.files import copy_file, write_rows, write_text
from tasks.judging.cases import Case
from tasks.judging.judgments import judge_all
from tasks.models.training import curve_so_far
from tasks.paid.store import Store
from tasks.report.charts import draw
from tasks.report.report import render
from tasks.runs import Run
from tasks.schema import Condition, JudgmentKey


def write_so_far(run: Run, folder: Path) -> Path:
    """The report of what there is so far: the curve of a training that goes on, judgments that the store holds."""
    with tempfile.TemporaryDirectory() as inner:
        copy = run.copy_rows_to(Path(inner))
        if not run.metrics.is_file() and (curve := curve_so_far(run.record().get("training_key", ""))):
            copy_file(curve, copy.metrics)
        words = run.stage()
        if run.finetuned.is_file() and not run.judged.is_file():
            words = _judge_from_the_store(copy)
        write_effects(copy)
        draw(copy)
        return write_text(folder / "report.html", render(copy, words))


def _judge_from_the_store(run: Run) -> str:
    """Writes the judgments that can be made without asking anyone; how many those are of all."""
    cases = cases_of(run, run.experiment(), run.evals())
    every = judge_all(cases, Store())
    asked = {j.key for j in every if j.state != "failed"}
    known = [j for case, j in zip(cases, every, strict=True) if j.state != "failed" and _is_settled(case, asked)]
    write_rows(run.judged, known)
    return f"{len(known):,} of {len(cases):,} answers are judged"


def _is_settled(case: Case, asked: set[JudgmentKey]) -> bool:
    """Whether the judge that this one waits for (only_if) has been heard."""
    condition = case.judge.only_if
    return not condition or (case.answer, Condition.parse(condition).judge) in asked


def state_of(run: Run) -> tuple[object, ...]:
    """Changes whenever there is more to show."""
    curve = curve_so_far(run.record().get("training_key", ""))
    return run.stage(), run.record().get("spent"), curve and curve.stat().st_size
