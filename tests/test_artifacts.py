import json

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.runtime import flow_run

from flows.artifacts import show_table


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
