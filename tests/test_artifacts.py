import json

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.artifacts import ended, link_to_report, show_failures, show_results, show_table
from tasks.estimates.findings import headline
from tasks.schema import Failure


async def test_what_others_wrote_is_no_markup_in_a_table_of_the_ui(prefect_server):
    @flow
    async def told() -> str:
        await show_table([{"response": "![x](http://127.0.0.1/t.png) <img src=x>\nand more", "sample": 3}], "Answers")
        return str(flow_run.get_id())

    only = FlowRunFilter.model_validate({"id": {"any_": [await told()]}})
    async with get_client() as client:
        (table,) = await client.read_artifacts(flow_run_filter=only)
    as_it_is = r"!\[x\](http://127.0.0.1/t.png) \<img src=x\> and more"
    assert isinstance(table.data, str)
    assert json.loads(table.data) == [{"response": as_it_is, "sample": 3}]


async def test_once_no_call_is_without_a_score_it_is_said_and_no_task_run_is_pointed_to(prefect_server):
    place = {"eval": "e", "judge": "claude", "question_id": "q", "side": "finetuned", "trained_share": 1, "sample": 0}
    said = {"state": "failed", "question": "?", "response": "", "against": None, "attempts": ["503"], "answers": 0}

    @flow
    async def tried_twice() -> str:
        await show_failures([Failure.model_validate(place | said)])
        await show_failures([])
        return str(flow_run.get_id())

    only = FlowRunFilter.model_validate({"id": {"any_": [await tried_twice()]}})
    async with get_client() as client:
        (table,) = await client.read_artifacts(flow_run_filter=only)
    assert (table.description, table.data) == ("Judge calls without a score: 0.", "[]")


async def test_what_changed_is_the_flow_runs_name_its_state_and_its_first_artifact(prefect_server, reported_run):
    """Also where an earlier attempt left all of it."""

    @flow(flow_run_name="standin, seed 0")
    async def shown() -> str:
        for _ in range(2):
            await link_to_report(reported_run)
            for number in range(6):  # of as many as a run has, one has an id that hardly any is larger than
                await show_table([{"number": number}], f"Table {number} of some")
            await show_results(reported_run, reported_run.experiment(), reported_run.evals())
        return ended(reported_run)

    state: State[str] = await shown(return_state=True)
    changed = headline(reported_run.estimates())
    assert (state.message or "").startswith(changed)
    assert await state.aresult() == str(reported_run.folder)
    mine = state.state_details.flow_run_id
    assert mine
    async with get_client() as client:
        assert (await client.read_flow_run(mine)).name == f"standin, seed 0: {changed.partition('. ')[0]}"
        found = await client.read_artifacts(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [mine]}}))
    first, *others = sorted(found, key=lambda artifact: artifact.id, reverse=True)
    assert first.description == f"What changed: {changed}"
    assert "data:image/svg+xml;base64," in str(first.data)
    assert sorted((other.description or "").split(",")[0] for other in others) == [
        "Effects of standin by tier",
        *[f"Table {number} of some" for number in range(6)],
        "The report",
    ]
    tables = {other.description: other.data for other in others}
    assert tables["Table 4 of some"] == '[{"number": 4}]', "what got another id says the same"
