"""Comparison: the effects of several runs side by side; runs of one definition with different seeds are pooled.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed, so that questions and seeds are crossed. A baseline that the runs
share is counted once.
"""

import math
from pathlib import Path
from typing import NamedTuple

from prefect import task

from tasks.catalog import UserError
from tasks.intervals import Interval, Term, new_questions_and_seeds, these_questions
from tasks.measures import Measure, Pair, likelihood_measures, measures
from tasks.page import image, page
from tasks.rules import as_words, at_moment
from tasks.runs import Comparison, Run, as_table, same_definition, write_text
from tasks.schema import ALL, Compared, Eval
from tasks.stage import progress

LIKELIHOOD = Interval(None, None, "not estimable over several runs: likelihoods are of each run's own answers")
POOLED = Interval(None, None, "not estimable: the rule pools answers, and several runs are crossed by question")


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
    for group in found:
        _refuse_what_cannot_be_pooled(group)
    return found


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
            rows += _of_measure(group.label, one, list(same))
    return rows


def _of_measure(label: str, one: Eval, same: list[Measure]) -> list[Compared]:
    """A row for each tier, one over all of several, and one for each question, of one measure in all runs."""
    tiers = list(dict.fromkeys(question.tier for question in one.questions))
    every = [measure.pairs(one) for measure in same]
    parts = [(tier, "", [[p for p in pairs if p.tier == tier] for pairs in every]) for tier in tiers]
    parts += [(ALL, "", every)] if len(tiers) > 1 else []
    parts += [(q.tier, q.id, [[pairs[n]] for pairs in every]) for n, q in enumerate(one.questions)]
    return [_row(label, same, tier, question, pairs) for tier, question, pairs in parts]


def _row(label: str, same: list[Measure], tier: str, question: str, every: list[list[Pair]]) -> Compared:
    kept = [
        n
        for n in range(len(every[0]))
        if all(measure.compares(pairs[n]) for measure, pairs in zip(same, every, strict=True))
    ]
    both = [[pairs[n] for n in kept] for pairs in every]
    before, after = (_mean_over_runs(same, both, side) for side in ("baseline", "finetuned"))
    these, new = _intervals(same, both)
    bounds = [measure.bounds(pairs) for measure, pairs in zip(same, every, strict=True)]
    levels = [these_questions(_terms(same, both, side), same[0].is_rate) for side in ("baseline", "finetuned")]
    levels = [LIKELIHOOD, LIKELIHOOD] if same[0].is_likelihood else levels
    return Compared(
        label=label,
        runs=len(same),
        eval=same[0].eval,
        measure=same[0].name,
        model=", ".join(sorted({measure.model for measure in same})),
        rubric=", ".join(sorted({measure.rubric for measure in same})),
        tier=tier,
        question=question,
        baseline=before,
        finetuned=after,
        difference=None if before is None or after is None else after - before,
        these_low=these.low,
        these_high=these.high,
        these_note=these.note,
        new_low=new.low,
        new_high=new.high,
        new_note=new.note,
        p_new=new.p,
        questions=len(kept),
        questions_left_out=len(every[0]) - len(kept),
        scored_baseline=sum(p.baseline.n for p in _baseline(both)),
        scored_finetuned=sum(p.finetuned.n for pairs in both for p in pairs),
        unscored_baseline=sum(p.baseline.unscored for p in _baseline(every)),
        unscored_finetuned=sum(p.finetuned.unscored for pairs in every for p in pairs),
        bound_low=_mean([low for low, _ in bounds]),
        bound_high=_mean([high for _, high in bounds]),
        baseline_low=levels[0].low,
        baseline_high=levels[0].high,
        finetuned_low=levels[1].low,
        finetuned_high=levels[1].high,
        rule=str(same[0].rule or ""),
    )


def _intervals(same: list[Measure], both: list[list[Pair]]) -> tuple[Interval, Interval]:
    """For these questions and seeds, and for new ones of both."""
    terms = _terms(same, both, "finetuned") + [(-weight, cell) for weight, cell in _terms(same, both, "baseline")]
    these = LIKELIHOOD if same[0].is_likelihood else these_questions(terms, same[0].is_rate)
    if same[0].is_pooled:
        return these, POOLED
    return these, new_questions_and_seeds([[pair.difference for pair in pairs] for pairs in both])


def _terms(same: list[Measure], both: list[list[Pair]], side: str) -> list[Term]:
    """How the cells of all runs make the mean; of a baseline that they share each cell stands once."""
    if side == "baseline" and _is_shared(both):
        return same[0].terms([pair.baseline for pair in both[0]])
    return [
        (weight / len(same), cell)
        for measure, pairs in zip(same, both, strict=True)
        for weight, cell in measure.terms([getattr(pair, side) for pair in pairs])
    ]


def _is_shared(both: list[list[Pair]]) -> bool:
    """Whether all runs have the very same baseline: scores, means and spreads of every question."""
    first, *others = ([repr(pair.baseline) for pair in pairs] for pairs in both)
    return all(other == first for other in others)


def _baseline(both: list[list[Pair]]) -> list[Pair]:
    """The questions of every baseline; a shared one stands once."""
    return both[0] if _is_shared(both) else [pair for pairs in both for pair in pairs]


def _mean_over_runs(same: list[Measure], both: list[list[Pair]], side: str) -> float | None:
    return _mean([m.mean([getattr(p, side) for p in pairs]) for m, pairs in zip(same, both, strict=True)])


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


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
