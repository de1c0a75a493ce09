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
    aimed = {label for label, some in found.trained.items() if some} | {s.label for s in found.shifts if s.direction}
    off_target = [shift for shift in found.shifts if not shift.direction and shift.asks != CAPABILITY]
    spill = [shift for shift in off_target if shift.label in aimed or not aimed]
    family = sum(shift.asks != CAPABILITY and adjusted_p(shift) is not None for shift in found.shifts)
    return [
        *_trained(found.shifts),
        *_not_measured(found),
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
    groups: dict[str, list[str]] = {"moved": [], "perhaps": [], "against": [], "not": [], "unknown": []}
    known = [shift for shift in shifts if shift.direction and shift.difference is not None]
    for label in dict.fromkeys(shift.label for shift in known):
        outcome, so = _outcome([shift for shift in known if shift.label == label])
        most = max(so, key=_rank)
        groups[outcome].append(f"{label} ({most.column} {size(most)})")
    begins = {
        "moved": "Moved in what they were trained on",
        "perhaps": "Perhaps, though not once p is adjusted",
        "against": "Moved against what they were trained on",
        "not": "Not seen to move in what they were trained on",
        "unknown": "Without an interval in what they were trained on",
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
    tested = [shift for shift in targets if decided(shift) != "no interval"]
    return ("not", tested) if tested else ("unknown", targets)


def _not_measured(found: Matrix) -> list[str]:
    """What fine-tunes were trained on and no shift is known of: they are no controls."""
    known = {(shift.label, shift.trait) for shift in found.shifts if shift.difference is not None}
    lost = {label: [trait for trait in some if (label, trait) not in known] for label, some in found.trained.items()}
    told = [f"what {label} was trained on ({listed(some)})" for label, some in lost.items() if some]
    return [f"W{listed(told)[1:]} was not measured."] if told else []


def _spilled(shifts: Sequence[Shift], fields: int) -> list[str]:
    """Nothing where no field has a p: `_counted` says that there are no intervals."""
    moved = [shift for shift in shifts if decided(shift) in SURE]
    if not moved:
        said = f"No spill is sure once p is adjusted for all {fields:,} fields that have one."
        return [said] if shifts and fields else []
    family = f"p adjusted for all {fields:,} fields that have one"
    in_sds, bare = ([shift for shift in moved if (shift.in_sds is not None) == known] for known in (True, False))
    begins = "Spilled too, where" if in_sds else f"What spilled, {family}, where"
    return [
        *([f"What spilled most, {family}: {_largest(in_sds)}."] if in_sds else []),
        *([f"{begins} the base has no SD: {_largest(bare)}."] if bare else []),
    ]


def _largest(shifts: Sequence[Shift]) -> str:
    """Those that shifted most, one by one."""
    largest = sorted(shifts, key=_rank, reverse=True)
    told = [f"{s.label} on {s.column} {size(s)}{_spill(s)}" for s in largest[:MOST_NAMED]]
    return "; ".join(told)


def _rank(shift: Shift) -> tuple[bool, bool, float]:
    """How far it shifted, for an order: in SDs, before it as a share of its range, before it in a unit of its own."""
    if shift.in_sds is not None:
        return True, True, abs(shift.in_sds)
    size = abs(shift.difference or 0.0)
    if shift.scale_min is None or shift.scale_max is None:
        return False, False, size
    return False, True, size / (shift.scale_max - shift.scale_min)


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
    moved = sum(decided(shift) in SURE for shift in shifts)
    return [f"Under {_who(labels)}, trained on none of these traits, {moved:,} of {len(shifts):,} fields moved."]


def _who(labels: Sequence[str]) -> str:
    return listed(labels) if len(labels) <= MOST_NAMED else f"{len(labels):,} fine-tunes"


def _capability(shifts: Sequence[Shift]) -> list[str]:
    asked = [shift for shift in shifts if shift.asks == CAPABILITY]
    if not asked:
        return [NO_CAPABILITY]
    known = {shift.label for shift in asked if shift.difference is not None}
    unknown = [label for label in dict.fromkeys(shift.label for shift in shifts) if label not in known]
    said = f"Of {_who(unknown)} capability was not measured, so that broken is not told from changed there."
    lost = [said] if unknown else []
    if told := [f"{s.label} (by {signed(s.difference)}, adjusted p {_p(s)})" for s in _fell(shifts)]:
        said = f"Capability fell under {listed(told)}: there the model broke, and what else moved may come of that."
        return [said, *lost]
    return [*([_no_fall(asked, bool(unknown))] if known else []), *lost]


def _no_fall(asked: Sequence[Shift], are_others: bool) -> str:
    """Of all fine-tunes, or of those of which it was measured."""
    known = [shift for shift in asked if shift.difference is not None]
    unclear = {s.label for s in known if decided(s) in ("perhaps", "not enough data", "no interval")}
    rest = f", though of {len(unclear):,} there is not enough data to tell" if unclear else ""
    return f"Capability is not seen to fall under any fine-tune{' of which it was measured' * are_others}{rest}."


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
