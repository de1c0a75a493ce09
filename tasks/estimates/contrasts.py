"""Contrasts: what one group of fine-tunes does more, or less, than another, in words.

    for said in verdicts(groups, compare(groups)):
        print(said)             # demo adds to demo_control, over 3 seeds each:
                                # - approval -0.15 (95 % for new questions and seeds ...

Between single fine-tunes a difference may be the seed's. With enough seeds the interval for new questions and seeds
decides, since that for these ones holds for these very fine-tunes alone.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from tasks.estimates.findings import (
    MAX_NUMBERS,
    MOVED,
    Evidence,
    Finding,
    findings,
    headline_lines,
    verdict,
    why_no_interval,
)
from tasks.estimates.groups import Group, is_of_results
from tasks.estimates.wording import beside, listed, number, signed, span
from tasks.schema import Compared, Effect

ENOUGH_SEEDS = 3
"""Of each side: with fewer the seed is not told from the treatment."""
SEEDS_SAID = {
    1: "one fine-tune of a side: the seed is not told from the treatment",
    2: "two fine-tunes of a side: the seed is hardly told from the treatment",
}
"""By the number of fine-tunes on the side that has fewer, what a difference between them cannot tell."""
CAVEATS = {
    1: "One fine-tune of a side cannot tell the seed from the treatment: two seeds of one definition differ too; three "
    "or more of each can.",
    2: "Two fine-tunes of a side hardly tell the seed from the treatment; three or more of each do.",
}
OF_ONE_DEFINITION = "seeds of one definition: what differs is the seed's"
ONE_DEFINITION = "Both are of one definition, so whatever differs is the seed's and no treatment's."
CONTROL = re.compile(r"(?<![a-z])controls?(?![a-z])", re.IGNORECASE)
"""What the label or the experiment of a control is called by."""
OF_THESE_ALONE = "of these alone"
OF_THESE = ("ci_low_fixed_questions", "ci_high_fixed_questions", "p_fixed_questions_holm", "detectable_fixed_questions")


def reference(groups: list[Group]) -> Group:
    """The group that the others are set against: the only control among them, or else the first."""
    controls = [group for group in groups if is_control(group)]
    return controls[0] if len(controls) == 1 else groups[0]


def is_control(group: Group) -> bool:
    """Whether its label, or its experiment's name, says that it is a control."""
    return any(CONTROL.search(name) for name in (group.label, *(run.folder.parent.name for run in group.runs)))


def note_seeds(group: Group, first: Group, runs: int) -> str:
    """What a difference of two groups, of so many fine-tunes each, cannot tell; empty where it can."""
    if are_seeds_of_one_definition(group, first):
        return OF_ONE_DEFINITION
    return SEEDS_SAID.get(runs, "")


def are_seeds_of_one_definition(group: Group, first: Group) -> bool:
    """Whether the two differ in nothing but their seeds."""
    mine, theirs = group.runs[0], first.runs[0]
    return not is_of_results(mine) and mine.has_same_definition(theirs)


class GroupVerdict(NamedTuple):
    """The verdict on one group of fine-tunes."""

    begins: str
    """Which groups; the lines go on with it."""
    lines: list[str]
    """A line for each measure that moved, the surest first, then what was not found."""
    notes: list[str]
    """Sentences: what is never tested, and what cannot be told."""

    def __str__(self) -> str:
        """A list, and the notes beneath it."""
        listing = "\n".join([f"{self.begins}:", *(f"- {line}" for line in self.lines)]) if self.lines else ""
        return "\n\n".join(part for part in (listing, " ".join(self.notes)) if part)


def verdicts(groups: list[Group], rows: list[Compared]) -> list[GroupVerdict]:
    """Of each group that is set against the reference; of a single group its headline."""
    final = [row for row in rows if row.is_final]
    between = [row for row in final if row.against]
    labels = list(dict.fromkeys(row.label for row in between))
    adds = is_control(reference(groups))
    if labels or len(groups) > 1:
        return [
            _contrast([row for row in between if row.label == label], adds, _over_both(groups, label))
            for label in labels
        ]
    begins = f"{groups[0].label}{_over(len(groups[0].runs))}"
    return [GroupVerdict(begins, headline_lines([_decided(row) for row in final]), [])]


def _over(seeds: int) -> str:
    return f", over {seeds} seeds" if seeds > 1 else ""


def _decided(row: Compared) -> Effect:
    """The row with the interval that decides: with enough seeds only that which holds for other seeds too."""
    if row.runs < ENOUGH_SEEDS or row.ci_low_new_questions is None:
        return row
    return row.model_copy(update=dict.fromkeys(OF_THESE))


# ---- one group against the reference ---------------------------------------------------------------


def _over_both(groups: list[Group], label: str) -> str:
    """How many fine-tunes a difference is of: pairs of seeds, or of others' results two groups of any size."""
    first = reference(groups)
    mine, theirs = (len(group.runs) for group in (next(g for g in groups if g.label == label), first))
    if mine != theirs and is_of_results(first.runs[0]):
        return f", over {mine} and {theirs} fine-tunes"
    return f"{_over(min(mine, theirs))} each" if min(mine, theirs) > 1 else ""


def _contrast(rows: list[Compared], adds: bool, over: str) -> GroupVerdict:
    """What is known of the difference, the surest first, then what cannot be told."""
    first, by_kind = rows[0], _by_kind(rows)
    moved = [(kind, finding) for kind in OF_ONE for finding in by_kind.get(kind, [])]
    shown, others = moved[:MAX_NUMBERS], moved[MAX_NUMBERS:]
    lines = [OF_ONE[kind](finding) for kind, finding in shown]
    if others:
        lines.append(f"{_names([f for _, f in others])} too{', or perhaps' * any(k != 'changed' for k, _ in others)}")
    lines += [clause(by_kind[kind]) for kind, clause in OF_SEVERAL.items() if kind in by_kind]
    begins = f"{first.label} {'adds to' if adds else 'differs from'} {first.against}{over}"
    if not moved:
        begins = f"No difference was found between {first.label} and {first.against}{over}"
    caveat = ONE_DEFINITION if first.note_seeds == OF_ONE_DEFINITION else CAVEATS.get(first.runs, "")
    sizes = [_size(finding, first) for finding in by_kind.get("not tested", [])]
    return GroupVerdict(begins, lines, [*sizes, *([caveat] if caveat else [])])


def _by_kind(rows: list[Compared]) -> dict[str, list[Finding]]:
    """The measures by what is said of them."""
    these = {(e.eval, e.measure): e for e in (finding.effect for finding in findings(list(rows)))}
    found: dict[str, list[Finding]] = {}
    for finding in findings([_decided(row) for row in rows]):
        effect = these[finding.effect.eval, finding.effect.measure]
        holds_for_others = finding.has_moved and (
            rows[0].runs < ENOUGH_SEEDS or effect.ci_low_new_questions is not None
        )
        of_these_alone = verdict(effect) in MOVED and not holds_for_others
        kind = OF_THESE_ALONE if of_these_alone else finding.verdict
        found.setdefault(kind, []).append(finding._replace(effect=effect) if of_these_alone else finding)
    return found


def _with_number(finding: Finding) -> str:
    effect = finding.effect
    evidence = Evidence.of(effect)
    by, span = f"{finding.measure} {beside(effect.difference, evidence.low, evidence.high)}", evidence.span
    if not effect.in_words:
        return f"{by} ({span})"
    return f"the model {effect.in_words} {'more' if (effect.difference or 0) > 0 else 'less'} ({by}, {span})"


def _of_these_alone(finding: Finding) -> str:
    """With enough seeds, what the interval for these ones shows and that for new ones does not."""
    low, high = finding.effect.ci_low_new_questions, finding.effect.ci_high_new_questions
    limits = f" ({span(low, high)})" if low is not None else ""
    return f"{_with_number(finding)}, which other questions and seeds may not bear out{limits}"


def _names(found: list[Finding]) -> str:
    return listed([f"{finding.measure} ({signed(finding.effect.difference)})" for finding in found])


def _without_interval(found: list[Finding]) -> str:
    return f"{_names(found)} without an interval ({why_no_interval([finding.effect for finding in found])})"


OF_ONE: dict[str, Callable[[Finding], str]] = {
    "changed": _with_number,
    "changed little": lambda found: f"{_with_number(found)}, by less than would matter",
    "perhaps": lambda found: f"perhaps {_with_number(found)}, though not once p is adjusted for all comparisons",
    OF_THESE_ALONE: _of_these_alone,
}
"""What is said of a measure that moved, by its kind, in the order in which it is said."""
OF_SEVERAL: dict[str, Callable[[list[Finding]], str]] = {
    "no effect": lambda found: f"no difference that would matter in {_names(found)}",
    "not enough data": lambda found: f"not enough data on {_names(found)}",
    "no change seen": lambda found: f"no difference seen in {_names(found)}",
    "no interval": _without_interval,
}
"""What is said together of the measures of each other kind, after those."""


def _size(finding: Finding, first: Compared) -> str:
    """Of drift, which is never tested."""
    difference = finding.effect.difference or 0.0
    how = "more" if difference >= 0 else "less"
    return (
        f"The {finding.measure} of {first.label} is {number(abs(difference))} nats a token {how} than that of "
        f"{first.against}."
    )
