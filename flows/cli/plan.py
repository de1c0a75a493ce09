"""How many questions and samples an effect takes, learnt from a run as a pilot or from spreads that are given."""

from rich.table import Table

from flows.console import console
from tasks.catalog import UserError
from tasks.estimates.intervals import POWER
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import Measure, measures
from tasks.estimates.power import MAX_QUESTIONS, Needed, Spread, plan, spread_of
from tasks.estimates.wording import number
from tasks.runs import Run


def show_plan_of(run: Run, effect: float, power: float) -> None:
    """A table for each measure of a run; an effect of 0 stands for the eval's equivalence margin.

    Raises UserError for a run that is not judged, and for an effect or a power that cannot be planned for.
    """
    _refuse_impossible(effect, power)
    if not run.judged.is_file():
        raise UserError(f"{run.folder} has no judged.jsonl yet; finish it with `{run.resume_command}`")
    judgments = scan_judgments(run.judged)
    for evaluation in run.evals():
        for measure in measures(evaluation, at_checkpoint(judgments, evaluation, 1.0)):
            pairs = [(pair.baseline, pair.finetuned) for pair in measure.pairs(evaluation)]
            _show_measure(measure, spread_of(pairs), effect or measure.equivalence_margin or 0.0, power)


def show_plan_for(within: float, between: float, effect: float, power: float) -> None:
    """The table without a run: for a measure whose answers vary by `within`, and its change by `between`."""
    show_needed("Any measure", Spread(within, between), effect, power)


def _show_measure(measure: Measure, spread: Spread | None, effect: float, power: float) -> None:
    title = f"{measure.name} ({measure.eval})"
    if spread is None:
        console.print(f"{title}: the run has no two questions with two scores of each model to learn from\n")
    elif spread.within == spread.between == 0:
        console.print(f"{title}: all answers of the run scored alike, so it says nothing of how much they vary\n")
    else:
        show_needed(title, spread, effect, power)


def show_needed(title: str, spread: Spread, effect: float, power: float = POWER) -> None:
    """How many questions and samples find a difference of `effect`, in the unit of the spread, `power` of the time."""
    _refuse_impossible(effect, power)
    if effect <= 0:
        raise UserError("--effect must be above 0: the difference that you want to find, in the measure's unit")
    console.print(f"{title}: a difference of {number(effect)}, found in {power:.0%} of all such runs", style="bold")
    console.print(
        f"answers vary by {number(spread.within)}, the change from question to question by {number(spread.between)}"
    )
    console.print(_table(plan(spread, effect, power)), soft_wrap=False)
    console.print()


def _table(rows: list[Needed]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("samples each", "questions: these", "answers", "questions: new ones too", "answers"):
        table.add_column(name, justify="right")
    for row in rows:
        fixed, new = (_cells(questions, row.samples) for questions in (row.fixed_questions, row.new_questions))
        table.add_row(str(row.samples), *fixed, *new)
    return table


def _cells(questions: int | None, samples: int) -> tuple[str, str]:
    """Answers are those of both models, each of which a judge reads once."""
    if questions is None:
        return ("–" if samples == 1 else f"over {MAX_QUESTIONS:,}"), ""
    return f"{questions:,}", f"{2 * questions * samples:,}"


def _refuse_impossible(effect: float, power: float) -> None:
    if not 0.05 < power < 1:
        raise UserError(f"--power: {power:g} is no share between 0.05 and 1, as 0.8")
    if effect < 0:
        raise UserError("--effect must be above 0: the difference that you want to find, in the measure's unit")
