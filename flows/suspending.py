"""Runs that `spillover serve` runs do not wait for a batch in a process of their own: they are suspended meanwhile.

    return await suspended_while_batches_are_open(start_or_resume(...))

flows/serving/resuming.py resumes them, in another process, which finds everything where it was. Whoever starts a run in
a terminal, and a worker of a pool, waits in the process.
"""

from collections.abc import Awaitable
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.flow_runs import asuspend_flow_run
from prefect.logging import get_run_logger

LABEL = "spillover.batches"
"""Of a flow run: the markers of the batches that it waits for."""


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
        await asuspend_flow_run(
            key=uuid4().hex
        )  # its own key is the same after each resume: it would not suspend twice
        raise  # a run that was cancelled meanwhile


def markers_of(run: FlowRun) -> list[str]:
    """The batches that a flow run waited for when it was last suspended."""
    return str(run.labels.get(LABEL, "")).split()


def _flow_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None
