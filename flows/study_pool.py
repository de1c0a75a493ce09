"""Cells of a study on a work pool: the deployment that runs them, Prefect's limits for all of them, and their states.

run = await on_pool("gpus", sharing, trainings=2, in_flight=50)
state = await run(cell)
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.types.entrypoint import EntrypointType

from flows.cell import Sharing, in_flight_of_cell, judging_limit, run_cell, training_limit
from tasks.catalog import UserError
from tasks.studies.definition import Cell

POLL_EVERY = 5.0
"""Seconds between two looks at the state of a cell's flow run."""


async def on_pool(
    pool: str, sharing: Sharing, trainings: int, in_flight: int, is_set: bool = False
) -> Callable[[Cell], Awaitable[State]]:
    """What runs a cell on the pool and returns its state in the end. UserError for a pool that is not there.

    A limit that is there is left as it is, unless `is_set` says that the study names the number of trainings.
    """
    deployment = await _deployment(pool)
    await _limit(training_limit(pool), trainings, 1, is_set)
    await _limit(judging_limit(pool), in_flight, in_flight_of_cell(in_flight))
    return partial(_run, deployment, sharing)


async def _run(deployment: UUID, sharing: Sharing, cell: Cell) -> State:
    """Of a cell that goes on already, whose study was ended, the state in which that ends."""
    mine = f"{sharing.account[:8]}/{cell.run_name}"
    found: FlowRun
    if going_on := await _going_on(mine):
        found = await _once_ended(going_on)
    else:
        given: dict[str, Any] = {"seed": cell.seed, "run": cell.run_name}
        given |= {"experiment": cell.experiment.model_dump(mode="json"), "sharing": sharing.model_dump(mode="json")}
        tags = [*flow_run.tags, mine]
        found = await arun_deployment(deployment, parameters=given, tags=tags, poll_interval=POLL_EVERY)
    return cast(State, found.state)


async def _going_on(tag: str) -> UUID | None:
    """The flow run of a cell that has not ended yet."""
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"tags": {"all_": [tag]}}))
    return next((run.id for run in runs if not (run.state and run.state.is_final())), None)


async def _once_ended(cell: UUID) -> FlowRun:
    """The flow run, however long it takes: Prefect's own wait gives up after three hours."""
    async with get_client() as client:
        while True:
            found = await client.read_flow_run(cell)
            if found.state and found.state.is_final():
                return found
            await asyncio.sleep(POLL_EVERY)


async def _deployment(pool: str) -> UUID:
    """study-cell/<pool>, made where it is not there; one that a team made has the job variables that it wants."""
    async with get_client() as client:
        try:
            return (await client.read_deployment_by_name(f"{run_cell.name}/{pool}")).id
        except ObjectNotFound:
            pass
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound:
            raise UserError(
                f"pool: there is no work pool {pool!r}; make it with `prefect work-pool create {pool} --type process`, "
                "or leave pool out to run the cells in this process"
            ) from None
    given: dict[str, Any] = {"work_pool_name": pool, "tags": flow_run.tags}
    made = await run_cell.ato_deployment(pool, entrypoint_type=EntrypointType.MODULE_PATH, **given)
    return await made.aapply()


async def _limit(name: str, most: int, of_cell: int, is_set: bool = False) -> None:
    """Raises UserError for one under which no cell would ever have its turn: it takes `of_cell` places at once."""
    async with get_client() as client:
        try:
            found = (await client.read_global_concurrency_limit_by_name(name)).limit
        except ObjectNotFound:
            await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=most))
            return
        if is_set:
            await client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=most))
        elif found < of_cell:
            raise UserError(
                f"Prefect's concurrency limit {name!r} is {found}, and a cell takes {of_cell} of it at once; raise it "
                f"with `prefect gcl update {name} --limit {most}`"
            )
