"""The matrix of a study, and one made of results that others published; nothing is asked.

matrix_of_study(study, cells(study))               # of the cells that are finished
matrix_of_runs("published", runs, trained)         # of runs that were imported
matrix_of_file("published", file, choices, trained)
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tasks.catalog import UserError, document_files
from tasks.documents.sets import hashes
from tasks.estimates.groups import grouped
from tasks.estimates.wording import listed
from tasks.imports.aggregates import read_aggregates
from tasks.imports.choices import Choices, parse_pairs
from tasks.report.study_page import Report, StudyResults, write_study
from tasks.runs import Comparison, Run
from tasks.schema import Shift, Study
from tasks.studies.aggregates import matrix_of_aggregates
from tasks.studies.definition import Cell
from tasks.studies.grid import is_finished
from tasks.studies.matrix import Matrix, Trained, matrix
from tasks.studies.sentences import broken, sentences, sure

LONGEST_NAME = 80
Traits = Mapping[str, Mapping[str, str]]
"""What each fine-tune was trained to show, `more` or `less` of a trait, by its label."""


class Written(NamedTuple):
    """A matrix that was written."""

    page: Path
    sentences: list[str]
    """Its verdict."""


def matrix_of_study(study: Study, wanted: Sequence[Cell]) -> Written | None:
    """Writes the matrix of all cells that are finished; None where none is."""
    fine_tunes, missing = trained(study, wanted)
    if not fine_tunes:
        return None
    words = [f"{missing:,} of {len(wanted):,} cells are not finished and have no part in this."] if missing else []
    if changed := _with_other_documents(wanted):
        words.append(
            f"Trained on documents that are others by now: {listed(changed)}; a study of another name trains them anew."
        )
    return _write(study.name, matrix(fine_tunes), fine_tunes, words, study.description)


def _with_other_documents(wanted: Sequence[Cell]) -> list[str]:
    """The fine-tunes with a run that was trained when their sets had other files."""
    now, found = dict[str, list[dict[str, str]]](), list[str]()
    for cell in (cell for cell in wanted if cell.run.mixture.is_file()):
        with suppress(UserError):  # of a set that is gone nothing can be told
            if cell.fine_tune not in now:
                files = [document_files(one.name, one.path)[0] for one in cell.experiment.documents]
                now[cell.fine_tune] = [*map(hashes, files)]
            before = [one["files"] for one in json.loads(cell.run.mixture.read_text())["sets"]]
            found += [cell.fine_tune] * (before != now[cell.fine_tune])
    return list(dict.fromkeys(found))


def trained(study: Study, wanted: Sequence[Cell]) -> tuple[list[Trained], int]:
    """The fine-tunes with the runs that are finished, those of each dose apart, and how many cells are not."""
    when = {one.name: one.when for one in study.fine_tunes}
    runs: dict[tuple[str, int], list[Cell]] = {}
    for cell in wanted:
        if is_finished(cell):
            runs.setdefault((cell.fine_tune, cell.dose), []).append(cell)
    return [
        Trained(
            f"{name}, {dose} documents" if len(study.doses) > 1 else name,
            [cell.run for cell in some],
            some[0].trait,
            when.get(name, []),
        )
        for (name, dose), some in runs.items()
    ], len(wanted) - sum(map(len, runs.values()))


def matrix_of_runs(name: str, labelled: Sequence[tuple[str, list[Run]]], traits: Traits) -> Written:
    """The same of any runs: a fine-tune for each label, or where it is empty, as `compare` groups them.

    Raises UserError for a run without effects, runs that cannot be pooled, and a trait that is not measured.
    """
    for run in (run for _, runs in labelled for run in runs):
        if not run.effects.is_file():
            raise UserError(f"{run.folder} has no effects yet; finish it with `{run.resume_command}`")
    labels = [label for label, _ in labelled]
    groups = grouped([runs for _, runs in labelled], labels if all(labels) else [])
    fine_tunes = [Trained(group.label, group.runs, traits.get(group.label, {})) for group in groups]
    found = matrix(fine_tunes)
    _refuse_unknown(traits, found.shifts)
    return _write(_folder_name(name), found, fine_tunes, [])


def matrix_of_file(name: str, file: Path, choices: Choices, traits: Traits) -> Written:
    """The same of a file of means; UserError for one that cannot be read, and for a trait that is not in it."""
    found = matrix_of_aggregates(read_aggregates(file, choices), traits, choices.scales)
    _refuse_unknown(traits, found.shifts)
    words = f"Made of the means in {file.name}, which are of {_answers(found.shifts)}."
    return _write(_folder_name(name), found, [], [words])


def _answers(shifts: Sequence[Shift]) -> str:
    """How many answers the means are of, and what follows for the intervals."""
    known = sum(shift.ci_low_fixed_questions is not None for shift in shifts)
    if known == len(shifts):
        return "all answers alike: the intervals are Welch's, of rates Wilson's"
    return (
        f"all answers alike: {known:,} of {len(shifts):,} fields have what an interval takes (n, and of scores an SD)"
    )


def parse_traits(text: str) -> Traits:
    """What fine-tunes were trained to show, given as formal=formality,casual=-formality; UserError for what is none."""
    return {
        label: {trait.removeprefix("-"): "less" if trait.startswith("-") else "more"}
        for label, trait in parse_pairs(text, "--trained").items()
    }


def _refuse_unknown(traits: Traits, shifts: Sequence[Shift]) -> None:
    for label, some in traits.items():
        if label not in (labels := list(dict.fromkeys(shift.label for shift in shifts))):
            raise UserError(f"--trained: there is no fine-tune {label!r}; there is {', '.join(labels)}")
        known = list(dict.fromkeys(shift.trait for shift in shifts))
        if missing := [trait for trait in some if trait not in known]:
            raise UserError(f"--trained: there is no measure {missing[0]!r}; there is {', '.join(known)}")


def _folder_name(name: str) -> str:
    """That of the comparison of others' results, which may be called anything."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:LONGEST_NAME] or "study"


def _write(
    name: str, found: Matrix, fine_tunes: Sequence[Trained], left_out: list[str], description: str = ""
) -> Written:
    """`name` is that of the comparison's folder."""
    place = Comparison(name)
    if not found.shifts:
        raise UserError(
            f"{name}: nothing was measured of the base and of a fine-tune alike, so that nothing can be compared"
        )
    results = StudyResults(
        shifts=found.shifts,
        leaks=found.leaks,
        sentences=sentences(found),
        left_out=[*left_out, *found.left_out],
        broken=broken(found.shifts),
        sure=sure(found.shifts),
        reports={one.label: _reports(one, place) for one in fine_tunes},
        places=_places(found.shifts, fine_tunes),
        description=description,
    )
    return Written(write_study(place, results), results.sentences)


def _reports(one: Trained, place: Comparison) -> list[Report]:
    names = [f"seed {run.record().get('seed', '?')}" for run in one.runs] if len(one.runs) > 1 else ["report"]
    return [
        Report(name, quote(Path(os.path.relpath(run.report, place.folder)).as_posix()))
        for name, run in zip(names, one.runs, strict=True)
    ]


def _places(shifts: Sequence[Shift], fine_tunes: Sequence[Trained]) -> dict[str, str]:
    """Where the texts of each column are in a report: what its judge read, or its first statement."""
    evals = {evaluation.name: evaluation for one in fine_tunes for evaluation in one.runs[0].evals()}
    found = {}
    for shift in shifts:
        if shift.column in found or not (evaluation := evals.get(shift.eval)):
            continue
        is_judge = shift.measure in [judge.name for judge in evaluation.judges]
        first = f"{evaluation.name}.{evaluation.questions[0].id}"
        found[shift.column] = f"judge={quote(shift.measure)}" if is_judge else quote(first)
    return found
