"""The report of what there is of a run so far. No model and no judge is asked for it.

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
    """Writes report.html in the folder: the curve of a training that goes on, judgments that the store holds.

    The run's own folder is left as it is.
    """
    with tempfile.TemporaryDirectory() as inner:
        copy = run.copy_rows_to(Path(inner))
        if not run.metrics.is_file() and (curve := _curve_so_far(run)):
            copy_file(curve, copy.metrics)
        progress = run.stage()
        if run.finetuned.is_file() and not run.judged.is_file():
            progress = _judge_from_the_store(copy)
        write_effects(copy)
        draw(copy, only_svg=True)
        return write_text(folder / "report.html", render(copy, progress))


def write_moved(page: Path, report: Path) -> None:
    """In the place of a page that renews itself one that leads on to the finished report."""
    address = report.resolve().as_uri()
    write_text(page, f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">')


def state_of(run: Run) -> tuple[object, ...]:
    """Changes whenever there is more to show."""
    curve = _curve_so_far(run)
    return run.stage(), run.record().get("spent"), curve and curve.stat().st_size


def _curve_so_far(run: Run) -> Path | None:
    return curve_so_far(run.record().get("training_key", ""))


def _judge_from_the_store(run: Run) -> str:
    """Writes the judgments that can be made without asking anyone; how many those are of all."""
    cases = cases_of(run, run.experiment(), run.evals())
    judgments = judge_all(cases, Store())
    known = {judgment.judgment_key for judgment in judgments if judgment.state != "failed"}
    rows = [
        judgment
        for case, judgment in zip(cases, judgments, strict=True)
        if judgment.judgment_key in known and _is_settled(case, known)
    ]
    write_rows(run.judged, rows)
    return f"{len(rows):,} of {len(cases):,} answers are judged"


def _is_settled(case: Case, known: set[JudgmentKey]) -> bool:
    """Whether what the judge of its only_if said of the answer is known."""
    condition = case.judge.only_if
    return not condition or (case.answer_key, Condition.parse(condition).judge) in known
