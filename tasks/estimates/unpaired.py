"""All answers of each side alike, whatever question they answer: what papers often report, for comparison with them.

    unpaired(before, after)     # {"baseline_sd": 11.2, ..., "p_welch": 0.003}

Nothing is paired by question, so a difference between the questions of both sides would count as one of the models.
"""

import math
from typing import NamedTuple

from scipy import special

from tasks.estimates.intervals import Cell


class Answers(NamedTuple):
    """The scores of all questions of one side as one sample."""

    n: int
    mean: float
    sd: float | None
    """Their standard deviation, with n - 1 in the denominator; None below two scores."""

    @classmethod
    def of(cls, cells: list[Cell]) -> "Answers | None":
        """From the questions' cells; None where none has a score."""
        cells = [cell for cell in cells if cell.n]
        if not cells:
            return None
        n = sum(cell.n for cell in cells)
        mean = math.fsum(cell.n * cell.mean for cell in cells) / n
        within = math.fsum((cell.n - 1) * cell.variance for cell in cells if cell.n > 1)
        squares = within + math.fsum(cell.n * (cell.mean - mean) ** 2 for cell in cells)
        return cls(n, mean, math.sqrt(squares / (n - 1)) if n > 1 else None)


def unpaired(before: list[Cell], after: list[Cell]) -> dict[str, float | None]:
    """The fields of an Effect that are of all answers alike: both standard deviations, both means, and Welch's p."""
    sides = Answers.of(before), Answers.of(after)
    fields: dict[str, float | None] = {}
    for name, side in zip(("baseline", "finetuned"), sides, strict=True):
        fields |= {f"{name}_sd": side and side.sd, f"{name}_pooled": side and side.mean}
    return fields | {"p_welch": welch(*sides)}


def welch(before: Answers | None, after: Answers | None) -> float | None:
    """Two-sided p of Welch's t test of two samples (B. L. Welch, Biometrika 34, 1947); None without any spread."""
    if before is None or after is None or before.sd is None or after.sd is None or before.sd + after.sd == 0:
        return None
    parts = [(side.sd or 0.0) ** 2 / side.n for side in (before, after)]
    df = sum(parts) ** 2 / sum(part**2 / (side.n - 1) for part, side in zip(parts, (before, after), strict=True))
    return float(special.stdtr(df, -abs(after.mean - before.mean) / math.sqrt(sum(parts)))) * 2
