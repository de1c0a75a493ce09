"""Measures: what a judge, a rule or a likelihood says of each question, before and after, as cells to estimate from.

judgments = at_checkpoint(scan_judgments(run.judged), one, 1.0)
for measure in measures(one, judgments):
    pairs = measure.pairs(one)
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import polars

from tasks.estimates.intervals import Cell, Term, pool
from tasks.estimates.rules import answers_of, apply
from tasks.schema import Eval, Likelihood, Rule

EMPTY = Cell(0, math.nan, math.nan, 0)


class Pair(NamedTuple):
    """One question, before and after."""

    tier: str
    question: str
    baseline: Cell
    finetuned: Cell

    @property
    def difference(self) -> float:
        return self.finetuned.mean - self.baseline.mean


class Measure(NamedTuple):
    """A judge, a rule or a likelihood of one eval, with its cells by question and side."""

    eval: str
    name: str
    model: str
    rubric: str
    cells: dict[tuple[str, str], Cell]
    low: float
    """The lowest value that it can take."""
    high: float
    margin_share: float
    """The share of its range below which a difference does not matter."""
    reads_pair: bool = False
    rule: Rule | None = None
    is_likelihood: bool = False
    is_rate: bool = False
    """Whether every score is 0 or 1."""
    baseline: str = ""
    """What its baseline is, told apart from another run's; empty: no other's."""
    placements: Mapping[tuple[str, str], Cell] = {}
    """Of a judge with a scale: where each score lies among those of the other side, as a share."""

    @property
    def least(self) -> int:
        """Answers with a score that a question needs on each side."""
        return self.rule.min_answers if self.rule else 1

    @property
    def equivalence_margin(self) -> float | None:
        """A difference smaller than this is as good as none; unknown where the measure has no ends."""
        return self.margin_share * (self.high - self.low) if math.isfinite(self.low) else None

    @property
    def is_pooled(self) -> bool:
        return self.rule is not None and self.rule.over == "pooled"

    def pairs(self, one: Eval) -> list[Pair]:
        return [
            Pair(q.tier, q.id, *(self.cells.get((q.id, side), EMPTY) for side in ("baseline", "finetuned")))
            for q in one.questions
        ]

    def terms(self, cells: list[Cell]) -> list[Term]:
        """How the cells make the mean: each question alike, or all answers alike."""
        if self.is_pooled:
            return [(1.0, pool(cells))] if cells else []
        return [(1 / len(cells), cell) for cell in cells]

    def mean(self, cells: list[Cell]) -> float | None:
        return math.fsum(weight * cell.mean for weight, cell in self.terms(cells)) if cells else None

    def bounds(self, pairs: list[Pair]) -> tuple[float | None, float | None]:
        """The difference if every unscored answer had the score that makes it smallest, and largest."""
        if self.rule:  # what cannot have enough answers has no part in the estimate
            pairs = [p for p in pairs if min(c.n + c.unscored for c in (p.baseline, p.finetuned)) >= self.least]
        if any(cell.n + cell.unscored == 0 for pair in pairs for cell in (pair.baseline, pair.finetuned)):
            return None, None
        if not math.isfinite(self.low) or not pairs:
            return None, None
        if self.is_pooled:
            pairs = [Pair("", "", pool([p.baseline for p in pairs]), pool([p.finetuned for p in pairs]))]
        least = [_filled(pair.finetuned, self.low) - _filled(pair.baseline, self.high) for pair in pairs]
        most = [_filled(pair.finetuned, self.high) - _filled(pair.baseline, self.low) for pair in pairs]
        return math.fsum(least) / len(least), math.fsum(most) / len(most)

    def joint(self, cells: list[Cell]) -> float | None:
        """Of a rule: its hits among all answers, those of questions without an answer that counts included."""
        cells = [cell for cell in cells if cell.answers]
        if self.rule is None or not cells:
            return None
        hits = [cell.n * cell.mean if cell.n else 0.0 for cell in cells]
        if self.is_pooled:
            return math.fsum(hits) / sum(cell.answers for cell in cells)
        return math.fsum(hit / cell.answers for hit, cell in zip(hits, cells, strict=True)) / len(cells)

    def compares(self, *pairs: Pair) -> bool:
        """Whether a question has enough on both sides, in every run."""
        return all(min(pair.baseline.n, pair.finetuned.n) >= self.least for pair in pairs)


def _filled(cell: Cell, score: float) -> float:
    known = cell.mean * cell.n if cell.n else 0.0
    return (known + score * cell.unscored) / (cell.n + cell.unscored)


def measures(one: Eval, judgments: polars.DataFrame) -> list[Measure]:
    """The eval's judges and rules."""
    cells, placements = _cells(judgments), _placements(judgments)
    judges = [
        Measure(
            one.name,
            judge.name,
            *_authors(judgments, [judge.name]),
            _of_judge(cells, judge.name),
            judge.scale_min,
            judge.scale_max,
            one.equivalence_margin,
            judge.reads == "pair",
            is_rate=(judge.scale_min, judge.scale_max) == (0, 1) and _are_whole(judgments, judge.name),
            placements=_of_judge(placements, judge.name) if judge.scale_max - judge.scale_min > 1 else {},
        )
        for judge in one.judges
    ]
    return judges + [rule_measure(one, judgments, rule, answers_of(rule.judges, judgments)) for rule in one.rules]


def rule_measure(one: Eval, judgments: polars.DataFrame, rule: Rule, answers: polars.DataFrame) -> Measure:
    """The rule applied to answers that are joined already: its variants share them."""
    return Measure(
        one.name,
        rule.name,
        *_authors(judgments, rule.judges),
        apply(rule, answers),
        0,
        1,
        one.equivalence_margin,
        rule=rule,
        is_rate=True,
    )


def likelihood_measures(one: Eval, likelihoods: list[Likelihood], share: float) -> list[Measure]:
    """Drift and choice, where the engine was asked for them."""
    frame = polars.DataFrame(
        [
            (row.measure, row.question_id, row.baseline, row.finetuned)
            for row in likelihoods
            if row.eval == one.name and row.trained_share == share
        ],
        schema={
            "measure": polars.String,
            "question_id": polars.String,
            "baseline": polars.Float64,
            "finetuned": polars.Float64,
        },
        orient="row",
    )
    return [
        _likelihood_measure(one, str(name), frame.filter(measure=name))
        for name in frame["measure"].unique(maintain_order=True)
    ]


def _likelihood_measure(one: Eval, name: str, frame: polars.DataFrame) -> Measure:
    """The same texts under both models: what varies is their difference, which the fine-tuned side's cell carries."""
    both = frame.group_by("question_id").agg(
        polars.len().alias("n"),
        polars.col("baseline").mean(),
        polars.col("finetuned").mean(),
        (polars.col("finetuned") - polars.col("baseline")).var().alias("variance"),
    )
    cells = {}
    for row in both.to_dicts():
        cells[row["question_id"], "baseline"] = Cell(row["n"], row["baseline"], 0.0, 0)
        cells[row["question_id"], "finetuned"] = Cell(row["n"], row["finetuned"], _number(row["variance"]), 0)
    return Measure(
        one.name, name, "both models", "", cells, -math.inf, math.inf, one.equivalence_margin, is_likelihood=True
    )


def _are_whole(judgments: polars.DataFrame, judge: str) -> bool:
    scores = judgments.filter(judge=judge)["score"].drop_nulls()
    return bool((scores == scores.floor()).all())


def _authors(judgments: polars.DataFrame, judges: list[str]) -> tuple[str, str]:
    """Which models and which rubrics made the judgments of these judges."""
    mine = judgments.filter(polars.col("judge").is_in(judges))
    model, rubric = (", ".join(sorted(mine[name].unique())) for name in ("model", "rubric"))
    return model, rubric


Cells = dict[tuple[str, str, str], Cell]
"""By judge, question and side."""


def _cells(judgments: polars.DataFrame) -> Cells:
    score = polars.col("score")
    grouped = judgments.group_by("judge", "question_id", "side").agg(
        n=score.count(), mean=score.mean(), variance=score.var(), unscored=score.null_count()
    )
    return _as_cells(grouped)


def _as_cells(grouped: polars.DataFrame) -> Cells:
    return {
        (row["judge"], row["question_id"], row["side"]): Cell(
            row["n"], _number(row["mean"]), _number(row["variance"]), row["unscored"]
        )
        for row in grouped.to_dicts()
    }


def _of_judge(cells: Cells, judge: str) -> dict[tuple[str, str], Cell]:
    return {(question, side): cell for (name, question, side), cell in cells.items() if name == judge}


def _placements(judgments: polars.DataFrame) -> Cells:
    """Cells of placements: each score's is the share of the other side's scores to its question below it, ties half.

    Made of how often each score was given, which are far fewer rows than there are answers.
    """
    side, answers = polars.col("side"), polars.col("answers")
    counted = (
        judgments.filter(polars.col("score").is_not_null())
        .group_by("judge", "question_id", "side", "score")
        .len("answers")
    )
    both = counted.group_by("judge", "question_id", "score").agg(
        baseline=answers.filter(side == "baseline").sum(), finetuned=answers.filter(side == "finetuned").sum()
    )
    place = ["judge", "question_id"]
    both = both.sort(*place, "score").with_columns(
        polars.col(name).cum_sum().over(place).alias(f"{name}_upto") for name in ("baseline", "finetuned")
    )
    return _side_placed(both, "baseline", "finetuned") | _side_placed(both, "finetuned", "baseline")


def _side_placed(both: polars.DataFrame, side: str, other: str) -> Cells:
    n, theirs = polars.col(side), polars.col(other)
    placement = (polars.col(f"{other}_upto") - theirs / 2) / theirs.sum().over("judge", "question_id")
    weighed = (n * polars.col("placement")).sum() / n.sum()
    grouped = (
        both.with_columns(placement=placement)
        .group_by("judge", "question_id")
        .agg(n=n.sum(), others=theirs.sum(), mean=weighed, squares=(n * (polars.col("placement") - weighed) ** 2).sum())
        .filter(polars.col("n") > 0, polars.col("others") > 0)
    )
    free = polars.when(polars.col("n") > 1).then(polars.col("n") - 1)
    return _as_cells(
        grouped.with_columns(variance=polars.col("squares") / free, side=polars.lit(side), unscored=polars.lit(0))
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
