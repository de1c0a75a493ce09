"""A run's report in the browser; of a run that is going on, a page of what there is so far.

show(Run.find("demo"))
"""

import tempfile
import time
import webbrowser
from pathlib import Path

from flows.terminal import console
from tasks.charts import draw
from tasks.effects import write_effects
from tasks.judging import judge_all, plan
from tasks.report import render
from tasks.runs import Run, copy_file, write_rows, write_text
from tasks.store import Store
from tasks.training import curve_so_far

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
        console.print("The run is going on: the page renews itself. Ctrl-C ends this, not the run.")
        try:
            _follow(run, Path(folder))
        except KeyboardInterrupt:
            return
        write_text(page, _moved_to(run.report))
        console.print(f"Report  {run.report}")
        time.sleep(2 * SECONDS if browser else 0)  # the browser's page moves on to the report


def _follow(run: Run, folder: Path) -> None:
    seen = _state(run)
    while not run.report.is_file():
        time.sleep(SECONDS)
        if (now := _state(run)) != seen:
            write_so_far(run, folder)
            seen = now


def write_so_far(run: Run, folder: Path) -> Path:
    """The report of what there is so far: the curve of a training that goes on, judgments that the store holds."""
    with tempfile.TemporaryDirectory() as inner:
        copy = run.copy_rows_to(Path(inner))
        if not run.metrics.is_file() and (curve := curve_so_far(run.record().get("training_key", ""))):
            copy_file(curve, copy.metrics)
        words = f"{run.stage()}"
        if run.finetuned.is_file() and not run.judged.is_file():
            words = _judge_from_the_store(copy)
        write_effects(copy)
        draw(copy)
        return write_text(folder / "report.html", render(copy, words))


def _judge_from_the_store(run: Run) -> str:
    """Writes the judgments that can be made without asking anyone; how many those are of all."""
    n_samples = run.experiment().sampling.n_samples
    cases = plan(run.evals(), *run.responses(), n_samples)
    known = [j for j in judge_all(cases, Store()) if j.state != "failed"]
    write_rows(run.judged, known)
    return f"{len(known):,} of {len(cases):,} answers are judged"


def _state(run: Run) -> tuple[object, ...]:
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
