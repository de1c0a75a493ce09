"""Effects: what changed, by tier, with an interval for these questions and one for new ones.

    effects = estimate(judgments, evals)

What changed is a paired difference by question: the mean score of the fine-tuned answers minus that of the baseline
(for a pair judge: minus its floor), or the rate of a rule's hits. Questions weigh the same, unless a rule pools them.
A judgment without a score never becomes a number.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import polars
from prefect import task

from tasks.intervals import Cell, Interval, Term, new_questions, new_questions_pooled, pool, these_questions
from tasks.rules import apply, as_words, at_moment, variants
from tasks.runs import Run, as_table, write_text
from tasks.schema import ALL, Effect, Eval, Judgment, Likelihood, Rule

EMPTY = Cell(0, math.nan, math.nan, 0)
NO_FLOOR = Interval(None, None, "no floor: one greedy baseline answer has no other to stand beside")
NO_LEVEL = Interval(None, None, "only the difference is estimated")


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
    reads_pair: bool = False
    rule: Rule | None = None
    is_likelihood: bool = False

    @property
    def is_rate(self) -> bool:
        return not self.is_likelihood and (self.low, self.high) == (0, 1)

    @property
    def is_pooled(self) -> bool:
        return self.rule is not None and self.rule.over == "pooled"

    def pairs(self, one: Eval) -> list[Pair]:
        return [
            Pair(q.tier, q.id, *(self.cells.get((q.id, side), EMPTY) for side in ("baseline", "finetuned")))
            for q in one.questions
        ]

    def compares(self, pair: Pair) -> bool:
        """Whether a question has enough on both sides."""
        least = self.rule.min_answers if self.rule else 1
        return min(pair.baseline.n, pair.finetuned.n) >= least


def estimate(judgments: list[Judgment], evals: list[Eval], likelihoods: Iterable[Likelihood] = ()) -> list[Effect]:
    """For each eval and measure: an effect for each tier, one over all of several tiers, and one for each question.

    Where the model was asked at several moments of its training, those of the end come first, then the earlier ones.
    """
    likelihoods, words = list(likelihoods), as_words(judgments)
    moments = sorted({j.at for j in judgments if j.side == "finetuned"} | {1.0}, reverse=True)
    return [
        effect.model_copy(update={"at": at})
        for at in moments
        for one in evals
        for measure in [*_measures(one, at_moment(words, one, at)), *_likelihood_measures(one, likelihoods, at)]
        for effect in _effects(one, measure)
    ]


def sensitivity(judgments: list[Judgment], evals: list[Eval]) -> list[Effect]:
    """How each rule's result moves with its thresholds, strict and not strict: an effect over all for each variant."""
    words = as_words(judgments)
    found = []
    for one in evals:
        mine = at_moment(words, one, 1.0)
        for rule in one.rules:
            for variant in variants(rule, one):
                measure = _rule_measure(one, mine, variant)
                found.append(_effect(measure, ALL, measure.pairs(one)))
    return found


def _measures(one: Eval, words: polars.DataFrame) -> list[Measure]:
    """The eval's judges and rules."""
    cells = _cells(words)
    judges = [
        Measure(
            one.name,
            judge.name,
            *_authors(words, [judge.name]),
            {(question, side): cell for (name, question, side), cell in cells.items() if name == judge.name},
            judge.lowest,
            judge.highest,
            judge.reads == "pair",
        )
        for judge in one.judges
    ]
    return judges + [_rule_measure(one, words, rule) for rule in one.rules]


def _rule_measure(one: Eval, words: polars.DataFrame, rule: Rule) -> Measure:
    return Measure(one.name, rule.name, *_authors(words, rule.judges), apply(rule, words), 0, 1, rule=rule)


def _likelihood_measures(one: Eval, likelihoods: list[Likelihood], at: float) -> list[Measure]:
    """Drift and choice, where the engine was asked for them."""
    frame = polars.DataFrame(
        [
            (row.measure, row.question_id, row.baseline, row.finetuned)
            for row in likelihoods
            if row.eval == one.name and row.at == at
        ],
        schema={
            "measure": polars.String,
            "question": polars.String,
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
    both = frame.group_by("question").agg(
        polars.len().alias("n"),
        polars.col("baseline").mean(),
        polars.col("finetuned").mean(),
        (polars.col("finetuned") - polars.col("baseline")).var().alias("variance"),
    )
    cells = {}
    for row in both.to_dicts():
        cells[row["question"], "baseline"] = Cell(row["n"], row["baseline"], 0.0, 0)
        cells[row["question"], "finetuned"] = Cell(row["n"], row["finetuned"], _number(row["variance"]), 0)
    return Measure(one.name, name, "both models", "", cells, -math.inf, math.inf, is_likelihood=True)


def _effects(one: Eval, measure: Measure) -> list[Effect]:
    pairs = measure.pairs(one)
    tiers = list(dict.fromkeys(pair.tier for pair in pairs))
    effects = [_effect(measure, tier, [pair for pair in pairs if pair.tier == tier]) for tier in tiers]
    if len(tiers) > 1:
        effects.append(_effect(measure, ALL, pairs))
    return effects + [_effect(measure, pair.tier, [pair], pair.question) for pair in pairs]


def _effect(measure: Measure, tier: str, pairs: list[Pair], question: str = "") -> Effect:
    both = [pair for pair in pairs if measure.compares(pair)]
    after = [pair for pair in pairs if pair.finetuned.n] if (floorless := _is_floorless(pairs, measure)) else both
    before_cells, after_cells = [pair.baseline for pair in both], [pair.finetuned for pair in after]
    these, new = (NO_FLOOR, NO_FLOOR) if floorless else _intervals(measure, both)
    before, later = (_mean(measure, cells) for cells in (before_cells, after_cells))
    low, high = _bounds(pairs, measure)
    levels = [_level(measure, cells) for cells in (before_cells, after_cells)]
    return Effect(
        eval=measure.eval,
        measure=measure.name,
        model=measure.model,
        rubric=measure.rubric,
        tier=tier,
        question=question,
        baseline=before,
        finetuned=later,
        difference=None if before is None or later is None else later - before,
        these_low=these.low,
        these_high=these.high,
        these_note=these.note,
        new_low=new.low,
        new_high=new.high,
        new_note=new.note,
        p_new=new.p,
        questions=len(both),
        questions_left_out=len(pairs) - len(both),
        scored_baseline=sum(p.baseline.n for p in both),
        scored_finetuned=sum(p.finetuned.n for p in both),
        unscored_baseline=sum(p.baseline.unscored for p in pairs),
        unscored_finetuned=sum(p.finetuned.unscored for p in pairs),
        bound_low=low,
        bound_high=high,
        baseline_low=levels[0].low,
        baseline_high=levels[0].high,
        finetuned_low=levels[1].low,
        finetuned_high=levels[1].high,
        joint_baseline=_joint(measure, before_cells),
        joint_finetuned=_joint(measure, after_cells),
        rule=str(measure.rule or ""),
    )


def _intervals(measure: Measure, both: list[Pair]) -> tuple[Interval, Interval]:
    """For these questions, and for new ones."""
    before, after = [pair.baseline for pair in both], [pair.finetuned for pair in both]
    new = new_questions_pooled(list(zip(before, after, strict=True))) if measure.is_pooled else None
    new = new or new_questions([pair.difference for pair in both])
    terms = _terms(measure, after) + [(-weight, cell) for weight, cell in _terms(measure, before)]
    return these_questions(terms, measure.is_rate), new


def _level(measure: Measure, cells: list[Cell]) -> Interval:
    """The interval of one side's own mean; of likelihoods only the difference is estimated."""
    return NO_LEVEL if measure.is_likelihood else these_questions(_terms(measure, cells), measure.is_rate)


def _terms(measure: Measure, cells: list[Cell]) -> list[Term]:
    """How the cells make the mean: each question alike, or all answers alike."""
    if measure.is_pooled:
        return [(1.0, pool(cells))] if cells else []
    return [(1 / len(cells), cell) for cell in cells]


def _mean(measure: Measure, cells: list[Cell]) -> float | None:
    return math.fsum(weight * cell.mean for weight, cell in _terms(measure, cells)) if cells else None


def _joint(measure: Measure, cells: list[Cell]) -> float | None:
    """A rule's hits among all answers: its rate among those that count selects on an outcome."""
    if measure.rule is None or not cells:
        return None
    if measure.is_pooled:
        return math.fsum(cell.n * cell.mean for cell in cells) / sum(cell.answers for cell in cells)
    return math.fsum(cell.n * cell.mean / cell.answers for cell in cells) / len(cells)


def _is_floorless(pairs: list[Pair], measure: Measure) -> bool:
    """Whether a pair judge was shown fine-tuned answers and no baseline beside another baseline."""
    floor, shown = (
        sum(cell.n + cell.unscored for cell in cells)
        for cells in zip(*[(p.baseline, p.finetuned) for p in pairs], strict=True)
    )
    return measure.reads_pair and floor == 0 and shown > 0


def _bounds(pairs: list[Pair], measure: Measure) -> tuple[float | None, float | None]:
    """The difference if every unscored answer had the score that makes it smallest, and largest."""
    if any(cell.n + cell.unscored == 0 for pair in pairs for cell in (pair.baseline, pair.finetuned)):
        return None, None
    if not math.isfinite(measure.low) or not pairs:
        return None, None
    cells = [pool([p.baseline for p in pairs]), pool([p.finetuned for p in pairs])] if measure.is_pooled else []
    pairs = [Pair("", "", *cells)] if cells else pairs
    least = [_filled(pair.finetuned, measure.low) - _filled(pair.baseline, measure.high) for pair in pairs]
    most = [_filled(pair.finetuned, measure.high) - _filled(pair.baseline, measure.low) for pair in pairs]
    return math.fsum(least) / len(least), math.fsum(most) / len(most)


def _filled(cell: Cell, score: float) -> float:
    known = cell.mean * cell.n if cell.n else 0.0
    return (known + score * cell.unscored) / (cell.n + cell.unscored)


def _authors(words: polars.DataFrame, judges: list[str]) -> tuple[str, str]:
    """Which models and which rubrics made the judgments of these judges."""
    mine = words.filter(polars.col("judge").is_in(judges))
    model, rubric = (", ".join(sorted(mine[name].unique())) for name in ("model", "rubric"))
    return model, rubric


def _cells(words: polars.DataFrame) -> dict[tuple[str, str, str], Cell]:
    score = polars.col("score")
    grouped = words.group_by("judge", "question", "side").agg(
        n=score.count(), mean=score.mean(), variance=score.var(), unscored=score.null_count()
    )
    return {
        (row["judge"], row["question"], row["side"]): Cell(
            row["n"], _number(row["mean"]), _number(row["variance"]), row["unscored"]
        )
        for row in grouped.to_dicts()
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def write_effects(run: Run) -> Path:
    """effects.csv, and sensitivity.csv where there is a rule."""
    judgments, evals = run.judgments(), run.evals()
    if moved := sensitivity(judgments, evals):
        write_text(run.sensitivity, as_table(moved, Effect).write_csv())
    return write_text(run.effects, as_table(estimate(judgments, evals, run.likely()), Effect).write_csv())


@task(name="effects", task_run_name="estimate what changed")
def effects_task(folder: Path) -> Path:
    return write_effects(Run(folder))
