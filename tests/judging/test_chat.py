import asyncio
import json
from typing import Any

import openai
import pytest

from tasks.catalog import UserError
from tasks.judging.calls import JudgeReply, to_probabilities, to_reply
from tasks.judging.chat import body, check_key, client, parse
from tasks.judging.costs import judging_cost
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import parse_reply
from tasks.paid.store import Store, StoredReply
from tasks.schema import OPENAI, Judge
from tasks.services.transport import NoMessage
from tests.fakes.chat_api import ChatAPI, Top, completion, top_logprobs
from tests.fakes.judging import judged, some_cases
from tests.fakes.messages_api import Faults, Raw, Say, Status, judgment, question_of, score_of
from tests.fakes.nouns import an_eval

OPENAI_KEY, OWN_KEY = "sk-openai-0123456789", "own-0123456789abcdef"


def a_judge(base_url=OPENAI, **fields):
    return Judge(**{"name": "chat", "kind": "chat", "model": "m", "prompt": "Score it.", "base_url": base_url} | fields)


def a_call(judge=None):
    return some_cases(judge=judge or a_judge())[0].call


@pytest.fixture
def serve():
    """Starts the fake service with a script, and gives a judge that asks it."""
    running = []

    def start(script, **fields):
        running.append(ChatAPI(script).__enter__())
        return running[-1], a_judge(f"{running[-1].url}/v1", **fields)

    yield start
    for api in running:
        api.__exit__()


# ---- what travels


def test_what_a_judge_leaves_out_is_left_out_of_the_request():
    assert set(body(a_call(), None)) == {"model", "messages", "max_completion_tokens", "response_format"}
    plain = a_judge(answers="plain", temperature=0.5, seed=0)
    assert body(a_call(plain), None) | {"messages": []} == {
        "model": "m",
        "messages": [],
        "max_completion_tokens": 1024,
        "temperature": 0.5,
        "seed": 0,
    }
    assert "max_tokens" in body(a_call(a_judge("http://127.0.0.1:1/v1")), None)


def test_a_judge_that_reads_probabilities_asks_for_one_token_at_temperature_0_and_the_twenty_likeliest():
    request = body(a_call(a_judge("http://h/v1", answers="probabilities", max_tokens=500)), None)
    wanted = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    assert {name: request.get(name) for name in wanted} == wanted
    assert "response_format" not in request


def test_on_openrouter_a_server_must_take_all_that_is_asked_and_one_may_be_named():
    openrouter = "https://openrouter.ai/api/v1"
    assert body(a_call(a_judge(openrouter)), None)["provider"] == {"require_parameters": True}
    pinned = body(a_call(a_judge(openrouter, provider="DeepInfra")), None)
    assert pinned["provider"] == {"require_parameters": True, "only": ["DeepInfra"]}
    assert "provider" not in body(a_call(), None)


async def test_who_served_a_call_stands_in_its_row(serve):
    _, judge = serve(lambda seen, body: Raw(json.dumps(completion("m", judgment(3).text, provider="Novita")).encode()))
    rows, _ = await judged(some_cases(judge=judge))
    assert {row.model for row in rows} == {"m-20260101 by Novita"}


def test_a_key_depends_on_the_seed_the_pinned_server_and_what_is_read_and_not_on_the_name_of_the_variable():
    keys = [a_call(a_judge(**fields)).key for fields in ({}, {"seed": 1}, {"seed": 0}, {"provider": "x"})]
    keys += [a_call(a_judge(answers=answers, temperature=0)).key for answers in ("plain", "probabilities")]
    assert len(set(keys)) == 6
    assert a_call(a_judge(key_variable="SPILLOVER_X_KEY")).key == keys[0]


# ---- the service on a bad day


async def test_whatever_passes_is_lived_through_and_nothing_that_was_answered_is_asked_again(serve):
    faults = Faults(seed=3)
    api, judge = serve(faults)
    cases = some_cases(150, judge)
    rows, budget = await judged(cases, in_flight=40)
    answered = [row for row in rows if row.state == "scored"]
    assert {row.state for row in rows} <= {"scored", "unreadable"}
    assert len(answered) > 290
    questions = {question_of(request) for request in api.requests}
    assert budget.spent["judging"]["calls"] == sum(map(faults.readings, questions))
    assert all(row.score == json.loads(row.raw)["score"] for row in answered)
    before = len(api.requests)
    again, _ = await judged([c for c, row in zip(cases, rows, strict=True) if row.state == "scored"])
    assert (len(api.requests), [row.score for row in again]) == (before, [row.score for row in answered])


async def test_a_service_that_goes_away_is_waited_for(serve):
    _, judge = serve(Faults(outage=0.6, after=20, only_words=True))
    said: list[str] = []
    rows, _ = await judged(some_cases(60, judge), in_flight=20, warn=said.append, max_outage=60)
    assert {row.state for row in rows} <= {"scored", "unreadable"}
    assert "is down" in said[0]
    assert "is back" in said[-1]


async def test_too_many_calls_shrink_the_one_limit(serve):
    _, judge = serve(lambda seen, body: Status(429, {"retry-after": "0.01"}) if seen == 0 else judgment(2))
    call = a_call(judge)
    async with Dispatcher(Store(), 30, initial_backoff=0.01) as dispatcher:
        await dispatcher.send(call)
        assert dispatcher._asked(call).service.limit.size < 30


async def test_a_service_that_is_down_holds_up_no_other(serve):
    _, down = serve(lambda seen, body: Status(503))
    _, well = serve(lambda seen, body: judgment(2))
    is_down = asyncio.Event()
    async with Dispatcher(Store(), 2, warn=lambda _: is_down.set(), initial_backoff=0.01) as dispatcher:
        waiting = [asyncio.create_task(dispatcher.send(case.call)) for case in some_cases(10, down)]
        async with asyncio.timeout(60):
            await is_down.wait()
            for case in some_cases(2, well):
                await dispatcher.send(case.call)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(401), r"SPILLOVER_JUDGE_KEY: the service refused it for m \(401\)"),
        (Status(402, words="more credits"), r"wants to be paid first \(402 .*more credits 402\)"),
        (Status(404, words="No endpoints"), r"has nothing for 'm' \(404 NotFoundError: No endpoints 404\); mend"),
        (Status(308, {"location": "http://other.example/v1"}), r"sends calls on to http://other\.example/v1 \(308\)"),
    ],
)
async def test_what_no_call_would_be_spared_stops_the_run_at_once_with_its_reason(serve, status, words):
    api, judge = serve(lambda seen, body: status)
    with pytest.raises(UserError, match=words):
        await judged(some_cases(100, judge), in_flight=5)
    assert len(api.requests) <= 10


async def test_too_many_calls_for_want_of_credit_are_no_throttling(serve):
    out_of_credit = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    api, judge = serve(lambda seen, body: Raw(json.dumps(out_of_credit).encode(), 429))
    with pytest.raises(UserError, match=r"wants to be paid first \(429 RateLimitError: You exceeded your quota"):
        await judged(some_cases(10, judge), in_flight=2)
    assert len(api.requests) <= 4


async def test_a_call_that_is_refused_is_a_failed_row_with_its_reason(serve):
    _, judge = serve(lambda seen, body: Status(400, words="prompt is too long:"))
    rows, _ = await judged(some_cases(judge=judge)[:1])
    assert (rows[0].state, rows[0].raw) == ("failed", "400 BadRequestError: prompt is too long: 400")


# ---- what comes back


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Say("I will not", "content_filter"), "refused"),
        (Say('{"reasoning": "at le', "max_tokens"), "truncated"),
        (Say("no number"), "unreadable"),
    ],
)
async def test_a_reply_that_is_no_score_has_the_state_that_says_so(serve, said, state):
    _, judge = serve(lambda seen, body: said)
    rows, _ = await judged(some_cases(judge=judge)[:1])
    assert rows[0].state == state


def parsed(choice=None, call=None, **odd):
    whole = completion("m", judgment(4).text)
    whole["choices"][0] |= choice or {}
    return parse(json.dumps(whole | odd).encode(), call or a_call())


def test_a_refusal_is_read_where_the_service_puts_it():
    received = parsed({"message": {"content": None, "refusal": "I will not"}})
    assert (received.text, received.stop_reason) == ("I will not", "refusal")


@pytest.mark.parametrize(
    "page",
    [b"<html>a proxy</html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [1]}', b'{"error": {"message": "x"}}'],
)
def test_what_is_no_completion_is_a_passing_fault(page):
    with pytest.raises(NoMessage):
        parse(page, a_call())


@pytest.mark.parametrize(
    "choice", [{"error": {"code": 502, "message": "the model's server went away"}}, {"finish_reason": "error"}]
)
def test_an_error_that_comes_as_a_success_is_a_passing_fault(choice):
    with pytest.raises(NoMessage):
        parsed(choice)


@pytest.mark.parametrize("choices", [[], None, [7]])
def test_a_reply_that_was_paid_is_kept_even_where_it_holds_no_choice(choices):
    received = parsed(choices=choices)
    assert '"choices"' in received.text
    assert received.tokens == {"input": 60, "output": 20, "cache_read": 40, "cache_write": 0}


@pytest.mark.parametrize(
    "message",
    [
        None,
        "a four",
        {},
        {"content": ["a four"]},
        {"content": 4},
        {"content": None, "tool_calls": [{"function": {"name": "score", "arguments": "4"}}]},
        {"refusal": {"odd": 1}},
    ],
    ids=str,
)
def test_a_content_that_is_no_text_is_kept_whole(message):
    assert '"choices"' in parsed({"message": message}).text


@pytest.mark.parametrize("content", [None, "", "\n\n"])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(("ended", "state"), [("stop", "unreadable"), ("length", "truncated")])
@pytest.mark.parametrize("answers", ["plain", "json"])
def test_what_a_judge_only_thought_is_kept_and_is_no_score(content, field, ended, state, answers):
    message = {"role": "assistant", "content": content, "refusal": None, "tool_calls": [], field: "Score: 3"}
    received = parsed({"message": message, "finish_reason": ended})
    assert "Score: 3" in received.text
    judge = Judge(name="j", kind="chat", model="m", prompt="Score it.", answers=answers)
    reply = JudgeReply(received.text, received.stop_reason, "m", 0, 1024)
    assert parse_reply(reply, judge)[:2] == (state, None)


def test_what_a_judge_thought_before_it_answered_is_left_out_and_nothing_is_nothing():
    said = {"role": "assistant", "content": "Score: 4", "reasoning_content": "Score: 3"}
    assert parsed({"message": said}).text == "Score: 4"
    empty: dict[str, Any] = {"role": "assistant", "refusal": None, "tool_calls": [], "reasoning_content": ""}
    assert [parsed({"message": empty | {"content": c}}).text for c in (None, "", " ")] == ["", "", " "]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2}, {"input": 10, "output": 2, "cache_read": 0, "cache_write": 0}),
        (
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
            {"input": 6, "output": 2, "cache_read": 4, "cache_write": 0},
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
            },
            {"input": 3, "output": 2, "cache_read": 4, "cache_write": 3},
        ),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 11}}, None),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": "4"}}, None),
        ({"prompt_tokens": 10}, None),
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ("none", None),
        (None, None),
    ],
)
def test_tokens_are_counted_as_the_service_gives_them_and_never_made_up(usage, tokens):
    assert parsed(usage=usage).tokens == tokens


def test_a_body_too_deep_to_be_read_is_kept_word_for_word():
    deep = json.dumps(completion("m", "4")).replace('"usage": {', '"usage": {"x": ' + "[" * 200_000, 1)
    assert parse(deep.encode(), a_call()).text == deep


PROBABILITIES = {"4": 0.5, " 5": 0.25, "x": 0.0625}


def test_of_a_call_for_probabilities_the_first_token_is_kept():
    call = a_call(a_judge(answers="probabilities"))
    more = top_logprobs(PROBABILITIES)
    more["content"] += top_logprobs({"\n": 1.0})["content"]
    assert json.loads(parsed({"logprobs": more}, call).text) == pytest.approx(PROBABILITIES)
    assert parsed({"logprobs": more}).text == judgment(4).text, "another call has the text of its reply"


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "4"}]}, {"content": [{"top_logprobs": [7]}]}],
    ids=str,
)
def test_without_probabilities_the_text_is_kept(logprobs):
    assert parsed({"logprobs": logprobs}, a_call(a_judge(answers="probabilities"))).text == judgment(4).text


@pytest.mark.parametrize(
    "choice", [{"message": {"content": None, "refusal": "I will not"}}, {"finish_reason": "content_filter"}]
)
def test_a_refusal_keeps_its_words_and_no_probabilities_that_would_read_as_a_score(choice):
    call = a_call(a_judge(answers="probabilities"))
    refused = parsed(choice | {"logprobs": top_logprobs({"4": 1.0})}, call)
    assert to_reply(StoredReply("", "", {**refused._asdict(), "max_tokens": 1})).is_refused
    assert to_probabilities(refused.text) is None


def test_tokens_that_are_written_alike_count_together_and_one_that_is_impossible_is_0():
    alike = [{"token": "�", "logprob": -1.0}, {"token": "�", "logprob": -2.0}, {"token": "4", "logprob": -9999.0}]
    logprobs = {"content": [{"token": "�", "logprob": -1.0, "top_logprobs": alike}]}
    read = json.loads(parsed({"logprobs": logprobs}, a_call(a_judge(answers="probabilities"))).text)
    assert read == {"�": pytest.approx(0.5032147), "4": 0.0}


async def test_expected_score_and_likeliest_number_are_in_the_row_and_the_probabilities_stay(serve):
    api, judge = serve(lambda seen, body: Top(PROBABILITIES), answers="probabilities")
    rows, _ = await judged(some_cases(judge=judge)[:1])
    assert rows[0].score == pytest.approx((4 * 0.5 + 5 * 0.25) / 0.75)
    assert rows[0].reasoning == "likeliest is 4 (0.50); its numbers hold 0.75 of the first token's probability"
    assert json.loads(rows[0].raw) == pytest.approx(PROBABILITIES)
    assert len(api.requests) == 1


async def test_a_reply_without_probabilities_is_asked_for_once_more_as_it_was(serve):
    api, judge = serve(lambda seen, body: Say("4") if seen == 0 else Top(PROBABILITIES), answers="probabilities")
    rows, _ = await judged(some_cases(judge=judge)[:1])
    assert rows[0].state == "scored"
    assert [len(request["messages"]) for request in api.requests] == [1, 1]


# ---- keys


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    monkeypatch.setenv("SPILLOVER_JUDGE_KEY", OWN_KEY)
    monkeypatch.setenv("SPILLOVER_LAB_KEY", "lab-0123456789abcdef")
    monkeypatch.setenv("SPILLOVER_CUT_KEY", "cut-0123456789…")
    for name, value in {
        "OPENAI_ORG_ID": "our-organization",
        "OPENAI_PROJECT_ID": "our-project",
        "OPENAI_CUSTOM_HEADERS": f"x-secret: {OPENAI_KEY}",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/nowhere",
    }.items():
        monkeypatch.setenv(name, value)


async def test_nothing_that_is_meant_for_openai_goes_to_another_server(serve, keys):
    api, judge = serve(lambda seen, body: judgment(1))
    await judged(some_cases(judge=judge))
    await judged(some_cases(2, judge=judge.model_copy(update={"key_variable": "SPILLOVER_LAB_KEY"})))
    sent = json.dumps(api.headers)
    assert not [secret for secret in (OPENAI_KEY, "our-organization", "our-project") if secret in sent]
    assert api.headers[0]["Authorization"] == f"Bearer {OWN_KEY}"
    assert api.headers[-1]["Authorization"] == "Bearer lab-0123456789abcdef"


async def test_openai_gets_its_own_key(keys):
    connections = client(a_call(), 1)
    sdk = connections.sdk
    assert isinstance(sdk, openai.AsyncOpenAI)
    assert (str(sdk.base_url), sdk.api_key, sdk.organization) == (f"{OPENAI}/", OPENAI_KEY, "our-organization")
    await connections.close()


@pytest.mark.parametrize(
    ("base_url", "variable", "words"),
    [
        (
            "https://evil.example/v1",
            "OPENAI_API_KEY",
            r"would send OPENAI_API_KEY to evil.example, and it is meant for api",
        ),
        (
            "https://api.openai.com.evil.example/v1",
            "OPENAI_API_KEY",
            r"would send OPENAI_API_KEY to api.openai.com.evil",
        ),
        (
            "https://evil.example/v1",
            "ANTHROPIC_API_KEY",
            r"names ANTHROPIC_API_KEY as its key, which may be meant for an",
        ),
        ("https://evil.example/v1", "AWS_SECRET_ACCESS_KEY", r"names AWS_SECRET_ACCESS_KEY as its key"),
        (
            "https://evil.example/v1",
            "SPILLOVER_STORE",
            r"names SPILLOVER_STORE as its key, .* name it SPILLOVER_\.\.\._KEY",
        ),
        (
            "http://api.openai.com/v1",
            "OPENAI_API_KEY",
            r"would send OPENAI_API_KEY to http://api.*all on the way.* write https://",
        ),
        ("https://gpu.example/v1", "SPILLOVER_CUT_KEY", r"cannot send SPILLOVER_CUT_KEY: it holds a line break or"),
        (
            "https://openrouter.ai/api/v1",
            "OPENROUTER_API_KEY",
            r"asks https://openrouter.* OPENROUTER_API_KEY is not set",
        ),
        (
            "https://gpu.example/v1",
            "SPILLOVER_NO_KEY",
            r"asks https://gpu.* SPILLOVER_NO_KEY is not set: export it \(any word",
        ),
    ],
)
def test_a_key_goes_to_its_own_server_alone(keys, base_url, variable, words):
    judge = a_judge(base_url, key_variable=variable)
    with pytest.raises(UserError, match=f"the judge 'chat' {words}"):
        check_key(judge)
    with pytest.raises(UserError, match=f"a judge {words}"):
        client(a_call(judge), 1)


def test_openai_needs_its_key_and_a_server_on_this_machine_needs_none(monkeypatch):
    monkeypatch.delenv("SPILLOVER_JUDGE_KEY", raising=False)
    for here in ("http://127.0.0.1:8000/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1"):
        check_key(a_judge(here))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=r"asks https://api.openai.com/v1, and OPENAI_API_KEY is not set: export it"):
        check_key(a_judge())


async def test_a_key_that_the_service_repeats_is_written_nowhere(serve, keys, data):
    _, judge = serve(lambda seen, body: judgment(1, f"your key is {OWN_KEY}"))
    rows, _ = await judged(some_cases(judge=judge))
    assert rows[0].reasoning == "your key is [SPILLOVER_JUDGE_KEY]"
    assert OWN_KEY.encode() not in b"".join(file.read_bytes() for file in (data / "store").iterdir())


# ---- what it costs


def test_a_reading_of_probabilities_costs_its_prompt_and_one_token(data):
    (data / "prices.yaml").write_text(f"{OPENAI}: {{m: {{input: 2.0, output: 1000000.0, cache_read: 0.5}}}}\n")
    evaluation = an_eval(judge := a_judge(answers="probabilities"))
    cost = judging_cost(judge, evaluation, calls=3, answer_tokens=100)
    assert cost.expected == pytest.approx(3, abs=0.01)
    assert cost.most == pytest.approx(3, abs=0.01)


async def test_what_was_read_from_a_cache_is_paid_as_that(serve, data):
    api, judge = serve(lambda seen, body: judgment(score_of(question_of(body))))
    (data / "prices.yaml").write_text(f"{api.url}/v1: {{m: {{input: 2.0, output: 8.0, cache_read: 0.5}}}}\n")
    _, budget = await judged(some_cases(judge=judge)[:1])
    assert budget.usd == pytest.approx((60 * 2 + 40 * 0.5 + 20 * 8) / 1e6)
