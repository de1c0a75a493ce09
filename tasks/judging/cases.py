"""What is judged: every answer before every judge, in rounds where a judge waits for another's word (only_if).

cases = plan(evals, baseline, finetuned, n_samples=10)
[first, second] = rounds(cases)
admitted(second, judgments)     # those of the second round whose condition is met
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from tasks.judging.calls import Call
from tasks.judging.rubrics import to_call
from tasks.schema import AnswerKey, Condition, Eval, Judge, Judgment, JudgmentKey, Question, Response, Side


@dataclass(frozen=True)
class Case:
    """One answer before one judge. `against` is the baseline's answer that a pair judge compares it with."""

    eval: str
    judge: Judge
    question: Question
    sample: int
    side: Side
    response: str
    against: str | None
    trained_share: float
    """The share of the training that the model has seen."""
    repeat: int = 0
    """0, or which repetition of a judgment it is, to see how far a judge agrees with itself."""

    @property
    def answer_key(self) -> AnswerKey:
        """The answer that is judged."""
        return AnswerKey(self.eval, self.question.id, self.side, self.sample, self.trained_share)

    @property
    def judgment_key(self) -> JudgmentKey:
        """What its judgment is found by."""
        return self.answer_key, self.judge.name

    @cached_property
    def call(self) -> Call:
        """What the judge is asked; made once, since a key costs a hash of all texts."""
        return to_call(self.judge, self.question.text, self.response, self.against, self.repeat)


class Rating(NamedTuple):
    """What a judge, or a person, said of an answer: a score, a label, both, or neither."""

    score: float | None
    label: str


def plan(evals: list[Eval], baseline: list[Response], finetuned: list[Response], n_samples: int) -> list[Case]:
    """Every case in the order of evals, judges, questions, samples; fine-tuned before baseline.

    A pair judge sees fine-tuned sample i against baseline sample i, and for its floor baseline i against baseline i + 1
    (the first after the last). With one baseline sample there is no floor. Without fine-tuned answers the cases are
    those of the baseline; with answers of several moments of the training, earlier ones stand before later ones. Of
    imported answers a question may have fewer than others, or none.
    """
    before, shares = _by_question(baseline), sorted({r.trained_share for r in finetuned})
    after = {share: _by_question([r for r in finetuned if r.trained_share == share]) for share in shares}
    cases: list[Case] = []
    for evaluation in evals:
        for judge in evaluation.judges:
            for question in evaluation.questions:
                place = evaluation.name, question.id
                answers = {share: after[share].get(place, []) for share in shares}
                cases += _of_question(evaluation.name, judge, question, before.get(place, []), answers, n_samples)
    return cases


def _of_question(
    name: str, judge: Judge, question: Question, before: list[str], after: dict[float, list[str]], n_samples: int
) -> list[Case]:
    cases, is_pair = [], judge.reads == "pair"
    for sample in range(n_samples):
        for share, answers in after.items():
            if sample < len(answers) and (before or not is_pair):
                against = before[sample % len(before)] if is_pair else None
                cases.append(Case(name, judge, question, sample, "finetuned", answers[sample], against, share))
        if sample < len(before) and (len(before) > 1 or not is_pair):
            against = before[(sample + 1) % len(before)] if is_pair else None
            cases.append(Case(name, judge, question, sample, "baseline", before[sample], against, 0.0))
    return cases


def _by_question(responses: list[Response]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for response in sorted(responses, key=lambda r: r.sample):
        grouped.setdefault((response.eval, response.question_id), []).append(response.response)
    return grouped


# ---- conditions (only_if) ------------------------------------------------------------------------


def rounds(cases: list[Case]) -> list[list[Case]]:
    """The cases of judges that read every answer first, then those of judges that wait for another's word."""
    judges = {(case.eval, case.judge.name): case.judge for case in cases}

    def depth(name: str, judge: Judge) -> int:
        if not judge.only_if:
            return 0
        before = judges.get((name, Condition.parse(judge.only_if).judge))
        return 1 + (depth(name, before) if before else 0)

    depths = {key: depth(key[0], judge) for key, judge in judges.items()}

    def round_of(case: Case) -> int:
        return 0 if case.repeat else depths[case.eval, case.judge.name]

    return [list(some) for _, some in groupby(sorted(cases, key=round_of), key=round_of)]


def admitted(cases: list[Case], judgments: Iterable[Judgment]) -> list[Case]:
    """Those whose condition is met by what other judges said of the same answer."""
    ratings = {judgment.judgment_key: Rating(judgment.score, judgment.label) for judgment in judgments}
    return [case for case in cases if not objection(case, ratings)]


def objection(case: Case, ratings: dict[JudgmentKey, Rating]) -> str:
    """Why a case is not judged, given what the judges before it said; empty where it is."""
    if not case.judge.only_if:
        return ""
    condition = Condition.parse(case.judge.only_if)
    score, label = ratings.get((case.answer_key, condition.judge), Rating(None, ""))
    if condition.holds(score, label):
        return ""
    found = label or ("without a score" if score is None else score)
    return f"only_if {case.judge.only_if}: {condition.judge} is {found}"
