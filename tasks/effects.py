"""Effects: what changed, by tier, with an interval for these questions and one for new ones.

    effects = estimate(judgments, evals)

What changed is a paired difference by question: the mean score of the fine-tuned answers minus that of the baseline
(for a pair judge: minus its floor), or the rate of a rule's hits. Questions weigh the same, unless a rule pools them.
A judgment without a score never becomes a number.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from prefect import task

from tasks.intervals import Cell, Interval, new_questions, new_questions_pooled, these_questions
from tasks.measures import Measure, Pair, likelihood_measures, measures, rule_measure
from tasks.rules import as_words, at_moment, variants
from tasks.runs import Run, as_table, write_text
from tasks.schema import ALL, Effect, Eval, Judgment, Likelihood

NO_FLOOR = Interval(None, None, "no floor: one greedy baseline answer has no other to stand beside")
NO_BASELINE = Interval(None, None, "no baseline")
NO_LEVEL = Interval(None, None, "only the difference is estimated")


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
        for measure in [*measures(one, at_moment(words, one, at)), *likelihood_measures(one, likelihoods, at)]
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
                measure = rule_measure(one, mine, variant)
                found.append(_effect(measure, ALL, measure.pairs(one)))
    return found


def _effects(one: Eval, measure: Measure) -> list[Effect]:
    pairs = measure.pairs(one)
    tiers = list(dict.fromkeys(pair.tier for pair in pairs))
    effects = [_effect(measure, tier, [pair for pair in pairs if pair.tier == tier]) for tier in tiers]
    if len(tiers) > 1:
        effects.append(_effect(measure, ALL, pairs))
    return effects + [_effect(measure, pair.tier, [pair], pair.question) for pair in pairs]


def _effect(measure: Measure, tier: str, pairs: list[Pair], question: str = "") -> Effect:
    both = [pair for pair in pairs if measure.compares(pair)]
    after = [pair for pair in pairs if pair.finetuned.n] if (alone := _stands_alone(pairs, measure)) else both
    before_cells, after_cells = [pair.baseline for pair in both], [pair.finetuned for pair in after]
    these, new = (alone, alone) if alone else _intervals(measure, both)
    before, later = (measure.mean(cells) for cells in (before_cells, after_cells))
    low, high = measure.bounds(pairs)
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
        scored_finetuned=sum(p.finetuned.n for p in after),
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
    terms = measure.terms(after) + [(-weight, cell) for weight, cell in measure.terms(before)]
    return these_questions(terms, measure.is_rate), new


def _level(measure: Measure, cells: list[Cell]) -> Interval:
    """The interval of one side's own mean; of likelihoods only the difference is estimated."""
    return NO_LEVEL if measure.is_likelihood else these_questions(measure.terms(cells), measure.is_rate)


def _joint(measure: Measure, cells: list[Cell]) -> float | None:
    """A rule's hits among all answers: its rate among those that count selects on an outcome."""
    if measure.rule is None or not cells:
        return None
    if measure.is_pooled:
        return math.fsum(cell.n * cell.mean for cell in cells) / sum(cell.answers for cell in cells)
    return math.fsum(cell.n * cell.mean / cell.answers for cell in cells) / len(cells)


def _stands_alone(pairs: list[Pair], measure: Measure) -> Interval | None:
    """Why there is nothing to compare with, where fine-tuned answers were judged and nothing of the baseline was."""
    before, after = (
        sum(map(_answers, cells)) for cells in zip(*[(p.baseline, p.finetuned) for p in pairs], strict=True)
    )
    if before or not after:
        return None
    return NO_FLOOR if measure.reads_pair else NO_BASELINE


def _answers(cell: Cell) -> int:
    return max(cell.answers, cell.n + cell.unscored)


def write_effects(run: Run) -> Path:
    """effects.csv, and sensitivity.csv where there is a rule."""
    judgments, evals = run.judgments(), run.evals()
    if moved := sensitivity(judgments, evals):
        write_text(run.sensitivity, as_table(moved, Effect).write_csv())
    return write_text(run.effects, as_table(estimate(judgments, evals, run.likely()), Effect).write_csv())


@task(name="effects", task_run_name="estimate what changed")
def effects_task(folder: Path) -> Path:
    return write_effects(Run(folder))
