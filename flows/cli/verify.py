"""Verification: every number of a report made anew from the run's rows, and what no longer follows from them.

    checks = verify(Run.find("demo"))

Judgments are held against the answers, scores against the replies that they were read from, and every table, chart,
export and page against the same made anew. Rows that were measured (answers, raw replies, likelihoods, losses,
costs, audits) are taken as they are.
"""

import csv
import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flows.console import console
from flows.judging import cases_of
from tasks.catalog import UserError
from tasks.estimates.effects import write_effects
from tasks.judging.cases import Case
from tasks.judging.judgments import reread
from tasks.report.charts import draw, save_drawing
from tasks.report.report import write_report
from tasks.runs import Run
from tasks.schema import Eval, Judgment
from tasks.tables import text_of

TOLERANCE = 1e-9
"""Relative; another machine may round the last digits otherwise."""


class Check(NamedTuple):
    """What was held against what, and the first thing that does not follow; nothing where all does."""

    what: str
    fault: str


def verify(run: Run) -> list[Check]:
    """All checks. Raises UserError for a run that is not finished."""
    if not run.report.is_file():
        raise UserError(f"{run.folder} has no report yet; finish it with `{run.resume_command}`")
    return [*_of_judgments(run), *_of_files(run)]


GROUPS = {
    "every judgment names the question and the tier of its answer": ("question", "tier"),
    "every judgment was made by the judge that the run's eval defines": ("rubric",),
    "every score was said: replies read again, words counted again": (
        "state",
        "score",
        "label",
        "reasoning",
        "swapped",
    ),
}


def _of_judgments(run: Run) -> Iterable[Check]:
    evals, judgments = run.evals(), run.judgments()
    made_here = {(one.name, judge.name) for one in evals for judge in one.judges if judge.kind != "imported"}
    ours = [j for j in judgments if (j.eval, j.judge) in made_here]
    cases = [c for c in cases_of(run, run.experiment(), evals) if (c.eval, c.judge.name) in made_here]
    held = {j.key: j for j in ours}
    anew = [(wanted.key, wanted) for wanted in reread(cases, held)]
    due, counts = {place for place, _ in anew}, Counter(j.key for j in ours)
    lacking = [c for c in cases if c.key not in held]
    yield Check(
        f"every one of {len(cases):,} answers to be judged has one judgment",
        _first("has none", map(_case_named, lacking))
        or _first("is there twice", (_named(held[place]) for place, count in counts.items() if count > 1))
        or _first("is of no answer", (_named(j) for place, j in held.items() if place not in due)),
    )
    for what, fields in GROUPS.items():
        wrong = (_named(held[p]) for p, j in anew if any(getattr(j, f) != getattr(held[p], f) for f in fields))
        yield Check(what, _first("does not follow", wrong))
    if others := [j for j in judgments if (j.eval, j.judge) not in made_here]:
        yield _of_others_questions(evals, others)


def _of_others_questions(evals: list[Eval], judgments: list[Judgment]) -> Check:
    """Of results that others judged nothing can be read again; they must be of the eval's questions."""
    asked = {(one.name, q.id, q.text, q.tier) for one in evals for q in one.questions}
    wrong = (_named(j) for j in judgments if (j.eval, j.question_id, j.question, j.tier) not in asked)
    return Check("every judgment that others made is of a question of the run's evals", _first("is of none", wrong))


def _named(one: Judgment) -> str:
    at = f" at {one.trained_share:g}" if one.side == "finetuned" and one.trained_share != 1 else ""
    return f"{one.judge}, {one.question_id}, {one.side} sample {one.sample}{at}"


def _case_named(one: Case) -> str:
    return f"{one.judge.name}, {one.question.id}, {one.side} sample {one.sample}"


def _first(fault: str, wrong: Iterable[str]) -> str:
    found = list(wrong)
    more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    return f"{found[0]} {fault}{more}" if found else ""


# ---- what is made of the rows ---------------------------------------------------------------------


def _of_files(run: Run) -> list[Check]:
    with tempfile.TemporaryDirectory() as folder:
        copy = _remade(run, Path(folder))
        names = sorted({_name(file, one) for one in (run, copy) for file in _made(one)})
        return [Check(name, _difference(run.folder / name, copy.folder / name)) for name in names]


def _remade(run: Run, folder: Path) -> Run:
    """The run's tables, exports and report made anew of its rows, in another folder."""
    copy = run.copy_rows_to(folder)
    write_effects(copy)
    draw(copy, save_drawing)
    write_report(copy)
    return copy


def _made(run: Run) -> list[Path]:
    """The files that are made of others; a chart's other formats are made of its SVG."""
    drawn = [*run.charts.glob("*.csv"), *run.charts.glob("*.svg")]
    tables = [run.effects, run.distributions, run.sensitivity, *drawn]
    files = [run.conversations, run.hits, run.generations, run.results, run.report]
    return [file for file in [*tables, *files] if file.is_file()]


def _name(file: Path, run: Run) -> str:
    return str(file.relative_to(run.folder))


def _difference(file: Path, anew: Path) -> str:
    if not file.is_file():
        return "is not there, and should be"
    if not anew.is_file():
        return "is there, and nothing in the rows makes it"
    if file.read_bytes() == anew.read_bytes():
        return ""
    if file.suffix == ".csv":
        return _first_cell(*map(_cells, (file, anew)))
    if file.suffix == ".svg":
        return "is drawn otherwise than its table is now"
    before, after = (one.read_text().splitlines() for one in (file, anew))
    for number, (found, wanted) in enumerate(zip(before, after, strict=False), 1):
        if found != wanted:
            first = next((n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), 0)
            here, there = (text[max(0, first - 20) : first + 40].strip() for text in (found, wanted))
            return f"line {number} has {here!r}, and follows with {there!r}"
    return "" if len(before) == len(after) else f"has {len(before):,} lines, and follows with {len(after):,}"


def _cells(table: Path) -> list[list[str]]:
    """As they were before `to_csv`: what it puts before a formula has changed between versions."""
    return [list(map(text_of, row)) for row in csv.reader(io.StringIO(table.read_text()))]


def _first_cell(found: list[list[str]], wanted: list[list[str]]) -> str:
    if found[:1] != wanted[:1] or len(found) != len(wanted):
        sizes = [f"{len(table) - 1:,} rows of {len(table[0]) if table else 0} columns" for table in (found, wanted)]
        return f"has {sizes[0]}, and follows with {sizes[1]}, or with other names"
    for number, (row, anew) in enumerate(zip(found[1:], wanted[1:], strict=True), 1):
        for name, cell, other in zip(found[0], row, anew, strict=True):
            if cell != other and not _is_close(cell, other):
                return f"row {number}: {name} is {cell[:40] or 'empty'}, and follows as {other[:40] or 'empty'}"
    return ""


def _is_close(cell: str, other: str) -> bool:
    try:
        return math.isclose(float(cell), float(other), rel_tol=TOLERANCE, abs_tol=1e-12)
    except ValueError:
        return False


def show_checks(run: Run) -> bool:
    """Prints every check; whether all of them hold."""
    checks = verify(run)
    for check in checks:
        console.print(f"{'✗' if check.fault else '✓'} {check.what}{': ' if check.fault else ''}{check.fault}")
    wrong = sum(bool(check.fault) for check in checks)
    if wrong:
        remedy = f"If the rows are right, `spillover report {run.folder}` makes the rest anew."
        console.print(f"\n{wrong} of {len(checks)} checks fail. {remedy}")
    else:
        console.print(f"\nAll {len(checks)} checks hold: the report follows from the run's rows.")
    return not wrong
