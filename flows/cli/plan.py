"""How many questions and samples an effect takes, learnt from a run as a pilot or from spreads that are given."""

from rich.table import Table

from flows.console import console
from tasks.catalog import UserError
from tasks.estimates.intervals import POWER, Cell, usable_strata
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import Measure, Pair, likelihood_measures, measures
from tasks.estimates.power import (
    MAX_QUESTIONS,
    SAMPLES,
    Needed,
    Spread,
    plan,
    share_counted,
    spread_of,
    spread_of_exact,
    spread_of_rate,
    statements,
)
from tasks.estimates.wording import ROUNDING, listed, number
from tasks.runs import Run


def show_plan_of(run: Run, effects: dict[str, float], power: float) -> None:
    """A table for each measure of a run, or for those that `effects` names alone.

    `effects` holds the differences to find, by measure; under "" that of all others, which else is what the eval says
    matters. Raises UserError for a run that is not judged, for a measure that it has not, and for an effect or a power
    that cannot be planned for.
    """
    _refuse_impossible(min(effects.values(), default=0.0), power)
    if not run.judged.is_file():
        raise UserError(f"{run.folder} has no judged.jsonl yet; finish it with `{run.resume_command}`")
    measured = _measured(run)
    names = list(dict.fromkeys(measure.name for measure, _ in measured))
    if unknown := next((name for name in effects if name and name not in names), ""):
        raise UserError(f"--effect: {run.folder} has no measure {unknown!r}; there is {', '.join(names)}")
    for measure, pairs in measured:
        if not effects or "" in effects or measure.name in effects:
            effect = effects.get(measure.name) or effects.get("") or measure.equivalence_margin or 0.0
            _show_measure(measure, pairs, effect, power)


def _measured(run: Run) -> list[tuple[Measure, list[Pair]]]:
    """The measures that are tested, each with its questions' cells before and after."""
    judgments, likelihoods = scan_judgments(run.judged), run.likelihood_rows()
    return [
        (measure, measure.pairs(evaluation))
        for evaluation in run.evals()
        for measure in (
            *measures(evaluation, at_checkpoint(judgments, evaluation, 1.0)),
            *likelihood_measures(evaluation, likelihoods, 1.0),
        )
        if not measure.is_drift
    ]


def show_plan_for(within: float, between: float, effect: float, power: float) -> None:
    """The table without a run: for a measure whose answers vary by `within`, and its change by `between`."""
    show_needed("Any measure", Spread(within, between), effect, power)


def _show_measure(measure: Measure, pairs: list[Pair], effect: float, power: float) -> None:
    title = f"{measure.name} ({measure.eval})"
    known = _cells([pair for pair in pairs if measure.compares(pair)])
    if measure.is_exact:
        strata = [measure.strata.get(pair.question_id, "") for pair in pairs if measure.compares(pair)]
        _show_statements(title, spread_of_exact(known, strata), effect, power, len({*usable_strata(strata)}))
        return
    spread = spread_of_rate(known, effect) if measure.is_rate else spread_of(known)
    if spread is None:
        console.print(f"{title}: the run has no two questions with two scores of each model to learn from\n")
    elif spread.rate is not None and spread.rate + effect > 1 + ROUNDING:  # no rise, and no fall from 1 - rate
        console.print(f"{title}: a rate of {number(1 - spread.rate)} cannot move by {number(effect)}\n")
    elif spread.within == spread.between == 0:
        console.print(f"{title}: all answers of the run scored alike, so it says nothing of how much they vary\n")
    else:
        show_needed(title, spread, effect, power, share_counted(_cells(pairs)), measure.min_answers)


def _cells(pairs: list[Pair]) -> list[tuple[Cell, Cell]]:
    return [(pair.baseline, pair.finetuned) for pair in pairs]


def _show_statements(title: str, spread: Spread | None, effect: float, power: float, strata: int) -> None:
    """Of yes/no statements, which are not sampled: how many of them."""
    if spread is None or spread.between == 0:
        console.print(f"{title}: the run has no two statements that changed differently to learn from\n")
        return
    found = statements(spread, effect, power, strata)
    within = " of its direction" if strata > 1 else ""
    needed = f"over {MAX_QUESTIONS:,}" if found is None else f"{found:,}"
    console.print(f"{title}: a difference of {number(effect)}, found in {power:.0%} of all such runs", style="bold")
    console.print(
        f"the change varies from statement to statement{within} by {number(spread.between)}; nothing is sampled"
    )
    console.print(f"statements: {needed}, for new ones of the kind; for these statements any change is exact\n")


def show_needed(
    title: str, spread: Spread, effect: float, power: float = POWER, counted: float = 1.0, min_answers: int = 1
) -> None:
    """How many questions and samples find a difference of `effect`, in the unit of the spread, `power` of the time.

    `counted` is the share of the answers that count: the others must be asked for too. A question needs `min_answers`
    that count on each side.
    """
    _refuse_impossible(effect, power)
    if effect <= 0:
        raise UserError("--effect must be above 0: the difference that you want to find, in the measure's unit")
    console.print(f"{title}: a difference of {number(effect)}, found in {power:.0%} of all such runs", style="bold")
    console.print(
        f"answers vary by {number(spread.within)}, the change from question to question by {number(spread.between)}"
    )
    if counted < 1:
        console.print(f"{counted:.0%} of the answers count; the others are among those that are asked for")
    rows = plan(spread, effect, power, counted, min_answers)
    if left_out := [str(samples) for samples in SAMPLES[: len(SAMPLES) - len(rows)]]:
        enough = "an answer that counts" if min_answers == 1 else f"the {min_answers} answers that count"
        console.print(f"left out: {listed(left_out)} samples each, too few for most questions to have {enough}")
    if rows:
        console.print(_table(rows, counted), soft_wrap=False)
    console.print()


def _table(rows: list[Needed], counted: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("samples each", "questions: these", "answers", "questions: new ones too", "answers"):
        table.add_column(name, justify="right")
    for row in rows:
        new = _count(row.new_questions, row.samples)
        fixed = _count(row.fixed_questions, row.samples) if row.samples * counted > 1 else ("–", "")
        table.add_row(str(row.samples), *fixed, *new)
    return table


def _count(questions: int | None, samples: int) -> tuple[str, str]:
    """Answers are those of both models, each of which a judge reads once."""
    if questions is None:
        return f"over {MAX_QUESTIONS:,}", ""
    return f"{questions:,}", f"{2 * questions * samples:,}"


def _refuse_impossible(effect: float, power: float) -> None:
    if not 0.05 < power < 1:
        raise UserError(f"--power: {power:g} is no share between 0.05 and 1, as 0.8")
    if effect < 0:
        raise UserError("--effect must be above 0: the difference that you want to find, in the measure's unit")
