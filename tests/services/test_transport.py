import json

import pytest

from tasks.schema import Judge
from tasks.services.transport import NoMessage, Received, read_body, without_secrets
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
    named = read_body(json.dumps(f"m {OWN_KEY}").encode(), lambda said, _: Received("", said, said, None), secrets)
    assert (named.model, named.stop_reason) == ("m [SPILLOVER_JUDGE_KEY]",) * 2
    with pytest.raises(NoMessage) as page:
        read_body(b"x" * 190 + OWN_KEY.encode(), lambda said, _: Received("", "", "", None), secrets)
    assert OWN_KEY[:8] not in str(page.value)


SLASHED_KEY = "own/0123456789+abc/def"


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(SLASHED_KEY),
        json.dumps(SLASHED_KEY).replace("/", r"\/"),
        json.dumps(SLASHED_KEY).replace("/", r"\u002f"),
        json.dumps(SLASHED_KEY).replace("/", r"\u002F").replace("+", r"\u002b"),
        json.dumps(json.dumps(SLASHED_KEY).replace("/", r"\/")),
    ],
)
def test_a_key_is_found_however_json_writes_it(monkeypatch, written):
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", SLASHED_KEY)
    secrets = ("SPILLOVER_JUDGE_KEY",)
    kept = read_body(f'{{"a\\n": {written}}}'.encode(), lambda _, whole: Received(whole, "", "", None), secrets)
    assert kept.text == written.replace(written.strip('\\"'), "[SPILLOVER_JUDGE_KEY]").join(['{"a\\n": ', "}"])
    deep = read_body(b"[" * 200_000 + written.encode(), lambda _, whole: Received(whole, "", "", None), secrets)
    assert deep.text.strip('[\\"') == "SPILLOVER_JUDGE_KEY]"
    with pytest.raises(NoMessage) as page:
        read_body(b"no JSON: " + written.encode(), lambda _, whole: Received(whole, "", "", None), secrets)
    assert "[SPILLOVER_JUDGE_KEY]" in str(page.value)


def test_a_text_of_many_backslashes_is_searched_at_once(monkeypatch):
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", SLASHED_KEY)
    text = "\\" * 300_000 + "o\\" * 100_000
    assert without_secrets(text, ("SPILLOVER_JUDGE_KEY",)) == text
