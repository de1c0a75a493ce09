import json

import pytest

from tasks.schema import Judge
from tasks.services.transport import NoMessage, Received, read_body
from tests.fakes.chat_api import ChatAPI
from tests.fakes.judging import judged, some_cases
from tests.fakes.messages_api import judgment

OWN_KEY = "own-0123456789abcdef"


async def test_a_server_on_this_machine_is_asked_without_the_proxy_of_the_environment(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ChatAPI(lambda seen, body: judgment(1)) as api, ChatAPI(lambda seen, body: judgment(2)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        judge = Judge(name="j", kind="chat", model="m", prompt="Score it.", base_url=f"{api.url}/v1")
        rows, _ = await judged(some_cases(judge=judge))
    assert {row.score for row in rows} == {1}
    assert (len(api.requests), proxy.requests) == (2, [])


async def test_a_reply_that_takes_longer_than_connecting_may_is_asked_for_once(monkeypatch):
    monkeypatch.setattr("tasks.services.transport.TIMEOUT", 0.2)
    with ChatAPI(lambda seen, body: judgment(2), seconds=1) as api:
        judge = Judge(name="j", kind="chat", model="m", prompt="Score it.", base_url=f"{api.url}/v1")
        rows, _ = await judged(some_cases(judge=judge))
    assert {row.score for row in rows} == {2}
    assert {*api.seen.values()} == {1}


def test_a_key_that_is_repeated_elsewhere_than_in_the_text_is_written_nowhere_either(monkeypatch):
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", OWN_KEY)
    secrets = ("SPILLOVER_JUDGE_KEY",)
    named = read_body(json.dumps(f"m {OWN_KEY}").encode(), lambda said, _: Received("", "", said, None), secrets)
    assert named.model == "m [SPILLOVER_JUDGE_KEY]"
    with pytest.raises(NoMessage) as page:
        read_body(b"x" * 190 + OWN_KEY.encode(), lambda said, _: Received("", "", "", None), secrets)
    assert OWN_KEY[:8] not in str(page.value)
