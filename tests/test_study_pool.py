import asyncio

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.states import Completed, Running

from flows import study_pool
from flows.cell import CELLS_AT_JUDGES, Sharing, in_flight_of_cell, judging_limit
from flows.study_pool import on_pool
from tasks.catalog import UserError, validate
from tasks.schema import Experiment
from tasks.studies.definition import Cell

SHARING = Sharing(account="5f0c0000", pool="waiting")
EXPERIMENT = validate(Experiment, {"name": "s", "evals": ["joy_choice"], "documents": [{"name": "warm"}]}, "s.yaml")


@pytest.mark.parametrize("in_flight", [4, 7, 50, 2000])
def test_cells_at_the_judges_together_have_no_more_calls_in_flight_than_are_allowed(in_flight):
    assert in_flight_of_cell(in_flight) * CELLS_AT_JUDGES <= in_flight
    assert in_flight_of_cell(1) == 1


async def test_a_limit_under_which_no_cell_would_have_its_turn_is_refused_before_anything_is_spent(prefect_server):
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name="small", type="process"))
        await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=judging_limit("small"), limit=3))
    with pytest.raises(UserError, match=r"'spillover-judging-small' is 3, and a cell takes 12 .*--limit 50`"):
        await on_pool("small", SHARING, trainings=1, in_flight=50)
    await on_pool("small", SHARING, trainings=1, in_flight=12)


async def test_a_cell_that_goes_on_since_an_earlier_study_is_waited_for_and_not_begun_again(
    prefect_server, monkeypatch
):
    monkeypatch.setattr(study_pool, "POLL_EVERY", 0.05)
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name="waiting", type="process"))
        run = await on_pool("waiting", SHARING, trainings=1, in_flight=4)
        cell = Cell("warm", 4, 0, {}, EXPERIMENT, "warm-4-seed-0-abc")
        deployment = (await client.read_deployment_by_name("study-cell/waiting")).id
        given = {"experiment": EXPERIMENT.model_dump(mode="json"), "seed": 0, "run": cell.run_name}
        given["sharing"] = SHARING.model_dump(mode="json")
        tags = [f"5f0c0000/{cell.run_name}"]
        begun = await client.create_flow_run_from_deployment(deployment, parameters=given, tags=tags)
        await client.set_flow_run_state(begun.id, Running(), force=True)
        waiting = asyncio.ensure_future(run(cell))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await client.set_flow_run_state(begun.id, Completed(), force=True)
        assert (await waiting).is_completed()
        assert [one.id for one in await client.read_flow_runs() if one.deployment_id == deployment] == [begun.id]
