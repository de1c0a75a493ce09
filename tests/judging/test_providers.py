from dataclasses import replace

import pytest

from tasks.catalog import UserError
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.providers import PROVIDERS, check_key
from tasks.paid.store import Store
from tasks.services.retries import Fault
from tasks.services.service import CallFailed
from tasks.services.transport import Received
from tests.fakes.judging import some_cases
from tests.fakes.nouns import CLAUDE


class Echo:
    """Another service, in one place: it says what it was asked, or fails."""

    def __init__(self):
        self.sent, self.is_closed = [], False

    TOKEN_KINDS = ("input", "output")

    def check_key(self, judge):
        raise UserError(f"{judge.name} needs no key")

    def address_of(self, base_url):
        return "the echo"

    def client(self, call, connections):
        return self

    async def send(self, body):
        self.sent.append(body)
        if "fail" in body["text"]:
            raise OSError("no echo")
        return body["text"].encode()

    async def close(self):
        self.is_closed = True

    def body(self, call, previous):
        return {"text": call.user}

    def parse(self, content, call):
        return Received(content.decode(), "stop", "echo-1", {"input": 1, "output": 1})

    def fault(self, error, call):
        return Fault(str(error), is_transient=False)


@pytest.fixture
def echo(monkeypatch):
    monkeypatch.setitem(PROVIDERS, "echo", Echo())
    return PROVIDERS["echo"]


async def test_another_service_is_asked_by_the_same_dispatcher(echo):
    call = replace(some_cases()[0].call, provider="echo", user="hello")
    store = Store()
    async with Dispatcher(store, 2, initial_backoff=0.01) as dispatcher:
        reply = await dispatcher.send(call)
        with pytest.raises(CallFailed, match="no echo"):
            await dispatcher.send(replace(call, user="fail"))
    assert (reply.text, reply.model, reply.is_cut_off) == ("hello", "echo-1", False)
    assert list(store.get([call.key])) == [call.key]
    assert dispatcher.budget.spent["judging"] == {"usd": None, "calls": 1, "input": 1, "output": 1}
    assert echo.is_closed


def test_the_key_is_checked_by_the_provider_of_the_judges_kind(echo):
    check_key(CLAUDE)
    with pytest.raises(UserError, match="claude needs no key"):
        check_key(CLAUDE.model_copy(update={"kind": "echo"}))
