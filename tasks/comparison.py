"""Comparison: the effects of several runs side by side; runs of one definition with different seeds are pooled.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed; tasks/estimates.py says how that is estimated.
"""

from pathlib import Path
from typing import NamedTuple

from prefect import task

from tasks.catalog import UserError
from tasks.estimates import effects_of
from tasks.measures import likelihood_measures, measures
from tasks.page import image, page
from tasks.rules import as_words, at_moment
from tasks.runs import Comparison, Run, as_table, same_definition, write_text
from tasks.schema import Compared
from tasks.stage import progress


class Group(NamedTuple):
    """Runs that are compared as one."""

    label: str
    runs: list[Run]


def grouped(runs: list[list[Run]], labels: list[str]) -> list[Group]:
    """What was named with one argument, or with the same label, is one group.

    Without labels, runs of one experiment with the same definition are a group of its name, and others are called by
    experiment and run. Raises UserError where runs of one group cannot be pooled.
    """
    if labels and len(labels) != len(runs):
        raise UserError(f"--labels: {len(labels)} labels for {len(runs)} runs; give one for each, in their order")
    named = [(labels[n] if labels else "", run) for n, some in enumerate(runs) for run in some]
    groups: dict[str, list[Run]] = {}
    for label, run in named:
        mates = groups.setdefault(label or _own_label(run, [other for _, other in named]), [])
        mates += [] if any(run.folder == mate.folder for mate in mates) else [run]
    found = [Group(label, mates) for label, mates in groups.items()]
    _refuse_other_rules_of_one_name(found)
    for group in found:
        _refuse_what_cannot_be_pooled(group)
    return found


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
    alike = all(same_definition(run, other) for other in mates) and len(set(seeds.values())) == len(seeds)
    return name if alike else f"{name}/{run.name}"


def _refuse_what_cannot_be_pooled(group: Group) -> None:
    first, *others = group.runs
    seeds = {first.record().get("seed"): first}
    for run in others:
        if not same_definition(first, run):
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
    """The effects of each group, after the whole training."""
    rows = []
    for group in groups:
        if len(group.runs) == 1:
            rows += [Compared(**e.model_dump(), label=group.label, runs=1) for e in group.runs[0].estimates()]
        else:
            rows += pooled(group)
    return rows


def pooled(group: Group) -> list[Compared]:
    """Means over the runs, with an interval for these questions, and one for new questions and seeds."""
    words = [as_words(run.judgments()) for run in group.runs]
    likely = [run.likely() for run in group.runs]
    rows = []
    for one in group.runs[0].evals():
        found = [
            [*measures(one, at_moment(told, one, 1.0)), *likelihood_measures(one, likelihoods, 1.0)]
            for told, likelihoods in zip(words, likely, strict=True)
        ]
        for same in zip(*found, strict=False):
            effects = effects_of(list(same), one)
            rows += [Compared(**e.model_dump(), label=group.label, runs=len(group.runs)) for e in effects]
    return rows


def render(place: Comparison, groups: list[Group], rows: list[Compared]) -> str:
    return page(
        "comparison.html.j2",
        groups=[(group.label, [f"{run.folder.parent.name}/{run.name}" for run in group.runs]) for group in groups],
        seeds={group.label: [run.record().get("seed", "?") for run in group.runs] for group in groups},
        rows=[row for row in rows if not row.question],
        charts={name: image(place.chart(name)) for name in dict.fromkeys(row.eval for row in rows)},
        pools=any(len(group.runs) > 1 for group in groups),
    )


@task(name="compare", task_run_name="estimate {count} groups of runs")
def compare_task(place: Comparison, groups: list[Group], count: int) -> list[Compared]:
    """Writes comparison.csv, the label first."""
    with progress("compare") as tell:
        rows = compare(groups)
        tell(count, count, "groups of runs")
    table = as_table(rows, Compared)
    write_text(
        place.table,
        table.select("label", "runs", *(c for c in table.columns if c not in ("label", "runs"))).write_csv(),
    )
    return rows


@task(name="page", task_run_name="write the comparison")
def page_task(place: Comparison, groups: list[Group], rows: list[Compared]) -> Path:
    return write_text(place.page, render(place, groups, rows))
