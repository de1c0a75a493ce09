"""Lines as the documentation of OpenAI's batches has them; never compared with the service's own."""

import json

import pytest

from tasks.judging.chat_batches import _to_outcome
from tests.fakes.batches import ChatBatchesAPI
from tests.fakes.chat_api import completion
from tests.fakes.messages_api import judgment


def line(**fields):
    return _to_outcome({"id": "b", "custom_id": "k", "response": None, "error": None} | fields)


def test_a_completion_is_handed_on_as_a_direct_call_would_bring_it():
    said = completion("m", "3")
    assert json.loads(line(response={"status_code": 200, "request_id": "r", "body": said}).content) == said


@pytest.mark.parametrize(("status", "may_pass"), [(400, False), (429, True), (500, True)])
def test_a_status_says_whether_the_same_request_may_succeed_later(status, may_pass):
    fault = line(response={"status_code": status, "body": {"error": {"message": "why"}}}).fault
    assert (fault.reason, fault.is_transient, fault.status) == (f"{status} in a batch: why", may_pass, status)


def test_what_expired_or_was_cancelled_is_no_reply():
    assert line(error={"code": "batch_expired", "message": "too late"}).fault.reason == "batch_expired: too late"
    assert line(error={"code": "batch_cancelled", "message": "-"}).is_cancelled
    assert line().fault.is_transient


async def test_a_batch_that_the_service_refuses_whole_is_told_with_its_reason():
    import openai

    from tasks.judging.chat_batches import FileBatches

    with ChatBatchesAPI(lambda seen, body: judgment(1)) as api:
        api.desk.begin([("k", {"model": "m"})])
        api.desk.refusal = "too many tokens are waiting"
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none") as sdk:
            stage = await FileBatches(sdk).stage("batch_0")
    assert (stage.is_over, stage.refusal) == (True, "too many tokens are waiting")
