"""A study of results that others published: a file of many fine-tunes, a file for each, or runs that were imported.

study_of_results("published.csv", choices=Choices(base="llama"), trained="formal=formality,casual=-formality")
study_of_results("published/*.csv")          # the file base.csv, if it is there, has the untuned model
study_of_results("published/*")              # runs
"""

import re
from glob import glob
from pathlib import Path

from flows.cli.imports import keep_results
from flows.console import console
from flows.study_matrix import Traits, Written, matrix_of_file, matrix_of_runs, parse_traits
from tasks.catalog import UserError
from tasks.imports.aggregates import are_aggregates, unread_columns
from tasks.imports.choices import NO_CHOICES, OF_RESULTS, Choices
from tasks.imports.model_rows import WORDS
from tasks.imports.results import Model, read_results
from tasks.runs import Run


def study_of_results(
    place: str,
    name: str = "",
    choices: Choices = NO_CHOICES,
    baseline: Path | None = None,
    trained: str = "",
    command: str = "",
) -> None:
    """Makes the matrix and says what it shows; a file of single answers becomes runs first, with a report each.

    Raises UserError for what cannot be read, and for options that have no use.
    """
    files, traits = _files(place), parse_traits(trained)
    if files:
        written = _of_files(files, name, choices, baseline, traits, command)
    else:
        if choices != NO_CHOICES or baseline:
            raise UserError(
                f"{place}: no file fits it, and of runs there is nothing to choose; leave these options out"
            )
        written = matrix_of_runs(name or place, [("", [run]) for run in Run.find_all(place)], traits)
    for sentence in written.sentences:
        console.print(sentence)
    console.print(f"Matrix  {written.page}")


def _files(place: str) -> list[Path]:
    """The file, or those that fit a pattern; none where it is one of runs."""
    file = Path(place).expanduser()
    found = sorted(map(Path, glob(str(file)))) if "*" in place else [file]
    return [one for one in found if one.name.lower().endswith(OF_RESULTS) and (one.is_file() or "*" not in place)]


def _of_files(
    files: list[Path], name: str, choices: Choices, baseline: Path | None, traits: Traits, command: str
) -> Written:
    called = name or re.sub(r"[*.]+", "", files[0].parent.name if len(files) > 1 else files[0].stem)
    if len(files) == 1 and not baseline and are_aggregates(files[0], choices):
        for lost in unread_columns(files[0], choices):
            console.print(f"Not carried over: {lost}")
        return matrix_of_file(called, files[0], choices, traits)
    base = baseline or _base_file(files)
    labelled: list[tuple[str, list[Run]]] = []
    for file in _without(files, base):
        results = read_results(file, base, choices)
        prefix = f"{name}_{file.stem}" if name and len(files) > 1 else name
        runs = keep_results(results, file, prefix, command)
        for words in (*results.said, *(f"Not carried over: {lost}" for lost in results.lost)):
            console.print(f"{file.name}: {words}" if len(files) > 1 else words)
        labelled += [
            (_label(model, file, results.models, len(files) > 1), [run])
            for model, run in zip(results.models, runs, strict=True)
        ]
    return matrix_of_runs(called, labelled, traits)


def _base_file(files: list[Path]) -> Path | None:
    """The one of several that is called as the base model, if one is; UserError where two are."""
    called = [file for file in files if len(files) > 1 and WORDS.get(file.stem.casefold()) == "baseline"]
    if len(called) > 1:
        raise UserError(
            f"{called[0]} and {called[1]} are both called as the base model; give one of them another name, or move it"
        )
    return called[0] if called else None


def _without(files: list[Path], base: Path | None) -> list[Path]:
    """The fine-tunes' files; UserError where there is none."""
    found = [file for file in files if base is None or file.resolve() != base.resolve()]
    if not found:
        raise UserError(f"{base}: the base model's file, and there is none of a fine-tune; give one")
    return found


def _label(model: Model, file: Path, models: list[Model], is_one_of_several: bool) -> str:
    """What a model is called: by its group, its own name, or its file, if that has no other."""
    own = model.group or (model.name if len(models) > 1 else "")
    return f"{file.stem} {own}".strip() if is_one_of_several else own or model.name or file.stem
