import json

import anthropic
import httpx2
import pytest

from tasks.catalog import UserError
from tasks.judging.calls import Call
from tasks.judging.claude import body, check_key, fault
from tasks.schema import Judge
from tests.fakes.judging import KEY, judged, some_cases
from tests.fakes.messages_api import MessagesAPI, Raw, Say, Status, judgment, message
from tests.fakes.nouns import CLAUDE

# ---- what travels


async def test_a_temperature_travels_and_its_absence_too(serve):
    api = serve(lambda seen, body: judgment(1))
    await judged(some_cases(judge=CLAUDE.model_copy(update={"temperature": 0.0})))
    await judged(some_cases())
    assert api.requests[0].get("temperature") == 0.0
    assert "temperature" not in api.requests[-1]
    assert api.requests[0]["output_config"]["format"]["schema"]["properties"]["score"]["enum"] == [1, 2, 3, 4, 5]
    assert api.requests[0]["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_who_is_told_nothing_is_sent_no_empty_text_which_the_service_refuses():
    call = Call("claude", model="m", system="", user="Hello.", reminder="")
    assert "system" not in body(call, None)


async def test_a_judge_that_answers_plainly_is_sent_no_schema_and_its_labels_become_scores(serve):
    judge = Judge(name="old", kind="claude", prompt="Old?", labels={"TRUE": 1, "FALSE": 0}, answers="plain")
    api = serve(lambda seen, body: Say("TRUE"))
    rows, _ = await judged(some_cases(judge=judge))
    assert "output_config" not in api.requests[0]
    assert {(r.state, r.score, r.label) for r in rows} == {("scored", 1, "TRUE")}


# ---- what goes wrong


async def test_a_page_in_place_of_a_message_is_a_passing_fault(serve):
    api = serve(lambda seen, body: Status(200) if seen == 0 else judgment(3))
    rows, _ = await judged(some_cases()[:1])
    assert [r.score for r in rows] == [3]
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (Status(400, words="prompt is too long:"), "400 BadRequestError: prompt is too long: 400"),
        (Status(413, words=f"too large {KEY}"), "413 ContentTooLargeError: too large [ANTHROPIC_API_KEY] 413"),
    ],
)
async def test_what_is_said_of_a_failed_call_begins_with_its_reason(serve, says, words):
    serve(lambda seen, body: says)
    rows, _ = await judged(some_cases()[:1])
    assert rows[0].raw == words


@pytest.mark.parametrize("body", [None, "a proxy", [], {"error": "odd"}, {"error": {"message": 7}}, {"message": "x"}])
def test_an_error_of_another_shape_is_told_in_its_own_words(body):
    response = httpx2.Response(400, request=httpx2.Request("POST", "http://x"))
    error = anthropic.BadRequestError("what the SDK says", response=response, body=body)
    found = fault(error, some_cases()[0].call)
    assert found.reason == "400 BadRequestError: what the SDK says"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            Status(402, words="billing"),
            r"wants to be paid first \(402 PaymentRequiredError: billing 402\); add credit there and resume the run",
        ),
        (
            Status(400, words="Your credit balance is too low"),
            r"wants to be paid first \(400 BadRequestError: Your credit balance",
        ),
        (
            Status(404),
            r"http://127.* has no model 'claude-sonnet-4-6' \(404\); mend the judge's model, or its base_url",
        ),
        (Status(307, {"location": "http://[bad"}), r"sends calls on to http://\[bad \(307\)"),
        (Status(302, {"location": "/elsewhere"}), r"sends calls on to /elsewhere \(302\)"),
        (Status(307, {"location": "http://other.example/v1"}), r"sends calls on to http://other\.example/v1 \(307\)"),
    ],
)
async def test_what_no_call_would_be_spared_stops_the_run_at_once_with_its_reason(serve, status, words):
    api = serve(lambda seen, body: status)
    with pytest.raises(UserError, match=words):
        await judged(some_cases(100), in_flight=5)
    assert len(api.requests) <= 10


# ---- replies that are odd are kept


ODD = [
    {"usage": "500"},
    {"usage": [1]},
    {"usage": {"input_tokens": {"a": 1}, "output_tokens": 5}},
    {"usage": {"input_tokens": -5, "output_tokens": -500}},
    {"usage": {"input_tokens": float("inf"), "output_tokens": 5}},
    {"usage": {"input_tokens": 10**12, "output_tokens": 5}},
    {"usage": {"input_tokens": True, "output_tokens": 5}},
    {"usage": {"input_tokens": 5}},
    {"usage": None},
    {},
]


def odd_reply(odd):
    whole = message("m", judgment(4).text) | odd
    return Raw(json.dumps(whole if odd else {k: v for k, v in whole.items() if k != "usage"}).encode())


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_a_count_that_is_none_loses_no_reply_and_makes_the_cost_unknown(serve, prices, odd):
    serve(lambda seen, body: odd_reply(odd))
    rows, budget = await judged(some_cases()[:1])
    assert [(r.state, r.score) for r in rows] == [("scored", 4)]
    assert (budget.usd, budget.summary()["judging"]) == (None, {"usd": None, "calls": 1})
    json.loads(json.dumps(budget.summary(), allow_nan=False))


@pytest.mark.parametrize("odd", [{"model": ["m"]}, {"stop_reason": 7}, {"model": 5, "stop_reason": {"a": 1}}], ids=str)
async def test_a_model_or_a_stop_reason_that_is_no_text_loses_no_reply(serve, odd):
    serve(lambda seen, body: odd_reply(odd))
    rows, _ = await judged(some_cases()[:1])
    assert [(r.state, r.score) for r in rows] == [("scored", 4)]
    assert isinstance(rows[0].model, str)


@pytest.mark.parametrize(
    ("content", "state", "raw"),
    [
        (None, "unreadable", '"content": null'),
        (judgment(4).text, "scored", "because"),
        (["a four"], "unreadable", '"a four"'),
        ({"type": "text", "text": "a four"}, "unreadable", '"a four"'),
    ],
    ids=str,
)
async def test_a_content_that_is_no_list_of_blocks_is_kept_and_asked_for_twice_at_most(serve, content, state, raw):
    api = serve(lambda seen, body: odd_reply({"content": content}))
    rows, budget = await judged(some_cases()[:1])
    assert [r.state for r in rows] == [state]
    assert raw in rows[0].raw
    assert len(api.requests) == budget.spent["judging"]["calls"] == (1 if state == "scored" else 2)
    assert budget.spent["judging"]["output"] == 20 * len(api.requests)


async def test_a_refusal_without_content_is_a_refusal(serve):
    serve(lambda seen, body: odd_reply({"content": None, "stop_reason": "refusal"}))
    rows, _ = await judged(some_cases()[:1])
    assert rows[0].state == "refused"


async def test_half_a_character_in_a_reply_can_be_written(serve, tmp_path):
    serve(lambda seen, body: Say('{"reasoning": "cut \ud83d", "score": 2}'))
    rows, _ = await judged(some_cases()[:1])
    assert (rows[0].score, rows[0].reasoning) == (2, "cut ?")
    assert "cut ?" in rows[0].model_dump_json()


async def test_a_byte_that_is_no_utf8_loses_no_reply(serve):
    body = json.dumps(message("m", judgment(4, "it is caf@").text)).encode().replace(b"@", b"\xe9")
    serve(lambda seen, _: Raw(body))
    rows, _ = await judged(some_cases()[:1])
    assert (rows[0].score, rows[0].reasoning) == (4, "it is caf\ufffd")


async def test_a_body_too_deep_to_be_read_is_kept_word_for_word(serve):
    deep = json.dumps(message("m", judgment(4).text)).replace('{"input_tokens": 100', '{"x": ' + "[" * 200_000, 1)
    api = serve(lambda seen, body: Raw(deep.encode()))
    rows, budget = await judged(some_cases()[:1])
    assert [(r.state, r.raw) for r in rows] == [("unreadable", deep)]
    assert (len(api.requests), budget.usd) == (2, None)


async def test_a_number_of_five_thousand_digits_loses_no_reply(serve):
    body = json.dumps(message("m", judgment(4).text)).replace('"output_tokens": 20', '"output_tokens": ' + "9" * 5000)
    serve(lambda seen, _: Raw(body.encode()))
    rows, budget = await judged(some_cases()[:1])
    assert ([r.score for r in rows], budget.usd) == ([4], None)


# ---- keys


async def test_the_key_is_sent_and_written_nowhere_even_where_the_service_repeats_it(serve, data):
    def script(seen, body):
        return Status(500, {"x-echo": KEY}, KEY) if seen == 0 else judgment(1, f"your key is {KEY}")

    api = serve(script)
    rows, _ = await judged(some_cases())
    assert any(KEY in value for value in api.headers[0].values())
    written = b"".join(file.read_bytes() for file in (data / "store").iterdir())
    assert KEY.encode() not in written + str(rows).encode()
    assert rows[0].reasoning == "your key is [ANTHROPIC_API_KEY]"
    serve(lambda seen, body: Status(400, None, KEY))
    rows, _ = await judged(some_cases(3))
    assert "[ANTHROPIC_API_KEY]" in rows[-1].raw
    assert KEY not in str(rows)


async def test_a_placeholder_for_a_key_changes_no_word_of_an_answer(serve, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    serve(lambda seen, body: judgment(1, "it has none of it"))
    rows, _ = await judged(some_cases())
    assert rows[0].reasoning == "it has none of it"


async def test_a_server_that_a_definition_names_never_gets_a_key_of_anthropic(monkeypatch):
    with MessagesAPI(lambda seen, body: judgment(1)) as api:
        await judged(some_cases(judge=CLAUDE.model_copy(update={"base_url": api.url})))
        monkeypatch.setenv("SPILLOVER_JUDGE_KEY", "own")
        await judged(some_cases(2, judge=CLAUDE.model_copy(update={"base_url": api.url})))
    assert not any(KEY in value for headers in api.headers for value in headers.values())
    assert any("own" in value for value in api.headers[-1].values())


async def test_headers_that_are_meant_for_anthropic_go_to_no_other_server(serve, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-secret: {KEY}-too")
    with MessagesAPI(lambda seen, body: judgment(1)) as other:
        await judged(some_cases(judge=CLAUDE.model_copy(update={"base_url": other.url})))
    own = serve(lambda seen, body: judgment(1))
    await judged(some_cases(2))
    assert "x-secret" not in {name.lower() for headers in other.headers for name in headers}
    assert "x-secret" in {name.lower() for headers in own.headers for name in headers}


@pytest.mark.parametrize("key", ["sk-planted-…", "sk-planted-0123456789\r", "ключ"])
def test_a_key_that_no_request_can_hold_is_refused_in_a_sentence_without_it(monkeypatch, key):
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    with pytest.raises(UserError, match="the judge 'claude' cannot send ANTHROPIC_API_KEY: it holds a line") as refused:
        check_key(CLAUDE)
    assert key not in str(refused.value)


@pytest.mark.parametrize("address", ["localhost:8000", "file:///etc", "http://user:secret@x", "http://x/v1", "http://"])
def test_an_address_in_the_environment_that_is_none_is_refused_in_a_sentence(monkeypatch, address):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
    with pytest.raises(UserError, match="ANTHROPIC_BASE_URL ") as refused:
        check_key(CLAUDE)
    assert "secret" not in str(refused.value)


def test_only_the_service_of_anthropic_needs_a_key(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    check_key(CLAUDE.model_copy(update={"base_url": "http://127.0.0.1:8000"}))
    with pytest.raises(UserError, match="the judge 'claude' asks Claude, and ANTHROPIC_API_KEY is not set"):
        check_key(CLAUDE)
