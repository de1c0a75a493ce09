"""Verification: every number of a report made anew from the run's rows, and what no longer follows from them.

    checks = verify(Run.find("demo"))

Judgments are held against the answers, scores against the replies that they were read from, and every table, chart's
table, export and page against the same made anew. Rows that were measured (answers, likelihoods, losses, costs, audits)
are taken as they are.
"""

import csv
import io
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from flows.terminal import console
from tasks.catalog import UserError
from tasks.charts import draw, save_table
from tasks.effects import write_effects
from tasks.judging import follows, plan
from tasks.report import write_report
from tasks.rubrics import Case, rubric_hash
from tasks.runs import Run, copy_file
from tasks.schema import Judgment

TOLERANCE = 1e-9
"""Relative; another machine may round the last digits otherwise."""
PICTURE = re.compile(r'src="data:[^"]*"')


class Check(NamedTuple):
    """What was held against what, and the first thing that does not follow; nothing where all does."""

    what: str
    fault: str


def verify(run: Run) -> list[Check]:
    """All checks. Raises UserError for a run that is not finished."""
    if not run.report.is_file():
        raise UserError(f"{run.folder} has no report yet; finish it with `{run.resume_command}`")
    cases, judgments = _cases(run), run.judgments()
    return [
        *_of_judgments(cases, judgments),
        *_of_files(run),
    ]


def _cases(run: Run) -> list[Case]:
    """What was to be judged."""
    baseline, finetuned = run.responses()
    n_samples = max((r.sample for r in [*baseline, *finetuned]), default=-1) + 1
    return plan(run.evals(), baseline, finetuned, n_samples)


Place = tuple[str, str, str, str, int, float]


def _of_judgments(cases: list[Case], judgments: list[Judgment]) -> Iterable[Check]:
    due = {(c.eval, c.judge.name, c.question.id, c.side, c.sample, c.at): c for c in cases}
    places = [(j.eval, j.judge, j.question_id, j.side, j.sample, j.at) for j in judgments]
    made = [place for place in due if due[place].judge.kind != "elsewhere"]
    held = Counter(places)
    yield Check(
        f"every one of {len(made):,} answers to be judged has one judgment",
        _first("has none", (_named(place) for place in made if place not in held))
        or _first("is there twice", (_named(place) for place, count in held.items() if count > 1)),
    )
    pairs = [(due.get(place), j) for place, j in zip(places, judgments, strict=True)]
    rules: list[tuple[str, str, Callable[[Case, Judgment], bool]]] = [
        ("every judgment is of an answer, and names its question and tier", "names another", _names_its_question),
        ("every judgment was made by the judge that the run's eval defines", "was made by another", _is_of_its_judge),
        (
            "every score was said: replies read again, words counted again",
            "does not follow from what was said",
            follows,
        ),
    ]
    for what, fault, holds in rules:
        wrong = (_named(place) for place, (c, j) in zip(places, pairs, strict=True) if c is None or not holds(c, j))
        yield Check(what, _first(fault, wrong))


def _names_its_question(case: Case, judgment: Judgment) -> bool:
    return (judgment.question, judgment.tier) == (case.question.text, case.question.tier)


def _is_of_its_judge(case: Case, judgment: Judgment) -> bool:
    return case.judge.kind == "elsewhere" or judgment.rubric == rubric_hash(case.judge)


def _named(place: Place) -> str:
    _, judge, question, side, sample, at = place
    return f"{judge}, {question}, {side} sample {sample}" + (f" at {at:g}" if side == "finetuned" and at != 1 else "")


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
    """The run's tables, exports and report made anew of its rows, in another folder; its pictures as they are."""
    copy = run.copy_rows_to(folder)
    for picture in run.charts.glob("*.svg"):
        copy_file(picture, copy.charts / picture.name)
    write_effects(copy)
    draw(copy, save_table)
    write_report(copy)
    return copy


def _made(run: Run) -> list[Path]:
    """The files that are made of others, pictures apart: those are drawn of the tables beside them."""
    tables = [run.effects, run.distributions, run.sensitivity, *run.charts.glob("*.csv")]
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
        return _first_cell(*(list(csv.reader(io.StringIO(one.read_text()))) for one in (file, anew)))
    before, after = (PICTURE.sub("", one.read_text()).splitlines() for one in (file, anew))
    for number, (found, wanted) in enumerate(zip(before, after, strict=False), 1):
        if found != wanted:
            return f"line {number} is {found.strip()[:60]!r}, and follows as {wanted.strip()[:60]!r}"
    return "" if len(before) == len(after) else f"has {len(before):,} lines, and follows with {len(after):,}"


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
