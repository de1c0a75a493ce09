"""Comparison: the effects of several groups of runs side by side, and each against the control, or else the first.

    rows = compare(grouped(runs, labels))

Within a group every question was asked of every seed; tasks/estimates/estimates.py says how that is estimated.
"""

import math
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from prefect import task

from tasks.estimates.contrasts import note_seeds, reference
from tasks.estimates.estimates import effects_of
from tasks.estimates.groups import Group, is_of_results
from tasks.estimates.holm import adjusted
from tasks.estimates.intervals import Cell
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import EMPTY, Measure, likelihood_measures, measures, sharing_baseline
from tasks.progress import track
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Effect, Eval, Question
from tasks.tables import as_table, write_table

FIRST_COLUMNS = ("label", "runs", "against", "dose")
"""Of comparison.csv."""
MAX_NAMED = 5
"""Questions that are named where some have no partner."""
DRIFTS = "in nats a token; a size and no test, since each fine-tune's is of its own answers"
"""Of drift, fine-tune against fine-tune."""


def compare(groups: list[Group]) -> list[Compared]:
    """The effects of each group, then fine-tune against fine-tune: every other group minus the reference.

    The p are adjusted for all of the comparison: one family against the baselines, one between the fine-tunes.
    """
    found = [GroupMeasures.of(group) for group in groups]
    first, others = _split(found)
    by_group = [row for mine in found for row in _against_baseline(mine)]
    between = [row for mine in others for row in Contrast.of(mine, first).effects()]
    earlier = [row for row in by_group if not row.is_final]
    return [*adjusted([row for row in by_group if row.is_final]), *earlier, *adjusted(between)]


def left_out(groups: list[Group]) -> list[str]:
    """What has no part in the comparison, a sentence each: seeds, measures and questions without a partner."""
    found = [GroupMeasures.of(group) for group in groups]
    first, others = _split(found)
    return [
        *(words for mine in found for words in mine.lone),
        *(words for mine in others for words in Contrast.of(mine, first).lone),
    ]


Key = tuple[str, str]
"""A measure, by its eval and its name."""


class GroupMeasures(NamedTuple):
    """A group's evals, and what every run of it measured after its whole training: in each list one for each run."""

    group: Group
    evals: dict[str, Eval]
    """With the questions that every run was asked alike."""
    measures: dict[Key, list[Measure]]
    lone: list[str]
    """What only some of the runs have, a sentence each."""

    @classmethod
    def of(cls, group: Group) -> "GroupMeasures":
        """From the judgments and likelihoods that the runs left."""
        of_runs = [{evaluation.name: evaluation for evaluation in run.evals()} for run in group.runs]
        shared = {name: _asked_of_all([mine.get(name) for mine in of_runs]) for name in of_runs[0]}
        evals = {name: evaluation for name, evaluation in shared.items() if evaluation}
        by_run = [_measures_of(run, list(evals.values())) for run in group.runs]
        counts = Counter(key for measured in by_run for key in measured)
        pooled = {
            key: sharing_baseline([run[key] for run in by_run]) for key, count in counts.items() if count == len(by_run)
        }
        lone = [
            f"{count} of {len(by_run)} runs have {name} of {evaluation}; it is not pooled"
            for (evaluation, name), count in counts.items()
            if count < len(by_run)
        ]
        others = {name for mine in of_runs[1:] for name in mine} - of_runs[0].keys()
        lone += [f"the eval {name} is not of every run; it is not pooled" for name in sorted(others)]
        for name, evaluation in of_runs[0].items():
            if lost := len(evaluation.questions) - len(evals[name].questions if name in evals else []):
                lone.append(f"{_were(lost)} not asked in every run, of {name}")
        return cls(group, evals, pooled, [f"{group.label}: {words}." for words in lone])


def _split(found: list[GroupMeasures]) -> tuple[GroupMeasures, list[GroupMeasures]]:
    """The reference, and the others in their order."""
    label = reference([mine.group for mine in found]).label
    return next(mine for mine in found if mine.group.label == label), [m for m in found if m.group.label != label]


def _measures_of(run: Run, evals: list[Eval]) -> dict[Key, Measure]:
    judgments, likelihoods = scan_judgments(run.judged), run.likelihood_rows()
    answers = run.baseline.read_bytes() if run.baseline.is_file() else b""
    return {
        (measure.eval, measure.name): measure._replace(baseline_id=_baseline_id(measure, evaluation, answers))
        for evaluation in evals
        for measure in (
            *measures(evaluation, at_checkpoint(judgments, evaluation, 1.0)),
            *likelihood_measures(evaluation, likelihoods, 1.0),
        )
    }


def _baseline_id(measure: Measure, evaluation: Eval, answers: bytes) -> str:
    """The same for runs that share their baseline's answers, whatever was said of them: a judgment may fail in one run.

    Others' results may have no answers: then for those of which the same was said, of these questions. Drift's two
    sides are of a run's own fine-tuned answers, so runs share nothing of it.
    """
    if measure.is_drift:
        return ""
    said = [measure.cells.get((question.id, "baseline")) for question in evaluation.questions]
    return sha256(answers or repr(said).encode()).hexdigest()


def _against_baseline(mine: GroupMeasures) -> list[Compared]:
    """One run's own effects, those along its training too; of several runs means, questions and seeds crossed."""
    group = mine.group
    if len(group.runs) == 1:
        return [_row(Effect(**row), group, 1) for row in group.runs[0].effects_table().to_dicts()]
    return [
        _row(effect, group, len(group.runs))
        for (evaluation, _), by_run in mine.measures.items()
        for effect in effects_of(by_run, mine.evals[evaluation])
    ]


def _asked_of_all(evals: Sequence[Eval | None]) -> Eval | None:
    """The first eval with the questions that all of them ask alike, if there are any."""
    first, *others = evals
    if first is None or None in others:
        return None
    asked = [set(map(_what_is_asked, other.questions)) for other in others if other]
    shared = [question for question in first.questions if all(_what_is_asked(question) in known for known in asked)]
    return first.model_copy(update={"questions": shared}) if shared else None


def _what_is_asked(question: Question) -> tuple[Any, ...]:
    """The same for questions in the same words of which the same answers are right, by which they are scored."""
    words = question.id, question.text, question.system_prompt
    return *words, question.matching, frozenset(question.accepted)


# ---- fine-tune against fine-tune -------------------------------------------------------------------


class Contrast(NamedTuple):
    """One group's fine-tunes against the reference's: what both were asked, paired by seed, measure and question."""

    group: Group
    first: Group
    evals: dict[str, Eval]
    measures: dict[Key, list[Measure]]
    """Of each pair of runs one, with the reference's fine-tuned answers in the baseline's place."""
    lone: list[str]
    """What has no partner, a sentence each."""

    @classmethod
    def of(cls, mine: GroupMeasures, first: GroupMeasures) -> "Contrast":
        """Measures are partners where name, rubric and scale are the same, questions where they are asked alike."""
        are_pairs = not _are_of_results(mine.group, first.group)
        pairs, lone = _partners(mine.group, first.group) if are_pairs else ([], [])
        evals, found = {}, {}
        for key, by_run in mine.measures.items():
            theirs = first.measures.get(key)
            why = _why_unlike(by_run[0], theirs[0]) if theirs else f"{first.group.label} has none"
            if why or theirs is None:
                lone.append(_left(mine.group, first.group, f"{key[1]} of {key[0]}", why))
                continue
            shared = _asked_of_all([mine.evals[key[0]], first.evals[key[0]]])
            if shared:
                evals[key[0]] = shared
                found[key] = (
                    _paired([by_run[n] for n, _ in pairs], [theirs[n] for _, n in pairs])
                    if are_pairs
                    else _against_group(by_run, theirs)
                )
        for evaluation, name in (key for key in first.measures if key not in mine.measures):
            lone.append(_left(mine.group, first.group, f"{name} of {evaluation}", f"{mine.group.label} has none"))
        for name, ours in mine.evals.items():
            lone += _lone_questions(mine.group, ours, first.evals.get(name))
            lone += _lone_questions(first.group, first.evals.get(name), ours)
        return cls(mine.group, first.group, evals, found, lone)

    def effects(self) -> list[Compared]:
        """What the group's fine-tunes give minus what the reference's give: a baseline that they share has no part."""
        found = []
        for (evaluation, _), by_run in self.measures.items():
            runs = min(len(by_run), len(by_run[0].against) or len(by_run))
            said = {"against": self.first.label, "note_seeds": note_seeds(self.group, self.first, runs)}
            for effect in effects_of(by_run, self.evals[evaluation]):
                row = _row(effect, self.group, runs).model_copy(update=said)
                found.append(row.model_copy(update={"note_test": DRIFTS}) if row.note_test else row)
        return found


def _partners(group: Group, first: Group) -> tuple[list[tuple[int, int]], list[str]]:
    """The places of the runs that are set against each other, and which have no partner.

    Runs of one seed are partners, so that what a seed draws alike in both cancels; the others are by their order.
    """
    mine, theirs = ([run.record().get("seed", 0) for run in some.runs] for some in (group, first))
    pairs = [(n, theirs.index(seed)) for n, seed in enumerate(mine) if seed in theirs]
    rest = [n for n in range(len(mine)) if n not in [one for one, _ in pairs]]
    other_rest = [n for n in range(len(theirs)) if n not in [other for _, other in pairs]]
    pairs = sorted([*pairs, *zip(rest, other_rest, strict=False)])
    lone = [(group, mine[n], first) for n in rest[len(other_rest) :]]
    lone += [(first, theirs[n], group) for n in other_rest[len(rest) :]]
    return pairs, [f"{one.label}: seed {seed} has no partner in {other.label}." for one, seed, other in lone]


def _are_of_results(group: Group, first: Group) -> bool:
    """Whether both groups are of others' results, whose fine-tunes are no pairs, and there is more than one of them."""
    return is_of_results(group.runs[0]) and is_of_results(first.runs[0]) and len(group.runs) + len(first.runs) > 2


def _left(group: Group, first: Group, what: str, why: str) -> str:
    return f"{group.label} against {first.label}: {what} is left out, since {why}."


def _why_unlike(measure: Measure, other: Measure) -> str:
    """Why two measures of one name cannot be subtracted; empty where they can."""
    scales = [f"{m.scale_min:g} to {m.scale_max:g}" for m in (measure, other)]
    if scales[0] != scales[1]:
        return f"the scales differ ({scales[0]}; {scales[1]})"
    return "the judges' definitions differ" if measure.rubric != other.rubric else ""


def _lone_questions(group: Group, evaluation: Eval | None, other: Eval | None) -> list[str]:
    """The questions of an eval that both have, which the other does not ask alike."""
    if evaluation is None or other is None:
        return []
    asked = set(map(_what_is_asked, other.questions))
    lone = [question.id for question in evaluation.questions if _what_is_asked(question) not in asked]
    named = ", ".join(lone[:MAX_NAMED]) + (", ..." if len(lone) > MAX_NAMED else "")
    return [f"{group.label}: {_were(len(lone))} asked of it alone, of {evaluation.name} ({named})."] if lone else []


def _were(count: int) -> str:
    return "1 question was" if count == 1 else f"{count:,} questions were"


def _paired(mine: list[Measure], theirs: list[Measure]) -> list[Measure]:
    """A measure of each pair of runs, with the cells of the other's fine-tune in place of the baseline's."""
    is_rate = all(measure.is_rate for measure in (*mine, *theirs))
    return [_against(measure, other, is_rate) for measure, other in zip(mine, theirs, strict=True)]


def _against(measure: Measure, other: Measure, is_rate: bool) -> Measure:
    """The measure with another's fine-tuned answers as its baseline; placements are of a run's own two sides."""
    sides = {"finetuned": _finetuned(measure), "baseline": _finetuned(other)}
    cells = {(question, side): cell for side, found in sides.items() for question, cell in found.items()}
    return measure._replace(cells=cells, placements={}, reads_pair=False, is_rate=is_rate, baseline_id="")


def _against_group(mine: list[Measure], theirs: list[Measure]) -> list[Measure]:
    """A measure of each run, with the mean of the other group's fine-tunes in place of the baseline's."""
    is_rate = all(measure.is_rate for measure in (*mine, *theirs))
    others = [_finetuned(measure) for measure in theirs]
    against = tuple({(question, "finetuned"): cell for question, cell in cells.items()} for cells in others)
    mean = {q: _mean_of([cells[q] for cells in others]) for q in others[0] if all(q in cells for cells in others)}
    before = {(question, "baseline"): cell for question, cell in mean.items() if cell.n}
    return [
        measure._replace(
            cells={(q, "finetuned"): cell for q, cell in _finetuned(measure).items()} | before,
            placements={},
            reads_pair=False,
            is_rate=is_rate,
            baseline_id="",
            against=against,
        )
        for measure in mine
    ]


def _mean_of(cells: list[Cell]) -> Cell:
    """The mean of several fine-tunes' means, with as many answers as the one with fewest has; it says no more."""
    fewest = min(cells, key=lambda cell: cell.n)
    return fewest._replace(mean=math.fsum(cell.mean for cell in cells) / len(cells)) if fewest.n else EMPTY


def _finetuned(measure: Measure) -> dict[str, Cell]:
    """The fine-tune's cells by question; of drift, which is of each fine-tune's own answers, what they gain."""
    cells = {question: cell for (question, side), cell in measure.cells.items() if side == "finetuned"}
    if not measure.is_drift:
        return cells
    return {q: cell._replace(mean=cell.mean - measure.cells[q, "baseline"].mean) for q, cell in cells.items()}


def _row(effect: Effect, group: Group, runs: int) -> Compared:
    return Compared(**effect.model_dump(), label=group.label, runs=runs, dose=group.dose)


@task(name="compare", task_run_name="estimate {count} groups of runs")
def compare_task(place: Comparison, groups: list[Group], count: int) -> list[Compared]:
    """Writes comparison.csv, the label first."""
    with track("compare") as progress:
        rows = compare(groups)
        progress(count, count, "groups of runs")
    table = as_table(rows, Compared)
    write_table(place.table, table.select(*FIRST_COLUMNS, *(c for c in table.columns if c not in FIRST_COLUMNS)))
    return rows
