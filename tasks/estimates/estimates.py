"""Estimates: from the cells of one run, or of the same measure in several seeds of one definition, to an effect.

    effects = effects_of([measure], evaluation)
    pooled = effects_of([measure_of_seed_0, measure_of_seed_1], evaluation)

With several runs the means are over runs too, questions and seeds are crossed in the interval for new ones, and a
baseline that the runs share is counted once.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from tasks.estimates.fixed_questions import fixed_questions, scores_fixed_questions, superiority_fixed_questions
from tasks.estimates.intervals import Cell, Interval, Term, slope_weights, usable_strata
from tasks.estimates.measures import EMPTY, Measure, Pair, share_baseline
from tasks.estimates.new_questions import (
    Rates,
    new_questions,
    new_questions_and_groups,
    new_questions_and_seeds,
    new_questions_in_strata,
    new_questions_of_rates,
    new_questions_slope,
    pooled_values,
    stratum_weights,
)
from tasks.estimates.unpaired import unpaired
from tasks.schema import ALL, SLOPE, Effect, Eval, Side

NO_FLOOR = Interval.unknown("no floor: one greedy baseline answer has no other to stand beside")
NO_BASELINE = Interval.unknown("no baseline")
NO_LEVEL = Interval.unknown("only the difference is estimated")
NOT_OF_GROUPS = Interval.unknown("not estimated for groups of fine-tunes that are no pairs")
EXACT = Interval.unknown("exact, since nothing is sampled")
NOT_TESTED = "in nats a token; no test, since any fine-tune makes its answers likelier"
"""Of drift: its mean cannot be 0 once a model has changed at all, and a p would say no more than that."""
TOO_FEW_TIERS = Interval.unknown("too few tiers with scores on both sides")

MIN_TIERS = 3
"""The slope over two would be their difference."""


class Part(NamedTuple):
    """What an effect is estimated from: one measure in each run, and some of its questions."""

    by_run: list[Measure]
    pairs: list[list[Pair]]
    """The same questions in each run, in one order: a list for each run."""

    @property
    def measure(self) -> Measure:
        """That of the first run, for what is alike in all of them."""
        return self.by_run[0]

    def of_tier(self, tier: str) -> "Part":
        """The questions of one tier."""
        return self._keeping(pair.tier == tier for pair in self.pairs[0])

    def each_question(self) -> list["Part"]:
        """A part for each question."""
        return [Part(self.by_run, [[pair] for pair in question]) for question in zip(*self.pairs, strict=True)]

    def complete(self) -> "Part":
        """The questions that have enough scores on both sides, in every run."""
        return self._keeping(self.measure.compares(*question) for question in zip(*self.pairs, strict=True))

    def with_finetuned(self) -> "Part":
        """The questions that have enough scores of the fine-tuned model, in every run."""
        questions = zip(*self.pairs, strict=True)
        return self._keeping(min(p.finetuned.n for p in question) >= self.measure.min_answers for question in questions)

    def _keeping(self, wanted: Iterable[bool]) -> "Part":
        """The questions for which it is true, one after the other."""
        keep = list(wanted)
        return Part(self.by_run, [[pair for pair, kept in zip(run, keep, strict=True) if kept] for run in self.pairs])

    def cells_by_run(self, side: Side) -> list[list[Cell]]:
        """One side's cells of each run; those of a baseline that all runs share, once."""
        if side == "finetuned":
            return [[pair.finetuned for pair in run] for run in self.pairs]
        if against := self.measure.against:
            return [[cells.get((pair.question_id, "finetuned"), EMPTY) for pair in self.pairs[0]] for cells in against]
        rows = [[pair.baseline for pair in run] for run in self.pairs]
        return rows[:1] if len(rows) > 1 and share_baseline(self.by_run) else rows

    def cells(self, side: Side) -> list[Cell]:
        """One side's cells of all runs."""
        return [cell for cells in self.cells_by_run(side) for cell in cells]

    def terms(self, side: Side) -> list[Term]:
        """How the cells of all runs make the mean of one side; a shared baseline has the cells of one run alone."""
        rows, weights = self.cells_by_run(side), stratum_weights(self.strata())
        return [(weight / len(rows), cell) for cells in rows for weight, cell in self.measure.terms(cells, weights)]

    def mean(self, side: Side) -> float | None:
        """The mean of one side over the questions and runs; None where a run has no question."""
        weights = stratum_weights(self.strata())
        return _over_runs(self.measure.mean(cells, weights) for cells in self.cells_by_run(side))

    def joint(self, side: Side) -> float | None:
        """A rule's hits among all answers: its rate among those that count selects on an outcome."""
        return _over_runs(self.measure.joint(cells) for cells in self.cells_by_run(side))

    def levels(self, side: Side) -> tuple[Interval, Interval]:
        """One side's own mean, for these questions and for new ones; of drift only the difference is estimated."""
        if self.measure.is_drift:
            return NO_LEVEL, NO_LEVEL
        scale = self.measure.scale_min, self.measure.scale_max
        fixed = self.fixed_questions({side: self.terms(side)})
        return fixed.within(*scale), self.new_questions([side]).within(*scale)

    def difference(self) -> tuple[Interval, Interval]:
        """The difference of both means, for these questions and for new ones; of several runs, seeds likewise."""
        width = self.measure.scale_max - self.measure.scale_min
        fixed = self.fixed_questions(_difference(self.terms("baseline"), self.terms("finetuned")))
        new = self.new_groups() if self.measure.against else self.new_questions(["finetuned", "baseline"])
        new = new._replace(note=new.note or self.note_directions())
        return fixed.within(-width, width), new.within(-width, width)

    def note_directions(self) -> str:
        """That saying yes more moves the mean, where the statements of one direction weigh more; else empty."""
        counts = Counter(self.measure.directions.get(pair.question_id, "") for pair in self.pairs[0])
        yes, no = counts["Yes"], counts["No"]
        if yes == no or (self.measure.strata and min(yes, no) > 1):
            return ""
        return f"{yes:,} of {yes + no:,} statements match with Yes: saying yes more moves it too"

    def fixed_questions(self, sides: dict[Side, list[Term]]) -> Interval:
        """The interval of a weighted sum of the cells of these sides, for these questions.

        None where nothing is uncertain. A single score says nothing of its spread: it has that of the side's other
        answers to one question, which the note says.
        """
        terms = [term for side in sides.values() for term in side]
        if terms and self.measure.is_exact:
            return EXACT
        if self.measure.is_rate:
            return fixed_questions(terms, is_rate=True)
        found = scores_fixed_questions(list(sides.values()))
        singles = self._singles(sides)
        if found.note or not singles:
            return found
        counted = "1 question" if singles == 1 else f"{singles:,} questions"
        return found._replace(note=f"the spread of {counted} with a single score is taken from other answers")

    def _singles(self, sides: Iterable[Side]) -> int:
        """How many questions have a single score on one of these sides, in one of the runs."""
        rows = [cells for side in sides for cells in self.cells_by_run(side)]
        return sum(any(cell.n == 1 for cell in question) for question in zip(*rows, strict=True))

    def new_questions(self, sides: list[Side]) -> Interval:
        """One side's mean, or how far that of the first lies above the other's, for new questions.

        Of several runs, for new seeds too.
        """
        values = self.values(sides[0]) if len(sides) == 1 else self.differences()
        if self.measure.strata:
            return new_questions_in_strata(values, self.strata())
        rates = self.rates(sides)
        if len(values) > 1:
            return new_questions_and_seeds(values, rates)
        return new_questions_of_rates(*rates) if rates else new_questions(values[0])

    def new_groups(self) -> Interval:
        """The difference of two groups of fine-tunes that are no pairs, for new questions and new fine-tunes."""
        rates = self.rates(["finetuned", "baseline"])
        return new_questions_and_groups(self.values("finetuned"), self.values("baseline"), self.strata(), rates)

    def rates(self, sides: list[Side]) -> list[Rates]:
        """Of a rate these sides' rates, of all runs together; else none."""
        return [Rates.of_runs(self.cells_by_run(s), self.values(s)) for s in sides] if self.measure.is_rate else []

    def strata(self) -> list[str]:
        """Of each question the stratum that it belongs to: all to the same, where a measure has none."""
        return [self.measure.strata.get(pair.question_id, "") for pair in self.pairs[0]]

    def values(self, side: Side) -> list[list[float]]:
        """What each question adds to one side's mean, a row for each run."""
        rows = [[pair.of(side) for pair in run] for run in self.pairs]
        if side == "baseline" and self.measure.against:
            rows = self.cells_by_run(side)
        return [pooled_values(r) if self.measure.is_pooled and r else [cell.mean for cell in r] for r in rows]

    def differences(self) -> list[list[float]]:
        """What each question adds to the difference, a row for each run."""
        sides = zip(self.values("baseline"), self.values("finetuned"), strict=True)
        return [[after - before for before, after in zip(*run, strict=True)] for run in sides]

    def placements(self) -> list[tuple[Cell, Cell]]:
        """The placements of both sides of each question in each run; none where there is no scale."""
        return [
            (measure.placements[p.question_id, "baseline"], measure.placements[p.question_id, "finetuned"])
            for measure, run in zip(self.by_run, self.pairs, strict=True)
            if measure.placements
            for p in run
        ]

    def without_baseline(self) -> Interval | None:
        """Why there is nothing to compare with, where only fine-tuned answers were judged; else None."""
        before, after = (any(cell.judged for cell in self.cells(side)) for side in ("baseline", "finetuned"))
        if before or not after:
            return None
        return NO_FLOOR if self.measure.reads_pair else NO_BASELINE


def _over_runs(values: Iterable[float | None]) -> float | None:
    """Their mean; None where one is not known."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(found) else None


def effects_of(by_run: list[Measure], evaluation: Eval) -> list[Effect]:
    """An effect for each tier, one over all of several, the slope over three distances or more, one for each question.

    `by_run` holds the same measure of each run; several runs are pooled.
    """
    whole = Part(by_run, [measure.pairs(evaluation) for measure in by_run])
    tiers = list(dict.fromkeys(question.tier for question in evaluation.questions))
    effects = [estimate_effect(whole.of_tier(tier), tier) for tier in tiers]
    if len(tiers) > 1:
        effects.append(estimate_effect(whole, ALL))
    if len(tiers) >= MIN_TIERS and evaluation.has_distances and not whole.measure.is_pooled:
        effects.append(estimate_slope(whole, tiers))
    first = [(part, part.pairs[0][0]) for part in whole.each_question()]
    return effects + [estimate_effect(part, pair.tier, pair.question_id) for part, pair in first]


def estimate_effect(part: Part, tier: str, question_id: str = "") -> Effect:
    """The effect over the questions of a part; `question_id` is its id where it is a single one."""
    complete = part.complete()
    no_baseline = part.without_baseline()
    after = part.with_finetuned() if no_baseline else complete
    fixed, new = (no_baseline, no_baseline) if no_baseline else complete.difference()
    bounds = [measure.bounds(pairs) for measure, pairs in zip(part.by_run, part.pairs, strict=True)]
    placements = complete.placements()
    # Of a single run only: runs that share a baseline have placements that depend on each other.
    superiority = superiority_fixed_questions(placements if len(part.by_run) == 1 else [])
    return _effect(
        part,
        tier=tier,
        question_id=question_id,
        complete=complete,
        after=after,
        baseline=complete.mean("baseline"),
        finetuned=after.mean("finetuned"),
        fixed=fixed,
        new=new,
        bound_low=_over_runs(low for low, _ in bounds),
        bound_high=_over_runs(high for _, high in bounds),
        **_level_fields("baseline", *complete.levels("baseline")),
        **_level_fields("finetuned", *after.levels("finetuned")),
        **({} if part.measure.is_drift else _unpaired(complete, after)),
        joint_baseline=part.joint("baseline"),
        joint_finetuned=part.joint("finetuned"),
        superiority=math.fsum(cell.mean for _, cell in placements) / len(placements) if placements else None,
        superiority_low=superiority.low,
        superiority_high=superiority.high,
    )


def estimate_slope(part: Part, tiers: list[str]) -> Effect:
    """How much the mean, and the difference, change from one tier to the next: least squares over the questions.

    The slope is a weighted sum of the questions' means, so its interval for these questions is theirs.
    """
    complete = part.complete()
    ranks = [tiers.index(pair.tier) for pair in complete.pairs[0]]
    why = part.without_baseline() or (TOO_FEW_TIERS if len(set(ranks)) < MIN_TIERS else None)
    if why:
        return _effect(
            part, tier=SLOPE, complete=complete, after=complete, baseline=None, finetuned=None, fixed=why, new=why
        )
    before, after = (_slope_terms(complete, tiers, side) for side in ("baseline", "finetuned"))
    fixed = complete.fixed_questions(_difference(before, after))
    if part.measure.is_rate:
        fixed = fixed._replace(detectable=None)  # that is of a rise of all rates alike, which is no slope
    return _effect(
        part,
        tier=SLOPE,
        complete=complete,
        after=complete,
        baseline=math.fsum(weight * cell.mean for weight, cell in before),
        finetuned=math.fsum(weight * cell.mean for weight, cell in after),
        fixed=fixed,
        new=NOT_OF_GROUPS
        if complete.measure.against
        else new_questions_slope(ranks, complete.differences(), complete.strata()),
    )


def _difference(before: list[Term], after: list[Term]) -> dict[Side, list[Term]]:
    """How the cells of both sides make the difference of what these terms make of each."""
    return {"finetuned": after, "baseline": [(-weight, cell) for weight, cell in before]}


def _slope_terms(part: Part, tiers: list[str], side: Side) -> list[Term]:
    """How the cells of one side make its slope over the tiers."""
    ranks = [tiers.index(pair.tier) for pair in part.pairs[0]]
    rows, weights = part.cells_by_run(side), slope_weights(ranks, usable_strata(part.strata()))
    return [(weight / len(rows), cell) for cells in rows for weight, cell in zip(weights, cells, strict=True)]


def _effect(
    part: Part,
    *,
    tier: str,
    question_id: str = "",
    complete: Part,
    after: Part,
    baseline: float | None,
    finetuned: float | None,
    fixed: Interval,
    new: Interval,
    bound_low: float | None = None,
    bound_high: float | None = None,
    **more: float | None,
) -> Effect:
    """All that every effect says: who measured, the means, both intervals, and how many answers they are made of.

    `complete` are the questions of the difference, `after` those of the fine-tuned mean.
    """
    measure = part.measure
    if measure.is_drift:
        fixed, new = fixed.untested(), new.untested()
    return Effect(
        eval=measure.eval,
        measure=measure.name,
        model=", ".join(sorted({measure.model for measure in part.by_run})),
        rubric=", ".join(sorted({measure.rubric for measure in part.by_run})),
        tier=tier,
        question_id=question_id,
        baseline=baseline,
        finetuned=finetuned,
        difference=None if baseline is None or finetuned is None else finetuned - baseline,
        **_interval_fields(fixed, new),
        note_test=NOT_TESTED if measure.is_drift else "",
        **_counts(part, complete, after),
        rule=str(measure.rule or ""),
        in_words=measure.in_words,
        equivalence_margin=None if tier == SLOPE else measure.equivalence_margin,
        scale_min=measure.scale_min if math.isfinite(measure.scale_min) else None,
        scale_max=measure.scale_max if math.isfinite(measure.scale_max) else None,
        bound_low=bound_low,
        bound_high=bound_high,
        **more,
    )


def _unpaired(complete: Part, after: Part) -> dict[str, float | None]:
    """What papers report beside an effect; what is exact is no sample, and has no test of one."""
    fields = unpaired(complete.cells("baseline"), after.cells("finetuned"))
    return fields | ({"p_welch": None} if complete.measure.is_exact else {})


def _counts(part: Part, complete: Part, after: Part) -> dict[str, int]:
    """How many questions and answers an effect is made of, and how many are left out."""
    return {
        "questions": len(complete.pairs[0]),
        "questions_left_out": len(part.pairs[0]) - len(complete.pairs[0]),
        "scored_baseline": sum(cell.n for cell in complete.cells("baseline")),
        "scored_finetuned": sum(cell.n for cell in after.cells("finetuned")),
        "unscored_baseline": sum(cell.unscored for cell in part.cells("baseline")),
        "unscored_finetuned": sum(cell.unscored for cell in part.cells("finetuned")),
    }


def _interval_fields(fixed: Interval, new: Interval) -> dict[str, Any]:
    return {
        "ci_low_fixed_questions": fixed.low,
        "ci_high_fixed_questions": fixed.high,
        "note_fixed_questions": fixed.note,
        "p_fixed_questions": fixed.p,
        "detectable_fixed_questions": fixed.detectable,
        "ci_low_new_questions": new.low,
        "ci_high_new_questions": new.high,
        "note_new_questions": new.note,
        "p_new_questions": new.p,
        "detectable_new_questions": new.detectable,
    }


def _level_fields(side: Side, fixed: Interval, new: Interval) -> dict[str, float | None]:
    return {
        f"{side}_low": fixed.low,
        f"{side}_high": fixed.high,
        f"{side}_low_new_questions": new.low,
        f"{side}_high_new_questions": new.high,
    }
