"""What there is, for `spillover list`: definitions, sets of documents and runs.

It takes less than a second, so nothing is imported here that runs anything.
"""

from collections.abc import Callable

from flows.console import console
from tasks.catalog import UserError, data_folder, names
from tasks.definitions import load_eval, load_experiment
from tasks.generation.set_files import generated_sets, is_written, load_set
from tasks.runs import Run, all_runs
from tasks.studies.definition import load_study


def show_catalog() -> None:
    """Every definition, with what is wrong with it where it cannot be read, and every run."""
    describers: dict[str, Callable[[str], str]] = {
        "experiments": lambda name: load_experiment(name).description,
        "evals": lambda name: load_eval(name).description,
        "studies": lambda name: load_study(name).description,
    }
    for kind, describe in describers.items():
        console.print(f"{kind}, in {data_folder() / kind}", style="bold")
        for name in names(kind):
            console.print(f"  {name:<30} {_first_sentence(describe, name)}")
    console.print(f"documents, in {data_folder() / 'documents'}", style="bold")
    written = set(generated_sets())
    for name in names("documents"):
        console.print(f"  {name:<30} {_first_sentence(_of_set, name)}" if name in written else f"  {name}")
    console.print(f"runs, in {data_folder() / 'results'}", style="bold")
    for run in all_runs():
        console.print(f"  {run.folder.parent.name}/{run.name}  {_progress(run)}")


def _of_set(name: str) -> str:
    """What a set is for that a model writes, and whether it has."""
    wanted = load_set(name)
    return f"{'' if is_written(wanted) else 'not written yet; '}{wanted.description}"


def _progress(run: Run) -> str:
    """Its seed and how far it is."""
    try:
        return f"seed {run.record().get('seed', '?')}  {run.stage()}"
    except UserError as problem:
        return f"cannot be read: {problem}"


def _first_sentence(describe: Callable[[str], str], name: str) -> str:
    try:
        return describe(name).split(". ")[0].split(": ")[0].strip()
    except UserError as problem:
        return f"cannot be read: {problem}"
