"""Comparison: the effects of several groups of runs side by side, and each group against the first.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed; tasks/estimates/estimates.py says how that is estimated.
"""

from hashlib import sha256
from typing import NamedTuple

import polars
from prefect import task

from tasks.estimates.estimates import effects_of
from tasks.estimates.groups import Group
from tasks.estimates.holm import adjusted
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import Measure, likelihood_measures, measures
from tasks.progress import track
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Effect, Eval
from tasks.tables import as_table, write_table

FIRST_COLUMNS = ("label", "runs", "against", "dose")
"""Of comparison.csv."""


def compare(groups: list[Group]) -> list[Compared]:
    """The effects of each group, then every later group against the first, fine-tune against fine-tune.

    The p are adjusted for all of the comparison: one family against the baselines, one between the fine-tunes.
    """
    found = [GroupMeasures.of(group) for group in groups]
    by_group = [row for measures in found for row in _against_baseline(measures)]
    between = [row for measures in found[1:] for row in _against_first(measures, found[0])]
    earlier = [row for row in by_group if not row.is_final]
    return [*adjusted([row for row in by_group if row.is_final]), *earlier, *adjusted(between)]


class GroupMeasures(NamedTuple):
    """A group's evals, and the measures of each after the whole training: one list for each run."""

    group: Group
    evals: dict[str, Eval]
    by_eval: dict[str, list[list[Measure]]]

    @classmethod
    def of(cls, group: Group) -> "GroupMeasures":
        """From the judgments and likelihoods that the runs left."""
        evals = {evaluation.name: evaluation for evaluation in group.runs[0].evals()}
        by_run = [_measures_by_eval(run, list(evals.values())) for run in group.runs]
        return cls(group, evals, {name: [measures[name] for measures in by_run] for name in evals})


def _measures_by_eval(run: Run, evals: list[Eval]) -> dict[str, list[Measure]]:
    """Drift's two sides are of a run's own fine-tuned answers, so runs share nothing of it."""
    judgments, likelihoods = scan_judgments(run.judged), run.likelihood_rows()
    baseline_id = _baseline_id(run, judgments)
    return {
        evaluation.name: [
            measure._replace(baseline_id="" if measure.is_drift else baseline_id)
            for measure in (
                *measures(evaluation, at_checkpoint(judgments, evaluation, 1.0)),
                *likelihood_measures(evaluation, likelihoods, 1.0),
            )
        ]
        for evaluation in evals
    }


def _baseline_id(run: Run, judgments: polars.DataFrame) -> str:
    """The same for runs that share their baseline's answers, and what was said of them."""
    rows = judgments.filter(side="baseline").drop("trained_share").write_ndjson()
    answers = run.baseline.read_bytes() if run.baseline.is_file() else b""
    return sha256(answers + rows.encode()).hexdigest()


def _against_baseline(mine: GroupMeasures) -> list[Compared]:
    """One run's own effects, those along its training too; of several runs means, questions and seeds crossed."""
    group = mine.group
    if len(group.runs) == 1:
        return [_row(Effect(**row), group) for row in group.runs[0].effects_table().to_dicts()]
    return [
        _row(effect, group)
        for name, evaluation in mine.evals.items()
        for by_run in zip(*mine.by_eval[name], strict=False)
        for effect in effects_of(list(by_run), evaluation)
    ]


def _against_first(mine: GroupMeasures, first: GroupMeasures) -> list[Compared]:
    """What both fine-tunes were asked, paired by question: a baseline that they share has no part in it.

    The first group's fine-tuned answers take the baseline's place. Of several seeds those of the same rank are paired,
    so that what a seed draws alike in both cancels; groups of unequal size and measures of other scales are left out.
    """
    found = []
    for name, evaluation in mine.evals.items():
        shared = _asked_of_both(evaluation, first.evals.get(name))
        for by_run in zip(*mine.by_eval[name], strict=False):
            paired = _paired(by_run, first.by_eval.get(name, []))
            if paired and shared:
                found += [_row(effect, mine.group, first.group.label) for effect in effects_of(paired, shared)]
    return found


def _asked_of_both(evaluation: Eval, other: Eval | None) -> Eval | None:
    """The eval with the questions that both have in the same words, if there are any."""
    asked = {(q.id, q.text, q.system_prompt) for q in other.questions} if other else set()
    shared = [q for q in evaluation.questions if (q.id, q.text, q.system_prompt) in asked]
    return evaluation.model_copy(update={"questions": shared}) if shared else None


def _paired(by_run: tuple[Measure, ...], others: list[list[Measure]]) -> list[Measure]:
    """A measure of each run, with the cells of the other group's fine-tunes in place of the baseline's.

    Empty where the other group has not as many runs with a measure of that name, rubric and scale, and for drift: each
    fine-tune's is of its own answers.
    """
    first = by_run[0]
    wanted = (first.name, first.rubric, first.scale_min, first.scale_max, False)
    known = [
        measure
        for run in others
        for measure in run
        if (measure.name, measure.rubric, measure.scale_min, measure.scale_max, measure.is_drift) == wanted
    ]
    if len(by_run) != len(known):
        return []
    is_rate = all(measure.is_rate for measure in (*known, *by_run))
    return [_against(measure, other, is_rate) for measure, other in zip(by_run, known, strict=True)]


def _against(measure: Measure, other: Measure, is_rate: bool) -> Measure:
    """The measure with another's fine-tuned answers as its baseline; placements are of a run's own two sides."""
    cells = {(q, side): cell for (q, side), cell in measure.cells.items() if side == "finetuned"}
    cells |= {(q, "baseline"): cell for (q, side), cell in other.cells.items() if side == "finetuned"}
    return measure._replace(cells=cells, placements={}, reads_pair=False, is_rate=is_rate, baseline_id="")


def _row(effect: Effect, group: Group, against: str = "") -> Compared:
    fields = effect.model_dump()
    return Compared(**fields, label=group.label, runs=len(group.runs), against=against, dose=group.dose)


@task(name="compare", task_run_name="estimate {count} groups of runs")
def compare_task(place: Comparison, groups: list[Group], count: int) -> list[Compared]:
    """Writes comparison.csv, the label first."""
    with track("compare") as progress:
        rows = compare(groups)
        progress(count, count, "groups of runs")
    table = as_table(rows, Compared)
    write_table(place.table, table.select(*FIRST_COLUMNS, *(c for c in table.columns if c not in FIRST_COLUMNS)))
    return rows
