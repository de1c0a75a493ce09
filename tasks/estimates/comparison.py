"""Comparison: the effects of several runs side by side; runs of one definition with different seeds are pooled.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed; tasks/estimates/estimates.py says how that is estimated.
"""

from hashlib import sha256
from typing import NamedTuple

import polars
from prefect import task

from tasks.catalog import UserError
from tasks.estimates.estimates import effects_of
from tasks.estimates.holm import adjusted
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import Measure, likelihood_measures, measures
from tasks.progress import track
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Effect, Eval
from tasks.tables import as_table, write_table
from tasks.visible import visible

FIRST_COLUMNS = ("label", "runs", "against", "dose")
"""Of comparison.csv."""


class Group(NamedTuple):
    """Runs that are compared as one."""

    label: str
    runs: list[Run]
    dose: float | None = None
    """How much of what is varied they got: a share of poison, a number of documents."""


def grouped(runs: list[list[Run]], labels: list[str], doses: list[float] | None = None) -> list[Group]:
    """What was named with one argument, or with the same label, is one group.

    Without labels, runs of one experiment with the same definition are a group of its name, and others are called by
    experiment and run. Raises UserError where runs of one group cannot be pooled, or a label could not be read.
    """
    if labels and len(labels) != len(runs):
        raise UserError(f"--labels: {len(labels)} labels for {len(runs)} runs; give one for each, in their order")
    _refuse_hidden_characters(labels)
    named = [(labels[n] if labels else "", run) for n, some in enumerate(runs) for run in some]
    groups: dict[str, list[Run]] = {}
    for label, run in named:
        mates = groups.setdefault(label or _own_label(run, [other for _, other in named]), [])
        mates += [] if any(run.folder == mate.folder for mate in mates) else [run]
    found = [Group(label, sorted(mates, key=_seed)) for label, mates in groups.items()]
    _refuse_other_rules_of_one_name(found)
    for group in found:
        _refuse_what_cannot_be_pooled(group)
    if doses and len(doses) != len(found):
        called = ", ".join(group.label for group in found)
        raise UserError(f"--doses: {len(doses)} numbers for {len(found)} groups of runs ({called}); give one for each")
    return [group._replace(dose=dose) for group, dose in zip(found, doses, strict=True)] if doses else found


def _refuse_hidden_characters(labels: list[str]) -> None:
    for label in labels:
        if visible(label) != label or set(label) & set("\t\r\n"):
            raise UserError(f"--labels: {label!r} has a character that cannot be seen; write the label without it")


def _seed(run: Run) -> int:
    return int(run.record().get("seed", 0))


def _refuse_other_rules_of_one_name(groups: list[Group]) -> None:
    """Two rates of one name beside each other, or in one mean, must be of one rule."""
    seen: dict[tuple[str, str], tuple[str, Run]] = {}
    for run in (run for group in groups for run in group.runs):
        for name, rule in [(one.name, rule) for one in run.evals() for rule in one.rules]:
            text, first = seen.setdefault((name, rule.name), (str(rule), run))
            if text != str(rule):
                raise UserError(
                    f"{first.folder} and {run.folder} have different rules {rule.name!r} ({text}; {rule}); give both "
                    f"the same with `spillover report RUN --rule '{rule.name}: ...'`"
                )


def _own_label(run: Run, others: list[Run]) -> str:
    name = run.folder.parent.name
    mates = [other for other in others if other.folder.parent.name == name]
    seeds = {other.folder: other.record().get("seed") for other in mates}
    alike = all(run.has_same_definition(other) for other in mates) and len(set(seeds.values())) == len(seeds)
    return name if alike else f"{name}/{run.name}"


def _refuse_what_cannot_be_pooled(group: Group) -> None:
    first, *others = group.runs
    seeds = {first.record().get("seed"): first}
    for run in others:
        if not first.has_same_definition(run):
            raise UserError(
                f"{first.folder} and {run.folder} have different definitions and cannot be pooled as {group.label!r}; "
                "give each a label of its own with --labels"
            )
        if [one.rules for one in run.evals()] != [one.rules for one in first.evals()]:
            raise UserError(
                f"{first.folder} and {run.folder} have not the same rules and cannot be pooled as {group.label!r}; "
                "give both the same with `spillover report RUN --rule ...`"
            )
        if (seed := run.record().get("seed")) in seeds:
            raise UserError(
                f"{seeds[seed].folder} and {run.folder} have both the seed {seed} and cannot be pooled as "
                f"{group.label!r}; name one of them"
            )
        seeds[seed] = run


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
    judgments, likelihoods = scan_judgments(run.judged), run.likelihood_rows()
    baseline_id = _baseline_id(run, judgments)
    return {
        evaluation.name: [
            measure._replace(baseline_id=baseline_id)
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

    Empty where the other group has not as many runs with a measure of that name, rubric and scale.
    """
    first = by_run[0]
    wanted = (first.name, first.rubric, first.scale_min, first.scale_max, False)
    known = [
        measure
        for run in others
        for measure in run
        if (measure.name, measure.rubric, measure.scale_min, measure.scale_max, measure.is_likelihood) == wanted
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
