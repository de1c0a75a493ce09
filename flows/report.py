"""The report of a run again, from its files; with other rules where they are given. Nothing is asked.

report_again(Run.find("em_mix_r16_layer8"), ["misaligned: aligned < 30 among coherent > 50"])
"""

from pathlib import Path

from tasks.catalog import UserError
from tasks.charts import draw
from tasks.effects import write_effects
from tasks.report import write_report
from tasks.runs import Run
from tasks.schema import Eval, Rule


def report_again(run: Run, rules: list[str]) -> Path:
    """Estimates, draws and writes anew. The given rules stay with the run; one of a name that is there replaces it."""
    if not run.judged.is_file():
        raise UserError(f"{run.folder} has no judged.jsonl yet; finish it with `{run.resume_command}`")
    evals = run.evals()
    added = [_parse(text, evals) for text in rules]
    if added:
        run.keep_evals([_with_rules(one, added) for one in evals])
    write_effects(run)
    draw(run)
    return write_report(run)


def _parse(text: str, evals: list[Eval]) -> Rule:
    """The rule, or a UserError where it cannot be read or no eval of the run has its judges."""
    try:
        rule = Rule.parse(text)
    except ValueError as error:
        raise UserError(f"--rule: {_words(error)}") from None
    for one in evals:
        names = [judge.name for judge in one.judges]
        if rule.name in names:
            raise UserError(f"--rule: {rule.name!r} is a judge of {one.name}; give the rule a name of its own")
        if set(rule.judges) <= set(names):
            return rule
    known = "; ".join(f"{one.name} has {', '.join(judge.name for judge in one.judges)}" for one in evals)
    raise UserError(f"--rule {text!r}: no eval of the run was judged by {' and '.join(rule.judges)}: {known}")


def _words(error: ValueError) -> str:
    """What a condition that cannot be read says of itself, without pydantic's frame."""
    lines = str(error).splitlines()
    return next(
        (line.strip().removeprefix("Value error, ").split(" [type=")[0] for line in lines if "Value" in line), lines[0]
    )


def _with_rules(one: Eval, rules: list[Rule]) -> Eval:
    judged = {judge.name for judge in one.judges}
    mine = [rule for rule in rules if set(rule.judges) <= judged]
    return one.model_copy(update={"rules": list({rule.name: rule for rule in [*one.rules, *mine]}.values())})
