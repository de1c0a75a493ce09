"""What the flows that judge share: the fan-out over calls, what failed, and from judgments to report.

    await judge(run, experiment, evals, budget)
    await report(run, experiment, evals)

Some twenty chunk tasks share one limit and one budget; the store is their cache, so that a retry asks only for what is
not there. Each call that gives no score in the end is a task run of its own, failed, with everything that was said.
"""

import asyncio
import gc
import shlex
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import show_failures, show_results
from flows.console import console
from flows.suspending import BatchesOpen, is_resumed_by_serve
from tasks.catalog import UserError
from tasks.estimates.effects import effects_task
from tasks.estimates.missing import Missing, missing_by_judge
from tasks.imports.responses import samples_per_question
from tasks.judging.asking import RETRIED_STATES, Chunk, JudgeCall, gather_all, judge_calls_task, to_calls, unanswered
from tasks.judging.batches import NONE, Order, check_batches, in_open_batches, judge_in_batches_task
from tasks.judging.calls import FailedCall
from tasks.judging.cases import Case, admitted, plan, rounds
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import Docket, judge_all, judge_task
from tasks.judging.probes import probe
from tasks.judging.providers import endings
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.progress import Progress, track
from tasks.report.charts import charts_task
from tasks.report.report import report_task
from tasks.runs import Run
from tasks.schema import Eval, Experiment, State

MAX_CHUNKS = 20
"""Task runs of one run that ask: with those of the stages they stay under 40 on its page."""
MIN_CALLS = 10
"""Of a task run that asks, where there are so many."""
NOTE_EVERY = 5.0
"""Seconds between two notes of what is spent in run.json."""
USUAL_COLLECTION = gc.get_threshold()
"""How often Python looks for garbage in cycles, where nothing else is said."""

part_of: ContextVar[str] = ContextVar("part_of", default="")
"""The flow run in whose process others go on, as the cells of a study: who cancels it cancels these."""


class TooManyUnscored(UserError):
    """One judge lost more judgments than the experiment allows."""


async def probe_judges(experiment: Experiment, evals: list[Eval], budget: Budget) -> None:
    """One tiny call to each service and model, before anything else is spent; none to those that answered one today.

    Raises UserError where one is not there, refuses the key, lacks the model or, where it is to, takes no batches.
    """
    judges = [judge for evaluation in evals for judge in evaluation.judges if judge.is_asked]
    limits = experiment.judging.in_flight, budget, experiment.judging.max_outage
    async with Dispatcher(budget.store, *limits) as dispatcher:
        await probe(judges, dispatcher)
    if experiment.judging.batch:
        await check_batches(judges, budget.store)
    for words in await endings(judges):
        get_run_logger().warning(words)
        console.print(words, style="yellow")


async def judge_what_is_missing(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget) -> None:
    """Judges a run that is not judged, that lost too much, or whose replies may be longer than they were."""
    states = states_to_retry(run, experiment)
    if not run.judged.is_file() or states or _may_be_longer(run, experiment, evals, budget):
        await judge(run, experiment, evals, budget, states)


async def judge(
    run: Run, experiment: Experiment, evals: list[Eval], budget: Budget, ask_again: Collection[State] = ()
) -> None:
    """Asks for what the store lacks, and for judgments in the states `ask_again` anew; writes judged.jsonl."""
    with rare_garbage_collection():
        cases = cases_of(run, experiment, evals)
        begun = _begun(run, _keys_in(run, cases, ask_again), budget.store)
        failed_calls = await FanOut(run, experiment, budget, ask_again=begun).ask(cases)
        failures = await asyncio.to_thread(judge_task, run.folder, Docket(cases, failed_calls, budget.store))
        if begun:
            run.note(asked_again={"from": {}})
    await show_failures(failures)


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Thousands of calls make few cycles, and looking for them through all that is loaded took a fourth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*USUAL_COLLECTION)  # whatever other runs of this process are at
        gc.unfreeze()


def cases_of(run: Run, experiment: Experiment, evals: list[Eval]) -> list[Case]:
    """Every answer of the run before every judge."""
    answers = run.responses()
    n_samples = samples_per_question(*answers) if experiment.responses else experiment.sampling.n_samples
    return plan(evals, *answers, n_samples)


def states_to_retry(run: Run, experiment: Experiment) -> Collection[State]:
    """What a run that is resumed asks for anew: what was lost, where a judge lost so much that the run failed."""
    return RETRIED_STATES if run.judged.is_file() and _lost_too_much(run, experiment) else ()


def _lost_too_much(run: Run, experiment: Experiment) -> list[Missing]:
    """The judges of which more is missing than the experiment allows."""
    return [m for m in missing_by_judge(run.judgments()) if m.share > experiment.judging.max_unscored]


def _may_be_longer(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget) -> bool:
    """Whether a reply was cut off, and its judge may say more by now."""
    if all(judgment.state != "truncated" for judgment in run.judgments()):
        return False
    pairs = zip(cases_of(run, experiment, evals), run.judgments(), strict=True)
    cut_off = (case for case, judgment in pairs if judgment.state == "truncated")
    return bool(unanswered(to_calls(cut_off), budget.store))


def _keys_in(run: Run, cases: list[Case], states: Collection[State]) -> frozenset[str]:
    """The calls of the judgments that are in one of these states."""
    if not states or not run.judged.is_file():
        return frozenset()
    pairs = zip(cases, run.judgments(), strict=True)
    return frozenset(case.call.key for case, j in pairs if j.state in states and case.judge.is_asked)


def _begun(run: Run, keys: frozenset[str], store: Store) -> dict[str, int]:
    """How many replies there were to each of these calls as it began to be asked again.

    It stands in run.json until they are asked: a run that is suspended meanwhile, and goes on, pays no more than one
    that waits.
    """
    if not keys:
        return {}
    before = run.record().get("asked_again", {}).get("from", {})
    stored = {key: reply.attempt + 1 for key, reply in store.get(keys).items()}
    begun = {key: before.get(key, stored.get(key, 0)) for key in sorted(keys)}
    run.note(asked_again={"from": begun})
    return begun


# ---- the fan-out ---------------------------------------------------------------------------------


class CallProgress:
    """Shows how far the calls are, what they have cost, and what troubles their service."""

    def __init__(self, run: Run, budget: Budget, progress: Progress):
        self.run, self.budget, self.progress = run, budget, progress
        self.log, self.trouble, self.noted_at = get_run_logger(), "", time.monotonic()

    def add(self, calls: int, stored: int) -> None:
        """So many calls more, of which the store holds the replies to `stored`."""
        self.progress.total += calls
        self.progress.done += stored
        self.show()

    def advance(self) -> None:
        """One more call has ended."""
        self.progress.done += 1
        self.show()

    def warn(self, words: str) -> None:
        """What its user should know while it goes on, in the terminal and in the Prefect UI."""
        self.trouble = words if "is down" in words else ""
        self.log.warning(words)
        console.print(words, style="yellow")
        self.show()

    def tell(self, words: str) -> None:
        """What a service says of a batch, beside the bar."""
        self.trouble = words
        self.show()

    def show(self) -> None:
        """Draws the bar, and now and then notes in run.json what was spent."""
        words = f"judge calls {self.budget.words()} {self.trouble}".strip()
        self.progress(self.progress.done, self.progress.total, words)
        if time.monotonic() - self.noted_at > NOTE_EVERY:
            self.noted_at = time.monotonic()
            self.run.note(spent=self.budget.summary())


class FanOut:
    """Has the judges asked what the store lacks.

    Cases become rounds (judges that wait for others come later), a round groups of calls about one model's answers, a
    group chunks, and each chunk is a task run. `ask_again` holds the keys of calls whose stored replies do not count,
    with how many there were as they began to be asked again.
    """

    progress: CallProgress
    dispatcher: Dispatcher

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        budget: Budget,
        stage: str = "judge calls",
        ask_again: Mapping[str, int] = NONE,
        max_chunks: int = MAX_CHUNKS,
    ):
        self.run, self.judging, self.budget, self.stage = run, experiment.judging, budget, stage
        self.ask_again, self.max_chunks = ask_again, max_chunks

    async def ask(self, cases: list[Case]) -> list[FailedCall]:
        """Asks for what is missing; returns the calls that got no reply."""
        if not any(case.judge.is_asked for case in cases):
            return []
        with track(self.stage) as progress:
            self.progress = CallProgress(self.run, self.budget, progress)
            limits = self.judging.in_flight, self.budget, self.judging.max_outage
            try:
                async with Dispatcher(self.budget.store, *limits, self.progress.warn) as self.dispatcher:
                    return await self._ask_in_rounds(cases)
            finally:
                self.run.note(spent=self.budget.summary())

    async def _ask_in_rounds(self, cases: list[Case]) -> list[FailedCall]:
        """Judges of a later round read what those before them let through."""
        failed_calls: list[FailedCall] = []
        asked: list[Case] = []
        in_order = rounds(cases)
        for some in in_order:
            if asked:
                some = admitted(some, judge_all(asked, self.budget.store, failed_calls))
            failed_calls += await self._ask_round(some, self.max_chunks // len(in_order))
            asked += some
        return failed_calls

    async def _ask_round(self, cases: list[Case], max_chunks: int) -> list[FailedCall]:
        calls = to_calls(cases)
        missing = unanswered(calls, self.budget.store, self.ask_again)
        self.progress.add(len(calls), stored=len(calls) - len(missing))
        groups = self._by_model(cases, missing)
        if self.judging.batch:
            return await self._ask_together(list(groups), missing)
        done = await gather_all(self._ask_group(*group, max_chunks // len(groups)) for group in groups.items())
        return [failed for group in done for failed in group]

    async def _ask_together(self, models: list[str], calls: list[JudgeCall]) -> list[FailedCall]:
        """All calls of a round in batches, once no other run asks for any of them."""
        if not calls:
            return []
        async with AsyncExitStack() as locks:
            for model in sorted(models):  # in one order: of two runs neither waits for the other
                await locks.enter_async_context(exclusive(f"judging {model}", self.progress.warn))
            return await self._ask_in_batches(calls)

    async def _ask_in_batches(self, calls: list[JudgeCall], makes_new: bool = True) -> list[FailedCall]:
        """Raises BatchesOpen where nothing is left but to wait, and the run is one that is suspended meanwhile."""
        shown, waits = (self.progress.advance, self.progress.tell, cancellation()), not is_resumed_by_serve()
        order = Order(calls, self.dispatcher, *shown, self.ask_again, makes_new, waits)
        failed = await judge_in_batches_task(order)
        if order.left_open:
            raise BatchesOpen(order.left_open)
        return failed

    def _by_model(self, cases: list[Case], missing: list[JudgeCall]) -> dict[str, list[JudgeCall]]:
        """The calls by whose answers they judge: the baseline's are those of every run of an eval, the fine-tuned
        model's those of every run of that model."""
        model = _model_of(self.run)
        models = {case.call.key: case.eval if case.side == "baseline" else model for case in cases}
        groups: dict[str, list[JudgeCall]] = {}
        for judge_call in missing:
            groups.setdefault(models[judge_call.call.key], []).append(judge_call)
        return groups

    async def _ask_group(self, model: str, calls: list[JudgeCall], max_chunks: int) -> list[FailedCall]:
        """Of several runs at once one asks, and the others find the replies in the store."""
        about = "fine-tuned answers" if model == _model_of(self.run) else f"the baseline of {model}"
        async with exclusive(f"judging {model}", self.progress.warn):
            if handed_over := in_open_batches(calls, self.budget.store):  # by a run that ended, or was suspended
                await self._ask_in_batches(handed_over, makes_new=False)
                calls = unanswered(calls, self.budget.store, self.ask_again)
            return await self._ask_in_chunks(calls, max_chunks, about)

    async def _ask_in_chunks(self, calls: list[JudgeCall], max_chunks: int, about: str) -> list[FailedCall]:
        """By at most so many task runs, a judge's calls one after the other, which the name of each tells."""
        size, calls = max(MIN_CALLS, -(-len(calls) // max(1, max_chunks))), by_judge(calls)
        given = self.dispatcher, self.progress.advance, self.ask_again, about
        chunks = [Chunk(start + 1, calls[start : start + size], *given) for start in range(0, len(calls), size)]
        return [failed for done in await gather_all(map(judge_calls_task, chunks)) for failed in done]


def cancellation() -> Callable[[], Awaitable[bool]]:
    """Tells whether the flow run that goes on now, or the one that it is part of, was cancelled in Prefect.

    Not where its server does not say.
    """
    concerned = [UUID(run) for run in (flow_run.id, part_of.get()) if run]

    async def is_cancelled() -> bool:
        try:
            async with get_client() as client:
                states = [(await client.read_flow_run(run)).state for run in concerned]
        except (httpx.HTTPError, PrefectException):
            return False
        return any(state.is_cancelling() or state.is_cancelled() for state in states if state)

    return is_cancelled


def by_judge(calls: list[JudgeCall]) -> list[JudgeCall]:
    """The same, in the order in which their judges first come."""
    order = {name: place for place, name in enumerate(dict.fromkeys(judge.name for _, judge in calls))}
    return sorted(calls, key=lambda judge_call: order[judge_call.judge.name])


def _model_of(run: Run) -> str:
    """Whose answers the fine-tuned ones are; of imported responses, which; nothing while there are none."""
    if run.checkpoint.is_file():
        return run.model().identity
    return run.finetuned.read_text() if run.finetuned.is_file() else ""


async def report(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
    """Makes effects, charts and report where they are older than what they are made of, and shows them in the UI."""
    if not _is_newer(run.effects, run.judged):
        await asyncio.to_thread(effects_task, run.folder)
    if not _is_newer(run.report, run.effects):
        await asyncio.to_thread(charts_task, run.folder)
        await asyncio.to_thread(report_task, run.folder)
    await show_results(run, experiment, evals)


def refuse_too_many_unscored(run: Run, experiment: Experiment) -> None:
    """Raises TooManyUnscored where a judge lost more than is allowed, with what can be done about it."""
    if not (lost := _lost_too_much(run, experiment)):
        return
    place, allowed = shlex.quote(str(run.folder)), f"{experiment.judging.max_unscored:.1%}"
    longer = ""
    if any(missing.states["truncated"] for missing in lost):
        command = f"spillover judge {place} --failed --max-tokens ..."
        longer = f"; for what was cut off raise the judge's max_tokens (`{command}`)"
    raise TooManyUnscored(
        f"{' '.join(missing.sentence for missing in lost)} judging.max_unscored is {allowed} of a judge's; the report "
        f"is written, the table of judge calls without a score says why (`spillover failures {place}`), and Retry in "
        f"the UI or `{run.resume_command}` asks again for what failed{longer}"
    )


def _is_newer(file: Path, source: Path) -> bool:
    return file.is_file() and file.stat().st_mtime >= source.stat().st_mtime
