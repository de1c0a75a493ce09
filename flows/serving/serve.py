"""Serves the flows: deployments in the Prefect UI, automations, reports, and a local server that is kept up.

    serve(at_once=2)            # until Ctrl-C; the address of the server is in PREFECT_API_URL

What is served follows data/experiments, data/evals and data/documents as they change. A server that is away is
waited for.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL

from flows.addresses import checked_address
from flows.console import console
from flows.serving.automations import NOTIFIER, TAG, put_automations
from flows.serving.deployments import ON_NEW_DOCUMENTS, deployments, keep_changes, problem_of
from flows.serving.report_server import LOOPBACK, serve_reports
from flows.serving.server import LOOK_EVERY, is_healthy, local_server_is_kept, ui_address
from flows.suspending import resume_after_batches
from tasks.catalog import definition_files, names, without_login
from tasks.documents.inbox import inbox_folder
from tasks.generation.set_files import DEFINITION, generated_sets, set_folder


def serve(at_once: int, reports_host: str = LOOPBACK, reports_port: int = 0) -> None:
    """Runs at most `at_once` flow runs at a time, each in a process of its own, until Ctrl-C or SIGTERM."""
    with serve_reports(reports_host, reports_port) as reports, suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(keep_serving(at_once, lambda served: _introduce(served, reports)))
    console.print("Stopped. The schedules wait for the next `spillover serve`.")


class _Runner(Runner):
    """Ends on SIGTERM as on Ctrl-C; prefect 3.8.8 makes a coroutine there that nothing awaits."""

    async def start(self, run_once: bool = False, webserver: bool | None = None) -> None:
        serving = cast(asyncio.Task[None], asyncio.current_task())
        self.end = partial(asyncio.get_running_loop().call_soon_threadsafe, serving.cancel)
        await super().start(run_once, webserver)

    def handle_sigterm(self, *_: Any) -> None:
        self.end()


async def keep_serving(at_once: int, ready: Callable[[int], None] = lambda _: None) -> None:
    """A runner, and another one whenever the server was away for longer than the first could wait.

    `ready` is called with the number of deployments whenever they are served.
    """
    async with local_server_is_kept(console.print):
        while True:
            await _until_healthy()
            try:
                await _run_what_is_due(at_once, ready)
                return
            except Exception as error:  # a server that is away ends the runner in many ways
                console.print(f"Serving was interrupted ({_reason(error)}); it goes on in {LOOK_EVERY:.0f} s.")
                await asyncio.sleep(LOOK_EVERY)


async def _run_what_is_due(at_once: int, ready: Callable[[int], None]) -> None:
    runner = _Runner(name="spillover", pause_on_shutdown=False, limit=at_once, query_seconds=2)
    seen = _definitions()
    served = {new.name: await _add(runner, new) for new in await asyncio.to_thread(deployments)}
    async with get_client() as client:
        await put_automations(client, served[ON_NEW_DOCUMENTS])
        await _forget_missed_looks(client, served["watch-documents"])
    ready(len(served))
    beside = [_follow_definitions(runner, seen), resume_after_batches(TAG, partial(console.print, style="yellow"))]
    going_on = [asyncio.create_task(one) for one in beside]
    try:
        await runner.start()
    finally:
        for one in going_on:
            one.cancel()


async def _add(runner: Runner, deployment: RunnerDeployment) -> UUID:
    """Made, or brought up to date without what its user changed in the UI since."""
    async with get_client() as client:
        with suppress(ObjectNotFound):
            keep_changes(deployment, await client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}"))
    return await runner.aadd_deployment(deployment)


async def _forget_missed_looks(client: PrefectClient, watching: UUID) -> None:
    """While nothing was served, the server went on to schedule them; the next one sees all that they would have."""
    missed = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[watching]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    while runs := await client.read_flow_runs(flow_run_filter=missed, limit=200):
        for run in runs:
            await client.delete_flow_run(run.id)


async def _follow_definitions(runner: Runner, seen: object) -> None:
    """A new or changed experiment is served without a restart, and drop-downs show what there is."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            if (now := _definitions()) != seen:
                for deployment in await asyncio.to_thread(deployments):
                    await _add(runner, deployment)
                seen = now
        except Exception as error:  # a server that is away, a file that is just being written: at the next look
            console.print(f"What is served could not be renewed ({_reason(error)}); tried again.", style="yellow")


def _definitions() -> object:
    """Changes whenever the deployments do."""
    files = [file for kind in ("experiments", "evals", "studies") for file in definition_files(kind)]
    files += [set_folder(name) / DEFINITION for name in generated_sets()]
    return [(file, file.stat().st_mtime_ns) for file in files], names("documents")


async def _until_healthy() -> None:
    waits = False
    while not await asyncio.to_thread(is_healthy, PREFECT_API_URL.value()):
        if not waits:
            where = checked_address(PREFECT_API_URL.value(), "PREFECT_API_URL")
            console.print(f"No server answers at {where}; serving goes on when it does.")
        waits = True
        await asyncio.sleep(LOOK_EVERY)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return without_login(f"{type(error).__name__}: {error}")


def _introduce(served: int, reports: str) -> None:
    ui = ui_address(PREFECT_API_URL.value())
    console.print(f"\nPrefect UI     {ui}/deployments  ({served} deployments: choose one, then Run)", style="bold")
    console.print(f"Reports        {reports}")
    console.print(f"New documents  {inbox_folder()}  (looked at every 5 minutes; a set that is complete is run)")
    console.print(
        f"Notifications  {ui}/blocks: fill in slack-webhook/{NOTIFIER}, then switch them on in {ui}/automations"
    )
    for name in names("experiments"):
        if problem := problem_of(name):
            console.print(f"Not served     {name}: {problem}", style="yellow")
    console.print("Ctrl-C ends this and the runs that are going on; Retry in the UI goes on with one where it was.\n")
