"""Estimates: from the cells of one run, or of the same measure in several seeds of one definition, to an effect.

    effect = estimate_effect([measure], "direct", [pairs])
    pooled = estimate_effect([of_seed_0, of_seed_1], "direct", [pairs_of_seed_0, pairs_of_seed_1])

With several runs the means are over runs too, questions and seeds are crossed in the interval for new ones, and a
baseline that the runs share is counted once.
"""

import math
from typing import TypeVar

from tasks.estimates.intervals import (
    Cell,
    Interval,
    Term,
    fixed_questions,
    new_questions,
    new_questions_and_seeds,
    new_questions_pooled,
    new_questions_slope,
    slope_weights,
    superiority_fixed_questions,
)
from tasks.estimates.measures import Measure, Pair
from tasks.schema import ALL, SLOPE, Effect, Eval, Side

NO_FLOOR = Interval.unknown("no floor: one greedy baseline answer has no other to stand beside")
NO_BASELINE = Interval.unknown("no baseline")
NO_LEVEL = Interval.unknown("only the difference is estimated")
NOT_CROSSED = Interval.unknown("not estimable: the rule pools answers, and several runs are crossed by question")

FEWEST_TIERS = 3
"""The slope over two would be their difference."""

AnEffect = TypeVar("AnEffect", bound=Effect)
Pairs = list[list[Pair]]
"""The same questions in each run, in one order."""


def effects_of(same: list[Measure], one: Eval) -> list[Effect]:
    """An effect for each tier, one over all of several tiers, the slope over three or more, one for each question."""
    every = [measure.pairs(one) for measure in same]
    tiers = list(dict.fromkeys(question.tier for question in one.questions))
    parts = [(tier, [[pair for pair in pairs if pair.tier == tier] for pairs in every]) for tier in tiers]
    parts += [(ALL, every)] if len(tiers) > 1 else []
    effects = [estimate_effect(same, tier, pairs) for tier, pairs in parts]
    effects += [estimate_slope(same, every, tiers)] if len(tiers) >= FEWEST_TIERS and not same[0].is_pooled else []
    singles = [[[pairs[place]] for pairs in every] for place in range(len(one.questions))]
    return effects + [estimate_effect(same, each[0][0].tier, each, each[0][0].question) for each in singles]


def estimate_effect(same: list[Measure], tier: str, every: Pairs, question: str = "") -> Effect:
    measure = same[0]
    alone = _stands_alone(same, every)
    both = _compared(same, every)
    after = (
        _kept(every, [all(p.finetuned.n >= measure.least for p in pairs) for pairs in zip(*every, strict=True)])
        if alone
        else both
    )
    these, new = (alone, alone) if alone else _intervals(same, both)
    bounds = [one.bounds(pairs) for one, pairs in zip(same, every, strict=True)]
    levels = [_level(same, both, "baseline"), _level(same, after, "finetuned")]
    placed = _placements(same, both)
    # Of one run alone: runs that share a baseline have placements that depend on each other.
    rank = superiority_fixed_questions(placed if len(same) == 1 else [])
    return _effect(
        same,
        tier,
        question,
        (every, both, after),
        (_mean(same, both, "baseline"), _mean(same, after, "finetuned")),
        (these, new),
        bound_low=_over_runs([low for low, _ in bounds]),
        bound_high=_over_runs([high for _, high in bounds]),
        baseline_low=levels[0].low,
        baseline_high=levels[0].high,
        finetuned_low=levels[1].low,
        finetuned_high=levels[1].high,
        joint_baseline=_joint(same, every, "baseline"),
        joint_finetuned=_joint(same, every, "finetuned"),
        superiority=math.fsum(after.mean for _, after in placed) / len(placed) if placed else None,
        superiority_low=rank.low,
        superiority_high=rank.high,
    )


def estimate_slope(same: list[Measure], every: Pairs, tiers: list[str]) -> Effect:
    """How much the mean, and the difference, change from one tier to the next: least squares over the questions.

    The slope is a weighted sum of the questions' means, so its interval for these questions is theirs.
    """
    both = _compared(same, every)
    ranks = [tiers.index(pair.tier) for pair in both[0]]
    if (alone := _stands_alone(same, every)) or len(set(ranks)) < FEWEST_TIERS:
        why = alone or Interval.unknown("too few tiers with scores on both sides")
        return _effect(same, SLOPE, "", (every, both, both), (None, None), (why, why))
    weights = slope_weights(ranks)
    sides = {side: _sides(same, both, side) for side in ("baseline", "finetuned")}
    terms = {
        side: [(w / len(rows), cell) for cells in rows for w, cell in zip(weights, cells, strict=True)]
        for side, rows in sides.items()
    }
    before, later = (math.fsum(w * cell.mean for w, cell in terms[side]) for side in ("baseline", "finetuned"))
    these = fixed_questions(terms["finetuned"] + [(-w, cell) for w, cell in terms["baseline"]], same[0].is_rate)
    if same[0].is_rate:
        these = these._replace(detectable=None)  # that is of a rise of all rates alike, which is no slope
    new = new_questions_slope(ranks, [[pair.difference for pair in pairs] for pairs in both])
    return _effect(same, SLOPE, "", (every, both, both), (before, later), (these, new))


def _effect(
    same: list[Measure],
    tier: str,
    question: str,
    pairs: tuple[Pairs, Pairs, Pairs],
    means: tuple[float | None, float | None],
    intervals: tuple[Interval, Interval],
    **more: float | None,
) -> Effect:
    """All that every effect says: who measured, the means, both intervals, and how many answers they are made of."""
    measure, (every, both, after), (before, later), (these, new) = same[0], pairs, means, intervals
    return Effect(
        eval=measure.eval,
        measure=measure.name,
        model=", ".join(sorted({one.model for one in same})),
        rubric=", ".join(sorted({one.rubric for one in same})),
        tier=tier,
        question=question,
        baseline=before,
        finetuned=later,
        difference=None if before is None or later is None else later - before,
        ci_low_fixed_questions=these.low,
        ci_high_fixed_questions=these.high,
        note_fixed_questions=these.note,
        p_fixed_questions=these.p,
        detectable_fixed_questions=these.detectable,
        ci_low_new_questions=new.low,
        ci_high_new_questions=new.high,
        note_new_questions=new.note,
        p_new_questions=new.p,
        detectable_new_questions=new.detectable,
        questions=len(both[0]),
        questions_left_out=len(every[0]) - len(both[0]),
        scored_baseline=sum(cell.n for cell in _cells(same, both, "baseline")),
        scored_finetuned=sum(cell.n for cell in _cells(same, after, "finetuned")),
        unscored_baseline=sum(cell.unscored for cell in _cells(same, every, "baseline")),
        unscored_finetuned=sum(cell.unscored for cell in _cells(same, every, "finetuned")),
        rule=str(measure.rule or ""),
        equivalence_margin=None if tier == SLOPE else measure.equivalence_margin,
        scale_min=measure.low if math.isfinite(measure.low) else None,
        scale_max=measure.high if math.isfinite(measure.high) else None,
        **{"bound_low": None, "bound_high": None} | more,
    )


def adjusted(effects: list[AnEffect]) -> list[AnEffect]:
    """The effects with Holm's p beside each p: one family for these questions, one for new ones, single ones apart.

    The k-th smallest of m p is multiplied by m - k + 1 and is no less than the one before it (S. Holm, Scandinavian
    Journal of Statistics 6, 1979). Holds whatever the dependence, which matters here: measures read the same answers.
    """
    found = list(effects)
    for name in ("p_fixed_questions", "p_new_questions"):
        places = [n for n, e in enumerate(found) if not e.question and getattr(e, name) is not None]
        for place, p in zip(places, _holm([getattr(found[n], name) for n in places]), strict=True):
            found[place] = found[place].model_copy(update={f"{name}_holm": p})
    return found


def _holm(ps: list[float]) -> list[float]:
    found, largest = list(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = largest
    return found


def _placements(same: list[Measure], both: Pairs) -> list[tuple[Cell, Cell]]:
    """The placements of both sides of each question in each run; none where there is no scale."""
    return [
        (one.placements[p.question, "baseline"], one.placements[p.question, "finetuned"])
        for one, pairs in zip(same, both, strict=True)
        if one.placements
        for p in pairs
    ]


def _compared(same: list[Measure], every: Pairs) -> Pairs:
    """The questions that have enough on both sides, in every run."""
    return _kept(every, [same[0].compares(*pairs) for pairs in zip(*every, strict=True)])


def _intervals(same: list[Measure], both: Pairs) -> tuple[Interval, Interval]:
    """For these questions, and for new ones; of several runs, for these seeds, and for new ones too."""
    terms = _terms(same, both, "finetuned") + [(-weight, cell) for weight, cell in _terms(same, both, "baseline")]
    these = fixed_questions(terms, same[0].is_rate)
    if len(same) > 1:
        differences = [[pair.difference for pair in pairs] for pairs in both]
        return these, NOT_CROSSED if same[0].is_pooled else new_questions_and_seeds(differences)
    if same[0].is_pooled:
        return these, new_questions_pooled([(pair.baseline, pair.finetuned) for pair in both[0]])
    return these, new_questions([pair.difference for pair in both[0]])


def _level(same: list[Measure], both: Pairs, side: Side) -> Interval:
    """The interval of one side's own mean; of likelihoods only the difference is estimated."""
    return NO_LEVEL if same[0].is_likelihood else fixed_questions(_terms(same, both, side), same[0].is_rate)


def _terms(same: list[Measure], both: Pairs, side: Side) -> list[Term]:
    """How the cells of all runs make the mean; of a shared baseline each cell stands once."""
    rows = _sides(same, both, side)
    return [
        (weight / len(rows), cell)
        for measure, cells in zip(same, rows, strict=False)
        for weight, cell in measure.terms(cells)
    ]


def _mean(same: list[Measure], both: Pairs, side: Side) -> float | None:
    return _over_runs([one.mean(cells) for one, cells in zip(same, _sides(same, both, side), strict=False)])


def _joint(same: list[Measure], every: Pairs, side: Side) -> float | None:
    """A rule's hits among all answers: its rate among those that count selects on an outcome."""
    return _over_runs([one.joint(cells) for one, cells in zip(same, _sides(same, every, side), strict=False)])


def _sides(same: list[Measure], both: Pairs, side: Side) -> list[list[Cell]]:
    """One side's cells of each run; those of a baseline that all runs share, once."""
    if side == "finetuned":
        return [[pair.finetuned for pair in pairs] for pairs in both]
    rows = [[pair.baseline for pair in pairs] for pairs in both]
    return rows[:1] if same[0].baseline and len({one.baseline for one in same}) == 1 else rows


def _cells(same: list[Measure], both: Pairs, side: Side) -> list[Cell]:
    return [cell for cells in _sides(same, both, side) for cell in cells]


def _kept(every: Pairs, wanted: list[bool]) -> Pairs:
    return [[pair for pair, keep in zip(pairs, wanted, strict=True) if keep] for pairs in every]


def _over_runs(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _stands_alone(same: list[Measure], every: Pairs) -> Interval | None:
    """Why there is nothing to compare with, where fine-tuned answers were judged and nothing of the baseline was."""
    before, after = (any(cell.judged for cell in _cells(same, every, side)) for side in ("baseline", "finetuned"))
    if before or not after:
        return None
    return NO_FLOOR if same[0].reads_pair else NO_BASELINE
