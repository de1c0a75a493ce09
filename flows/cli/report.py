"""The report of a run again, from its files; with other rules where they are given. Nothing is asked.

report_again(Run.find("em_mix_r16_layer8"), ["misaligned: aligned < 30 among coherent > 50"])
"""

import io
from pathlib import Path

from pydantic import ValidationError

from tasks.catalog import UserError, validate
from tasks.definitions import with_rules
from tasks.estimates.effects import estimate, sensitivity, write_effects
from tasks.estimates.judgments import scan_judgments
from tasks.files import write_bytes
from tasks.report.charts import draw
from tasks.report.exports import as_one_table
from tasks.report.report import write_report
from tasks.runs import Run
from tasks.schema import Eval, Rule


def report_again(run: Run, rules: list[str]) -> Path:
    """Estimates, draws and writes anew. The given rules stay with the run; one of a name that is there replaces it."""
    if not run.judged.is_file():
        raise UserError(f"{run.folder} has no judged.jsonl yet; finish it with `{run.resume_command}`")
    with run.exclusive():
        _keep_rules(run, rules)
        write_effects(run)
        draw(run)
        return write_report(run)


def _keep_rules(run: Run, rules: list[str]) -> None:
    if rules:
        evals = _with_added(run.evals(), [_parse(text) for text in rules])
        words = scan_judgments(run.judged)
        # Tried before they are kept: a rule that cannot be estimated would stand in the way of every later report.
        estimate(words, evals)
        sensitivity(words, evals)
        run.keep_evals(evals)


def write_parquet(run: Run, file: Path) -> int:
    """All answers and judgments as one file; how many rows it has."""
    if not run.judged.is_file() or run.judged.stat().st_size == 0:
        raise UserError(f"{run.folder} has no judgments yet; finish it with `{run.resume_command}`")
    if file.is_dir():
        raise UserError(f"--parquet: {file} is a folder; name a file, as {file / 'run.parquet'}")
    table, content = as_one_table(run), io.BytesIO()
    table.write_parquet(content)
    write_bytes(file, content.getvalue())
    return len(table)


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
    judged = {one.name: {judge.name for judge in one.judges} for one in evals}
    for rule in rules:
        if not any(set(rule.judges) <= judges for judges in judged.values()):
            known = "; ".join(f"{one.name} has {', '.join(judge.name for judge in one.judges)}" for one in evals)
            raise UserError(f"--rule {rule}: no eval of the run was judged by {' and '.join(rule.judges)}: {known}")
    return [_taking(one, [rule for rule in rules if set(rule.judges) <= judged[one.name]]) for one in evals]


def _taking(one: Eval, rules: list[Rule]) -> Eval:
    return validate(Eval, with_rules(one, rules).model_dump(), f"--rule, in {one.name}")
