"""Auditing a judge: how far it agrees with itself, with another judge, and with a person who reads blindly.

first = ratings_of(judgments, "animals", "claude")                        # {AnswerKey: Rating(4, "")}
row = agree(first, second, "animals", judge, other="claude-x")            # Krippendorff's alpha, weighted kappa, exact
sheet = to_sheet(run, "animals", judge, cases, size=100, seed=0)          # for a person: no score, no side, shuffled
rows = correct("animals", judge, first, read)                             # what the person would have found in all
rows = correct_effect(effect, first, read)                                # the effect, with the uncertainty of both
"""

import io
import math
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from tasks.catalog import UserError
from tasks.judging.cases import Case, Rating
from tasks.judging.rubrics import read_reply
from tasks.rows import csv_rows
from tasks.runs import Run
from tasks.schema import Agreement, AnswerKey, Corrected, CorrectedEffect, Effect, Eval, Judge, Judgment
from tasks.tables import to_csv

CONFIDENCE = 0.95
Ratings = dict[AnswerKey, Rating]


def ratings_of(judgments: Iterable[Judgment], evaluation: str, judge: str) -> Ratings:
    """What one judge of an eval said, by answer; an answer that it gave neither score nor label is not there."""
    mine = (j for j in judgments if (j.eval, j.judge) == (evaluation, judge))
    return {j.answer_key: Rating(j.score, j.label) for j in mine if j.score is not None or j.label}


def some_of(cases: list[Case], share: float, seed: int) -> list[Case]:
    """A random share of each judge's cases, in their order; a larger share holds the smaller one of the same seed."""
    by_judge: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        by_judge.setdefault((case.eval, case.judge.name), []).append(case)
    chosen = [
        sorted(mine, key=lambda case: _lot(seed, *case.answer_key))[: math.ceil(share * len(mine))]
        for mine in by_judge.values()
    ]
    kept = {id(case) for mine in chosen for case in mine}
    return [case for case in cases if id(case) in kept]


def _lot(*parts: object) -> str:
    """A number drawn for these parts, the same in every process: the lowest lots are chosen."""
    return sha256(repr(parts).encode()).hexdigest()


# ---- agreement -----------------------------------------------------------------------------------


def agree(first: Ratings, second: Ratings, evaluation: str, judge: Judge, other: str) -> Agreement:
    """Coefficients over the answers that both rated.

    On a scale the scores are compared: Krippendorff's ordinal alpha (K. Krippendorff, Content Analysis, 2004) and
    Cohen's kappa with quadratic weights (J. Cohen, 1968). Labels are compared as they are, by nominal alpha and kappa.
    """
    shared = [(first[key], second[key]) for key in first if key in second]
    compared: list[Any] = [(a.score, b.score) if judge.scale else (a.label, b.label) for a, b in shared]
    pairs = [pair for pair in compared if None not in pair]
    scored = [(a.score, b.score) for a, b in shared if a.score is not None and b.score is not None]
    kappa, alpha, note = _coefficients(pairs, ordinal=judge.scale is not None)
    return Agreement(
        eval=evaluation,
        judge=judge.name,
        other=other,
        answers=len(pairs),
        left_out=len(first.keys() | second.keys()) - len(pairs),
        exact=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        kappa=kappa,
        alpha=alpha,
        mean=_mean([a for a, _ in scored]),
        other_mean=_mean([b for _, b in scored]),
        note=note,
    )


def _coefficients(pairs: list[tuple[Any, Any]], ordinal: bool) -> tuple[float | None, float | None, str]:
    if len(pairs) < 2:
        return None, None, f"too few answers ({len(pairs)})"
    values = sorted({value for pair in pairs for value in pair})
    if len(values) == 1:
        return None, None, "not estimable: every answer got the same word"
    return *(_of_scores(pairs) if ordinal else _of_labels(pairs, values)), ""


def _of_labels(pairs: list[tuple[str, str]], values: list[str]) -> tuple[float, float]:
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    first, second = ([values.index(pair[n]) for pair in pairs] for n in (0, 1))
    alpha = krippendorff.alpha([first, second], level_of_measurement="nominal", value_domain=range(len(values)))
    return float(cohen_kappa_score(first, second)), float(alpha)


def _of_scores(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """In closed form, since a table of every score by every score is too large where scores are lengths of texts.

    Two scores are as unlike as the square of their difference in kappa, and of their mid-ranks' among all in alpha;
    alpha = 1 - seen / expected of two of all 2n, drawn without putting back.
    """
    import numpy
    from scipy.stats import rankdata

    scores = numpy.array(pairs, dtype=float)
    ranks = rankdata(scores).reshape(scores.shape)
    seen, seen_ranks = (numpy.mean((table[:, 0] - table[:, 1]) ** 2) for table in (scores, ranks))
    by_chance = numpy.sum(scores.var(axis=0)) + (scores[:, 0].mean() - scores[:, 1].mean()) ** 2
    return float(1 - seen / by_chance), float(1 - seen_ranks / (2 * ranks.var(ddof=1)))


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


# ---- a person ------------------------------------------------------------------------------------


def to_sheet(run: Run, evaluation: str, judge: Judge, cases: list[Case], size: int, seed: int) -> str:
    """A CSV table for a person: an equal share of each side, shuffled, without a score or whose answer it is.

    The rows' ids are hashes that only the run can resolve.
    """
    rated = ratings_of(run.judgments(), evaluation, judge.name)
    of_judge = [case for case in cases if (case.eval, case.judge.name) == (evaluation, judge.name)]
    mine = [case for case in of_judge if case.answer_key in rated and case.trained_share in (0, 1)]
    if not mine:
        raise UserError(f"{judge.name} gave no answer of {evaluation} a score yet; judge the run first")
    drawn = []
    for side in ("baseline", "finetuned"):
        of_side = sorted((case for case in mine if case.side == side), key=lambda case: _lot(seed, *case.answer_key))
        drawn += of_side[: math.ceil(size / 2)]
    is_pair = judge.reads == "pair"
    rows = [
        [_id(run, judge.name, c.answer_key), c.question.text, *([c.against or ""] if is_pair else []), c.response, ""]
        for c in drawn
    ]
    return to_csv(["id", "question", *(["compared_with"] if is_pair else []), "response", "score"], sorted(rows))


def _id(run: Run, judge: str, answer: AnswerKey) -> str:
    return "r" + _lot(run.identity, judge, *answer)[:11]  # digits alone would be a number to a spreadsheet


def read_sheet(run: Run, judge: Judge, evaluation: str, text: str, file: str) -> Ratings:
    """What a person wrote, by answer; rows without a score are left out.

    Raises UserError with the line for an id that is none of the run's, and for a word that is none of the judge's.
    """
    known = {_id(run, judge.name, key): key for key in ratings_of(run.judgments(), evaluation, judge.name)}
    found: Ratings = {}
    plain = judge.model_copy(update={"answers": "plain"})  # a person writes no probabilities
    for line, row in _rows(text, file):
        written = row["score"].strip()
        if not written:
            continue
        read = read_reply(written, plain) if "{" not in written else None
        if row["id"] not in known:
            raise UserError(f"{file} line {line}: {row['id']!r} is no answer that {judge.name} judged here")
        if read is None:
            raise UserError(f"{file} line {line}: {written!r} is no score of {judge.name}; mend it")
        if known[row["id"]] in found:
            raise UserError(f"{file} line {line}: {row['id']!r} has a score above; keep one of the two")
        found[known[row["id"]]] = Rating(read.score, read.label)
    if not found:
        raise UserError(f"{file}: no row has a score yet; fill in the column score")
    return found


def _rows(text: str, file: str) -> list[tuple[int, dict[str, str]]]:
    """The sheet's rows and their lines."""
    rows = list(csv_rows(io.StringIO(text, newline=""), file))
    if not all({"id", "score"} <= set(row) for _, row in rows[:1]):
        raise UserError(f"{file}: a sheet needs the columns id and score; export one with `spillover audit sheet`")
    return rows


def judge_of_sheet(run: Run, evals: list[Eval], text: str, file: str) -> tuple[str, Judge]:
    """The eval and judge whose answers a sheet holds; raises UserError for the sheet of another run."""
    first = next((row["id"] for _, row in _rows(text, file) if row["id"]), None)
    judgments = run.judgments()
    for evaluation in evals:
        for judge in evaluation.judges:
            if first in {_id(run, judge.name, key) for key in ratings_of(judgments, evaluation.name, judge.name)}:
                return evaluation.name, judge
    raise UserError(f"{file}: its first id is no answer of {run.folder}; give the run that the sheet was made from")


def correct(evaluation: str, judge: Judge, judged: Ratings, read: Ratings) -> list[Corrected]:
    """For each side and for their difference: the judge's mean plus the mean difference of person and judge.

    The difference estimator of a mean over the N answers that were judged, from the n that were drawn and read:
    judge + d, with variance (1 - n/N) s2(d) / n (C.-E. Särndal, B. Swensson, J. Wretman, Model Assisted Survey
    Sampling, 1992, ch. 6), and t with n - 1 degrees of freedom. Rates are means of scores 0 and 1.
    """
    sides = {side: _of_side(side, judged, read) for side in ("baseline", "finetuned")}
    return [
        *(_corrected(evaluation, judge.name, side, [part]) for side, part in sides.items()),
        _corrected(evaluation, judge.name, "difference", [sides["finetuned"], sides["baseline"]]),
    ]


def correct_effect(effect: Effect, judged: Ratings, read: Ratings) -> list[CorrectedEffect]:
    """The effect over all questions with the judge's bias taken out: a row with the interval for these questions, and
    one with that for new ones.

    The differences of person and judge, fine-tuned minus baseline, are added with an interval of their own, of the
    variance s2(d) / n of each side, and t with n - 1 degrees of freedom of the smaller. The distances to the limits add
    up in squares (MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). Effect and correction are taken to
    be independent, which is cautious where it is the judge's noise that the correction takes out.
    """
    sides = [_of_side(side, judged, read) for side in ("finetuned", "baseline")]
    shift, half = _minus([_mean(side.differences) for side in sides]), None
    if all(len(side.differences) > 1 for side in sides):
        half = _reach([side.spread / len(side.differences) for side in sides], sides)
    intervals = {
        "these questions": (effect.ci_low_fixed_questions, effect.ci_high_fixed_questions, effect.note_fixed_questions),
        "new questions": (effect.ci_low_new_questions, effect.ci_high_new_questions, effect.note_new_questions),
    }
    return [
        _corrected_effect(effect, questions, limits, shift, half, sum(len(side.differences) for side in sides))
        for questions, limits in intervals.items()
    ]


def _corrected_effect(
    effect: Effect,
    questions: str,
    limits: tuple[float | None, float | None, str],
    shift: float | None,
    half: float | None,
    read: int,
) -> CorrectedEffect:
    """`limits` are the effect's, with their note; `shift` is the correction, and `half` how far its limits lie."""
    low, high, note = limits
    both = None if shift is None or effect.difference is None else effect.difference + shift
    corrected_low = corrected_high = None
    if both is not None and effect.difference is not None and low is not None and high is not None and half is not None:
        ends = effect.scale_min, effect.scale_max
        width = math.inf if ends[0] is None or ends[1] is None else ends[1] - ends[0]
        corrected_low = max(-width, both - math.hypot(effect.difference - low, half))
        corrected_high = min(width, both + math.hypot(high - effect.difference, half))
    if half is None:
        note = "too few answers were read"
    elif half == 0:
        note = "person and judge differ alike in every answer that was read, which leaves the correction no interval"
    return CorrectedEffect(
        eval=effect.eval,
        judge=effect.measure,
        questions=questions,
        read=read,
        difference=effect.difference,
        low=low,
        high=high,
        correction=shift,
        correction_low=None if shift is None or half is None else shift - half,
        correction_high=None if shift is None or half is None else shift + half,
        corrected=both,
        corrected_low=corrected_low,
        corrected_high=corrected_high,
        note=note,
    )


class _Side(NamedTuple):
    """One side's scores by the judge, and person minus judge where both scored."""

    scores: list[float]
    differences: list[float]

    @property
    def mean(self) -> float | None:
        return _mean(self.scores)

    @property
    def corrected(self) -> float | None:
        shift = _mean(self.differences)
        return None if shift is None or self.mean is None else self.mean + shift

    @property
    def spread(self) -> float:
        """The variance of the differences, of two or more."""
        shift = _mean(self.differences) or 0.0
        return math.fsum((d - shift) ** 2 for d in self.differences) / (len(self.differences) - 1)

    @property
    def variance(self) -> float:
        """Of the mean difference over the answers that were judged."""
        n = len(self.differences)
        return (1 - n / len(self.scores)) * self.spread / n


def _of_side(side: str, judged: Ratings, read: Ratings) -> _Side:
    mine = {key: rating.score for key, rating in judged.items() if key.side == side and key.trained_share in (0, 1)}
    scores = {key: score for key, score in mine.items() if score is not None}
    person = {key: rating.score for key, rating in read.items() if rating.score is not None}
    return _Side(list(scores.values()), [person[key] - scores[key] for key in scores if key in person])


def _corrected(evaluation: str, judge: str, side: str, parts: list[_Side]) -> Corrected:
    """Of one side, or of the first minus the second."""
    means, corrected = [part.mean for part in parts], [part.corrected for part in parts]
    middle = _minus(corrected)
    low = high = None
    note = _why_no_interval(parts)
    if middle is not None and not note:
        half = _reach([part.variance for part in parts], parts)
        low, high = middle - half, middle + half
    return Corrected(
        eval=evaluation,
        judge=judge,
        side=side,
        judged=sum(len(part.scores) for part in parts),
        read=sum(len(part.differences) for part in parts),
        mean=_minus(means),
        corrected=middle,
        low=low,
        high=high,
        note=note,
    )


def _reach(variances: list[float], parts: list[_Side]) -> float:
    """How far the limits lie from a sum of the parts with these variances."""
    from scipy import stats

    df = min(len(part.differences) for part in parts) - 1
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, df)) * math.sqrt(math.fsum(variances))


def _minus(values: list[float | None]) -> float | None:
    if any(value is None for value in values):
        return None
    first, *rest = (value for value in values if value is not None)
    return first - math.fsum(rest)


def _why_no_interval(parts: list[_Side]) -> str:
    if any(len(part.differences) < 2 for part in parts):
        return "too few answers were read"
    if all(len(part.differences) == len(part.scores) for part in parts):
        return "every answer was read"
    if sum(part.variance for part in parts) == 0:
        return "not estimable: person and judge differ alike in every answer"
    return ""
