"""Asking the judges: each call until its reply can be read, at most MAX_READS times.

    calls = to_calls(cases)
    failed = await ask_judges(unanswered(calls, store), dispatcher, on_answer)

A reply that cannot be read is asked for again here, and shown to the judge with a reminder. A try that brings no reply
at all is tried again by dispatcher.py, by the rules of retries.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import NamedTuple, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError
from tasks.judging.calls import Call, FailedCall, JudgeReply, to_reply
from tasks.judging.cases import Case
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import parse_reply
from tasks.paid.store import Store, StoredReply
from tasks.schema import FAILED_STATES, Judge, State
from tasks.services.service import CallFailed

Result = TypeVar("Result")
MAX_READS = 2
"""Replies to one call that are read: the second is asked for where the first could not be read."""
RETRIED_STATES: tuple[State, ...] = ("failed", "unreadable")
"""Asked for again by a run that failed because it lost too much: what was cut off would be cut off again."""
UNSCORED_STATES: tuple[State, ...] = (*FAILED_STATES, "refused")
"""Asked for again by `--failed`. A label that stands for no score is an answer, and not among them."""


class JudgeCall(NamedTuple):
    """A call, and the judge that can read its reply."""

    call: Call
    judge: Judge

    @property
    def max_reads(self) -> int:
        """Replies to it that are read."""
        return MAX_READS

    def state_of(self, reply: JudgeReply) -> State:
        """What a reply to it amounts to."""
        return parse_reply(reply, self.judge).state


def to_calls(cases: Iterable[Case]) -> list[JudgeCall]:
    """What judges are asked: the same text is judged once, by the judge that may reply at the greatest length."""
    calls: dict[str, JudgeCall] = {}
    for case in (case for case in cases if case.judge.is_asked):
        known = calls.setdefault(case.call.key, JudgeCall(case.call, case.judge))
        if case.call.max_tokens > known.call.max_tokens:
            calls[case.call.key] = JudgeCall(case.call, case.judge)
    return list(calls.values())


def unanswered(calls: list[JudgeCall], store: Store, ask_again: Collection[str] = ()) -> list[JudgeCall]:
    """Those that still have a reply to ask for: the store has none, or one that does not settle them.

    `ask_again` holds the keys of calls that only a score settles.
    """
    replies = {key: to_reply(answer) for key, answer in store.get(call.key for call, _ in calls).items()}
    begun = {key: reply.attempt + 1 for key, reply in replies.items() if key in ask_again}
    return [c for c in calls if reads_left(c, replies.get(c.call.key), begun.get(c.call.key))]


def reads_left(judge_call: JudgeCall, reply: JudgeReply | None, begun: int | None = None) -> int:
    """How many replies may still be asked for, given the last one.

    A reply that was cut off is asked for anew under a longer limit; one that ended by itself serves any. `begun` is of
    a call that only a score settles: how many replies there were as it began to be asked again.
    """
    if reply is None:
        return judge_call.max_reads
    state, replies = judge_call.state_of(reply), reply.attempt + 1
    is_longer = state == "truncated" and judge_call.call.max_tokens > reply.max_tokens
    if is_longer or (begun is not None and replies <= begun and state in UNSCORED_STATES):
        return judge_call.max_reads
    return max(0, (begun or 0) + judge_call.max_reads - replies) if state == "unreadable" else 0


async def ask_judges(
    calls: list[JudgeCall],
    dispatcher: Dispatcher,
    on_answer: Callable[[], None],
    ask_again: Collection[str] = (),
) -> list[FailedCall]:
    """Has every call answered in the store; returns those without a reply. `on_answer` is called after each.

    Calls in `ask_again` are asked anew where the store has no score of them. A UserError (a refused key, a spent
    budget, a service that stays down) is raised once the calls in flight have ended.
    """
    stored = dispatcher.store.get(call.key for call, _ in calls)

    async def ask(judge_call: JudgeCall) -> FailedCall | None:
        key = judge_call.call.key
        failed = await _ask_until_readable(judge_call, stored.get(key), dispatcher, key in ask_again)
        on_answer()
        return failed

    return [failed for failed in await gather_all(map(ask, calls)) if failed]


async def _ask_until_readable(
    judge_call: JudgeCall, stored: StoredReply | None, dispatcher: Dispatcher, ask_again: bool
) -> FailedCall | None:
    """Asks until a reply can be read or MAX_READS are used up; what is stored counts, unless it is asked again."""
    call = judge_call.call
    reply = to_reply(stored) if stored else None
    begun = reply.attempt + 1 if reply and ask_again else None
    for _ in range(reads_left(judge_call, reply, begun)):
        try:
            reply = await dispatcher.send(call, reply)
        except CallFailed as error:
            return FailedCall(call.key, error.errors, error.is_refused)
        if judge_call.state_of(reply) != "unreadable":
            break
    return None


async def gather_all(several: Iterable[Awaitable[Result]]) -> list[Result]:
    """Awaits every one of them, and only then raises what one of them raised, a UserError before others."""
    done = await asyncio.gather(*several, return_exceptions=True)
    if errors := [result for result in done if isinstance(result, BaseException)]:
        raise next((error for error in errors if isinstance(error, UserError)), errors[0])
    return cast(list[Result], done)


class Chunk:
    """What one chunk task asks. A class of its own, so that Prefect does not search thousands of calls for futures."""

    def __init__(
        self,
        first: int,
        calls: list[JudgeCall],
        dispatcher: Dispatcher,
        on_answer: Callable[[], None],
        ask_again: Collection[str],
        about: str = "answers",
    ):
        self.first, self.last = first, first + len(calls) - 1
        """The numbers of its calls among those of its group, counted from 1."""
        self.judges = ", ".join(dict.fromkeys(f"{judge.name} ({judge.model})" for _, judge in calls))
        self.about = about
        """Whose answers are judged."""
        self.calls, self.dispatcher, self.on_answer, self.ask_again = calls, dispatcher, on_answer, ask_again


@task(
    name="judge calls",
    task_run_name="ask {chunk.judges} about {chunk.about}, calls {chunk.first} to {chunk.last}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def judge_calls_task(chunk: Chunk) -> list[FailedCall]:
    """Asks some of a run's calls in one task run."""
    return await ask_judges(chunk.calls, chunk.dispatcher, chunk.on_answer, chunk.ask_again)
