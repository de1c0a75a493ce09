"""Measures: what a judge, a rule or a likelihood says of each question, before and after, as cells to estimate from.

judgments = at_checkpoint(scan_judgments(run.judged), evaluation, 1.0)
for measure in measures(evaluation, judgments):
    pairs = measure.pairs(evaluation)
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import polars

from tasks.estimates.intervals import Cell, Cells, Term, pool
from tasks.estimates.rules import answers_of, apply
from tasks.schema import LOG_ODDS, Eval, Judge, Likelihood, Rule, Side

BOTH_MODELS = "both models"
"""Who judged, of a measure without a judge."""
SAYS_YES = "says yes"
MIN_PROBABILITY = 2.0**-53
EMPTY = Cell(0, math.nan, math.nan, 0)


class Pair(NamedTuple):
    """One question, before and after."""

    tier: str
    question_id: str
    baseline: Cell
    finetuned: Cell

    def of(self, side: Side) -> Cell:
        """The cell of one side."""
        return self.finetuned if side == "finetuned" else self.baseline


class Measure(NamedTuple):
    """A judge, a rule or a likelihood of one eval, with its cells by question and side."""

    eval: str
    name: str
    model: str
    """Who judged: the names of the models, with commas between."""
    rubric: str
    """The hashes of their rubrics, with commas between."""
    cells: Cells
    scale_min: float
    """The lowest value that it can take; minus infinity: no end."""
    scale_max: float
    margin_share: float
    """The share of its range below which a difference does not matter."""
    own_margin: float = 0.0
    """The same in the measure's unit, where the eval or the rule gives one; 0: it does not."""
    reads_pair: bool = False
    rule: Rule | None = None
    is_drift: bool = False
    """Whether both sides are of the same texts, whose difference alone is estimated, and never tested against 0."""
    is_exact: bool = False
    """Whether its values are probabilities that a model was asked for: without sampling there is no sampling noise."""
    is_rate: bool = False
    """Whether every score is 0 or 1."""
    baseline_id: str = ""
    """The same for runs that share their baseline's answers; empty: shared with none."""
    in_words: str = ""
    """What a model does that gets a high score; empty: nothing says so."""
    against: tuple[Cells, ...] = ()
    """Of two groups of fine-tunes that are no pairs, the other group's cells, whose mean is in the baseline's place."""
    strata: Mapping[str, str] = MappingProxyType({})
    """Of log-odds, the matching answer of each statement: the mean is that of the two directions' means."""
    directions: Mapping[str, str] = MappingProxyType({})
    """Of choice and log-odds, the matching answer of each statement: how saying yes more would move it."""
    placements: Cells = MappingProxyType({})
    """Of a judge with a scale: where each score lies among those of the other side, as a share."""

    @property
    def min_answers(self) -> int:
        """Answers with a score that a question needs on each side."""
        return self.rule.min_answers if self.rule else 1

    @property
    def equivalence_margin(self) -> float | None:
        """A difference smaller than this is as good as none; unknown where the measure has no ends."""
        if self.own_margin:
            return self.own_margin
        return self.margin_share * (self.scale_max - self.scale_min) if math.isfinite(self.scale_min) else None

    @property
    def is_pooled(self) -> bool:
        """Whether all answers weigh the same, instead of all questions: a rule `over: pooled`."""
        return self.rule is not None and self.rule.over == "pooled"

    def pairs(self, evaluation: Eval) -> list[Pair]:
        """One for each question of the eval, in its order; a question without answers has empty cells."""
        return [
            Pair(q.tier, q.id, *(self.cells.get((q.id, side), EMPTY) for side in ("baseline", "finetuned")))
            for q in evaluation.questions
        ]

    def terms(self, cells: list[Cell], weights: list[float]) -> list[Term]:
        """How the cells make the mean: each question with its weight, or all answers alike."""
        if self.is_pooled:
            return [(1.0, pool(cells))] if cells else []
        return list(zip(weights, cells, strict=True))

    def mean(self, cells: list[Cell], weights: list[float]) -> float | None:
        """The weighted mean of these questions; None of no question."""
        return math.fsum(weight * cell.mean for weight, cell in self.terms(cells, weights)) if cells else None

    def bounds(self, pairs: list[Pair]) -> tuple[float | None, float | None]:
        """The difference if every unscored answer had the score that makes it smallest, and largest.

        None where the measure has no ends, where a question has no answer on one side, and against another group.
        """
        if self.against:
            return None, None
        if self.rule:  # what cannot have enough answers has no part in the estimate
            pairs = [p for p in pairs if min(c.n + c.unscored for c in (p.baseline, p.finetuned)) >= self.min_answers]
        if any(cell.n + cell.unscored == 0 for pair in pairs for cell in (pair.baseline, pair.finetuned)):
            return None, None
        if not math.isfinite(self.scale_min) or not pairs:
            return None, None
        if self.is_pooled:
            pairs = [Pair("", "", pool([p.baseline for p in pairs]), pool([p.finetuned for p in pairs]))]
        worst, best = self.scale_min, self.scale_max
        lowest = [_filled(pair.finetuned, worst) - _filled(pair.baseline, best) for pair in pairs]
        highest = [_filled(pair.finetuned, best) - _filled(pair.baseline, worst) for pair in pairs]
        return math.fsum(lowest) / len(lowest), math.fsum(highest) / len(highest)

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
        """Whether a question, a pair of cells in each run, has enough scores on both sides in every run."""
        return all(min(pair.baseline.n, pair.finetuned.n) >= self.min_answers for pair in pairs)


def _filled(cell: Cell, score: float) -> float:
    """The mean if every unscored answer had this score."""
    known = cell.mean * cell.n if cell.n else 0.0
    return (known + score * cell.unscored) / (cell.n + cell.unscored)


def share_baseline(by_run: list[Measure]) -> bool:
    """Whether the baseline's answers are the same in all runs."""
    return by_run[0].baseline_id != "" and len({measure.baseline_id for measure in by_run}) == 1


def sharing_baseline(by_run: list[Measure]) -> list[Measure]:
    """The same measure of each run; where they share a baseline, with one cell of it to each question in all of them.

    It is that with the most scores: a judgment that failed in one run is there in another.
    """
    if not share_baseline(by_run):
        return by_run
    fullest: dict[tuple[str, str], Cell] = {}
    for measure in by_run:
        for (question, side), cell in measure.cells.items():
            known = fullest.get((question, side), cell)
            if side == "baseline":
                fullest[question, side] = max(known, cell, key=lambda each: (each.n, -each.unscored))
    return [measure._replace(cells={**measure.cells, **fullest}) for measure in by_run]


def measures(evaluation: Eval, judgments: polars.DataFrame) -> list[Measure]:
    """The eval's judges and rules, from its judgments at one checkpoint (`at_checkpoint`)."""
    cells, placements = _cells_by_judge(judgments), _placements_by_judge(judgments)
    judges = [
        Measure(
            evaluation.name,
            judge.name,
            *_authors(judgments, [judge.name]),
            cells.get(judge.name, {}),
            judge.scale_min,
            judge.scale_max,
            evaluation.equivalence_margin,
            evaluation.equivalence_margins.get(judge.name, 0.0),
            reads_pair=judge.reads == "pair",
            is_rate=_is_rate(judge, judgments),
            in_words=judge.measures,
            placements=placements.get(judge.name, {}) if judge.is_graded else {},
        )
        for judge in evaluation.judges
    ]
    rules = [rule_measure(evaluation, judgments, rule, answers_of(rule.judges, judgments)) for rule in evaluation.rules]
    return judges + rules


def rule_measure(evaluation: Eval, judgments: polars.DataFrame, rule: Rule, answers: polars.DataFrame) -> Measure:
    """The rule applied to the answers of `answers_of`, which its variants share."""
    return Measure(
        evaluation.name,
        rule.name,
        *_authors(judgments, rule.judges),
        apply(rule, answers),
        scale_min=0,
        scale_max=1,
        margin_share=evaluation.equivalence_margin,
        own_margin=rule.equivalence_margin,
        rule=rule,
        is_rate=True,
        in_words=rule.measures,
    )


def likelihood_measures(evaluation: Eval, likelihoods: list[Likelihood], trained_share: float) -> list[Measure]:
    """Drift, choice, yes and log-odds after this share of the training, where the engine was asked for them."""
    rows: list[tuple[str, str, float, float]] = [
        (row.measure, row.question_id, row.baseline, row.finetuned)
        for row in likelihoods
        if row.eval == evaluation.name and row.trained_share == trained_share
    ]
    if evaluation.log_odds:
        rows += [
            (LOG_ODDS, q, _log_odds(before), _log_odds(after)) for name, q, before, after in rows if name == "choice"
        ]
    columns = {
        "measure": polars.String,
        "question_id": polars.String,
        "baseline": polars.Float64,
        "finetuned": polars.Float64,
    }
    frame = polars.DataFrame(rows, schema=columns, orient="row")
    return [
        _likelihood_measure(evaluation, str(name), frame.filter(measure=name))
        for name in frame["measure"].unique(maintain_order=True)
    ]


def _likelihood_measure(evaluation: Eval, name: str, frame: polars.DataFrame) -> Measure:
    """The same texts under both models: what varies is their difference, which the fine-tuned side's cell carries.

    Drift is in nats and log-odds are, and both have no ends; the others are probabilities. A margin of probabilities is
    one of log-odds where these change the least for it, at one half: four times as large.
    """
    is_drift, is_endless = name == "drift", name in ("drift", LOG_ODDS)
    margin = 4 * evaluation.equivalence_margin if name == LOG_ODDS else 0.0
    grouped = frame.group_by("question_id").agg(
        polars.len().alias("n"),
        polars.col("baseline").mean(),
        polars.col("finetuned").mean(),
        (polars.col("finetuned") - polars.col("baseline")).var().alias("variance"),
    )
    directions = {question.id: question.matching for question in evaluation.questions}
    cells = {}
    for row in grouped.to_dicts():
        cells[row["question_id"], "baseline"] = Cell(row["n"], row["baseline"], 0.0, 0)
        cells[row["question_id"], "finetuned"] = Cell(row["n"], row["finetuned"], _nan_of_none(row["variance"]), 0)
    return Measure(
        evaluation.name,
        name,
        model=BOTH_MODELS,
        rubric="",
        cells=cells,
        scale_min=-math.inf if is_endless else 0,
        scale_max=math.inf if is_endless else 1,
        margin_share=evaluation.equivalence_margin,
        own_margin=evaluation.equivalence_margins.get(name, margin),
        is_drift=is_drift,
        is_exact=not is_drift,
        in_words={"choice": evaluation.measures, "yes": SAYS_YES}.get(name, ""),
        strata=directions if name == LOG_ODDS else {},
        directions=directions if name in ("choice", LOG_ODDS) else {},
    )


def _log_odds(probability: float) -> float:
    """In nats. A probability that is 1 to a float's 16 digits counts as the largest below it, and 0 likewise."""
    within = min(max(probability, MIN_PROBABILITY), 1 - MIN_PROBABILITY)
    return math.log(within) - math.log1p(-within)


def _is_rate(judge: Judge, judgments: polars.DataFrame) -> bool:
    """Whether the judge's scores are all 0 or 1: one of another program may have given fractions on that scale."""
    if (judge.scale_min, judge.scale_max) != (0, 1):
        return False
    scores = judgments.filter(judge=judge.name)["score"].drop_nulls()
    return bool((scores == scores.floor()).all())


def _authors(judgments: polars.DataFrame, judges: list[str]) -> tuple[str, str]:
    """Which models and which rubrics made the judgments of these judges."""
    mine = judgments.filter(polars.col("judge").is_in(judges))
    model, rubric = (", ".join(sorted(mine[name].unique())) for name in ("model", "rubric"))
    return model, rubric


def _cells_by_judge(judgments: polars.DataFrame) -> dict[str, Cells]:
    score = polars.col("score")
    return _as_cells(
        judgments.group_by("judge", "question_id", "side").agg(
            n=score.count(), mean=score.mean(), variance=score.var(), unscored=score.null_count()
        )
    )


def _as_cells(grouped: polars.DataFrame) -> dict[str, Cells]:
    """From columns judge, question_id, side, n, mean, variance and unscored."""
    found: dict[str, dict[tuple[str, str], Cell]] = {}
    for row in grouped.to_dicts():
        cell = Cell(row["n"], _nan_of_none(row["mean"]), _nan_of_none(row["variance"]), row["unscored"])
        found.setdefault(row["judge"], {})[row["question_id"], row["side"]] = cell
    return dict(found)


def _placements_by_judge(judgments: polars.DataFrame) -> dict[str, Cells]:
    """Cells of placements: each score's is the share of the other side's scores to its question below it, ties half.

    Made of how often each score was given, which are far fewer rows than there are answers.
    """
    side, answers, question = polars.col("side"), polars.col("answers"), ["judge", "question_id"]
    scored = judgments.filter(polars.col("score").is_not_null())
    counted = scored.group_by(*question, "side", "score").len("answers")
    counts = counted.group_by(*question, "score").agg(
        baseline=answers.filter(side == "baseline").sum(), finetuned=answers.filter(side == "finetuned").sum()
    )
    counts = counts.sort(*question, "score").with_columns(
        polars.col(name).cum_sum().over(question).alias(f"{name}_upto") for name in ("baseline", "finetuned")
    )
    before = _as_cells(_placed(counts, "baseline", "finetuned"))
    after = _as_cells(_placed(counts, "finetuned", "baseline"))
    return {judge: {**cells, **after.get(judge, {})} for judge, cells in before.items()}


def _placed(counts: polars.DataFrame, side: str, other: str) -> polars.DataFrame:
    """One side's placements among the other's, in the columns of `_as_cells`.

    `counts` has a row for each judge, question and score, with how often each side was given that score (`baseline`,
    `finetuned`) and that score or a lower one (`baseline_upto`, `finetuned_upto`).
    """
    n, others, place = polars.col(side), polars.col(other), polars.col("placement")
    placement = (polars.col(f"{other}_upto") - others / 2) / others.sum().over("judge", "question_id")
    mean = (n * place).sum() / n.sum()
    grouped = (
        counts.with_columns(placement=placement)
        .group_by("judge", "question_id")
        .agg(n=n.sum(), others=others.sum(), mean=mean, squares=(n * (place - mean) ** 2).sum())
        .filter(polars.col("n") > 0, polars.col("others") > 0)
    )
    free = polars.when(polars.col("n") > 1).then(polars.col("n") - 1)
    return grouped.with_columns(variance=polars.col("squares") / free, side=polars.lit(side), unscored=polars.lit(0))


def _nan_of_none(value: float | None) -> float:
    return math.nan if value is None else value
