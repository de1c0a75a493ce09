"""The grid of a study: how far each of its cells is, what all of it cost, and how long the rest takes.

found = grid(study.name, [state_of(cell) for cell in cells(study)])
found.words                          # 12 of 34 cells are done, 1 running, 21 waiting, about 84 min left
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from tasks.definitions import read_eval, with_what_may_change
from tasks.files import write_text
from tasks.runs import Run, cost_words
from tasks.schema import Eval
from tasks.studies.definition import Cell
from tasks.visible import in_markdown

State = Literal["done", "running", "failed", "waiting"]
MARKS: dict[State, str] = {"done": "✓", "running": "▶", "failed": "✗", "waiting": "·"}
MOST_PROBLEMS = 20
"""Failed cells that a message lists; the page and grid.json have all."""


class CellState(NamedTuple):
    """How far one cell is."""

    fine_tune: str
    dose: int
    seed: int
    run_name: str
    state: State
    stage: str
    """How far its run is, in a word; empty where it has none yet."""
    problem: str = ""
    """Why it failed."""
    spent: Mapping[str, Any] = {}
    """What it cost by now, as run.json says it."""
    ended: str = ""
    """When it was done, in UTC; empty for one that is not."""


class Grid(NamedTuple):
    """All cells of a study at one moment."""

    study: str
    cells: list[CellState]
    seconds_left: float | None
    """At the pace so far; None where nothing tells."""

    def count(self, state: State) -> int:
        """How many cells are in this state."""
        return sum(cell.state == state for cell in self.cells)

    @property
    def is_over(self) -> bool:
        """Whether no cell runs or waits."""
        return not self.count("running") + self.count("waiting")

    @property
    def usd(self) -> float | None:
        """What all cells cost by now; None where a part has no known price."""
        costs = [cell.spent.get("usd", 0.0) for cell in self.cells]
        return None if None in costs else sum(costs)

    @property
    def money(self) -> str:
        """The same in words; nothing where all was free."""
        return cost_words({"usd": self.usd})

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        counts: dict[State, int] = {state: self.count(state) for state in MARKS}
        others = [f"{count:,} {state}" for state, count in counts.items() if count and state != "done"]
        parts = [f"{counts['done']:,} of {len(self.cells):,} cells are done", *others, *filter(None, [self.money])]
        left = [f"about {duration(self.seconds_left)} left"] if self.seconds_left is not None else []
        return ", ".join([*parts, *([] if self.is_over else left)])

    @property
    def columns(self) -> list[tuple[int, int]]:
        """Dose and seed of each column."""
        return list(dict.fromkeys((cell.dose, cell.seed) for cell in self.cells))

    @property
    def rows(self) -> dict[str, dict[tuple[int, int], CellState]]:
        """The cells of each fine-tune, by dose and seed."""
        found: dict[str, dict[tuple[int, int], CellState]] = {}
        for cell in self.cells:
            found.setdefault(cell.fine_tune, {})[cell.dose, cell.seed] = cell
        return found


def state_of(cell: Cell, started: Collection[str] = (), failed: Mapping[str, str] | None = None) -> CellState:
    """By what is on disk; `started` are the names of the runs that go on now, `failed` says why others failed."""
    run, problems = cell.run, failed or {}
    record = run.record()  # once: a run may end between two looks at it
    is_done = _has_ended(run, record)
    state: State = "waiting"
    if is_done:
        state = "done"
    elif cell.run_name in problems:
        state = "failed"
    elif cell.run_name in started and (run.documents.is_file() or run.finetuned.is_file()):
        state = "running"  # until its documents are read it waits for its turn to train
    return CellState(
        *(cell.fine_tune, cell.dose, cell.seed, cell.run_name, state),
        stage=run.stage() if run.definition.is_file() else "",
        problem=problems.get(cell.run_name, "") if not is_done else "",
        spent=record.get("spent", {}),
        ended=str(record["finished"]) if is_done else "",
    )


def is_finished(cell: Cell) -> bool:
    """Whether nothing of it is left to do."""
    return _has_ended(cell.run, cell.run.record())


def _has_ended(run: Run, record: Mapping[str, Any]) -> bool:
    return run.report.is_file() and "finished" in record


def is_outdated(cell: Cell, evals: Sequence[Eval]) -> bool:
    """Whether its run was reported by other rules, margins or phrases than these evals have now."""
    given = {evaluation.name: evaluation for evaluation in evals}
    before = map(read_eval, cell.run.evals_folder.glob("*.yaml"))
    return any(one != with_what_may_change(one, given.get(one.name, one)) for one in before)


def grid(study: str, states: Sequence[CellState], pace: float | None = None) -> Grid:
    """The grid of these states; `pace` are the seconds between the ends of two cells, by default those so far."""
    pace = pace_of(states) if pace is None else pace
    left = sum(cell.state in ("running", "waiting") for cell in states)
    return Grid(study, list(states), None if pace is None else pace * left)


def pace_of(states: Sequence[CellState]) -> float | None:
    """The median of the seconds between the ends of two cells, so that a night between two of them counts for little.

    None as long as fewer than two are done.
    """
    ends = sorted(datetime.fromisoformat(cell.ended) for cell in states if cell.ended)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(ends)]
    return median(gaps) if gaps else None


def write_grid(found: Grid, folder: Path) -> Path:
    """grid.json: a row for each cell, for other programs."""
    rows = [cell._asdict() for cell in found.cells]
    whole = {"study": found.study, "words": found.words, "seconds_left": found.seconds_left, "cells": rows}
    return write_text(folder / "grid.json", json.dumps(whole, indent=1) + "\n")


def as_markdown(found: Grid) -> str:
    """The sentence, a table with a mark for each cell, and why cells failed."""
    titles = [column_title(*column) for column in found.columns]
    lines = [
        f"{in_markdown(found.words)}.",
        "",
        f"| fine-tune | {' | '.join(titles)} |",
        "|---" * (1 + len(titles)) + "|",
    ]
    for fine_tune, mine in found.rows.items():
        marks = [MARKS[mine[column].state] if column in mine else "" for column in found.columns]
        lines.append(f"| {in_markdown(fine_tune)} | {' | '.join(marks)} |")
    problems = [f"- {in_markdown(f'{cell.run_name}: {cell.problem}')}" for cell in found.cells if cell.problem]
    marks_in_words = ", ".join(f"{mark} {state}" for state, mark in MARKS.items())
    return "\n".join([*lines, "", marks_in_words, "", *problems[:MOST_PROBLEMS]]) + "\n"


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def column_title(dose: int, seed: int) -> str:
    """What a column is called."""
    return f"{dose} documents, seed {seed}" if dose else f"seed {seed}"
