"""A study from the terminal: its grid as it fills, and then what was found."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.cli.run import introduce, run_and_watch
from flows.console import console
from flows.study import command, run_study, watcher
from tasks.runs import Comparison
from tasks.schema import Study
from tasks.studies.definition import folder_of
from tasks.studies.grid import MARKS, Grid, State, column_title
from tasks.visible import visible

STYLES: dict[State, str] = {"done": "green", "running": "yellow", "failed": "red", "waiting": "dim"}
LINE_EVERY = 60.0
"""Seconds between two lines, where there is no terminal to draw a grid in."""


def study_in_terminal(study: Study, resume: str, address: str) -> None:
    """Runs what is missing of a study; `resume` is the command that goes on with it."""
    introduce(f"study {study.name}", resume, address)
    command.set(resume)
    run_and_watch(lambda: run_study(study), None, resume, live_grid)
    console.print(f"\nGrid        {folder_of(study) / 'grid.html'}")
    if (page := Comparison(study.name).page).is_file():
        console.print(f"Matrix      {page}")


@contextmanager
def live_grid() -> Iterator[None]:
    """Draws the grid in a terminal, and elsewhere says in a line how far it is."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            token = watcher.set(lambda found: live.update(drawn(found), refresh=True))
            yield
    else:
        token = watcher.set(_Lines())
        yield
    watcher.reset(token)


def drawn(found: Grid) -> Group:
    """The sentence, and a mark for each cell."""
    table = Table(box=None, pad_edge=False)
    for title in ("", *(column_title(*column) for column in found.columns)):
        table.add_column(title)
    for fine_tune, mine in found.rows.items():
        marks = [_mark(mine[column].state) if column in mine else Text() for column in found.columns]
        table.add_row(Text(visible(fine_tune)), *marks)
    return Group(Text(visible(found.words)), table)


def _mark(state: State) -> Text:
    return Text(MARKS[state], style=STYLES[state])


class _Lines:
    """A line where a cell ends, and one a minute until then."""

    def __init__(self) -> None:
        self.ended, self.said = -1, 0.0

    def __call__(self, found: Grid) -> None:
        ended = found.count("done") + found.count("failed")
        if ended != self.ended or time.monotonic() - self.said > LINE_EVERY:
            self.ended, self.said = ended, time.monotonic()
            console.print(found.words)
