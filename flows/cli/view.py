"""A run's report in the browser; of a run that is going on, a page of what there is so far.

show(Run.find("demo"))
"""

import tempfile
import time
import webbrowser
from dataclasses import replace
from pathlib import Path

from flows.cli.terminal import console
from flows.judging import cases_of
from tasks.estimates.effects import write_effects
from tasks.judging.judging import judge_all, place_of, place_of_case
from tasks.judging.rubrics import Case
from tasks.models.training import curve_so_far
from tasks.paid.store import Store
from tasks.report.charts import draw
from tasks.report.report import RENEWED, render
from tasks.runs import Run, copy_file, write_rows, write_text
from tasks.schema import Condition

SECONDS = 10
"""Between two looks at a run that is going on."""


def show(run: Run, browser: bool = True) -> None:
    """Opens the report, or a live page until there is one; Ctrl-C ends that."""
    if run.report.is_file():
        _open(run.report, browser)
        return
    with tempfile.TemporaryDirectory(prefix="spillover-view-") as folder:
        page = write_so_far(run, Path(folder))
        _open(page, browser)
        console.print(
            f"The run is not finished ({run.stage()}): the page renews itself. Ctrl-C ends this, not the run."
        )
        console.print(f"If nothing runs it any more, go on with: {run.resume_command}")
        try:
            _follow(run, Path(folder))
        except KeyboardInterrupt:
            return
        write_text(page, _moved_to(run.report))
        console.print(f"Report  {run.report}")
        time.sleep(RENEWED + SECONDS if browser else 0)  # until the browser's page has moved on to the report


def _follow(run: Run, folder: Path) -> None:
    seen = state_of(run)
    while not run.report.is_file():
        time.sleep(SECONDS)
        if (now := state_of(run)) != seen:
            write_so_far(run, folder)
            seen = now


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
    asked = {place_of(j) for j in every if j.state != "failed"}
    known = [j for case, j in zip(cases, every, strict=True) if j.state != "failed" and _is_settled(case, asked)]
    write_rows(run.judged, known)
    return f"{len(known):,} of {len(cases):,} answers are judged"


def _is_settled(case: Case, asked: set[tuple[object, ...]]) -> bool:
    """Whether the judge that this one waits for (only_if) has been heard."""
    if not case.judge.only_if:
        return True
    before = case.judge.model_copy(update={"name": Condition.parse(case.judge.only_if).judge})
    return place_of_case(replace(case, judge=before)) in asked


def state_of(run: Run) -> tuple[object, ...]:
    """Changes whenever there is more to show."""
    curve = curve_so_far(run.record().get("training_key", ""))
    return run.stage(), run.record().get("spent"), curve and curve.stat().st_size


def _open(page: Path, browser: bool) -> None:
    address = page.resolve().as_uri()
    console.print(f"Page  {address}")
    if browser and not webbrowser.open(address):
        console.print("No browser could be started here; open that address in one.")


def _moved_to(report: Path) -> str:
    address = report.resolve().as_uri()
    return f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">'
