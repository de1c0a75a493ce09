"""From replies to judgments and their states: scored, not scored, refused, truncated, unreadable, failed.

    judgments = judge_all(cases, store, failed_calls)     # the store's replies are read, the lexicons count
    failures(cases, judgments, store, failed_calls)       # the calls without a score, with all that they met

Nothing is asked here. Only a reply that can be read strictly becomes a score.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State as TaskState
from prefect.logging import get_run_logger
from prefect.states import Failed

from tasks.files import write_rows
from tasks.judging.calls import FailedCall, JudgeReply, to_reply
from tasks.judging.cases import Case, Rating, objection
from tasks.judging.exact import read_exact
from tasks.judging.lexicon import count_terms, read_yes_no
from tasks.judging.rubrics import is_swapped, read_reply, rubric_hash
from tasks.paid.store import Store, StoredReply
from tasks.progress import track
from tasks.runs import Run
from tasks.schema import FAILED_STATES, Failure, Judge, Judgment, JudgmentKey, State


class ParsedReply(NamedTuple):
    """The fields of a judgment that come from the judge's reply."""

    state: State
    score: float | None
    label: str
    reasoning: str
    model: str
    raw: str


def parse_reply(reply: JudgeReply, judge: Judge) -> ParsedReply:
    """What a reply amounts to. A label that stands for no score is the state "not scored"."""
    is_one_token = judge.answers == "probabilities"  # as long as it was asked for, and not cut off
    if reply.is_refused or (reply.is_cut_off and not is_one_token):
        stopped: State = "refused" if reply.is_refused else "truncated"
        return ParsedReply(stopped, None, "", "", reply.model, reply.text)
    read = read_reply(reply.text, judge)
    if read is None:
        return ParsedReply("unreadable", None, "", "", reply.model, reply.text)
    return ParsedReply("not scored" if read.score is None else "scored", *read, reply.model, reply.text)


def judge_all(cases: list[Case], store: Store, failed_calls: Iterable[FailedCall] = ()) -> list[Judgment]:
    """One judgment for each case, in their order, from the store's replies and the lexicons. Nothing is asked.

    A repetition is of cases that were judged: no condition is looked at again.
    """
    keys = [case.call.key if case.judge.is_asked else "" for case in cases]
    answers = store.get(key for key in keys if key)
    errors = {failed.key: failed.errors[-1] for failed in failed_calls}
    rubrics = {id(case.judge): rubric_hash(case.judge) for case in {id(case.judge): case for case in cases}.values()}
    judgments: list[Judgment] = []
    ratings: dict[JudgmentKey, Rating] = {}
    for case, key in zip(cases, keys, strict=True):
        if not case.repeat and (reason := objection(case, ratings)):
            parsed = ParsedReply("not scored", None, "", reason, case.judge.model, "")
        else:
            parsed = _parse(case, answers.get(key), errors.get(key, "never asked"))
        ratings[case.judgment_key] = Rating(parsed.score, parsed.label)
        judgments.append(_to_judgment(case, parsed, rubrics[id(case.judge)]))
    return judgments


def _parse(case: Case, answer: StoredReply | None, error: str) -> ParsedReply:
    """By the judge's kind; `error` is why there is no stored answer."""
    if case.judge.kind == "lexicon":
        score, words = count_terms(case.judge, case.response, case.against)
        return ParsedReply("scored", score, "", words, "lexicon", "")
    if case.judge.kind == "yes_no":
        read, label, words = read_yes_no(case.judge, case.response, case.question.matching)
        return ParsedReply("not scored" if read is None else "scored", read, label, words, "yes_no", "")
    if case.judge.kind == "exact":
        return ParsedReply("scored", *read_exact(case.response, case.question.accepted), "exact", "")
    if answer is None:
        return ParsedReply("failed", None, "", "", case.judge.model, error)
    return parse_reply(to_reply(answer), case.judge)


def _to_judgment(case: Case, parsed: ParsedReply, rubric: str) -> Judgment:
    return Judgment(
        tier=case.question.tier,
        question=case.question.text,
        score=parsed.score,
        reasoning=parsed.reasoning,
        eval=case.eval,
        question_id=case.question.id,
        sample=case.sample,
        side=case.side,
        judge=case.judge.name,
        state=parsed.state,
        model=parsed.model,
        rubric=rubric,
        raw=parsed.raw,
        trained_share=case.trained_share,
        label=parsed.label,
        swapped=is_swapped(case.judge, case.question.text, case.response, case.against),
    )


def reread(cases: list[Case], judgments: dict[JudgmentKey, Judgment]) -> Iterator[Judgment]:
    """Of each case that has a judgment, the judgment as it follows from the answer and the raw reply.

    Words are counted and replies read again, and what only_if keeps from being judged is settled again. How a call
    ended is not kept: a reply that was cut off, refused or failed stays so, unless it reads as a score.
    """
    ratings: dict[JudgmentKey, Rating] = {}
    for case in cases:
        if (judgment := judgments.get(case.judgment_key)) is None:
            continue
        if reason := objection(case, ratings):
            parsed = ParsedReply("not scored", None, "", reason, case.judge.model, "")
        else:
            parsed = _parse_again(case, judgment)
        ratings[case.judgment_key] = Rating(parsed.score, parsed.label)
        yield _to_judgment(case, parsed, rubric_hash(case.judge))


def _parse_again(case: Case, judgment: Judgment) -> ParsedReply:
    if not case.judge.is_asked:
        return _parse(case, None, "")
    parsed = parse_reply(JudgeReply(judgment.raw, "end_turn", judgment.model, 0, 0), case.judge)
    ended = judgment.state == "truncated" or (judgment.state in ("refused", "failed") and parsed.state == "unreadable")
    return ParsedReply(judgment.state, None, "", "", judgment.model, judgment.raw) if ended else parsed


def failures(
    cases: list[Case], judgments: list[Judgment], store: Store, failed_calls: Iterable[FailedCall] = ()
) -> list[Failure]:
    """Each call that gave no score though it should have, with every reply and error that it met."""
    without = [(c.call.key, c, j) for c, j in zip(cases, judgments, strict=True) if j.state in FAILED_STATES]
    waiting = Counter(key for key, _, _ in without)
    replies = store.attempts(waiting)
    errors = {failed.key: failed.errors for failed in failed_calls}
    first_of_each = {key: (case, judgment) for key, case, judgment in reversed(without)}
    return [
        Failure(
            eval=case.eval,
            judge=case.judge.name,
            question_id=case.question.id,
            sample=case.sample,
            side=case.side,
            trained_share=case.trained_share,
            state=judgment.state,
            question=case.question.text,
            response=case.response,
            against=case.against,
            attempts=[answer.body["text"] for answer in replies.get(key, [])] + errors.get(key, []),
            answers=waiting[key],
        )
        for key, (case, judgment) in reversed(first_of_each.items())
    ]


@task(name="judge call", task_run_name="judge call {number}: {failure.state}", cache_policy=NO_CACHE)
async def failed_call_task(number: int, failure: Failure) -> TaskState[None]:
    """Asks nothing: logs what was judged and every attempt, and fails, so that it has a page of its own in the UI.

    It fails by its state: an exception would end its log in a traceback of nothing that went wrong there.
    """
    log = get_run_logger()
    log.warning("Question (%s, %s): %s", failure.eval, failure.question_id, failure.question)
    log.warning("Response (%s, sample %s): %s", failure.side, failure.sample, failure.response)
    if failure.against is not None:
        log.warning("Beside the baseline's response: %s", failure.against)
    for attempt, said in enumerate(failure.attempts, 1):
        log.warning("Attempt %s: %s", attempt, said)
    place = f"{failure.judge}, {failure.question_id}, {failure.side}"
    return Failed(message=f"judge call {number} ({place}) is {failure.state}")


class Docket:
    """All that a run has to judge, the calls that failed, and its store.

    A class of its own, so that Prefect does not search thousands of cases for futures.
    """

    def __init__(self, cases: list[Case], failed_calls: list[FailedCall], store: Store):
        self.cases, self.failed_calls, self.store = cases, failed_calls, store


@task(name="judge", task_run_name="score every answer", cache_policy=NO_CACHE)
def judge_task(folder: Path, docket: Docket) -> list[Failure]:
    """Writes judged.jsonl and failures.jsonl. What was made from earlier judgments is taken away first."""
    run = Run(folder)
    with track("judge") as progress:
        judgments = judge_all(docket.cases, docket.store, docket.failed_calls)
        progress(len(judgments), len(judgments), "judgments")
    without_score = failures(docket.cases, judgments, docket.store, docket.failed_calls)
    run.remove_what_judgments_made()
    write_rows(run.failures, without_score)
    write_rows(run.judged, judgments)
    return without_score
