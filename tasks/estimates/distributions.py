"""Distributions: how often each score was given, before and after; a mean hides whether few moved far or all a little.

    rows = distributions(scan_judgments(run.judged), evals)

A scale of few whole numbers keeps each of them; a longer one, or one with fractions, is cut into ten classes.
"""

import math
from collections import Counter

import polars

from tasks.estimates.intervals import Cell, Interval, fixed_questions, rate_cell
from tasks.estimates.judgments import at_checkpoint
from tasks.schema import ALL, Eval, Judge, Question, Share, Side

MOST_SCORES = 12
"""A scale of more scores is cut into classes."""
CLASSES = 10

Counts = dict[tuple[str, Side], Counter[int]]
"""Of each question and side, how many scores fell into each class."""


def distributions(judgments: polars.DataFrame, evals: list[Eval]) -> list[Share]:
    """The distribution of each judge that has a scale, by tier and over all, after the whole training."""
    return [
        row
        for one in evals
        for judge in one.judges
        if judge.scale_max - judge.scale_min > 1
        for row in _of_judge(one, judge, at_checkpoint(judgments, one, 1.0).filter(judge=judge.name))
    ]


def _of_judge(one: Eval, judge: Judge, judgments: polars.DataFrame) -> list[Share]:
    scores = judgments.filter(polars.col("score").is_not_null())
    if scores.is_empty():
        return []
    starts, width = _classes(judge, bool((scores["score"] == scores["score"].floor()).all()))
    counts = _counted(scores, judge.scale_min, width, len(starts))
    tiers = list(dict.fromkeys(question.tier for question in one.questions))
    parts = [(tier, [q for q in one.questions if q.tier == tier]) for tier in tiers]
    parts += [(ALL, one.questions)] if len(tiers) > 1 else []
    return [
        _share(one.name, judge.name, tier, (start, start + (width if width != 1 else 0)), place, questions, counts)
        for tier, questions in parts
        for place, start in enumerate(starts)
    ]


def _classes(judge: Judge, are_whole: bool) -> tuple[list[float], float]:
    """Where each class begins, and its width: 1 where each score is a class of its own."""
    span = judge.scale_max - judge.scale_min
    if are_whole and span < MOST_SCORES:
        return [judge.scale_min + n for n in range(round(span) + 1)], 1
    return [judge.scale_min + span * n / CLASSES for n in range(CLASSES)], span / CLASSES


def _counted(scores: polars.DataFrame, lowest: float, width: float, classes: int) -> Counts:
    place = ((polars.col("score") - lowest) / width + 1e-9).floor().clip(0, classes - 1).cast(polars.Int64)
    found: Counts = {}
    for question, side, number, count in scores.group_by("question_id", "side", place.alias("place")).len().iter_rows():
        found.setdefault((question, side), Counter())[number] = count
    return found


def _share(
    name: str,
    measure: str,
    tier: str,
    bounds: tuple[float, float],
    place: int,
    questions: list[Question],
    counts: Counts,
) -> Share:
    before, after = (_cells(questions, counts, place, side) for side in ("baseline", "finetuned"))
    levels = [_level(before), _level(after)]
    return Share(
        eval=name,
        measure=measure,
        tier=tier,
        score=bounds[0],
        upto=bounds[1],
        baseline=_mean(before),
        baseline_low=levels[0].low,
        baseline_high=levels[0].high,
        finetuned=_mean(after),
        finetuned_low=levels[1].low,
        finetuned_high=levels[1].high,
        scored_baseline=sum(cell.n for cell in before),
        scored_finetuned=sum(cell.n for cell in after),
    )


def _cells(questions: list[Question], counts: Counts, place: int, side: Side) -> list[Cell]:
    """Each question's share of one class, of those with a score on that side."""
    mine = [counts.get((question.id, side), Counter()) for question in questions]
    return [rate_cell(count[place], count.total(), 0, count.total()) for count in mine if count.total()]


def _level(cells: list[Cell]) -> Interval:
    return fixed_questions([(1 / len(cells), cell) for cell in cells], is_rate=True)


def _mean(cells: list[Cell]) -> float | None:
    return math.fsum(cell.mean for cell in cells) / len(cells) if cells else None
