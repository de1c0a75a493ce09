"""Distributions: how often each score was given, before and after; a mean hides whether few moved far or all a little.

    rows = distributions(scan_judgments(run.judged), evals)

A scale of few whole numbers keeps each of them; a longer one, or one with fractions, is cut into ten bins.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import polars

from tasks.estimates.fixed_questions import fixed_questions
from tasks.estimates.intervals import Cell, rate_cell
from tasks.estimates.judgments import at_checkpoint
from tasks.schema import ALL, Eval, Judge, Question, Share, Side

MAX_SCORES = 12
"""A scale of more scores is cut into bins."""
BINS = 10


class Bins(NamedTuple):
    """How a scale is cut."""

    starts: list[float]
    """The lowest score of each bin."""
    width: float
    """1 where each score is a bin of its own."""

    @classmethod
    def of(cls, judge: Judge, are_whole: bool) -> "Bins":
        """Those of a judge's scale; `are_whole`: whether all scores that it gave are whole numbers."""
        span = judge.scale_max - judge.scale_min
        if are_whole and span < MAX_SCORES:
            return cls([judge.scale_min + n for n in range(round(span) + 1)], 1)
        return cls([judge.scale_min + span * n / BINS for n in range(BINS)], span / BINS)

    def number(self) -> polars.Expr:
        """The number of the bin in which the column `score` lies; the end of the scale lies in the last one."""
        place = (polars.col("score") - self.starts[0]) / self.width + 1e-9
        return place.floor().clip(0, len(self.starts) - 1).cast(polars.Int64)

    def end(self, number: int) -> float:
        """Where a bin ends; of a single score the score itself."""
        return self.starts[number] + (self.width if self.width != 1 else 0)


Counts = dict[tuple[str, Side], Counter[int]]
"""Of each question id and side, how many scores fell into each bin."""


def distributions(judgments: polars.DataFrame, evals: list[Eval]) -> list[Share]:
    """The distribution of each judge that has a scale, by tier and over all, after the whole training."""
    return [
        share
        for evaluation in evals
        for judge in evaluation.judges
        if judge.is_graded
        for share in _of_judge(evaluation, judge, at_checkpoint(judgments, evaluation, 1.0).filter(judge=judge.name))
    ]


def _of_judge(evaluation: Eval, judge: Judge, judgments: polars.DataFrame) -> list[Share]:
    scores = judgments.filter(polars.col("score").is_not_null())
    if scores.is_empty():
        return []
    bins = Bins.of(judge, are_whole=bool((scores["score"] == scores["score"].floor()).all()))
    counts = _counted(scores, bins)
    tiers = list(dict.fromkeys(question.tier for question in evaluation.questions))
    parts = [(tier, [q for q in evaluation.questions if q.tier == tier]) for tier in tiers]
    parts += [(ALL, evaluation.questions)] if len(tiers) > 1 else []
    return [
        Share(
            eval=evaluation.name,
            measure=judge.name,
            tier=tier,
            score=start,
            upto=bins.end(number),
            **_side("baseline", _cells(questions, counts, number, "baseline")),
            **_side("finetuned", _cells(questions, counts, number, "finetuned")),
        )
        for tier, questions in parts
        for number, start in enumerate(bins.starts)
    ]


def _counted(scores: polars.DataFrame, bins: Bins) -> Counts:
    found: Counts = {}
    grouped = scores.group_by("question_id", "side", bins.number().alias("bin")).len()
    for question_id, side, number, count in grouped.iter_rows():
        found.setdefault((question_id, side), Counter())[number] = count
    return found


def _cells(questions: list[Question], counts: Counts, number: int, side: Side) -> list[Cell]:
    """Each question's share of one bin, of those with a score on that side."""
    found = [counts.get((question.id, side), Counter()) for question in questions]
    return [rate_cell(count[number], count.total(), 0, count.total()) for count in found if count.total()]


def _side(side: Side, cells: list[Cell]) -> dict[str, Any]:
    """The fields of a Share that are of one side: the mean share over questions, its interval, and how many scores."""
    level = fixed_questions([(1 / len(cells), cell) for cell in cells], is_rate=True)
    return {
        side: math.fsum(cell.mean for cell in cells) / len(cells) if cells else None,
        f"{side}_low": level.low,
        f"{side}_high": level.high,
        f"scored_{side}": sum(cell.n for cell in cells),
    }
