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
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.logging import get_run_logger

from flows.artifacts import show_failures, show_results
from flows.console import console
from tasks.catalog import UserError
from tasks.estimates.effects import effects_task
from tasks.estimates.missing import Missing, missing_by_judge
from tasks.imports.responses import samples_per_question
from tasks.judging.claude import Claude, to_probe
from tasks.judging.judging import (
    ASKED_AGAIN,
    Ask,
    Chunk,
    Docket,
    Lost,
    admitted,
    all_of,
    judge_all,
    judge_calls_task,
    judge_task,
    plan,
    rounds,
    to_asks,
    unanswered,
)
from tasks.judging.rubrics import Case
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.progress import Progress, track
from tasks.report.charts import charts_task
from tasks.report.report import report_task
from tasks.runs import Run
from tasks.schema import Eval, Experiment, State

MOST_CHUNKS = 20
"""Task runs of one run that ask: with those of the stages they stay under 40 on its page."""
FEWEST_CALLS = 10
"""Of a task run that asks, where there are so many."""
NOTE_EVERY = 5.0
"""Seconds between two notes of what is spent in run.json."""


class TooManyUnscored(UserError):
    """One judge lost more judgments than the experiment allows."""


async def probe_judges(experiment: Experiment, evals: list[Eval], budget: Budget) -> None:
    """One tiny call to each service and model, before anything else is spent; none to those that answered one today.

    Raises UserError where one is not there, refuses the key or lacks the model.
    """
    judges = [judge for one in evals for judge in one.judges if judge.kind == "claude"]
    probes = {probe.key: probe for probe in (to_probe(judge.model, judge.base_url) for judge in judges)}
    if new := [probe for key, probe in probes.items() if key not in budget.store.get(probes)]:
        async with Claude(budget.store, len(new), budget, experiment.judging.max_outage) as claude:
            await all_of(claude.probe(probe) for probe in new)


async def judge_what_is_missing(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget) -> None:
    """Judges a run that is not judged, that lost too much, or whose replies may be longer than they were."""
    again = asked_again(run, experiment)
    if not run.judged.is_file() or again or _may_be_longer(run, experiment, evals, budget):
        await judge(run, experiment, evals, budget, again)


async def judge(
    run: Run, experiment: Experiment, evals: list[Eval], budget: Budget, again: Collection[State] = ()
) -> None:
    """Asks for what the store lacks, and for judgments in the states `again` anew; writes judged.jsonl."""
    with rare_garbage_collection():
        cases = cases_of(run, experiment, evals)
        keys = _keys_in(run, cases, again)
        lost = await ask(run, experiment, cases, "judge calls", budget, keys)
        failures = await asyncio.to_thread(judge_task, run.folder, Docket(cases, lost, budget.store))
    await show_failures(failures)


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Thousands of calls make few cycles, and looking for them through all that is loaded took a fourth of the time."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def cases_of(run: Run, experiment: Experiment, evals: list[Eval]) -> list[Case]:
    """Every answer of the run before every judge."""
    answers = run.responses()
    n_samples = samples_per_question(*answers) if experiment.responses else experiment.sampling.n_samples
    return plan(evals, *answers, n_samples)


def asked_again(run: Run, experiment: Experiment) -> Collection[State]:
    """What a run that is resumed asks for anew: what was lost, where a judge lost so much that the run failed."""
    return ASKED_AGAIN if run.judged.is_file() and _lost_too_much(run, experiment) else ()


def _lost_too_much(run: Run, experiment: Experiment) -> list[Missing]:
    """The judges of which more is missing than the experiment allows."""
    return [one for one in missing_by_judge(run.judgments()) if one.share > experiment.judging.max_unscored]


def _may_be_longer(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget) -> bool:
    """Whether a reply was cut off, and its judge may say more by now."""
    if all(judgment.state != "truncated" for judgment in run.judgments()):
        return False
    pairs = zip(cases_of(run, experiment, evals), run.judgments(), strict=True)
    return bool(unanswered(to_asks(case for case, said in pairs if said.state == "truncated"), budget.store))


def _keys_in(run: Run, cases: list[Case], states: Collection[State]) -> frozenset[str]:
    """The calls of the judgments that are in one of these states."""
    if not states or not run.judged.is_file():
        return frozenset()
    pairs = zip(cases, run.judgments(), strict=True)
    return frozenset(c.call.key for c, j in pairs if j.state in states and c.judge.kind == "claude")


async def ask(
    run: Run,
    experiment: Experiment,
    cases: list[Case],
    stage: str,
    budget: Budget,
    again: frozenset[str] = frozenset(),
    most_chunks: int = MOST_CHUNKS,
) -> list[Lost]:
    """Has Claude's judges answer what the store lacks, each after those that it waits for; returns what was lost."""
    if not any(case.judge.kind == "claude" for case in cases):
        return []
    with track(stage) as progress:
        told = Told(run, budget, progress)
        limits = experiment.judging.in_flight, budget, experiment.judging.max_outage
        try:
            async with Claude(budget.store, *limits, told.say) as claude:
                return await Asking(run, claude, told, again, most_chunks).ask(cases)
        finally:
            run.note(spent=budget.summary())


class Told:
    """How far the calls are, what they cost so far, and what troubles their service."""

    def __init__(self, run: Run, budget: Budget, progress: Progress):
        self.run, self.budget, self.progress = run, budget, progress
        self.log, self.trouble, self.noted = get_run_logger(), "", time.monotonic()

    def show(self) -> None:
        self.progress(
            self.progress.done, self.progress.total, f"calls to Claude {self.budget.words()} {self.trouble}".strip()
        )
        if time.monotonic() - self.noted > NOTE_EVERY:
            self.noted = time.monotonic()
            self.run.note(spent=self.budget.summary())

    def say(self, words: str) -> None:
        self.trouble = words if "is down" in words else ""
        self.log.warning(words)
        console.print(words, style="yellow")
        self.show()

    def found(self, asks: int, held: int) -> None:
        """So many calls more, of which the store holds some."""
        self.progress.total += asks
        self.progress.done += held
        self.show()

    def heard(self) -> None:
        self.progress.done += 1
        self.show()


class Asking:
    """The fan-out of one stage: rounds of judges that wait for one another, in each of them chunks of calls."""

    def __init__(self, run: Run, claude: Claude, told: Told, again: frozenset[str], most_chunks: int):
        self.run, self.claude, self.told, self.again, self.most_chunks = run, claude, told, again, most_chunks

    async def ask(self, cases: list[Case]) -> list[Lost]:
        """Judges of a later round read what those before them let through."""
        lost: list[Lost] = []
        asked: list[Case] = []
        turns = rounds(cases)
        for some in turns:
            if asked:
                some = admitted(some, judge_all(asked, self.claude.store, lost))
            lost += await self._ask_round(some, self.most_chunks // len(turns))
            asked += some
        return lost

    async def _ask_round(self, cases: list[Case], most: int) -> list[Lost]:
        asks = to_asks(cases)
        missing = unanswered(asks, self.claude.store, self.again)
        self.told.found(len(asks), len(asks) - len(missing))
        grouped = self._by_answerer(cases, missing)
        done = await all_of(self._ask_alone(*group, most // len(grouped)) for group in grouped.items())
        return [one for lost in done for one in lost]

    def _by_answerer(self, cases: list[Case], missing: list[Ask]) -> dict[str, list[Ask]]:
        """The calls by whose answers they judge: the baseline's are those of every run of an eval, the fine-tuned
        model's those of every run of that model."""
        model = _model_of(self.run)
        whose = {case.call.key: case.eval if case.side == "baseline" else model for case in cases}
        grouped: dict[str, list[Ask]] = {}
        for one in missing:
            grouped.setdefault(whose[one.call.key], []).append(one)
        return grouped

    async def _ask_alone(self, whose: str, asks: list[Ask], most: int) -> list[Lost]:
        """Of several runs at once one asks, and the others find what it was told in the store."""
        async with exclusive(f"judging {whose}", self.told.say):
            return await self._ask_in_chunks(asks, most)

    async def _ask_in_chunks(self, asks: list[Ask], most: int) -> list[Lost]:
        """By at most so many task runs."""
        size = max(FEWEST_CALLS, -(-len(asks) // max(1, most)))
        chunks = [(first, asks[first : first + size]) for first in range(0, len(asks), size)]
        calls = (
            judge_calls_task(first + 1, first + len(some), Chunk(some, self.claude, self.told.heard, self.again))
            for first, some in chunks
        )
        return [lost for chunk in await all_of(calls) for lost in chunk]


def _model_of(run: Run) -> str:
    """Whose answers the fine-tuned ones are; of imported responses, which; nothing while there are none."""
    if run.checkpoint.is_file():
        return run.model().identity
    return run.finetuned.read_text() if run.finetuned.is_file() else ""


async def report(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
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
    place = shlex.quote(str(run.folder))
    cut = any(one.states["truncated"] for one in lost)
    longer = (
        f"; for what was cut off raise the judge's max_tokens (`spillover judge {place} --failed --max-tokens ...`)"
    )
    raise TooManyUnscored(
        f"{' '.join(one.sentence for one in lost)} judging.max_unscored is {experiment.judging.max_unscored:.1%} of a "
        f"judge's; the report is written, the table of judge calls without a score says why (`spillover failures "
        f"{place}`), and Retry in the UI or `{run.resume_command}` asks again for what failed{longer if cut else ''}"
    )


def _is_newer(file: Path, source: Path) -> bool:
    return file.is_file() and file.stat().st_mtime >= source.stat().st_mtime
