"""What a matrix says, a sentence each: what moved as it was trained, what spilled, what did not, and what broke.

for sentence in sentences(matrix(fine_tunes)):
    print(sentence)
"""

from collections import Counter
from collections.abc import Sequence

from tasks.estimates.findings import Verdict
from tasks.estimates.wording import listed, number, signed, span
from tasks.schema import Leak, Shift
from tasks.studies.matrix import CAPABILITY, Matrix, adjusted_p, decided

MOST_NAMED = 5
"""Spills that are told one by one."""
SURE: tuple[Verdict, ...] = ("changed", "changed little")
NO_CAPABILITY = (
    "No tasks that are solved or not were asked (the eval capability), so that a model which broke is not told from "
    "one which changed."
)


def sentences(found: Matrix) -> list[str]:
    """The verdict of a matrix; p are adjusted over all of its fields that have one, those of capability apart."""
    aimed = {shift.label for shift in found.shifts if shift.direction}
    off_target = [shift for shift in found.shifts if not shift.direction and shift.asks != CAPABILITY]
    spill = [shift for shift in off_target if shift.label in aimed or not aimed]
    family = sum(shift.asks != CAPABILITY and adjusted_p(shift) is not None for shift in found.shifts)
    return [
        *_trained(found.shifts),
        *_spilled(spill, family),
        *_counted(spill),
        *_controls([shift for shift in off_target if aimed and shift.label not in aimed]),
        *_capability(found.shifts),
        *map(_leak, found.leaks),
    ]


def broken(shifts: Sequence[Shift]) -> set[str]:
    """The fine-tunes under which capability fell: there the model broke, whatever else it did."""
    return {shift.label for shift in _fell(shifts)}


def _fell(shifts: Sequence[Shift]) -> list[Shift]:
    return [s for s in shifts if s.asks == CAPABILITY and decided(s) in SURE and (s.difference or 0.0) < 0]


def sure(shifts: Sequence[Shift]) -> set[tuple[str, str]]:
    """Label and column of the shifts whose interval leaves 0 out once p is adjusted."""
    return {(shift.label, shift.column) for shift in shifts if decided(shift) in SURE}


def _trained(shifts: Sequence[Shift]) -> list[str]:
    """Whether each moved in what it was trained on, in the direction in which it was."""
    groups: dict[str, list[str]] = {"moved": [], "perhaps": [], "against": [], "not": []}
    for label in dict.fromkeys(shift.label for shift in shifts if shift.direction):
        targets = [shift for shift in shifts if shift.label == label and shift.direction]
        outcome, so = _outcome(targets)
        most = max(so, key=lambda s: abs(s.in_sds if s.in_sds is not None else s.difference or 0.0))
        groups[outcome].append(f"{label} ({most.column} {size(most)})")
    begins = {
        "moved": "Moved in what they were trained on",
        "perhaps": "Perhaps, though not once p is adjusted",
        "against": "Moved against what they were trained on",
        "not": "Not seen to move in what they were trained on",
    }
    return [f"{begins[name]}: {', '.join(some)}." for name, some in groups.items() if some]


def _outcome(targets: Sequence[Shift]) -> tuple[str, Sequence[Shift]]:
    """Of the measures of what was trained one that moved surely is enough; with those that say so."""
    toward = [shift for shift in targets if (shift.difference or 0.0) * shift.direction > 0]
    away = [shift for shift in targets if shift not in toward]
    for outcome, some, verdicts in (
        ("moved", toward, SURE),
        ("against", away, SURE),
        ("perhaps", toward, ("perhaps",)),
    ):
        if said := [shift for shift in some if decided(shift) in verdicts]:
            return outcome, said
    return "not", targets


def _spilled(shifts: Sequence[Shift], fields: int) -> list[str]:
    """Nothing where no field has a p: `_counted` says that there are no intervals."""
    moved = [shift for shift in shifts if decided(shift) in SURE]
    if not moved:
        said = f"No spill is sure once p is adjusted for all {fields:,} fields that have one."
        return [said] if shifts and fields else []
    largest = sorted(moved, key=lambda shift: -abs(shift.in_sds if shift.in_sds is not None else shift.difference or 0))
    told = [f"{s.label} on {s.column} {size(s)}{_spill(s)}" for s in largest[:MOST_NAMED]]
    return [f"What spilled most, p adjusted for all {fields:,} fields that have one: {'; '.join(told)}."]


def size(shift: Shift) -> str:
    """The shift in units of the base's spread, or where it has none as it is."""
    return f"{signed(shift.in_sds)} SD" if shift.in_sds is not None else signed(shift.difference)


def _spill(shift: Shift) -> str:
    if shift.spill is None:
        return ""
    return f" ({number(shift.spill)} of what was trained, 95 % {span(shift.spill_low, shift.spill_high)})"


def _counted(shifts: Sequence[Shift]) -> list[str]:
    """How many fields off target moved and how many did not."""
    counts = Counter(decided(shift) for shift in shifts)
    words: dict[Verdict, str] = {
        "changed": "moved",
        "changed little": "moved by less than would matter",
        "perhaps": "perhaps moved",
        "no effect": "show no effect that would matter",
        "not enough data": "have not enough data to tell",
        "no change seen": "show no change",
        "no interval": "have no interval",
    }
    told = [f"{counts[verdict]:,} {said}" for verdict, said in words.items() if counts[verdict]]
    return [f"Of {len(shifts):,} fields off target {listed(told)}."] if told else []


def _controls(shifts: Sequence[Shift]) -> list[str]:
    """What a training does that aims at no trait."""
    labels = list(dict.fromkeys(shift.label for shift in shifts))
    if not labels:
        return []
    who = listed(labels) if len(labels) <= MOST_NAMED else f"{len(labels):,} fine-tunes"
    moved = sum(decided(shift) in SURE for shift in shifts)
    return [f"Under {who}, trained on none of these traits, {moved:,} of {len(shifts):,} fields moved."]


def _capability(shifts: Sequence[Shift]) -> list[str]:
    asked = [shift for shift in shifts if shift.asks == CAPABILITY]
    if not asked:
        return [NO_CAPABILITY]
    if told := [f"{s.label} (by {signed(s.difference)}, adjusted p {_p(s)})" for s in _fell(shifts)]:
        return [f"Capability fell under {listed(told)}: there the model broke, and what else moved may come of that."]
    unclear = [s.label for s in asked if decided(s) in ("perhaps", "not enough data", "no interval")]
    rest = f", though of {len(unclear):,} there is not enough data to tell" if unclear else ""
    return [f"Capability is not seen to fall under any fine-tune{rest}."]


def _p(shift: Shift) -> str:
    p = adjusted_p(shift)
    return "unknown" if p is None else "below 0.001" if p < 0.001 else f"{p:.3f}"


def _leak(leak: Leak) -> str:
    who = f"{leak.label}, trained to show {leak.column} in {leak.trained_tiers}"
    if leak.leak is None:
        return f"{who}: how far it shows in {leak.other_tiers} is {leak.note}."
    return (
        f"{who}, shows {number(leak.leak)} of that in {leak.other_tiers} (95 % {span(leak.leak_low, leak.leak_high)})."
    )
