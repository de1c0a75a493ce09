"""What a run leaves on its page in the Prefect UI: headline and chart, tables of effects and failures, the report.

A run that is retried replaces what its earlier attempts left: nobody should read an old result first.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Cancelled

from flows.addresses import reports_address
from tasks.estimates.findings import headline, verdict
from tasks.estimates.missing import missing_in_words
from tasks.estimates.wording import interval, number_or_dash
from tasks.judging.judgments import failed_call_task
from tasks.report.charts import EFFECTS
from tasks.report.report import STANDIN_NOTE, is_standin
from tasks.report.templates import data_url
from tasks.runs import Run
from tasks.schema import Effect, Eval, Experiment, Failure
from tasks.visible import in_markdown

MAX_TASK_RUNS = 200
"""Failed calls with a task run of their own: an outage must not flood the server."""
LONGEST_CELL = 300
FAILED_CALLS = "Judge calls without a score:"


async def show_failures(failures: list[Failure]) -> None:
    """A failed task run for each call without a score, and a table of all of them."""
    if not failures and not await _earlier_artifact(FAILED_CALLS):
        return
    shown = islice(enumerate(failures, 1), MAX_TASK_RUNS)
    started: list[Any] = [failed_call_task(number, failure, return_state=True) for number, failure in shown]
    await asyncio.gather(*started)
    await show_table(
        [_failure_row(number, failure) for number, failure in enumerate(failures, 1)],
        FAILED_CALLS,
        f"{len(failures):,}. The task run `judge call N` of each (the first {MAX_TASK_RUNS}) has everything that was "
        "said in its log; failures.jsonl in the run's folder has all.",
    )


async def show_table(rows: Sequence[dict[str, Any]], title: str, more: str = "") -> None:
    """A table in the UI, which takes every text in it for Markdown: what others wrote stands in it as it is."""
    shown = [{name: in_markdown(v) if isinstance(v, str) else v for name, v in row.items()} for row in rows]
    words = f"{title} {more}".strip()
    if not await _is_replaced(title, json.dumps(shown), words):
        await acreate_table_artifact(shown, description=words)


async def _show_text(markdown: str, title: str) -> None:
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
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[context.flow_run.id]))
    async with get_client() as client:
        found = await client.read_artifacts(flow_run_filter=mine)
    return next((artifact.id for artifact in found if (artifact.description or "").startswith(title)), None)


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
    """The headline with a chart of each eval, and the table of effects by tier."""
    effects = run.estimates()
    await _show_text(_summary(run, experiment, evals, effects), f"What changed in {experiment.name}")
    tiers = [_row(effect) for effect in effects if not effect.is_of_question]
    await show_table(tiers, f"Effects of {experiment.name} by tier")


def address_of(run: Run) -> str:
    """Where the run's report is, or will be: on the server of reports where there is one, else a file."""
    if base := reports_address():
        return f"{base}/runs/{quote(run.folder.parent.name)}/{quote(run.name)}"
    return run.report.resolve().as_uri()


async def link_to_report(run: Run) -> None:
    """Where the report will be. A server of reports shows what there is so far until then."""
    address = address_of(run)
    words = "The report" if address.startswith("http") else "The report, a file on the machine of the run"
    await _show_text(f"[{run.report}]({address})", words)


def _summary(run: Run, experiment: Experiment, evals: list[Eval], effects: list[Effect]) -> str:
    names = [evaluation.name for evaluation in evals]
    charts = "\n\n".join(f"![{name}]({data_url(EFFECTS.svg(run.charts, name))})" for name in names)
    note = f"*{STANDIN_NOTE}*\n\n" if is_standin(experiment) else ""
    title = f"## {experiment.name}, seed {run.record()['seed']}"
    address = address_of(run)
    link = f"[Open the report]({address})\n\n" if address.startswith("http") else ""
    sentence = missing_in_words(run.judgments())
    missing = f"**{in_markdown(sentence)}**\n\n" if sentence else ""
    changed = in_markdown(headline(effects))
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
