"""Judging: every judge reads every answer, and what it said is kept word for word.

    cases = plan(evals, baseline, finetuned, n_samples=10)
    lost = await ask_claude(to_asks(cases), claude, heard)
    judgments = judge_all(cases, store, lost)

A judge of kind claude is asked; a judge of kind lexicon counts. Only a reply that can be read strictly becomes a score.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State as TaskState
from prefect.logging import get_run_logger
from prefect.states import Failed

from tasks.catalog import UserError
from tasks.files import write_rows
from tasks.judging.claude import Call, CallFailed, Claude, Reply, to_reply
from tasks.judging.lexicon import count_terms, read_yes_no
from tasks.judging.replies import CUT_OFF, REFUSED
from tasks.judging.rubrics import Case, is_swapped, read_reply, rubric_hash
from tasks.paid.store import Answer, Store
from tasks.progress import track
from tasks.runs import Run
from tasks.schema import FAILED_STATES, Condition, Eval, Failure, Judge, Judgment, Question, Response, State

Result = TypeVar("Result")
READINGS = 2
"""An unreadable reply is asked for once more."""
ASKED_AGAIN: set[State] = {"failed", "unreadable"}
"""States that a run which lost too much asks for again by itself: what was cut off would be cut off again."""
WITHOUT_SCORE: set[State] = {"failed", "unreadable", "truncated", "refused"}
"""States that `--failed` asks for again."""


class Ask(NamedTuple):
    """A call, and the judge that can read its reply."""

    call: Call
    judge: Judge


class Lost(NamedTuple):
    """A call that got no reply, and what each try met."""

    key: str
    errors: list[str]


def plan(evals: list[Eval], baseline: list[Response], finetuned: list[Response], n_samples: int) -> list[Case]:
    """Every case in the order of evals, judges, questions, samples; fine-tuned before baseline.

    A pair judge sees fine-tuned sample i against baseline sample i, and for its floor baseline i against baseline i + 1
    (the first after the last). With one baseline sample there is no floor. Without fine-tuned answers the cases are
    those of the baseline; with answers of several moments of the training, earlier ones stand before later ones. Of
    imported responses a question may have fewer than others, or none.
    """
    before, moments = _by_question(baseline), sorted({r.trained_share for r in finetuned})
    after = {share: _by_question([r for r in finetuned if r.trained_share == share]) for share in moments}
    cases: list[Case] = []
    for one in evals:
        for judge in one.judges:
            for question in one.questions:
                answers = {share: after[share].get((one.name, question.id), []) for share in moments}
                cases += _of_question(
                    one.name, judge, question, before.get((one.name, question.id), []), answers, n_samples
                )
    return cases


def _of_question(
    name: str, judge: Judge, question: Question, before: list[str], after: dict[float, list[str]], n_samples: int
) -> list[Case]:
    cases, pair = [], judge.reads == "pair"
    for sample in range(n_samples):
        for share, answers in after.items():
            if sample < len(answers) and not (pair and not before):
                against = before[sample % len(before)] if pair else None
                cases.append(Case(name, judge, question, sample, "finetuned", answers[sample], against, share))
        if sample < len(before) and not (pair and len(before) == 1):
            against = before[(sample + 1) % len(before)] if pair else None
            cases.append(Case(name, judge, question, sample, "baseline", before[sample], against, 0))
    return cases


def _by_question(responses: list[Response]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in sorted(responses, key=lambda r: r.sample):
        grouped.setdefault((one.eval, one.question_id), []).append(one.response)
    return grouped


def rounds(cases: list[Case]) -> list[list[Case]]:
    """The cases of judges that read every answer first, then those of judges that wait for another's word (only_if)."""
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
    """Those whose condition (only_if) is met by what other judges said of the same answer."""
    said = {_place(j.eval, j.judge, j): (j.score, j.label) for j in judgments}
    return [case for case in cases if not _objection(case, said)]


Word = tuple[float | None, str]
"""A judge's score and label."""


def _objection(case: Case, said: dict[tuple[object, ...], Word]) -> str:
    """Why a case is not judged, or nothing."""
    if not case.judge.only_if:
        return ""
    condition = Condition.parse(case.judge.only_if)
    score, label = said.get(_place(case.eval, condition.judge, case), (None, ""))
    if condition.holds(score, label):
        return ""
    found = label or ("without a score" if score is None else score)
    return f"only_if {case.judge.only_if}: {condition.judge} is {found}"


def _place(name: str, judge: str, one: Case | Judgment) -> tuple[object, ...]:
    question = one.question.id if isinstance(one, Case) else one.question_id
    return name, judge, question, one.sample, one.side, one.trained_share


# ---- Claude --------------------------------------------------------------------------------------


def to_asks(cases: Iterable[Case]) -> list[Ask]:
    """What Claude's judges are to be asked: the same text is judged once, by the one that may say most of it."""
    asks: dict[str, Ask] = {}
    for case in (case for case in cases if case.judge.kind == "claude"):
        ask = asks.setdefault(case.call.key, Ask(case.call, case.judge))
        if case.call.max_tokens > ask.call.max_tokens:
            asks[case.call.key] = Ask(case.call, case.judge)
    return list(asks.values())


def unanswered(asks: list[Ask], store: Store, again: frozenset[str] = frozenset()) -> list[Ask]:
    """Those of which the store has no reply that can be read, and may be asked (once more); in `again` no score.

    A reply that was cut off is asked for anew under a longer limit; one that ended by itself serves any.
    """
    held = {key: to_reply(answer) for key, answer in store.get(ask.call.key for ask in asks).items()}
    return [ask for ask in asks if _readings_left(ask, held.get(ask.call.key), ask.call.key in again)]


def _readings_left(ask: Ask, reply: Reply | None, again: bool) -> int:
    if reply is None:
        return READINGS
    state = verdict(reply, ask.judge).state
    is_longer = state == "truncated" and ask.call.max_tokens > reply.max_tokens
    if is_longer or (again and state in WITHOUT_SCORE):
        return READINGS
    return max(0, READINGS - reply.attempt - 1) if state == "unreadable" else 0


async def ask_claude(
    asks: list[Ask], claude: Claude, heard: Callable[[], None], again: frozenset[str] = frozenset()
) -> list[Lost]:
    """Has every call answered in the store; returns those without a reply. `heard` is called after each.

    Calls in `again` are asked anew where the store has no score of them. A refused key, a spent budget or a service
    that stays down ends it, once the calls under way have been heard.
    """
    held = claude.store.get(ask.call.key for ask in asks)

    async def one(ask: Ask) -> Lost | None:
        lost = await _ask_until_readable(ask, held.get(ask.call.key), claude, ask.call.key in again)
        heard()
        return lost

    return [lost for lost in await all_of(map(one, asks)) if lost]


async def all_of(several: Iterable[Awaitable[Result]]) -> list[Result]:
    """Awaits every one of them, and only then raises what one of them raised, a UserError before others."""
    done = await asyncio.gather(*several, return_exceptions=True)
    if errors := [one for one in done if isinstance(one, BaseException)]:
        raise next((error for error in errors if isinstance(error, UserError)), errors[0])
    return cast(list[Result], done)


async def _ask_until_readable(ask: Ask, held: Answer | None, claude: Claude, again: bool) -> Lost | None:
    """Asks until a reply can be read or READINGS are used up; what the store holds counts, unless it is asked again."""
    reply = to_reply(held) if held else None
    for _ in range(_readings_left(ask, reply, again)):
        try:
            reply = await claude.ask(ask.call, reply)
        except CallFailed as error:
            return Lost(ask.call.key, error.errors)
        if verdict(reply, ask.judge).state != "unreadable":
            break
    return None


# ---- judgments -----------------------------------------------------------------------------------


class Verdict(NamedTuple):
    state: State
    score: int | None
    label: str
    reasoning: str
    model: str
    raw: str


def verdict(reply: Reply, judge: Judge) -> Verdict:
    """What a reply amounts to. A label that stands for no score is the state "not scored"."""
    if reply.stop_reason in REFUSED | CUT_OFF:
        stopped: State = "refused" if reply.stop_reason in REFUSED else "truncated"
        return Verdict(stopped, None, "", "", reply.model, reply.text)
    read = read_reply(reply.text, judge)
    if read is None:
        return Verdict("unreadable", None, "", "", reply.model, reply.text)
    return Verdict("not scored" if read.score is None else "scored", *read, reply.model, reply.text)


def judge_all(cases: list[Case], store: Store, lost: Iterable[Lost] = ()) -> list[Judgment]:
    """One judgment for each case, in their order, from the store's replies and the lexicons. Nothing is asked.

    A repetition is of cases that were judged: no condition is looked at again.
    """
    keys = [case.call.key if case.judge.kind == "claude" else "" for case in cases]
    held = store.get(key for key in keys if key)
    errors = {one.key: one.errors[-1] for one in lost}
    rubrics = {id(case.judge): rubric_hash(case.judge) for case in {id(case.judge): case for case in cases}.values()}
    judgments: list[Judgment] = []
    said: dict[tuple[object, ...], Word] = {}
    for case, key in zip(cases, keys, strict=True):
        if not case.repeat and (objection := _objection(case, said)):
            found = Verdict("not scored", None, "", objection, case.judge.model, "")
        else:
            found = _verdict(case, held.get(key), errors.get(key, "never asked"))
        said[_place(case.eval, case.judge.name, case)] = found.score, found.label
        judgments.append(_judgment(case, found, rubrics[id(case.judge)]))
    return judgments


def _verdict(case: Case, held: Answer | None, error: str) -> Verdict:
    if case.judge.kind == "lexicon":
        score, words = count_terms(case.judge, case.response, case.against)
        return Verdict("scored", score, "", words, "lexicon", "")
    if case.judge.kind == "yes_no":
        read, label, words = read_yes_no(case.response, case.question.matching)
        return Verdict("not scored" if read is None else "scored", read, label, words, "yes_no", "")
    if held is None:
        return Verdict("failed", None, "", "", case.judge.model, error)
    return verdict(to_reply(held), case.judge)


def _judgment(case: Case, found: Verdict, rubric: str) -> Judgment:
    return Judgment(
        tier=case.question.tier,
        question=case.question.text,
        score=found.score,
        reasoning=found.reasoning,
        eval=case.eval,
        question_id=case.question.id,
        sample=case.sample,
        side=case.side,
        judge=case.judge.name,
        state=found.state,
        model=found.model,
        rubric=rubric,
        raw=found.raw,
        trained_share=case.trained_share,
        label=found.label,
        swapped=is_swapped(case.judge, case.question.text, case.response, case.against),
    )


def read_again(cases: list[Case], held: dict[tuple[object, ...], Judgment]) -> Iterator[Judgment]:
    """Of each case that has a judgment, by its place, the judgment as it follows from the answer and the raw reply.

    Words are counted and replies read again, and what only_if keeps from being judged is settled again. How a call
    ended is not kept: a reply that was cut off, refused or failed stays so, unless it reads as a score.
    """
    said: dict[tuple[object, ...], Word] = {}
    for case in cases:
        place = _place(case.eval, case.judge.name, case)
        if (judgment := held.get(place)) is None:
            continue
        if objection := _objection(case, said):
            found = Verdict("not scored", None, "", objection, case.judge.model, "")
        else:
            found = _read_again(case, judgment)
        said[place] = found.score, found.label
        yield _judgment(case, found, rubric_hash(case.judge))


def _read_again(case: Case, judgment: Judgment) -> Verdict:
    if case.judge.kind != "claude":
        return _verdict(case, None, "")
    found = verdict(Reply(judgment.raw, "end_turn", judgment.model, 0, 0), case.judge)
    ended = judgment.state == "truncated" or (judgment.state in ("refused", "failed") and found.state == "unreadable")
    return Verdict(judgment.state, None, "", "", judgment.model, judgment.raw) if ended else found


def place_of(judgment: Judgment) -> tuple[object, ...]:
    """What tells a judgment from every other of its run."""
    return _place(judgment.eval, judgment.judge, judgment)


def place_of_case(case: Case) -> tuple[object, ...]:
    return _place(case.eval, case.judge.name, case)


def failures(cases: list[Case], judgments: list[Judgment], store: Store, lost: Iterable[Lost] = ()) -> list[Failure]:
    """Each call that gave no score though it should have, with every reply and error that it met."""
    without = [(c.call.key, c, j) for c, j in zip(cases, judgments, strict=True) if j.state in FAILED_STATES]
    waiting = Counter(key for key, _, _ in without)
    replies = store.attempts(waiting)
    errors = {one.key: one.errors for one in lost}
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
        for key, (case, judgment) in {key: (c, j) for key, c, j in reversed(without)}.items()
    ][::-1]


class Chunk:
    """What one chunk task asks. A class of its own, so that Prefect does not search thousands of calls for futures."""

    def __init__(self, asks: list[Ask], claude: Claude, heard: Callable[[], None], again: frozenset[str]):
        self.asks, self.claude, self.heard, self.again = asks, claude, heard, again


@task(
    name="judge calls",
    task_run_name="ask the judges, calls {first} to {last}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def judge_calls_task(first: int, last: int, chunk: Chunk) -> list[Lost]:
    return await ask_claude(chunk.asks, chunk.claude, chunk.heard, chunk.again)


@task(name="judge call", task_run_name="judge call {number}: {failure.state}", cache_policy=NO_CACHE)
async def failed_call_task(number: int, failure: Failure) -> TaskState[None]:
    """Asks nothing: tells what was judged and every attempt, and fails, so that it has a page of its own in the UI.

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
    """All that a run has to judge, what was lost, and the run's store; a class of its own for the same reason."""

    def __init__(self, cases: list[Case], lost: list[Lost], store: Store):
        self.cases, self.lost, self.store = cases, lost, store


@task(name="judge", task_run_name="score every answer", cache_policy=NO_CACHE)
def judge_task(folder: Path, docket: Docket) -> list[Failure]:
    """Writes judged.jsonl and failures.jsonl. What was made from earlier judgments is taken away first."""
    run = Run(folder)
    with track("judge") as progress:
        judgments = judge_all(docket.cases, docket.store, docket.lost)
        progress(len(judgments), len(judgments), "judgments")
    without_score = failures(docket.cases, judgments, docket.store, docket.lost)
    run.remove_what_judgments_made()
    write_rows(run.failures, without_score)
    write_rows(run.judged, judgments)
    return without_score
