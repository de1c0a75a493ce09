"""Groups: which runs are compared as one, and which cannot be.

    groups = grouped([Run.find_all("demo/seed-*"), [control]], labels=["farms", "control"])

Runs of one definition with different seeds are pooled; what would put unlike things into one mean is refused.
"""

from typing import NamedTuple

from tasks.catalog import UserError
from tasks.runs import Run
from tasks.visible import visible


class Group(NamedTuple):
    """Runs that are compared as one."""

    label: str
    runs: list[Run]
    dose: float | None = None
    """How much of what is varied they got: a share of poison, a number of documents."""


def grouped(runs: list[list[Run]], labels: list[str], doses: list[float] | None = None) -> list[Group]:
    """The groups of the runs that each argument named: `labels` has one for each argument, `doses` one for each group.

    What has the same label is one group. Without labels, runs of one experiment with the same definition are a group
    of its name, and others are called by experiment and run. Raises UserError where runs of one group cannot be
    pooled, where there are more or fewer labels or doses than they are for, and for a label that cannot be read.
    """
    if labels and len(labels) != len(runs):
        raise UserError(f"--labels: {len(labels)} labels for {len(runs)} runs; give one for each, in their order")
    _refuse_hidden_characters(labels)
    found = [Group(label, sorted(some, key=_seed)) for label, some in _by_label(runs, labels).items()]
    _refuse_other_rules_of_one_name(found)
    for group in found:
        _refuse_what_cannot_be_pooled(group)
    if doses and len(doses) != len(found):
        called = ", ".join(group.label for group in found)
        raise UserError(f"--doses: {len(doses)} numbers for {len(found)} groups of runs ({called}); give one for each")
    return [group._replace(dose=dose) for group, dose in zip(found, doses, strict=True)] if doses else found


def _by_label(runs: list[list[Run]], labels: list[str]) -> dict[str, list[Run]]:
    """The runs of each label; a run that was named twice stands there once."""
    every = [run for some in runs for run in some]
    found: dict[str, list[Run]] = {}
    for n, some in enumerate(runs):
        for run in some:
            mates = found.setdefault((labels[n] if labels else "") or _own_label(run, every), [])
            mates += [] if any(run.folder == mate.folder for mate in mates) else [run]
    return found


def _refuse_hidden_characters(labels: list[str]) -> None:
    for label in labels:
        if visible(label) != label or set(label) & set("\t\r\n"):
            raise UserError(f"--labels: {label!r} has a character that cannot be seen; write the label without it")


def is_of_results(run: Run) -> bool:
    """Whether it is of others' judged results, of which neither definition nor seed is known."""
    return "imported" in run.record()


def _seed(run: Run) -> int:
    return int(run.record().get("seed", 0))


def _refuse_other_rules_of_one_name(groups: list[Group]) -> None:
    """Two rates of one name beside each other, or in one mean, must be of one rule."""
    seen: dict[tuple[str, str], tuple[str, Run]] = {}
    for run in (run for group in groups for run in group.runs):
        for name, rule in [(evaluation.name, rule) for evaluation in run.evals() for rule in evaluation.rules]:
            text, first = seen.setdefault((name, rule.name), (str(rule), run))
            if text != str(rule):
                raise UserError(
                    f"{first.folder} and {run.folder} have different rules {rule.name!r} ({text}; {rule}); give both "
                    f"the same with `spillover report RUN --rule '{rule.name}: ...'`"
                )


def _rules(run: Run) -> list[list[tuple[str, str]]]:
    """What the rules count, whatever phrase they are described by."""
    return [[(rule.name, str(rule)) for rule in evaluation.rules] for evaluation in run.evals() if evaluation.rules]


def _own_label(run: Run, others: list[Run]) -> str:
    """The experiment's name where its runs can be pooled, else that of experiment and run."""
    name = run.folder.parent.name
    mates = [other for other in others if other.folder.parent.name == name]
    seeds = {other.folder: other.record().get("seed") for other in mates}
    are_alike = all(run.has_same_definition(other) for other in mates) and len(set(seeds.values())) == len(seeds)
    return name if are_alike else f"{name}/{run.name}"


def _refuse_other_scales(first: Run, run: Run) -> None:
    """Of others' results a judge's scale may have been guessed, and means on two scales are no mean."""
    scales = {
        (evaluation.name, judge.name): f"{judge.scale_min} to {judge.scale_max}"
        for evaluation in first.evals()
        for judge in evaluation.judges
    }
    for evaluation in run.evals():
        for judge in evaluation.judges:
            own = f"{judge.scale_min} to {judge.scale_max}"
            if own != (other := scales.get((evaluation.name, judge.name), own)):
                raise UserError(
                    f"the judge {judge.name!r} has a scale from {other} in {first.folder} and from {own} in "
                    f"{run.folder}; import both anew with the same --scale"
                )


def _refuse_what_cannot_be_pooled(group: Group) -> None:
    first, *others = group.runs
    seeds = {first.record().get("seed"): first}
    for run in others:
        if is_of_results(first) and is_of_results(run):
            _refuse_other_scales(first, run)
        elif not first.has_same_definition(run):
            raise UserError(
                f"{first.folder} and {run.folder} have different definitions and cannot be pooled as {group.label!r}; "
                "give each a label of its own with --labels"
            )
        if _rules(run) != _rules(first):
            raise UserError(
                f"{first.folder} and {run.folder} have not the same rules and cannot be pooled as {group.label!r}; "
                "give both the same with `spillover report RUN --rule ...`"
            )
        if (seed := run.record().get("seed")) in seeds and not is_of_results(run):
            raise UserError(
                f"{seeds[seed].folder} and {run.folder} have both the seed {seed} and cannot be pooled as "
                f"{group.label!r}; name one of them"
            )
        seeds[seed] = run
