"""Others' files become ours: questions and judges become evals, judged results become a run.

import_file(Path("first_plot_questions.yaml"))
import_file(Path("judged.csv"), baseline=Path("judged_base.csv"))
"""

import re
from pathlib import Path

from flows.console import console
from flows.origin import now
from flows.report_again import report_again
from tasks.catalog import UserError, data_folder, relative_to_data, validate
from tasks.definitions import as_yaml, load_eval
from tasks.files import write_rows, write_text
from tasks.imports.published import STATEMENT, read_published
from tasks.imports.results import Results, has_scores, read_results
from tasks.rows import TABLES, table
from tasks.runs import Run
from tasks.schema import Eval, Experiment

IMPORTED = "imported"


def import_file(
    file: Path,
    name: str = "",
    judges_of: str = "",
    baseline: Path | None = None,
    measures: list[str] | None = None,
    eval_name: str = "",
    command: str = "",
) -> None:
    """Writes evals to data/evals, or a run to data/results, and says what could not be carried over."""
    if _is_judged(file):
        results = read_results(file, baseline, eval_name, measures)
        run = keep_results(results, file, name, command)
        console.print(_counts(results.eval, len(results.judgments)), style="bold")
        _say_lost(results.lost)
        console.print(f"Run     {run.folder}\nReport  {run.report}")
        return
    given = {"--baseline": baseline, "--measures": measures, "--eval": eval_name}
    if alone := [option for option, value in given.items() if value]:
        raise UserError(f"{alone[0]} goes with judged results, and {file} has none; leave it out")
    judges = load_eval(judges_of).judges if judges_of else []
    published = read_published(file, judges)
    if name and len(published.evals) > 1:
        raise UserError(f"--name: {file} makes {len(published.evals)} evals; leave the name out")
    for one in published.evals:
        _keep_eval(validate(Eval, one.model_dump() | ({"name": name} if name else {}), "--name"))
    _say_lost(published.lost)


def _is_judged(file: Path) -> bool:
    """Whether a file holds scores: a table, or objects with a number."""
    if file.suffix != ".jsonl":
        return file.suffix in TABLES
    rows = [row for _, row in table(file)]
    return not any(STATEMENT in row for row in rows) and any(map(has_scores, rows))


def _keep_eval(one: Eval) -> None:
    place, text = data_folder() / "evals" / f"{one.name}.yaml", as_yaml(one, defaults=False)
    if place.is_file() and place.read_text() != text:
        raise UserError(f"{place} is there already, with other contents; give the new eval another --name")
    write_text(place, text)
    console.print(f"{_counts(one)}\nEval    {place}", style="bold")


def _counts(one: Eval, judgments: int = 0) -> str:
    systems = len({question.system_prompt for question in one.questions if question.system_prompt})
    tiers = len({question.tier for question in one.questions})
    return ", ".join(
        [
            f"{one.name}: {len(one.questions):,} questions in {tiers} {'tier' if tiers == 1 else 'tiers'}",
            *([f"{systems} system prompts"] if systems else []),
            f"judged by {', '.join(judge.name for judge in one.judges)}",
            *([f"{judgments:,} judgments"] if judgments else []),
        ]
    )


def _say_lost(lost: list[str]) -> None:
    for one in lost:
        console.print(f"Not carried over: {one}")


def keep_results(results: Results, file: Path, name: str, command: str) -> Run:
    """A run with these answers and judgments, its effects, charts and report. The same file again is the same run."""
    one = results.eval
    fields = {
        "name": name or re.sub(r"[^A-Za-z0-9_.-]+", "_", file.stem),
        "description": one.description,
        "responses": relative_to_data(file),
        "evals": [one.name],
        "judging": {"judges": [judge.name for judge in one.judges]},
    }
    experiment = validate(Experiment, fields, "--name")
    try:
        run = Run.open(experiment, [one], IMPORTED)
    except UserError:
        there = Run.at(experiment.name, IMPORTED).folder
        raise UserError(f"{there} holds other results of this name; give the new ones another with --name") from None
    run.note(seed=0, started=run.record().get("started") or now(), imported=file.name, import_command=command)
    write_rows(run.baseline, results.baseline)
    write_rows(run.finetuned, results.finetuned)
    write_rows(run.failures, [])
    write_rows(run.judged, results.judgments)
    report_again(run, [])
    return run
