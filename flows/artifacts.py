"""What a run leaves on its page in the Prefect UI: headline and chart, tables of effects and failures, the report.

What changed is what one sees first: in the name of the flow run, in its state, and as the first of its artifacts. A run
that is retried replaces what its earlier attempts left: nobody should read an old result first.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from operator import attrgetter
from textwrap import shorten
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Completed

from flows.addresses import reports_address
from tasks.estimates.findings import headline, headline_lines, verdict
from tasks.estimates.missing import missing_in_words, unscored_statements
from tasks.estimates.wording import interval, number_or_dash
from tasks.judging.judgments import failed_call_task
from tasks.report.charts import EFFECTS
from tasks.report.report import STANDIN_NOTE, is_standin
from tasks.report.templates import data_url
from tasks.runs import Run
from tasks.schema import Effect, Eval, Experiment, Failure
from tasks.visible import in_markdown, visible

MAX_TASK_RUNS = 200
"""Failed calls with a task run of their own: an outage must not flood the server."""
LONGEST_CELL = 300
LONGEST_NAME = 200
"""Characters of a flow run's name that ends in what changed."""
HALF = UUID(int=1 << 127)
"""Ids are drawn from 0 to twice this."""
MAX_DRAWS = 1_000
"""Ids that are drawn so that one artifact comes first: each has an even chance, and of ten others five need one."""
FIELDS = set(ArtifactCreate.model_fields)
FAILED_CALLS = "Judge calls without a score:"
WHAT_CHANGED = "What changed:"


async def show_failures(failures: list[Failure]) -> None:
    """A failed task run for each call without a score, and a table of all of them."""
    if not failures and not await _earlier_artifact(FAILED_CALLS):
        return
    shown = islice(enumerate(failures, 1), MAX_TASK_RUNS)
    started: list[Any] = [failed_call_task(number, failure, return_state=True) for number, failure in shown]
    await asyncio.gather(*started)
    where = (
        f" The task run `judge call N` of each (the first {MAX_TASK_RUNS}) has everything that was said in its log; "
        "failures.jsonl in the run's folder has all."
    )
    rows = [_failure_row(number, failure) for number, failure in enumerate(failures, 1)]
    await show_table(rows, FAILED_CALLS, f"{len(failures):,}.{where if failures else ''}")


async def show_table(rows: Sequence[dict[str, Any]], title: str, more: str = "") -> None:
    """A table in the UI, which takes every text in it for Markdown: what others wrote stands in it as it is."""
    shown = [{name: in_markdown(v) if isinstance(v, str) else v for name, v in row.items()} for row in rows]
    words = f"{title} {more}".strip()
    if not await _is_replaced(title, json.dumps(shown), words):
        await acreate_table_artifact(shown, description=words)


async def show_markdown(markdown: str, title: str) -> None:
    """A text in the UI, in the place of the one with this title, where there is one."""
    if not await _is_replaced(title, markdown, title):
        await acreate_markdown_artifact(markdown, description=title)


async def _is_replaced(title: str, data: str, description: str) -> bool:
    """Whether an earlier attempt of the flow run left an artifact with this title, in whose place this one now is."""
    if (earlier := await _earlier_artifact(title)) is None:
        return False
    async with get_client() as client:
        await client.update_artifact(earlier, ArtifactUpdate(data=data, description=description))
    return True


async def _earlier_artifact(title: str) -> UUID | None:
    """The flow run's artifact whose description begins so."""
    artifacts = await _artifacts(_flow_run())
    return next((artifact.id for artifact in artifacts if (artifact.description or "").startswith(title)), None)


async def _artifacts(flow_run: UUID | None) -> list[Artifact]:
    if flow_run is None:
        return []
    async with get_client() as client:
        return await client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))


def _flow_run() -> UUID | None:
    """The id of the flow run that goes on; none outside of one."""
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None


async def _show_first(markdown: str, title: str, more: str) -> None:
    """A text that stands before all other artifacts: both UIs sort them by their ids, which the server draws.

    So ids are drawn anew until its own is the largest; an earlier attempt's with this title goes.
    """
    flow_run = _flow_run()
    found = await _artifacts(flow_run)
    earlier = [artifact for artifact in found if (artifact.description or "").startswith(title)]
    others = [artifact for artifact in found if artifact not in earlier]
    async with get_client() as client:
        for old in earlier:
            await client.delete_artifact(old.id)
        wanted = ArtifactCreate(type="markdown", description=f"{title} {more}", data="", flow_run_id=flow_run)
        mine = await client.create_artifact(wanted)
        for _ in range(MAX_DRAWS):
            last = max(others, key=attrgetter("id"), default=mine)
            if last.id <= mine.id:
                break
            if last.id > HALF:  # else no id of ours might ever be larger
                others[others.index(last)] = await _with_another_id(client, last)
            else:
                mine = await _with_another_id(client, mine)
        await client.update_artifact(mine.id, ArtifactUpdate(data=markdown))


async def _with_another_id(client: PrefectClient, artifact: Artifact) -> Artifact:
    """The same artifact, made anew before the old one goes."""
    made = await client.create_artifact(ArtifactCreate.model_validate(artifact.model_dump(include=FIELDS)))
    await client.delete_artifact(artifact.id)
    return made


async def mark_cancelled(run: Run | None, why: str) -> None:
    """A flow run that its user ended is not one that crashed."""
    if not (known := run.record().get("prefect_run") if run else ""):
        return
    flow_run = UUID(known)
    with suppress(TimeoutError, httpx.HTTPError, PrefectException):  # where the server is away too it stays as it is
        async with asyncio.timeout(10), get_client() as client:
            state = (await client.read_flow_run(flow_run)).state
            if state and state.type == StateType.CRASHED:
                await client.set_flow_run_state(flow_run, Cancelled(message=f"Cancelled: {why}."), force=True)


def _failure_row(number: int, failure: Failure) -> dict[str, str | int]:
    return {
        "judge call": number,
        "state": failure.state,
        "judge": failure.judge,
        "question": failure.question_id,
        "side": failure.side,
        "sample": failure.sample,
        "last attempt": failure.attempts[-1][:LONGEST_CELL] if failure.attempts else "",
        "attempts": len(failure.attempts),
        "response": failure.response[:LONGEST_CELL],
        "eval": failure.eval,
    }


async def show_results(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
    """The headline with a chart of each eval, also in the flow run's name, and the table of effects by tier."""
    effects = run.estimates()
    changed = headline(effects)
    tiers = [_row(effect) for effect in effects if not effect.is_of_question]
    await show_table(tiers, f"Effects of {experiment.name} by tier")
    await _show_first(_summary(run, experiment, evals, effects), WHAT_CHANGED, in_markdown(changed))
    await _add_to_name(changed)


async def _add_to_name(changed: str) -> None:
    """So that lists of runs, the head of its page and messages say what came of it, in a sentence."""
    context = FlowRunContext.get()
    if context and context.flow_run:
        title = context.flow_run.name.partition(": ")[0]  # of a run that is tried again it ends in what changed then
        name = shorten(visible(f"{title}: {changed.split('. ')[0]}"), LONGEST_NAME, placeholder=" …")
        async with get_client() as client:
            await client.update_flow_run(context.flow_run.id, name=name)


def ended(run: Run, words: str = "") -> str:
    """What a flow returns: the run's folder; its state and its log say these words, or the headline."""
    said = words or f"{headline(run.estimates())} {missing_in_words(run.judgments())}".strip()
    return cast(str, Completed(message=visible(said), data=str(run.folder)))  # Prefect hands the data on


def address_of(run: Run) -> str:
    """Where the run's report is, or will be: on the server of reports where there is one, else a file."""
    if base := reports_address():
        return f"{base}/runs/{quote(run.folder.parent.name)}/{quote(run.name)}"
    return run.report.resolve().as_uri()


async def link_to_report(run: Run) -> None:
    """Where the report will be. A server of reports shows what there is so far until then."""
    address = address_of(run)
    words = "The report" if address.startswith("http") else "The report, a file on the machine of the run"
    await show_markdown(f"[{run.report}]({address})", words)


def _summary(run: Run, experiment: Experiment, evals: list[Eval], effects: list[Effect]) -> str:
    drawn = {evaluation.name: EFFECTS.svg(run.charts, evaluation.name) for evaluation in evals}
    charts = "\n\n".join(f"![{name}]({data_url(svg)})" for name, svg in drawn.items() if svg.is_file())
    note = f"*{STANDIN_NOTE}*\n\n" if is_standin(experiment) else ""
    title = f"## {experiment.name}, seed {run.record()['seed']}"
    address = address_of(run)
    link = f"[Open the report]({address})\n\n" if address.startswith("http") else ""
    unscored = unscored_statements(evals, run.likelihood_rows())
    sentence = " ".join(filter(None, [missing_in_words(run.judgments()), unscored]))
    missing = f"**{in_markdown(sentence)}**\n\n" if sentence else ""
    lines = [in_markdown(line) for line in headline_lines(effects)]
    changed = "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else "".join(lines)
    return f"{title}\n\n{changed}\n\n{missing}{link}{note}{charts}\n\nRun folder: `{run.folder}`\n"


def _row(effect: Effect) -> dict[str, str | int]:
    """One line of the table, as text: an interval, or why there is none."""
    return {
        "tier": effect.tier,
        "measure": effect.measure,
        "eval": effect.eval,
        "baseline": number_or_dash(effect.baseline),
        "fine-tuned": number_or_dash(effect.finetuned),
        "difference": number_or_dash(effect.difference, "+"),
        "what it shows": f"not tested: {effect.note_test}" if effect.note_test else verdict(effect),
        "these questions": interval(
            effect.ci_low_fixed_questions, effect.ci_high_fixed_questions, effect.note_fixed_questions
        ),
        "new questions": interval(effect.ci_low_new_questions, effect.ci_high_new_questions, effect.note_new_questions),
        "questions": effect.questions,
        "unscored": effect.unscored_baseline + effect.unscored_finetuned,
    }
