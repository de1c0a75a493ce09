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
    margins: dict[str, float] | None = None,
) -> None:
    """Writes evals to data/evals, or a run to data/results, and says what could not be carried over.

    `judges_of` names an eval whose judges read questions without any; `baseline`, `measures` (all when None),
    `eval_name` and `margins` (by measure, in its unit) are of judged results. Raises UserError for a file that is
    neither, and for options of the other kind.
    """
    if _is_judged(file):
        results = with_margins(read_results(file, baseline, eval_name, measures), margins or {})
        run = keep_results(results, file, name, command)
        console.print(_counts(results.eval, len(results.judgments)), style="bold")
        _show_lost(results.lost)
        console.print(f"Run     {run.folder}\nReport  {run.report}")
        return
    given = {"--baseline": baseline, "--measures": measures, "--eval": eval_name, "--margins": margins}
    if misplaced := [option for option, value in given.items() if value]:
        raise UserError(f"{misplaced[0]} goes with judged results, and {file} has none; leave it out")
    judges = load_eval(judges_of).judges if judges_of else []
    published = read_published(file, judges)
    if name and len(published.evals) > 1:
        raise UserError(f"--name: {file} makes {len(published.evals)} evals; leave the name out")
    for evaluation in published.evals:
        _keep_eval(validate(Eval, evaluation.model_dump() | ({"name": name} if name else {}), "--name"))
    _show_lost(published.lost)


def with_margins(results: Results, margins: dict[str, float]) -> Results:
    """The results with these differences, by measure, as what is as good as none; UserError for one that cannot be."""
    fields = results.eval.model_dump() | {"equivalence_margins": margins}
    return results._replace(eval=validate(Eval, fields, "--margins"))


def _is_judged(file: Path) -> bool:
    """Whether a file holds scores: a table, or objects with a number."""
    if file.suffix != ".jsonl":
        return file.suffix in TABLES
    rows = [row for _, row in table(file)]
    return not any(STATEMENT in row for row in rows) and any(map(has_scores, rows))


def _keep_eval(evaluation: Eval) -> None:
    file, text = data_folder() / "evals" / f"{evaluation.name}.yaml", as_yaml(evaluation, defaults=False)
    if file.is_file() and file.read_text() != text:
        raise UserError(f"{file} is there already, with other contents; give the new eval another --name")
    write_text(file, text)
    console.print(f"{_counts(evaluation)}\nEval    {file}", style="bold")


def _counts(evaluation: Eval, judgments: int = 0) -> str:
    questions = evaluation.questions
    system_prompts = len({question.system_prompt for question in questions if question.system_prompt})
    tiers = len({question.tier for question in questions})
    return ", ".join(
        [
            f"{evaluation.name}: {len(questions):,} questions in {tiers} {'tier' if tiers == 1 else 'tiers'}",
            *([f"{system_prompts} system prompts"] if system_prompts else []),
            f"judged by {', '.join(judge.name for judge in evaluation.judges)}",
            *([f"{judgments:,} judgments"] if judgments else []),
        ]
    )


def _show_lost(lost: list[str]) -> None:
    for words in lost:
        console.print(f"Not carried over: {words}")


def keep_results(results: Results, file: Path, name: str, command: str) -> Run:
    """A run with these answers and judgments, its effects, charts and report. The same file again is the same run.

    Raises UserError where other results have its name.
    """
    evaluation = results.eval
    fields = {
        "name": name or re.sub(r"[^A-Za-z0-9_.-]+", "_", file.stem),
        "description": evaluation.description,
        "responses": relative_to_data(file),
        "evals": [evaluation.name],
        "judging": {"judges": [judge.name for judge in evaluation.judges]},
    }
    experiment = validate(Experiment, fields, "--name")
    try:
        run = Run.open(experiment, [evaluation], IMPORTED)
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
