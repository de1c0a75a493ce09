"""Others' files become ours: questions and judges become evals, judged results become a run for each model.

import_file(Path("first_plot_questions.yaml"))
import_file(Path("judged.csv"), baseline=Path("judged_base.csv"), choices=Choices(scales=parse_scales("0-100")))
"""

import re
import shlex
from collections import Counter
from pathlib import Path

from flows.cli.arguments import several, sizes
from flows.console import console
from flows.origin import now
from flows.report_again import report_again
from tasks.catalog import UserError, data_folder, relative_to_data, validate
from tasks.definitions import as_yaml, load_eval
from tasks.files import write_rows, write_text
from tasks.imports.choices import NO_CHOICES, Choices, parse_pairs, parse_scales
from tasks.imports.published import STATEMENT, read_published
from tasks.imports.results import Model, Results, has_scores, read_results
from tasks.rows import TABLES, table
from tasks.runs import Run
from tasks.schema import Eval, Experiment

IMPORTED = "imported"
OF_RESULTS = {
    "eval_name": "--eval",
    "measures": "--measures",
    "columns": "--columns",
    "scales": "--scale",
    "base": "--base",
    "group": "--group",
    "questions": "--questions",
    "tiers": "--tiers",
    "margins": "--margins",
}
"""The option that makes each of the choices."""


def import_file(
    file: Path,
    name: str = "",
    judges_of: str = "",
    judges_from: Path | None = None,
    baseline: Path | None = None,
    choices: Choices = NO_CHOICES,
    command: str = "",
) -> None:
    """Writes evals to data/evals, or runs to data/results, and says what was guessed and could not be carried over.

    `judges_of` names an eval whose judges read questions without any, `judges_from` a file that defines the judges that
    a file's questions name; `baseline` and `choices` are of judged results. Raises UserError for a file that is
    neither, and for options of the other kind.
    """
    if _is_judged(file):
        _refuse_options({"--judges-of": judges_of, "--judges-from": judges_from}, f"questions, and {file} has results")
        results = read_results(file, baseline, choices)
        runs = keep_results(results, file, name, command)
        judgments = sum(len(model.judgments) for model in results.models)
        console.print(_counts(results.eval, judgments), style="bold")
        for words in results.said:
            console.print(words)
        _show_lost(results.lost)
        _show_runs(runs)
        return
    given = {option: getattr(choices, field) for field, option in OF_RESULTS.items()}
    _refuse_options({"--baseline": baseline, **given}, f"judged results, and {file} has none")
    judges = load_eval(judges_of).judges if judges_of else []
    published = read_published(file, judges, judges_from)
    if name and len(published.evals) > 1:
        raise UserError(f"--name: {file} makes {len(published.evals)} evals; leave the name out")
    for evaluation in published.evals:
        _keep_eval(validate(Eval, evaluation.model_dump() | ({"name": name} if name else {}), "--name"))
    _show_lost(published.lost)


def choices_of(
    *,
    eval_name: str = "",
    measures: str = "",
    columns: str = "",
    margins: str = "",
    scale: str = "",
    base: str = "",
    group: str = "",
    questions: str = "",
    tiers: str = "",
) -> Choices:
    """The choices that the options stand for; UserError, which names the option, for one that cannot be read."""
    return Choices(
        eval_name=eval_name,
        measures=tuple(several(measures)),
        columns=parse_pairs(columns, "--columns"),
        scales=parse_scales(scale),
        base=base,
        group=group,
        questions=tuple(several(questions)),
        tiers=tuple(several(tiers)),
        margins=sizes(margins, "--margins"),
    )


def _refuse_options(given: dict[str, object], words: str) -> None:
    if misplaced := [option for option, value in given.items() if value]:
        raise UserError(f"{misplaced[0]} goes with {words}; leave it out")


def _is_judged(file: Path) -> bool:
    """Whether a file holds scores: a table, or objects with a number."""
    if file.name.lower().endswith(TABLES):
        return True
    if file.suffix not in (".json", ".jsonl"):
        return False
    are_questions = any(STATEMENT in row or "eval_prompt" in row for _, row in table(file, nested=False))
    return not are_questions and any(has_scores(row) for _, row in table(file))


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
            f"{evaluation.name}: {len(questions):,} {'question' if len(questions) == 1 else 'questions'} in "
            f"{tiers} {'tier' if tiers == 1 else 'tiers'}",
            *([f"{system_prompts} system prompts"] if system_prompts else []),
            f"judged by {', '.join(judge.name for judge in evaluation.judges)}",
            *([f"{judgments:,} judgments"] if judgments else []),
        ]
    )


def _show_lost(lost: list[str]) -> None:
    for words in lost:
        console.print(f"Not carried over: {words}")


def _show_runs(runs: list[Run]) -> None:
    for run in runs:
        console.print(f"Run     {run.folder}\nReport  {run.report}")
    if len(runs) > 1:
        experiments = dict.fromkeys(run.folder.parent.name for run in runs)
        places = " ".join(shlex.quote(f"{experiment}/*") for experiment in experiments)
        console.print(f"Compare with  spillover compare {places}")


def keep_results(results: Results, file: Path, name: str, command: str) -> list[Run]:
    """A run for each model, with its effects, charts and report. The same file again makes the same runs.

    One model is NAME/imported, several are NAME/MODEL, and those of a group NAME_GROUP/MODEL with seeds from 0 on, so
    that they are pooled. Raises UserError where other results have such a name.
    """
    places = [_place(model, name or _slug(file.stem), len(results.models) > 1) for model in results.models]
    if twice := next((place for n, place in enumerate(places) if place in places[:n]), None):
        raise UserError(f"{file}: the names of two models are {twice[1]!r} here; give one of them another name")
    runs, seeds = [], Counter[str]()
    for model, (experiment, folder) in zip(results.models, places, strict=True):
        run = _keep_model(model, results.eval, file, experiment, folder)
        run.note(seed=seeds[model.group] if model.group else 0, imported=file.name, import_command=command)
        seeds[model.group] += 1
        runs.append(run)
    for run in runs:
        report_again(run, [])
    return runs


def _place(model: Model, name: str, several: bool) -> tuple[str, str]:
    """The names of a model's experiment and run."""
    experiment = f"{name}_{_slug(model.group)}" if model.group else name
    return experiment, _slug(model.name or model.group) if several or model.group else IMPORTED


def _slug(text: str) -> str:
    """The text as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip(".") or "_"


def _keep_model(model: Model, evaluation: Eval, file: Path, name: str, folder: str) -> Run:
    """The run with one model's answers and judgments, without effects yet."""
    fields = {
        "name": name,
        "description": evaluation.description,
        "responses": relative_to_data(file),
        "evals": [evaluation.name],
        "judging": {"judges": [judge.name for judge in evaluation.judges]},
    }
    experiment = validate(Experiment, fields, "--name")
    try:
        run = Run.open(experiment, [evaluation], folder)
    except UserError:
        there = Run.at(experiment.name, folder).folder
        raise UserError(f"{there} holds other results of this name; give the new ones another with --name") from None
    run.note(started=run.record().get("started") or now())
    write_rows(run.baseline, model.baseline)
    write_rows(run.finetuned, model.finetuned)
    write_rows(run.failures, [])
    write_rows(run.judged, model.judgments)
    return run
