"""One cell of a study: a run like any other, which waits for its turn and shares the study's limit on cost.

await run_cell(cell.experiment, cell.seed, cell.run_name, Sharing(account="5f0c...", max_cost_usd=20))
"""

from contextvars import ContextVar
from functools import partial

from prefect import flow
from prefect.concurrency.asyncio import concurrency
from prefect.runtime import flow_run

from flows.experiment import Work, start_or_resume
from flows.preflight import preflight
from flows.turns import NO_TURNS, Turns
from tasks.paid.shared_budget import SharedBudget
from tasks.paid.store import Store
from tasks.runs import Run
from tasks.schema import Experiment, Noun

CELLS_AT_JUDGES = 4
"""Cells whose judges are asked at once; each gets its part of judging.in_flight."""
turns: ContextVar[Turns] = ContextVar("turns", default=NO_TURNS)
"""Those of the cells that go on in this process."""
stores: ContextVar[Store | None] = ContextVar("stores", default=None)
"""The answer store that they share."""


class Sharing(Noun):
    """What a cell has in common with the other cells of its study."""

    account: str
    """What its spending counts towards."""
    max_cost_usd: float = 0
    """US dollars that all cells may cost together. 0: no limit."""
    resume: str = ""
    """The command that goes on with a higher limit."""
    pool: str = ""
    """The work pool on which they go on. Empty: one process."""


def _title() -> str:
    return str(flow_run.parameters["run"])


@flow(name="study-cell", flow_run_name=_title)
async def run_cell(experiment: Experiment, seed: int, run: str, sharing: Sharing) -> str:
    """Run one fine-tune of a study with one seed. Started by a study; Retry repeats what failed.

    Args:
        experiment: What is trained on and what is asked.
        seed: Seed of the mixture, the LoRA and the order of training.
        run: Name of the run's folder; a name that exists is resumed.
        sharing: What it has in common with the other cells.
    """
    in_flight = in_flight_of_cell(experiment.judging.in_flight)
    experiment = experiment.model_copy(
        update={"judging": experiment.judging.model_copy(update={"in_flight": in_flight})}
    )
    evals, engine = await preflight(experiment, run)
    with Run.at(experiment.name, run).exclusive():
        here = Run.open(experiment, evals, run)
        store = stores.get() or Store()
        budget = SharedBudget(store, here.identity, sharing.account, sharing.max_cost_usd, sharing.resume)
        await budget.join()
        mine = turns_on_pool(sharing.pool, in_flight) if sharing.pool else turns.get()
        work = Work(here, experiment, evals, budget, here.settle_seed(seed, seed), "report", mine)
        return await start_or_resume(work, engine, ([], []))


def in_flight_of_cell(in_flight: int) -> int:
    """Judge calls of one cell, so that those of CELLS_AT_JUDGES are no more than so many."""
    return max(1, in_flight // CELLS_AT_JUDGES)


def training_limit(pool: str) -> str:
    """Prefect's global concurrency limit of the trainings on a pool."""
    return f"spillover-training-{pool}"


def judging_limit(pool: str) -> str:
    """That of the judge calls of the studies on a pool."""
    return f"spillover-judging-{pool}"


def turns_on_pool(pool: str, in_flight: int) -> Turns:
    """One place of all trainings', and at the judges as many as the cell has calls in flight: each asked for once.

    Who has its turn keeps it where the server was away for so long that the place was given to another: work that is
    paid is not broken off.
    """
    mine = partial(concurrency, strict=True, raise_on_lease_renewal_failure=False)
    return Turns(mine(training_limit(pool)), mine(judging_limit(pool), occupy=in_flight))
