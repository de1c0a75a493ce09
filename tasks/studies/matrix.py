"""The matrix of a study: how far every fine-tune moved every measure.

    found = matrix([Trained("optimistic", Run.find_all("traits/optimistic-*"), {"optimism": "more"})])
    found.shifts                       # in the order in which they are shown, Holm's p over all of them

A shift is the effect over all questions, of several seeds the pooled one, as `compare` has it. The interval for new
questions (and seeds) decides, or where there is none, that for these.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tasks.catalog import UserError
from tasks.estimates.comparison import GroupMeasures, Key
from tasks.estimates.contrasts import OF_THESE
from tasks.estimates.estimates import Part, estimate_effect
from tasks.estimates.findings import Verdict, verdict
from tasks.estimates.groups import Group
from tasks.estimates.holm import adjusted
from tasks.estimates.measures import Measure
from tasks.estimates.wording import listed
from tasks.runs import Run
from tasks.schema import ALL, LOG_ODDS, Effect, Eval, Leak, Shift
from tasks.studies.definition import trait_of
from tasks.studies.order import in_order
from tasks.studies.spill import Estimate, Ratio, Sample, correlation, is_for_new_questions, ratio
from tasks.studies.spread import spread_of

CAPABILITY = "capability"
"""What is asked where answers are right or wrong, and the name of such a column in others' results."""
DIRECTIONS = {"more": 1, "less": -1}
NO_COMMON_UNIT = Ratio(None, None, None, "not estimable: the two shifts have no common unit")


class Trained(NamedTuple):
    """The runs of one fine-tune, one for each seed, and what it was trained to show."""

    label: str
    runs: list[Run]
    trait: Mapping[str, str] = MappingProxyType({})
    """`more` or `less` of a trait, by its name; empty for a control."""
    when: Sequence[str] = ()
    """The tiers of that trait's evals in which it was trained to show it; empty: all."""


class Matrix(NamedTuple):
    """A field for each fine-tune and measure."""

    shifts: list[Shift]
    """By fine-tune and then by measure, both by similarity."""
    leaks: list[Leak]
    """Of fine-tunes that were trained to show a trait in some tiers alone."""
    left_out: list[str]
    """What has no part in it, a sentence each."""
    trained: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """What each fine-tune was trained to show, by its label, be it measured or not; nothing of a control."""


def matrix(fine_tunes: Sequence[Trained]) -> Matrix:
    """All shifts of all fine-tunes; each file of a run is read once.

    Raises UserError for a run whose files were damaged, and for a measure that has two scales.
    """
    rows = [_row(one) for one in fine_tunes]
    shifts = with_own_columns(adjusted_by_family([shift for row in rows for shift in row.shifts]))
    _refuse_other_scales(shifts)
    leaks = [leak for row in rows for leak in row.leaks]
    left_out = [words for row in rows for words in row.left_out] + _elsewhere(rows)
    return Matrix(in_order(shifts), leaks, left_out, {one.label: one.trait for one in fine_tunes})


def decided(shift: Shift) -> Verdict:
    """What its interval shows: that for new questions (and seeds), or where there is none, that for these."""
    return verdict(shift.model_copy(update=dict.fromkeys(OF_THESE)) if is_for_new_questions(shift) else shift)


def adjusted_p(shift: Shift) -> float | None:
    """Holm's p of the interval that decides."""
    return shift.p_new_questions_holm if is_for_new_questions(shift) else shift.p_fixed_questions_holm


def adjusted_by_family(shifts: list[Shift]) -> list[Shift]:
    """With Holm's p: one family of all fields of traits, and one of capability, which is there to warn."""
    families = [[shift for shift in shifts if (shift.asks == CAPABILITY) == last] for last in (False, True)]
    return [shift for family in families for shift in _adjusted(family)]


def _adjusted(family: list[Shift]) -> list[Shift]:
    """Beside the interval that decides Holm's p over those that decide; beside the other that over those of its kind.

    With a family for each kind of interval up to twice as many matrices would have a field that moves by chance.
    """
    names = ["p_new_questions" if is_for_new_questions(shift) else "p_fixed_questions" for shift in family]
    alone = [
        shift.model_copy(update={"p_new_questions": getattr(shift, name), "p_fixed_questions": None})
        for shift, name in zip(family, names, strict=True)
    ]
    return [
        shift.model_copy(update={f"{name}_holm": one.p_new_questions_holm})
        for shift, name, one in zip(adjusted(family), names, adjusted(alone), strict=True)
    ]


def _refuse_other_scales(shifts: list[Shift]) -> None:
    """Of others' results a scale may have been guessed from each file alone."""
    seen: dict[str, Shift] = {}
    for shift in shifts:
        first = seen.setdefault(shift.column, shift)
        if (first.scale_min, first.scale_max) != (shift.scale_min, shift.scale_max):
            raise UserError(
                f"{shift.column} has {_scale(first)} under {first.label} and {_scale(shift)} under {shift.label}; read "
                "both with the same --scale, or make both runs' reports by one definition of the eval"
            )


def _scale(shift: Shift) -> str:
    """Log-odds, for one, have no ends."""
    if shift.scale_min is None or shift.scale_max is None:
        return "a scale without ends"
    return f"a scale from {shift.scale_min:g} to {shift.scale_max:g}"


def with_own_columns(shifts: list[Shift]) -> list[Shift]:
    """The shifts, with the eval behind the name of a column where several evals have a measure of that name."""
    evals: dict[str, set[str]] = {}
    for shift in shifts:
        evals.setdefault(shift.column, set()).add(shift.eval)
    twice = {name for name, some in evals.items() if len(some) > 1}
    return [
        shift.model_copy(update={"column": f"{shift.column} ({shift.eval})"}) if shift.column in twice else shift
        for shift in shifts
    ]


def in_sds(effect: Effect, sd: float | None) -> dict[str, float | None]:
    """The fields of a Shift that are in units of the base's spread."""
    estimate = Estimate.of(effect)
    limits = {"in_sds_low": estimate.low / sd, "in_sds_high": estimate.high / sd} if estimate and sd else {}
    return {"in_sds": effect.difference / sd if effect.difference is not None and sd else None, **limits}


def with_spill(shift: Shift, targets: Sequence[Shift], related: Mapping[Key, float]) -> Shift:
    """The shift with its spill over the one on target that is measured like it, or else the first of these.

    `related` has the correlation with each target, by eval and measure. Both are in units of the base's spread, or
    where one has none and their scales are the same, as they are.
    """
    target = next((one for one in targets if one.asks == shift.asks), targets[0] if targets else None)
    if shift.direction or target is None:
        return shift
    found, direction = _unlike(shift, target), target.direction
    if found is None:
        sds = (1.0, 1.0) if None in (shift.base_sd, target.base_sd) else (shift.base_sd, target.base_sd)
        over, under = (Estimate.of(one) for one in (shift, target))
        found = ratio(
            over and over.times(1 / (sds[0] or 1)),
            under and under.times(direction / (sds[1] or 1)),
            related.get((target.eval, target.measure), 0.0) * direction,
        )
    fields = {"spill": found.value, "spill_low": found.low, "spill_high": found.high, "note_spill": found.note}
    return shift.model_copy(update=fields)


def _unlike(shift: Shift, target: Shift) -> Ratio | None:
    """Why two shifts have no common unit; None where they have one."""
    if None not in (shift.base_sd, target.base_sd):
        return None
    scales = [(one.scale_min, one.scale_max) for one in (shift, target)]
    return None if scales[0] == scales[1] and None not in scales[0] else NO_COMMON_UNIT


# ---- one fine-tune -------------------------------------------------------------------------------


class _Field(NamedTuple):
    """A shift, and what it was estimated from."""

    shift: Shift
    part: Part

    def sample(self) -> Sample:
        """What the shift is the mean of."""
        return _sample(self.shift, self.part)


class _Row(NamedTuple):
    """What one fine-tune moved."""

    shifts: list[Shift]
    leaks: list[Leak]
    left_out: list[str]
    elsewhere: list[str]
    """Names of measures that are no column."""


def _row(one: Trained) -> _Row:
    mine = GroupMeasures.of(Group(one.label, one.runs))
    names = {name: [key[1] for key in mine.measures if key[0] == name] for name in mine.evals}
    columns = {name: _columns(mine.evals[name], some) for name, some in names.items()}
    fields = [
        _field(one, mine.evals[name], mine.measures[name, measure], columns[name])
        for name, some in columns.items()
        for measure in some
    ]
    elsewhere = [measure for name, some in names.items() for measure in some if measure not in columns[name]]
    return _Row(_with_spills(fields), _leaks(one, mine.evals, fields), mine.lone, elsewhere)


def _columns(evaluation: Eval, measures: list[str]) -> list[str]:
    """The measures of an eval that are columns: of statements one, of answers each judge and rule."""
    if evaluation.asks == "choices":
        return [name for name in (LOG_ODDS, "choice") if name in measures][:1]
    known = [judge.name for judge in evaluation.judges] + [rule.name for rule in evaluation.rules]
    return [name for name in measures if name in known]


def _field(one: Trained, evaluation: Eval, by_run: list[Measure], columns: list[str]) -> _Field:
    part = Part(by_run, [measure.pairs(evaluation) for measure in by_run])
    tiers = list(dict.fromkeys(question.tier for question in evaluation.questions))
    effect = estimate_effect(part, ALL if len(tiers) > 1 else tiers[0])
    spread, trait = spread_of(part, evaluation), _trait(evaluation, effect.measure, columns)
    shift = Shift(
        **effect.model_dump(),
        label=one.label,
        runs=len(one.runs),
        trait=trait,
        column=_column(evaluation, effect.measure, columns),
        asks=_asks(evaluation, effect.measure),
        direction=DIRECTIONS.get(one.trait.get(trait, ""), 0),
        base_sd=spread.sd,
        note_base_sd=spread.note,
        **in_sds(effect, spread.sd),
    )
    return _Field(shift, part)


def _asks(evaluation: Eval, measure: str) -> str:
    """Where all judges compare with what is accepted, it is asked what the model can do, and not what it is like.

    Of others' results so it is of the column of that name.
    """
    is_of_tasks = bool(evaluation.judges) and all(judge.kind == "exact" for judge in evaluation.judges)
    is_capability = is_of_tasks or (_is_of_results(evaluation) and measure == CAPABILITY)
    return CAPABILITY if is_capability else evaluation.asks


def _is_of_results(evaluation: Eval) -> bool:
    """Whether each measure is of a trait of its own: a column of a file that others published."""
    return any(judge.kind == "imported" for judge in evaluation.judges)


def _trait(evaluation: Eval, measure: str, columns: list[str]) -> str:
    """That of the eval, of which the first measure is; any other is of a trait of its own."""
    return measure if _is_of_results(evaluation) or measure != columns[0] else trait_of(evaluation.name)


def _column(evaluation: Eval, measure: str, columns: list[str]) -> str:
    if evaluation.asks == "choices":
        return f"{trait_of(evaluation.name)} (choice)"
    return measure if _is_of_results(evaluation) or len(columns) > 1 else trait_of(evaluation.name)


def _with_spills(fields: list[_Field]) -> list[Shift]:
    targets = [field for field in fields if field.shift.direction]
    found, samples = [], {(field.shift.eval, field.shift.measure): field.sample() for field in targets}
    for field in fields:
        mine = field.sample() if targets and not field.shift.direction else None
        related = {key: correlation(mine, sample) for key, sample in samples.items()} if mine else {}
        found.append(with_spill(field.shift, [target.shift for target in targets], related))
    return found


def _sample(effect: Effect, part: Part) -> Sample:
    complete = part.complete()
    asked = [(effect.eval, pair.question_id) for pair in complete.pairs[0]]
    return Sample(asked, complete.differences(), complete.strata(), is_for_new_questions(effect))


# ---- a trait in some tiers alone -----------------------------------------------------------------


def _leaks(one: Trained, evals: Mapping[str, Eval], fields: list[_Field]) -> list[Leak]:
    """Of each measure of what was trained, where the eval has the tiers in which it was, and others."""
    found = []
    for field in fields if one.when else []:
        tiers = list(dict.fromkeys(question.tier for question in evals[field.shift.eval].questions))
        inside = [tier for tier in tiers if tier in one.when]
        outside = [tier for tier in tiers if tier not in one.when]
        if field.shift.direction and inside and outside:
            found.append(_leak(field, inside, outside))
    return found


def _leak(field: _Field, inside: list[str], outside: list[str]) -> Leak:
    outer, inner = (_of_tiers(field.part, tiers) for tiers in (outside, inside))
    over, under = (estimate_effect(part, ALL) for part in (outer, inner))
    shown, trained = (known and known.times(field.shift.direction) for known in map(Estimate.of, (over, under)))
    found = ratio(shown, trained, correlation(_sample(over, outer), _sample(under, inner)))
    return Leak(
        label=field.shift.label,
        column=field.shift.column,
        trained_tiers=", ".join(inside),
        other_tiers=", ".join(outside),
        trained=under.difference,
        other=over.difference,
        leak=found.value,
        leak_low=found.low,
        leak_high=found.high,
        note=found.note,
    )


def _of_tiers(part: Part, tiers: list[str]) -> Part:
    return Part(part.by_run, [[pair for pair in run if pair.tier in tiers] for run in part.pairs])


def _elsewhere(rows: list[_Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.elsewhere))
    return [f"No columns of the matrix, but in the reports of the runs: {listed(names)}."] if names else []
