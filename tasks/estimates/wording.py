"""Numbers and intervals as a person reads them."""

from collections.abc import Sequence

from tasks.schema import CorrectedEffect

ROUNDING = 1e-12
"""A smaller number is what the rounding of sums leaves of 0, and is shown as 0."""


def signed(value: float | None) -> str:
    """The number with its sign, a plus too; empty for None."""
    return number(value, "+")


def number(value: float | None, sign: str = "") -> str:
    """With two digits after the point; below 0.005 with two significant digits, so as not to look like 0.

    Empty for None. `sign` is that of a format: "+" shows a plus too.
    """
    if value is None:
        return ""
    if abs(value) < ROUNDING:
        value = 0.0
    return f"{value:{sign}.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:{sign}.2g}"


def listed(words: Sequence[str]) -> str:
    """As `a, b and c`; empty of none."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last


def alike(*values: float | None, sign: str = "") -> list[str]:
    """Numbers that stand beside each other, with as many digits after the point as the smallest of them needs to be
    told from 0, and as they need not to be all written alike where they differ: two to four; "" for None. `sign` as in
    `number`.
    """
    known = [value for value in values if value is not None]
    digits = next((n for n in (2, 3) if _above_0(known, n) and _apart(known, n)), 4)
    return ["" if value is None else f"{value:{sign}z.{digits}f}" for value in values]


def _above_0(values: Sequence[float], digits: int) -> bool:
    """Whether with so many digits none is written as 0 that is not."""
    return all(round(abs(value), digits) for value in values if abs(value) >= ROUNDING)


def _apart(values: Sequence[float], digits: int) -> bool:
    """Whether with so many digits they are not all written alike, unless they are all equal."""
    differ = max(values, default=0.0) - min(values, default=0.0) >= ROUNDING
    return not differ or len({f"{value:z.{digits}f}" for value in values}) > 1


def beside(value: float | None, low: float | None, high: float | None) -> str:
    """As `signed`, of an estimate beside its `span`; where the limits need more digits to differ, with as many."""
    if value is None or low is None or high is None:
        return signed(value)
    usual = next((n for n in (2, 3) if _above_0([low, high], n)), 4)
    return signed(value) if _apart([low, high], usual) else alike(value, low, high, sign="+")[0]


def moved(before: float | None, after: float | None) -> list[str]:
    """Two means, each as `number`; with as many digits as tell them apart, where they differ and would be alike."""
    usual = [number(before), number(after)]
    if before is None or after is None or usual[0] != usual[1] or abs(after - before) < ROUNDING:
        return usual
    return alike(before, after)


def span(low: float | None, high: float | None) -> str:
    """Both limits with their signs, and as many digits each; empty where there are none."""
    return "" if low is None else " to ".join(alike(low, high, sign="+"))


def interval(low: float | None, high: float | None, note: str = "") -> str:
    """Both limits with their signs, and what the note says of them; or why there are none; or a dash."""
    if low is None:
        return note or "–"
    return span(low, high) + (f" ({note})" if note else "")


def number_or_dash(value: float | None, sign: str = "") -> str:
    """As `number`, with a dash for None."""
    return number(value, sign) or "–"


def corrected(row: CorrectedEffect) -> str:
    """The corrected difference beside the judge's, in a sentence."""
    whose = "for these questions" if row.questions == "these questions" else "for new questions"
    if row.corrected is None:
        return f"{row.judge}, {whose}: the difference cannot be corrected ({row.note or 'nothing was read'})."
    raw = f"{beside(row.difference, row.low, row.high)} ({interval(row.low, row.high)}) as judged"
    limits = interval(row.corrected_low, row.corrected_high, row.note)
    corrected = beside(row.corrected, row.corrected_low, row.corrected_high)
    return f"{row.judge}, {whose}: {corrected} ({limits}) as a person would have it, {raw}; 95 % each."
