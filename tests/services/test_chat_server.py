import pytest

from tasks.catalog import UserError
from tasks.services.chat_server import PATH, ChatServer, Refused, key_of_sampler
from tests.fakes.messages_api import Raw, Status
from tests.fakes.sampling_api import SamplingAPI

ASKED = {"model": "base", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 4}


def at(api):
    return ChatServer(api.address, "SPILLOVER_SAMPLING_KEY", "training")


def test_openais_own_server_alone_is_sent_openais_key():
    assert key_of_sampler("https://api.openai.com/v1") == "OPENAI_API_KEY"
    assert key_of_sampler("https://api.openai.com.example/v1") == "SPILLOVER_SAMPLING_KEY"


async def test_a_server_is_asked_and_lists_its_models():
    with SamplingAPI(["base", "tuned"]) as api:
        async with at(api) as server:
            assert [model["id"] for model in await server.models() or []] == ["base", "tuned"]
            assert (await server.ask(PATH, ASKED))["choices"][0]["message"]["content"]


async def test_what_the_environment_has_for_openai_is_not_sent_to_another_server(monkeypatch):
    of_openai = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1", "OPENAI_CUSTOM_HEADERS": "X-Mine: mine-1"}
    for name, value in of_openai.items():
        monkeypatch.setenv(name, value)
    with SamplingAPI() as api:
        async with at(api) as server:
            await server.models()
            await server.ask(PATH, ASKED)
    assert len(api.headers) == 2
    assert not {"org-1", "proj-1", "mine-1"} & {value for header in api.headers for value in header.values()}


async def test_a_request_that_would_be_refused_again_is_told_apart_from_what_ends_all_of_them():
    with SamplingAPI(script=lambda seen, body: Status(400, words="too long")) as api:
        async with at(api) as server:
            with pytest.raises(Refused, match=r"refuses what it is asked of 'base' \(400 .*too long"):
                await server.ask(PATH, ASKED)
            api.own_script = None
            assert await server.ask(PATH, ASKED)
            api.own_script = lambda seen, body: Status(402)
            with pytest.raises(UserError, match="wants to be paid first"):
                await server.ask(PATH, ASKED)
            count = len(api.requests)
            with pytest.raises(UserError, match="wants to be paid first"):
                await server.ask(PATH, ASKED)
            assert len(api.requests) == count


async def test_an_answer_that_takes_longer_than_a_judges_reply_may_is_waited_for(monkeypatch):
    monkeypatch.setattr("tasks.services.service.LONGEST_REPLY", 0.2)
    monkeypatch.setattr("tasks.services.transport.TIMEOUT", 0.2)
    with SamplingAPI(seconds=0.6) as api:
        async with at(api) as server:
            assert await server.ask(PATH, ASKED)
    assert len(api.requests) == 1


async def test_a_page_in_the_place_of_an_answer_is_asked_for_again():
    with SamplingAPI(script=lambda seen, body: None if seen else Raw(b"<html>one moment</html>")) as api:
        async with at(api) as server:
            assert (await server.ask(PATH, ASKED))["choices"]
    assert len(api.requests) == 2


async def test_a_single_request_brings_status_and_text_whatever_they_are(monkeypatch):
    monkeypatch.setenv("SPILLOVER_SAMPLING_KEY", key := "planted-0123456789abcdef")
    with SamplingAPI(script=lambda seen, body: Status(404, words=f"nothing here for {key}")) as api:
        async with at(api) as server:
            status, said = await server.reply_to(PATH, ASKED)
    assert status == 404
    assert "nothing here for [SPILLOVER_SAMPLING_KEY]" in said
