"""Resumes runs that were suspended for a batch, once it is over, and cancels the batches of those that are cancelled.

    await resume_after_batches(console.print)          # until it is cancelled

What they wait for is known to Prefect's server and to the store alone, so that any later `spillover serve` goes on.
"""

import asyncio
from collections.abc import Callable

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_runs import aresume_flow_run

from flows.serving.automations import TAG
from flows.suspending import LABEL, markers_of
from tasks.judging.asking import gather_all
from tasks.judging.batch_client import cancel, is_to_be_taken_up
from tasks.paid.store import OpenBatch, Store

LOOKED_AT = (StateType.PAUSED, StateType.CANCELLED)
LOOK_EVERY = 20.0
"""Seconds between two looks; the services are asked only while a run waits."""


async def resume_after_batches(say: Callable[[str], object]) -> None:
    """Looks now and again; what a look meets, as a server that is away, is told once and met again at the next."""
    told = ""
    while True:
        try:
            await _look()
            told = ""
        except Exception as error:
            if (words := f"{type(error).__name__}: {error}") != told:
                say(f"Runs that wait for batches could not be looked at ({words[:300]}); tried again.")
            told = words
        await asyncio.sleep(LOOK_EVERY)


async def _look() -> None:
    async with get_client() as client:
        if not (runs := [run for state in LOOKED_AT for run in await _waiting(client, state)]):
            return
        store = await asyncio.to_thread(Store)
        try:
            open_batches = await asyncio.to_thread(store.open_batches)
            batches = [[batch for batch in open_batches if batch.marker in markers_of(run)] for run in runs]
            await gather_all(_go_on_with(*of_one, client, store) for of_one in zip(runs, batches, strict=True))
        finally:
            store.close()


async def _waiting(client: PrefectClient, state: StateType) -> list[FlowRun]:
    """The runs of Spillover in this state that were suspended for batches; those that ended last."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]))
    )
    found = await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=200)
    return [run for run in found if markers_of(run)]


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
