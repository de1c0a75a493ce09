"""How far the base model's answers lie apart: the unit in which shifts of different measures stand beside each other.

spread = spread_of(part, evaluation)
spread.sd, spread.note             # 12.4, "SD of the base model's answers within 10 questions"
"""

import math
from collections import defaultdict
from statistics import fmean
from typing import NamedTuple

from tasks.estimates.estimates import Part
from tasks.schema import Eval


class Spread(NamedTuple):
    """A standard deviation in the measure's unit, and what it is of; or None, and why there is none."""

    sd: float | None
    note: str


def spread_of(part: Part, evaluation: Eval) -> Spread:
    """Of answers the standard deviation within questions, pooled: sqrt of sum (n - 1) s² / sum (n - 1).

    Of statements, which are asked once and exactly, it is that over the statements of one direction, pooled likewise.
    """
    if evaluation.asks == "choices":
        return _of_statements(part, evaluation)
    cells = [cell for cell in part.cells("baseline") if cell.n > 1]
    if not cells:
        return Spread(None, "the base model has no two scored answers to a question")
    squares = math.fsum((cell.n - 1) * cell.variance for cell in cells)
    return _known(squares, sum(cell.n - 1 for cell in cells), "answers within questions")


def _of_statements(part: Part, evaluation: Eval) -> Spread:
    matching = {question.id: question.matching for question in evaluation.questions}
    directions: dict[str, list[float]] = defaultdict(list)
    for pair in part.pairs[0]:
        if pair.baseline.n:
            directions[matching[pair.question_id]].append(pair.baseline.mean)
    squares = math.fsum((value - fmean(values)) ** 2 for values in directions.values() for value in values)
    return _known(squares, sum(len(values) - 1 for values in directions.values()), "statements of one direction")


def _known(squares: float, free: int, of: str) -> Spread:
    if free < 1 or squares <= 0:
        return Spread(None, f"the base model's {of} do not differ")
    return Spread(math.sqrt(squares / free), f"SD of the base model's {of}")
