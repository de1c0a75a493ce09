"""Results as the documentation of Message Batches has them; never compared with the service's own."""

import json

import anthropic
import pytest

from tasks.judging.claude_batches import MessageBatches, _to_outcome
from tests.fakes.messages_api import message


def result(**fields):
    return _to_outcome({"custom_id": "k", "result": fields})


def test_a_message_is_handed_on_as_a_direct_call_would_bring_it():
    said = message("m", "a \u2028 line\ud83d")
    assert json.loads(result(type="succeeded", message=said).content) == said


@pytest.mark.parametrize(
    ("kind", "status"), [("overloaded_error", 529), ("billing_error", 402), ("invalid_request_error", 400), ("?", 500)]
)
def test_an_error_is_the_one_that_a_direct_call_would_meet(kind, status):
    body = {"type": "error", "error": {"type": kind, "message": "why"}}
    error = result(type="errored", error=body).error
    assert isinstance(error, anthropic.APIStatusError)
    assert (error.status_code, error.body, str(error)) == (status, body, f"{kind}: why")


def test_what_expired_was_cancelled_or_is_odd_is_no_reply():
    assert result(type="expired").fault.reason == "expired in a batch"
    assert result(type="canceled").is_cancelled
    odd = _to_outcome({"custom_id": "k"})
    assert odd.fault
    assert (odd.fault.is_transient, odd.content) == (True, b"")


def test_a_request_bears_the_key_of_its_call_which_is_as_long_as_may_be():
    service = MessageBatches.__new__(MessageBatches)
    assert json.loads(service.request("a" * 64, {"model": "m"})) == {"custom_id": "a" * 64, "params": {"model": "m"}}
