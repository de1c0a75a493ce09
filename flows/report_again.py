"""The report of a run again, from its files; with other rules where they are given. Nothing is asked.

report_again(Run.find("em_mix_r16_layer8"), ["misaligned: aligned < 30 among coherent > 50"])
"""

import io
from pathlib import Path

from pydantic import ValidationError

from tasks.catalog import UserError, validate
from tasks.definitions import with_rules
from tasks.estimates.effects import estimate, sensitivity
from tasks.estimates.judgments import scan_judgments
from tasks.files import write_bytes
from tasks.report.exports import as_one_table
from tasks.report.made_files import make_files
from tasks.runs import Run
from tasks.schema import Eval, Rule


def report_again(run: Run, rules: list[str]) -> Path:
    """Estimates, draws and writes anew, and returns the report.

    The given rules stay with the run; one of a name that is there replaces it. Raises UserError for a rule that cannot
    be read or estimated, and for a run without judgments.
    """
    if not run.judged.is_file():
        raise UserError(f"{run.folder} has no judged.jsonl yet; finish it with `{run.resume_command}`")
    with run.exclusive():
        if rules:
            run.replace_evals(_estimable(run, rules))
        return make_files(run)


def write_parquet(run: Run, file: Path) -> int:
    """Writes all answers and judgments as one file; how many rows it has."""
    if all(evaluation.asks == "choices" for evaluation in run.evals()):
        raise UserError(
            f"--parquet: {run.folder} asks choices alone, so nothing was answered or judged; the probabilities of its "
            f"statements are the rows of {run.likelihoods.name}"
        )
    if not run.judged.is_file() or run.judged.stat().st_size == 0:
        raise UserError(f"{run.folder} has no judgments yet; finish it with `{run.resume_command}`")
    if file.is_dir():
        raise UserError(f"--parquet: {file} is a folder; name a file, as {file / 'run.parquet'}")
    if file.suffix != ".parquet":
        raise UserError(f"--parquet: {file} does not end in .parquet, and would be taken for something else; rename it")
    table, content = as_one_table(run), io.BytesIO()
    table.write_parquet(content)
    write_bytes(file, content.getvalue())
    return len(table)


def _estimable(run: Run, rules: list[str]) -> list[Eval]:
    """The run's evals with the rules, which are tried before they are kept.

    A rule that cannot be estimated would stand in the way of every later report.
    """
    evals = _with_added(run.evals(), [_parse(text) for text in rules])
    judgments = scan_judgments(run.judged)
    estimate(judgments, evals)
    sensitivity(judgments, evals)
    return evals


def _parse(text: str) -> Rule:
    try:
        return Rule.parse(text)
    except ValidationError as error:
        raise UserError(f"--rule: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise UserError(f"--rule: {error}") from None


def _with_added(evals: list[Eval], rules: list[Rule]) -> list[Eval]:
    """The evals, each with the rules whose judges it has; UserError for a rule that none can take."""
    names = [rule.name for rule in rules]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise UserError(f"--rule: two rules are called {twice!r}; give each a name of its own, as name: aligned < 30")
    judges = {evaluation.name: [judge.name for judge in evaluation.judges] for evaluation in evals}
    for rule in rules:
        if not any(set(rule.judges) <= set(names) for names in judges.values()):
            known = "; ".join(f"{name} has {', '.join(names)}" for name, names in judges.items())
            raise UserError(f"--rule {rule}: no eval of the run was judged by {' and '.join(rule.judges)}: {known}")
    return [
        _with(evaluation, [rule for rule in rules if set(rule.judges) <= set(judges[evaluation.name])])
        for evaluation in evals
    ]


def _with(evaluation: Eval, rules: list[Rule]) -> Eval:
    return validate(Eval, with_rules(evaluation, rules).model_dump(), f"--rule, in {evaluation.name}")
