"""The judge's noise: how much of an effect's uncertainty is the judge's, from calls that were made twice.

    rows = judge_noise(evaluation, scan_judgments(run.judged), repeats, calls)
    in_words(rows[0])       # "aligned: 23 % of the variance of answers to one question is the judge's own noise ..."

Where each answer is judged by a call of its own, this noise is in every interval already and is not added to any.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars

from tasks.estimates.estimates import effects_of
from tasks.estimates.intervals import Cell
from tasks.estimates.judgments import ANSWER, at_checkpoint
from tasks.estimates.measures import Measure, measures
from tasks.estimates.power import spread_of
from tasks.estimates.rules import answers_of, hits_by_answer
from tasks.schema import AnswerKey, Effect, Eval, JudgeNoise

MIN_CALLS = 10
"""With fewer calls that were made twice their variance is not estimated."""
Values = dict[AnswerKey, float]


class Twice(NamedTuple):
    """What a measure says of answers."""

    first: Values
    second: Values
    """Of those that were judged again."""
    calls: dict[AnswerKey, str]
    """Which call, or calls, judged an answer: the same for answers of one text."""

    @property
    def differences(self) -> dict[str, float]:
        """Second minus first, by call."""
        return {self.calls[key]: value - self.first[key] for key, value in self.second.items() if key in self.first}

    def averaged(self) -> Values:
        """The mean of both where there are two."""
        return {key: (value + self.second.get(key, value)) / 2 for key, value in self.first.items()}


def judge_noise(
    evaluation: Eval,
    judgments: polars.DataFrame,
    repeats: polars.DataFrame,
    calls: Mapping[str, Mapping[AnswerKey, str]],
) -> list[JudgeNoise]:
    """A row for each judge that was asked again, and for each rule of such judges, after the whole training.

    `repeats` are the judgments of the second calls, in the columns of `judgments`; `calls` says, by judge, which call
    judged an answer.
    """
    final, again = (at_checkpoint(frame, evaluation, 1.0) for frame in (judgments, repeats))
    is_asked = {judge.name: judge.is_asked for judge in evaluation.judges}
    found = []
    for measure in measures(evaluation, final):
        judges = measure.rule.judges if measure.rule else [measure.name]
        asked = [name for name in judges if is_asked[name]]
        if asked and set(asked) <= calls.keys():
            unasked = final.filter(polars.col("judge").is_in([name for name in judges if name not in asked]))
            first, second = _values(measure, final), _values(measure, polars.concat([again, unasked]))
            of_answers = {key: " ".join(calls[name].get(key, "") for name in asked) for key in first}
            found.append(_split(evaluation, measure, Twice(first, second, of_answers)))
    return found


def _values(measure: Measure, judgments: polars.DataFrame) -> Values:
    """The scores, or a rule's hits as 1 and 0, by answer."""
    if measure.rule:
        hits = hits_by_answer(measure.rule, answers_of(measure.rule.judges, judgments))
        return {key: float(hit) for key, hit in hits.items()}
    scored = judgments.filter(polars.col("score").is_not_null(), judge=measure.name)
    return {AnswerKey(*row[:-1]): row[-1] for row in scored.select(*ANSWER, "score").iter_rows()}


def _split(evaluation: Eval, measure: Measure, twice: Twice) -> JudgeNoise:
    """With calls of the variance J, and answers whose scores vary by W within questions, the answers' own is W - J.

    J is half the mean squared difference of two calls about one answer. The variance of a mean of n answers that are
    judged r times each is (W - J + J / r) / n.
    """
    differences = list(twice.differences.values())
    judge = math.fsum(d**2 for d in differences) / len(differences) / 2 if len(differences) >= MIN_CALLS else None
    raw = _overall(measure, evaluation)
    within = _variance_within(measure.cells.values())
    share = min(1.0, judge / within) if judge is not None and within else None
    averaged = _overall(_averaging(measure, twice, judge or 0.0), evaluation) if share is not None else None
    return JudgeNoise(
        eval=measure.eval,
        measure=measure.name,
        calls=len(differences),
        answers=len(twice.first),
        shared=len(twice.first) - len(set(twice.calls.values())),
        variance_within=within,
        variance_judge=judge,
        judge_share=share,
        **_widths(measure, evaluation, share),
        difference=raw.difference,
        ci_low_fixed_questions=raw.ci_low_fixed_questions,
        ci_high_fixed_questions=raw.ci_high_fixed_questions,
        averaged=averaged and averaged.difference,
        averaged_low_fixed_questions=averaged and averaged.ci_low_fixed_questions,
        averaged_high_fixed_questions=averaged and averaged.ci_high_fixed_questions,
        note="" if share is not None else _why_not(len(differences)),
    )


def _why_not(calls: int) -> str:
    few = f"{calls} calls were made twice, at least {MIN_CALLS} are needed"
    return few if calls < MIN_CALLS else "one model's answers to one question do not vary"


def _overall(measure: Measure, evaluation: Eval) -> Effect:
    """The effect over all questions."""
    return [e for e in effects_of([measure], evaluation) if not e.is_of_question and not e.is_slope][-1]


def _variance_within(cells: Iterable[Cell]) -> float | None:
    """The pooled variance within questions and sides; None where no question has two scores of one model."""
    several = [cell for cell in cells if cell.n > 1]
    df = sum(cell.n - 1 for cell in several)
    return math.fsum((cell.n - 1) * cell.variance for cell in several) / df if df else None


def _widths(measure: Measure, evaluation: Eval, share: float | None) -> dict[str, float | None]:
    """The widths of both intervals, as shares of what they are, with each answer judged twice and with two of each."""
    pairs = [(pair.baseline, pair.finetuned) for pair in measure.pairs(evaluation)]
    pairs = [pair for pair in pairs if min(cell.n for cell in pair) > 1]
    spread = spread_of(pairs)
    noise = math.fsum(cell.variance / cell.n for pair in pairs for cell in pair) / len(pairs) if pairs else 0.0
    widths: dict[str, float | None] = {}
    for name, between in (("", 0.0), ("_new_questions", spread.between**2 if spread else None)):
        for change, left in (("judged_twice", 1 - (share or 0.0) / 2), ("twice_the_answers", 0.5)):
            known = share is not None and between is not None and noise > 0
            ratio = math.sqrt(((between or 0.0) + noise * left) / ((between or 0.0) + noise)) if known else None
            widths[f"width_{change}{name}"] = ratio
    return widths


# ---- the interval of averaged calls ----------------------------------------------------------------


def _averaging(measure: Measure, twice: Twice, judge: float) -> Measure:
    """The measure with the mean of both calls where an answer was judged twice."""
    noise = {twice.calls[key]: judge / (2 if key in twice.second else 1) for key in twice.first}
    answers: dict[tuple[str, str], dict[AnswerKey, float]] = {}
    for key, value in twice.averaged().items():
        answers.setdefault((key.question_id, key.side), {})[key] = value
    shares = {place: _shares(twice.calls[key] for key in of_place) for place, of_place in answers.items()}
    cells = {}
    for (question, side), of_place in answers.items():
        other = shares.get((question, "baseline" if side == "finetuned" else "finetuned"), {})
        missing = _missing(shares[question, side], other, noise, len(of_place))
        cells[question, side] = _cell(list(of_place.values()), measure.cells[question, side], missing)
    return measure._replace(cells={**measure.cells, **cells}, is_rate=False, placements={})


def _shares(calls: Iterable[str]) -> dict[str, float]:
    """Of each call the share of the answers that it judged."""
    counts = Counter(calls)
    return {call: count / counts.total() for call, count in counts.items()}


def _missing(mine: dict[str, float], other: dict[str, float], noise: dict[str, float], n: int) -> float:
    """What the spread of n scores does not show of the judge's noise in their mean, where calls are shared.

    With q_k the share of the n answers which call k judged, whose noise has the variance v_k, the noise of the mean is
    sum of q_k² v_k, of which the scores' own variance over n shows (sum of q_k v_k - sum of q_k² v_k) / (n - 1) on
    average. A call that judged answers of both models is in both means, and its half of sum of q_k r_k v_k leaves the
    difference. All are 0 where each answer has a call of its own.
    """
    if n < 2:
        return 0.0
    squares = math.fsum(q**2 * noise[call] for call, q in mine.items())
    shown = (math.fsum(q * noise[call] for call, q in mine.items()) - squares) / (n - 1)
    return squares - shown - math.fsum(q * other.get(call, 0.0) * noise[call] for call, q in mine.items())


def _cell(values: list[float], before: Cell, missing: float) -> Cell:
    """The cell of these scores, whose variance is that which makes their mean's what it is."""
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else math.nan
    return before._replace(n=n, mean=mean, variance=max(0.0, variance + n * missing) if n > 1 else variance)


# ---- in words --------------------------------------------------------------------------------------


def in_words(row: JudgeNoise) -> str:
    """What the noise is a part of, and what repeats or more answers would buy."""
    if row.judge_share is None or row.width_judged_twice is None or row.width_twice_the_answers is None:
        return f"{row.measure}: the judge's noise is not told from the answers' own ({row.note or 'too few scores'})."
    new = ""
    if row.width_judged_twice_new_questions is not None and row.width_twice_the_answers_new_questions is not None:
        narrower = row.width_judged_twice_new_questions, row.width_twice_the_answers_new_questions
        new = f" ({_narrower(narrower[0])} and {_narrower(narrower[1])} for new questions)"
    shared = (
        f" {row.shared:,} of {row.answers:,} answers share the call of another of their text." if row.shared else ""
    )
    once, twice = _narrower(row.width_judged_twice), _narrower(row.width_twice_the_answers)
    return (
        f"{row.measure}: {row.judge_share:.0%} of the variance of answers to one question is the judge's own noise, "
        f"which is in the intervals already. To judge each answer twice would make them {once} narrower, twice as many "
        f"answers {twice}{new}.{shared}"
    )


def _narrower(width: float) -> str:
    return f"{1 - width:.0%}"
