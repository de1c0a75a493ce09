"""The order of a matrix's rows and columns: what shifted alike stands side by side.

    places = by_similarity([[1.2, 0.1], [-1.1, 0.0], [1.0, 0.2]])     # [0, 2, 1]

Hierarchical clustering by mean distance, the leaves in the order in which neighbours differ least (Z. Bar-Joseph, D. K.
Gifford and T. S. Jaakkola, Bioinformatics 17, 2001).
"""

from collections.abc import Sequence
from statistics import fmean

from tasks.schema import Shift

MOST_SDS = 3.0
"""A larger shift counts as one of so many standard deviations: else one broken model would decide the order."""


def in_order(shifts: list[Shift]) -> list[Shift]:
    """The shifts by fine-tune and then by measure, both by similarity; what measures one trait stays together.

    Capability, which is no trait, comes last.
    """
    labels, columns = (list(dict.fromkeys(getattr(shift, name) for shift in shifts)) for name in ("label", "column"))
    traits = {shift.column: shift.trait for shift in shifts}
    last = {shift.column for shift in shifts if shift.asks == "capability"}
    sizes = {(shift.label, shift.column): _size(shift) for shift in shifts}
    rows = [[sizes.get((label, column), 0.0) for column in columns if column not in last] for label in labels]
    labels = [labels[n] for n in by_similarity(rows)]
    names = list(dict.fromkeys(traits[column] for column in columns if column not in last))
    of_traits = [
        [fmean([sizes.get((label, column), 0.0) for column in columns if traits[column] == name]) for label in labels]
        for name in names
    ]
    names = [names[n] for n in by_similarity(of_traits)]
    kinds = {shift.column: shift.asks == "choices" for shift in shifts}
    columns.sort(key=lambda column: (column in last, *(_place(traits[column], names), kinds[column])))
    return sorted(shifts, key=lambda shift: (labels.index(shift.label), columns.index(shift.column)))


def by_similarity(rows: Sequence[Sequence[float]]) -> list[int]:
    """The numbers of the rows in their new order, in which the first of them stands in the first half."""
    if len(rows) < 3 or not rows[0]:
        return list(range(len(rows)))
    from scipy.cluster.hierarchy import leaves_list, linkage

    found = [int(n) for n in leaves_list(linkage(rows, method="average", optimal_ordering=True))]
    return found if found.index(0) < len(found) / 2 else found[::-1]


def _size(shift: Shift) -> float:
    """In units of the base's spread, or where there are none as a share of the measure's range."""
    if shift.in_sds is not None:
        return max(-MOST_SDS, min(MOST_SDS, shift.in_sds))
    if shift.difference is None or shift.scale_min is None or shift.scale_max is None:
        return 0.0
    return shift.difference / (shift.scale_max - shift.scale_min)


def _place(name: str, names: list[str]) -> int:
    return names.index(name) if name in names else len(names)
