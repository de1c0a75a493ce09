"""Comparison: the effects of several runs side by side; runs of one definition with different seeds are pooled.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed; tasks/estimates/estimates.py says how that is estimated.
"""

from hashlib import sha256
from typing import NamedTuple

import polars
from prefect import task

from tasks.catalog import UserError
from tasks.estimates.estimates import adjusted, effects_of
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import Measure, likelihood_measures, measures
from tasks.progress import track
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Effect, Eval
from tasks.tables import as_table, write_table
from tasks.visible import visible

FIRST = ("label", "runs", "against", "dose")
"""The first columns of the table."""


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
    told = [Told.of(group) for group in groups]
    alone = [row for group, mine in zip(groups, told, strict=True) for row in _against_baseline(group, mine)]
    between = [
        row
        for group, mine in zip(groups[1:], told[1:], strict=True)
        for row in _against_first(group, mine, groups[0], told[0])
    ]
    earlier = [row for row in alone if row.trained_share != 1]
    return [*adjusted([row for row in alone if row.trained_share == 1]), *earlier, *adjusted(between)]


class Told(NamedTuple):
    """What the judges said in the runs of a group, and its measures of each eval, one list for each run."""

    evals: dict[str, Eval]
    measures: dict[str, list[list[Measure]]]

    @classmethod
    def of(cls, group: Group) -> "Told":
        words = [
            (told := scan_judgments(run.judged), run.likelihood_rows(), _baseline_of(run, told)) for run in group.runs
        ]
        evals = {one.name: one for one in group.runs[0].evals()}
        found = {
            name: [
                [
                    measure._replace(baseline=baseline)
                    for measure in (
                        *measures(one, at_checkpoint(told, one, 1.0)),
                        *likelihood_measures(one, likely, 1.0),
                    )
                ]
                for told, likely, baseline in words
            ]
            for name, one in evals.items()
        }
        return cls(evals, found)


def _baseline_of(run: Run, words: polars.DataFrame) -> str:
    """The same for runs that share their baseline's answers, and what was said of them."""
    said = words.filter(side="baseline").drop("trained_share").write_ndjson()
    answers = run.baseline.read_bytes() if run.baseline.is_file() else b""
    return sha256(answers + said.encode()).hexdigest()


def _against_baseline(group: Group, told: Told) -> list[Compared]:
    """One run's own effects, those along its training too; of several runs means, questions and seeds crossed."""
    if len(group.runs) == 1:
        return [_row(Effect(**row), group) for row in group.runs[0].effects_table().to_dicts()]
    return [
        _row(effect, group)
        for name, one in told.evals.items()
        for same in zip(*told.measures[name], strict=False)
        for effect in effects_of(list(same), one)
    ]


def _against_first(group: Group, mine: Told, first: Group, theirs: Told) -> list[Compared]:
    """What both fine-tunes were asked, paired by question: a baseline that they share has no part in it.

    The first group's fine-tuned answers take the baseline's place. Of several seeds those of the same rank are paired,
    so that what a seed draws alike in both cancels; groups of unequal size and measures of other scales are left out.
    """
    found = []
    for name, one in mine.evals.items():
        for place, measure in enumerate(mine.measures[name][0]):
            pairs = _paired(place, measure, mine.measures[name], theirs.measures.get(name, []))
            shared = _asked_by_both(one, theirs.evals.get(name))
            if pairs and shared:
                found += [_row(effect, group, first.label) for effect in effects_of(pairs, shared)]
    return found


def _asked_by_both(one: Eval, other: Eval | None) -> Eval | None:
    """The eval with the questions that both have in the same words, if there are any."""
    asked = {(q.id, q.text, q.system_prompt) for q in other.questions} if other else set()
    both = [q for q in one.questions if (q.id, q.text, q.system_prompt) in asked]
    return one.model_copy(update={"questions": both}) if both else None


def _paired(place: int, measure: Measure, mine: list[list[Measure]], theirs: list[list[Measure]]) -> list[Measure]:
    """The measure in each run with the other group's fine-tuned cells in place of the baseline's."""
    wanted = (measure.name, measure.rubric, measure.low, measure.high, False)
    known = [m for run in theirs for m in run if (m.name, m.rubric, m.low, m.high, m.is_likelihood) == wanted]
    if len(mine) != len(known):
        return []
    is_rate = all(m.is_rate for m in [*known, *(run[place] for run in mine)])
    return [_instead(run[place], other, is_rate) for run, other in zip(mine, known, strict=True)]


def _instead(measure: Measure, other: Measure, is_rate: bool) -> Measure:
    """The measure with another's fine-tuned answers as its baseline; placements are of a run's own two sides."""
    cells = {(q, side): cell for (q, side), cell in measure.cells.items() if side == "finetuned"}
    cells |= {(q, "baseline"): cell for (q, side), cell in other.cells.items() if side == "finetuned"}
    return measure._replace(cells=cells, placements={}, reads_pair=False, is_rate=is_rate, baseline="")


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
    write_table(place.table, table.select(*FIRST, *(c for c in table.columns if c not in FIRST)))
    return rows
