"""A matrix of means that others published, with the intervals that they allow.

    found = matrix_of_aggregates(aggregates, {"formal": {"formality": "more"}}, scales)

Of scores it takes n and a standard deviation on both sides (Welch), of rates n alone (Wilson's limits combined by
MOVER). Nobody knows which answer belongs to which question, so that all count alike and there is no interval for new
questions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.catalog import UserError
from tasks.estimates.fixed_questions import fixed_questions
from tasks.estimates.intervals import Cell, Interval, rate_cell
from tasks.schema import ALL, Aggregate, Scale, Shift
from tasks.studies.matrix import CAPABILITY, DIRECTIONS, Matrix, adjusted_by_family, in_sds, with_spill
from tasks.studies.order import in_order

ALIKE = "of all answers alike"
NO_QUESTIONS = "means of answers do not say what the questions were"
UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("ci_low_new_questions", "ci_high_new_questions", "p_new_questions", "bound_low", "bound_high")),
    **dict.fromkeys(("questions", "questions_left_out", "unscored_baseline", "unscored_finetuned"), 0),
}
"""What means do not say."""
MARGIN = 0.05
"""Of a scale that is known."""


def matrix_of_aggregates(
    aggregates: Sequence[Aggregate],
    traits: Mapping[str, Mapping[str, str]],
    scales: Mapping[str, Scale],
) -> Matrix:
    """A shift of each model but the first, which is the base, on each measure that the base has too.

    `traits` says what each was trained to show (`more` or `less` of a measure); `scales` has the ends of measures.
    Raises UserError for a measure that is a rate of one model and a score of another.
    """
    base = {row.measure: row for row in aggregates if row.model == aggregates[0].model}
    _refuse_mixed(aggregates, base)
    tuned = [row for row in aggregates if row.model != aggregates[0].model]
    shifts = adjusted_by_family(
        [_shift(row, base[row.measure], traits.get(row.model, {}), scales) for row in tuned if row.measure in base]
    )
    targets = {
        name: [one for one in shifts if one.label == name and one.direction] for name in {s.label for s in shifts}
    }
    found = [with_spill(shift, targets[shift.label], {}) for shift in shifts]
    lone = dict.fromkeys(row.measure for row in tuned if row.measure not in base)
    left_out = [f"{name} is left out: the base model has none." for name in lone]
    trained = {name: traits.get(name, {}) for name in dict.fromkeys(row.model for row in tuned)}
    return Matrix(in_order(found), [], left_out, trained)


def _refuse_mixed(aggregates: Sequence[Aggregate], base: Mapping[str, Aggregate]) -> None:
    """24 % is 0.24, and 40 without its sign would be a rise by 39.76."""
    for row in aggregates:
        if (before := base.get(row.measure)) and before.is_rate != row.is_rate:
            rate, score = (before, row) if before.is_rate else (row, before)
            raise UserError(
                f"{row.measure} is a rate of {rate.model} and the score {score.mean:g} of {score.model}, which cannot "
                "be compared; write both as 24 %, or both as numbers"
            )


def _shift(after: Aggregate, before: Aggregate, trait: Mapping[str, str], scales: Mapping[str, Scale]) -> Shift:
    found, scale = _interval(after, before), scales.get(after.measure, scales.get(""))
    low, high = (0.0, 1.0) if after.is_rate else (scale.low, scale.high) if scale else (None, None)
    sd = math.sqrt(before.mean * (1 - before.mean)) if before.is_rate else before.sd
    shift = Shift(
        label=after.model,
        runs=1,
        eval="published",
        measure=after.measure,
        column=after.measure,
        trait=after.measure,
        asks=CAPABILITY if after.measure == CAPABILITY else "aggregates",
        model="published",
        rubric="",
        tier=ALL,
        question_id="",
        baseline=before.mean,
        finetuned=after.mean,
        difference=after.mean - before.mean,
        ci_low_fixed_questions=found.low,
        ci_high_fixed_questions=found.high,
        note_fixed_questions=found.note or ALIKE,
        p_fixed_questions=found.p,
        detectable_fixed_questions=found.detectable,
        note_new_questions=NO_QUESTIONS,
        scored_baseline=before.n or 0,
        scored_finetuned=after.n or 0,
        **UNKNOWN,
        baseline_sd=before.sd,
        finetuned_sd=after.sd,
        equivalence_margin=None if low is None or high is None else MARGIN * (high - low),
        scale_min=low,
        scale_max=high,
        direction=DIRECTIONS.get(trait.get(after.measure, ""), 0),
        base_sd=sd or None,
        note_base_sd="SD of all of the base model's answers alike" if sd else "no SD of the base model's answers",
    )
    return shift.model_copy(update=in_sds(shift, shift.base_sd))


def _interval(after: Aggregate, before: Aggregate) -> Interval:
    if after.n is None or before.n is None:
        return Interval.unknown("the number of answers is not said")
    if after.is_rate and before.is_rate:
        cells = [rate_cell(row.mean * (row.n or 0), row.n or 0, 0, row.n or 0) for row in (after, before)]
        return fixed_questions([(1, cells[0]), (-1, cells[1])], is_rate=True)
    if after.sd is None or before.sd is None:
        return Interval.unknown("a mean without its standard deviation")
    cells = [Cell(row.n or 0, row.mean, (row.sd or 0.0) ** 2, 0) for row in (after, before)]
    return fixed_questions([(1, cells[0]), (-1, cells[1])], is_rate=False)
