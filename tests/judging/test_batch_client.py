"""Against fake services, and what answers nothing at all."""

import asyncio

import pytest

from tasks.judging.asking import to_calls
from tasks.judging.batch_client import BatchClient
from tasks.paid.store import BatchRequest, OpenBatch, Store
from tasks.services.service import ServiceDown
from tasks.services.transport import NoMessage
from tests.fakes.batches import MessageBatchesAPI
from tests.fakes.judging import some_cases
from tests.fakes.messages_api import judgment
from tests.fakes.nouns import CLAUDE

pytestmark = pytest.mark.usefixtures("data")


def judge_at(url, kind="claude"):
    return CLAUDE.model_copy(update={"kind": kind, "base_url": url, "model": "m", "reads": "response"})


def a_call(url, kind="claude"):
    return to_calls(some_cases(1, judge_at(url, kind)))[0].call


async def test_a_service_that_lets_every_try_hang_for_long_is_down_all_the_same(monkeypatch):
    monkeypatch.setattr("tasks.judging.batch_client.LONGEST_WAIT", 0.001)
    client = BatchClient(a_call("http://127.0.0.1:9"), Store(), max_outage=0.05, initial_backoff=0.001)

    async def hang():
        await asyncio.sleep(0.01)
        raise NoMessage("no byte came")

    async with asyncio.timeout(60):
        with pytest.raises(ServiceDown, match=r"\(judging.max_outage; .*no byte came\); nothing is lost"):
            await client.patiently(hang)
    await client.aclose()


async def test_a_batch_of_another_model_is_not_waited_for_to_see_whether_it_is_ours():
    with MessageBatchesAPI(lambda seen, body: judgment(3), looks=10**9) as api:
        api.desk.begin([("of another model", {})])
        store = Store()
        await store.keep_batch(
            OpenBatch("1", "claude, another model", {"of another model": BatchRequest(0, 9)}, "", "batch_0")
        )
        client = BatchClient(a_call(api.url), store, initial_backoff=0.001)
        batch = OpenBatch("2", client.place, {"k": BatchRequest(0, 9)}, "")
        async with asyncio.timeout(60):
            assert await client.find(batch) == ""
        await client.aclose()
