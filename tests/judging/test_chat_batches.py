"""Lines as the documentation of OpenAI's batches has them; never compared with the service's own."""

import json

import openai

from tasks.judging.chat_batches import _to_outcome
from tests.fakes.batches import ChatBatchesAPI
from tests.fakes.chat_api import completion
from tests.fakes.messages_api import judgment


def line(**fields):
    return _to_outcome({"id": "b", "custom_id": "k", "response": None, "error": None} | fields)


def test_a_completion_is_handed_on_as_a_direct_call_would_bring_it():
    said = completion("m", "3")
    assert json.loads(line(response={"status_code": 200, "request_id": "r", "body": said}).content) == said


def test_an_error_is_the_one_that_a_direct_call_would_meet():
    body = {"error": {"message": "why", "code": "insufficient_quota"}}
    error = line(response={"status_code": 429, "body": body}).error
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.code, error.body) == (429, "insufficient_quota", body["error"])


def test_what_expired_or_was_cancelled_is_no_reply():
    assert line(error={"code": "batch_expired", "message": "too late"}).fault.reason == "batch_expired: too late"
    assert line(error={"code": "batch_cancelled", "message": "-"}).is_cancelled
    assert line().fault.is_transient


async def test_a_batch_that_the_service_refuses_whole_is_told_with_its_reason():
    from tasks.judging.chat_batches import FileBatches

    with ChatBatchesAPI(lambda seen, body: judgment(1)) as api:
        api.desk.begin([("k", {"model": "m"})])
        api.desk.refusal = "too many tokens are waiting"
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none") as sdk:
            stage = await FileBatches(sdk).stage("batch_0")
    assert (stage.is_over, stage.refusal) == (True, "too many tokens are waiting")
