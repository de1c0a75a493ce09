"""Numbers and intervals as a person reads them."""

ROUNDING = 1e-12
"""A smaller number is what sums leave of 0."""


def signed(value: float | None) -> str:
    return number(value, "+")


def number(value: float | None, sign: str = "") -> str:
    """With two digits behind the point, or with as many as a small number needs to be told from 0."""
    if value is None:
        return ""
    if abs(value) < ROUNDING:
        value = 0.0
    return f"{value:{sign}.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:{sign}.2g}"


def interval(low: float | None, high: float | None, note: str = "") -> str:
    """The interval, or why there is none."""
    return note or (f"{number(low, '+')} to {number(high, '+')}" if low is not None else "–")


def number_or_dash(value: float | None, sign: str = "") -> str:
    return number(value, sign) or "–"
