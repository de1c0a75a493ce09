"""Numbers and intervals as a person reads them."""

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


def interval(low: float | None, high: float | None, note: str = "") -> str:
    """Both limits with their signs; or the note, which says why there are none; or a dash."""
    return note or (f"{number(low, '+')} to {number(high, '+')}" if low is not None else "–")


def number_or_dash(value: float | None, sign: str = "") -> str:
    """As `number`, with a dash for None."""
    return number(value, sign) or "–"
