"""Against fake services, and what answers nothing at all."""

import asyncio

import pytest

from tasks.judging.asking import to_calls
from tasks.judging.batch_client import BatchClient, cancel, is_to_be_taken_up, place_of
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


async def test_a_batch_of_the_store_is_looked_at_and_cancelled_without_the_run_that_handed_it_over(monkeypatch):
    monkeypatch.setattr("tasks.judging.batch_client.LONGEST_WAIT", 0.001)
    store = Store()
    with MessageBatchesAPI(lambda seen, body: judgment(3), looks=1) as api:
        api.desk.begin([("k", {})])
        batch = OpenBatch("1", place_of(a_call(api.url)), {"k": BatchRequest(0, 9)}, "", "batch_0")
        assert not await is_to_be_taken_up(batch, store)
        assert await is_to_be_taken_up(batch, store)
        assert await is_to_be_taken_up(batch._replace(id="unknown"), store), "the run itself is to say so"
        await cancel(batch, store)
        assert not api.desk.batches["batch_0"].is_cancelled, "it is over"
        api.desk.begin([("l", {})])
        await cancel(batch._replace(id="batch_1"), store)
        assert api.desk.batches["batch_1"].is_cancelled
    assert not await is_to_be_taken_up(batch, store), "a service that is down is asked later"
