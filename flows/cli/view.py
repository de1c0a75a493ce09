"""A run's report in the browser; of a run that is going on, a page of what there is so far.

show(Run.find("demo"))
"""

import tempfile
import time
import webbrowser
from pathlib import Path

from flows.console import console
from flows.so_far import state_of, write_moved, write_so_far
from tasks.report.report import RELOAD_EVERY
from tasks.runs import Run

LOOK_EVERY = 10
"""Seconds between two looks at a run that is going on."""


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
        write_moved(page, run.report)
        console.print(f"Report  {run.report}")
        time.sleep(RELOAD_EVERY + LOOK_EVERY if browser else 0)  # until the browser's page has moved on to the report


def _follow(run: Run, folder: Path) -> None:
    state = state_of(run)
    while not run.report.is_file():
        time.sleep(LOOK_EVERY)
        if (now := state_of(run)) != state:
            write_so_far(run, folder)
            state = now


def _open(page: Path, browser: bool) -> None:
    address = page.resolve().as_uri()
    console.print(f"Page  {address}")
    if browser and not webbrowser.open(address):
        console.print("No browser could be started here; open that address in one.")
