"""Runs that `spillover serve` runs do not wait for a batch in a process of their own: they are suspended meanwhile.

    return await suspended_while_batches_are_open(start_or_resume(...))         # in a flow
    await resume_after_batches("spillover", console.print)                      # in `serve`, until it is cancelled

What they wait for is known to Prefect's server and to the store alone, so that any later `serve` resumes them, in
another process, which finds everything where it was. A run from the terminal, or of a work pool, waits in its process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.flow_runs import aresume_flow_run, asuspend_flow_run
from prefect.logging import get_run_logger

from tasks.judging.asking import gather_all
from tasks.judging.batch_client import cancel, is_to_be_taken_up
from tasks.paid.store import OpenBatch, Store

LABEL = "spillover.batches"
"""Of a flow run: the markers of the batches that it waits for."""
LOOKED_AT = (StateType.PAUSED, StateType.CANCELLED)
LOOK_EVERY = 20.0
"""Seconds between two looks; the services are asked only while a run waits."""


class BatchesOpen(Exception):
    """Nothing is left but to wait for these batches."""

    def __init__(self, markers: list[str]):
        super().__init__(f"waits for {len(markers)} batches")
        self.markers = markers


def is_resumed_by_serve() -> bool:
    """Whether the flow run that goes on now is one of `spillover serve`: of a deployment, and of no work pool."""
    run = _flow_run()
    return bool(run and run.deployment_id and not run.work_pool_name)


async def suspended_while_batches_are_open(going_on: Awaitable[str]) -> str:
    """What it returns. Where it raises BatchesOpen the flow run is suspended, and this process ends."""
    try:
        return await going_on
    except BatchesOpen as left:
        if run := _flow_run():
            async with get_client() as client:
                await client.update_flow_run_labels(run.id, {LABEL: " ".join(left.markers)})
        several = "a batch" if len(left.markers) == 1 else f"{len(left.markers)} batches"
        get_run_logger().info(
            f"Waits for {several} of judge calls: suspended, until `spillover serve` finds them over and resumes this "
            "run; Cancel cancels them at their service"
        )
        await asuspend_flow_run(key=uuid4().hex)  # Prefect's own is the same after a resume, and suspends only once
        raise  # a run that was cancelled meanwhile


def _flow_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


# ---- how they go on ------------------------------------------------------------------------------


async def resume_after_batches(tag: str, say: Callable[[str], object]) -> None:
    """Resumes the runs with this tag once their batches are over, and cancels the batches of those that are cancelled.

    Looks now and again; what a look meets, as a server that is away, is told once and met again at the next.
    """
    told = ""
    while True:
        try:
            await _look(tag)
            told = ""
        except Exception as error:
            if (words := f"{type(error).__name__}: {error}") != told:
                say(f"Runs that wait for batches could not be looked at ({words[:300]}); tried again.")
            told = words
        await asyncio.sleep(LOOK_EVERY)


async def _look(tag: str) -> None:
    async with get_client() as client:
        if not (runs := [run for state in LOOKED_AT for run in await _waiting(client, tag, state)]):
            return
        store = await asyncio.to_thread(Store)
        try:
            open_batches = await asyncio.to_thread(store.open_batches)
            batches = [[batch for batch in open_batches if batch.marker in _markers_of(run)] for run in runs]
            await gather_all(_go_on_with(*of_one, client, store) for of_one in zip(runs, batches, strict=True))
        finally:
            store.close()


async def _waiting(client: PrefectClient, tag: str, state: StateType) -> list[FlowRun]:
    """The runs in this state that were suspended for batches; those that ended last."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]))
    )
    found = await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=200)
    return [run for run in found if _markers_of(run)]


def _markers_of(run: FlowRun) -> list[str]:
    return str(run.labels.get(LABEL, "")).split()


async def _go_on_with(run: FlowRun, batches: list[OpenBatch], client: PrefectClient, store: Store) -> None:
    """`batches` are those that it waited for and nobody took up meanwhile. Of a cancelled run they are cancelled once.

    What these brought is taken by the next run that asks for it.
    """
    if run.state_type == StateType.PAUSED:
        if all([await is_to_be_taken_up(batch, store) for batch in batches]):
            await aresume_flow_run(run.id)
        return
    for batch in batches:
        await cancel(batch, store)
    await client.update_flow_run_labels(run.id, {LABEL: ""})
