import asyncio
import json
import sqlite3
import time
import traceback
from datetime import datetime
from types import SimpleNamespace

import anthropic
import httpx2
import pytest

from tasks.catalog import UserError, data_folder
from tasks.judging.claude import Claude, ServiceDown, _fault, check_key, to_probe
from tasks.judging.judging import ask_claude, judge_all, plan, to_asks
from tasks.paid.budget import Budget, BudgetSpent, CostUnknown
from tasks.paid.store import Answer, Store, StoreFailed
from tasks.schema import Judge
from tests.fakes.messages_api import (
    DRIP,
    DROP,
    Faults,
    MessagesAPI,
    Raw,
    Say,
    Status,
    judgment,
    message,
    never_gives_a_number,
    question_of,
)
from tests.fakes.nouns import CLAUDE, an_eval, responses

KEY = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@pytest.fixture
def serve(monkeypatch):
    """Starts the fake service with a script, as the one that ANTHROPIC_BASE_URL names."""
    running = []

    def start(script, **how):
        running.append(MessagesAPI(script, **how).__enter__())
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running[-1].url)
        return running[-1]

    yield start
    for api in running:
        api.__exit__()


def some_cases(n=1, judge=CLAUDE):
    before, after = [f"before {i}" for i in range(max(n, 2))], [f"after {i}" for i in range(n)]
    return plan([an_eval(judge, questions={"q1": "direct"})], responses(*before), responses(*after), n)


async def judged(cases, in_flight=10, again=(), **settings):
    store = Store()
    budget = settings.pop("budget", None)
    async with Claude(store, in_flight, budget, patience=0.01, **settings) as claude:
        keys = frozenset(case.call.key for case in again)
        lost = await ask_claude(to_asks(cases), claude, lambda: None, keys)
    return judge_all(cases, store, lost), claude.budget


def attempts(case):
    return [answer.body["text"] for answer in Store().attempts([case.call.key])[case.call.key]]


# ---- what travels


async def test_answers_become_judgments_and_a_second_run_asks_nothing(serve):
    api = serve(lambda seen, body: judgment(4, "it does"))
    rows, budget = await judged(some_cases(3))
    again, second = await judged(some_cases(3))
    assert [(r.state, r.score, r.reasoning) for r in rows] == [("scored", 4, "it does")] * 6
    assert rows[0].model == "claude-sonnet-4-6-20260101"
    assert again == rows
    assert len(api.requests) == 6
    assert (budget.spent["judging"]["calls"], budget.spent["judging"]["input"]) == (6, 600)
    assert second.spent["judging"]["calls"] == 6, "the run's own spending so far, and no more"


async def test_a_temperature_travels_and_its_absence_too(serve):
    api = serve(lambda seen, body: judgment(1))
    await judged(some_cases(judge=CLAUDE.model_copy(update={"temperature": 0.0})))
    await judged(some_cases())
    assert api.requests[0].get("temperature") == 0.0
    assert "temperature" not in api.requests[-1]
    assert api.requests[0]["output_config"]["format"]["schema"]["properties"]["score"]["enum"] == [1, 2, 3, 4, 5]
    assert api.requests[0]["system"][0]["cache_control"] == {"type": "ephemeral"}


async def test_a_judge_that_answers_plainly_is_sent_no_schema_and_its_labels_become_scores(serve):
    judge = Judge(name="old", kind="claude", prompt="Old?", labels={"TRUE": 1, "FALSE": 0}, answers="plain")
    api = serve(lambda seen, body: Say("TRUE"))
    rows, _ = await judged(some_cases(judge=judge))
    assert "output_config" not in api.requests[0]
    assert {(r.state, r.score, r.label) for r in rows} == {("scored", 1, "TRUE")}


# ---- faults


@pytest.mark.parametrize(
    "fault", [Status(429, {"retry-after": "0.05"}), Status(529), Status(500), DROP, Say('{"reasoning": "cut of')]
)
async def test_a_passing_fault_is_tried_again_and_the_answer_is_scored(serve, fault):
    api = serve(lambda seen, body: fault if seen == 0 else judgment(3))
    rows, _ = await judged(some_cases(2))
    assert [r.score for r in rows] == [3] * 4
    assert len(api.requests) == 8


async def test_a_page_in_place_of_a_message_is_a_passing_fault(serve):
    api = serve(lambda seen, body: Status(200) if seen == 0 else judgment(3))
    rows, _ = await judged(some_cases()[:1])
    assert [r.score for r in rows] == [3]
    assert len(api.requests) == 2


async def test_the_services_own_retry_after_is_waited_for(serve):
    times = []

    def script(seen, body):
        times.append(time.monotonic())
        return Status(429, {"retry-after": "0.4"}) if seen == 0 else judgment(3)

    serve(script)
    await judged(some_cases()[:1])
    assert times[1] - times[0] >= 0.4


async def test_a_retry_after_of_nothing_does_not_use_up_the_tries_at_once(serve):
    api = serve(lambda seen, body: Status(500, {"retry-after": "0"}) if seen < 4 else judgment(3))
    started = time.monotonic()
    rows, _ = await judged(some_cases()[:1])
    assert ([r.score for r in rows], len(api.requests)) == ([3], 5)
    assert time.monotonic() - started > 0.01 * (1 + 2 + 4 + 8) * 0.75


async def test_half_a_character_in_a_reply_can_be_written(serve, tmp_path):
    serve(lambda seen, body: Say('{"reasoning": "cut \ud83d", "score": 2}'))
    rows, _ = await judged(some_cases()[:1])
    assert (rows[0].score, rows[0].reasoning) == (2, "cut ?")
    assert "cut ?" in rows[0].model_dump_json()


async def test_a_reply_that_stays_unreadable_is_kept_word_for_word_and_asked_for_twice_in_all(serve):
    api = serve(lambda seen, body: Say(f"no number, {seen}"))
    rows, _ = await judged(some_cases())
    again, _ = await judged(some_cases())
    assert {(r.state, r.score, r.raw) for r in rows} == {("unreadable", None, "no number, 1")}
    assert again == rows
    assert len(api.requests) == 4
    assert attempts(some_cases()[0]) == ["no number, 0", "no number, 1"]


async def test_the_second_reading_tells_the_judge_what_could_not_be_read(serve):
    api = serve(lambda seen, body: Say("a four, say") if seen == 0 else judgment(4))
    await judged(some_cases()[:1])
    first, second = (body["messages"] for body in api.requests)
    assert [m["role"] for m in second] == ["user", "assistant", "user"]
    assert second[0] == first[0]
    assert second[1]["content"] == "a four, say"
    assert second[2]["content"].startswith("That could not be read. Answer with a JSON object")


async def test_what_is_asked_again_gets_two_more_readings_and_nothing_that_has_a_score_is_asked(serve):
    api = serve(lambda seen, body: Say("no number") if seen < 3 else judgment(2))
    await judged(some_cases())
    rows, _ = await judged(some_cases(), again=some_cases())
    assert [r.score for r in rows] == [2, 2]
    assert attempts(some_cases()[0])[:3] == ["no number"] * 3
    assert len(api.requests) == 8
    again, _ = await judged(some_cases(), again=some_cases())
    assert (again, len(api.requests)) == (rows, 8)


async def test_a_kill_between_two_readings_leaves_one_more_reading(serve):
    api = serve(lambda seen, body: judgment(2))
    body = {"text": "no number", "stop_reason": "end_turn", "model": "m", "usage": {}, "max_tokens": 1024}
    Store().put([Answer(some_cases()[0].call.key, "judgment", body)])
    rows, _ = await judged(some_cases()[:1])
    assert [(r.state, r.score) for r in rows] == [("scored", 2)]
    assert len(api.requests) == 1


async def test_a_call_that_fails_for_good_loses_no_other_and_is_asked_again_by_the_next_run(serve):
    def script(seen, body):
        return Status(500) if "after 0" in body["messages"][0]["content"] and seen < 6 else judgment(5)

    api = serve(script)
    rows, _ = await judged(some_cases(2))
    again, _ = await judged(some_cases(2))
    assert [r.state for r in rows] == ["failed", "scored", "scored", "scored"]
    assert rows[0].raw == "500 InternalServerError: scripted 500"
    assert [r.state for r in again] == ["scored"] * 4
    assert len(api.requests) == 6 + 3 + 1


async def test_a_refused_request_is_not_repeated_and_a_refused_key_stops_the_run_at_once(serve):
    api = serve(lambda seen, body: Status(400))
    rows, _ = await judged(some_cases()[:1])
    assert (rows[0].state, len(api.requests)) == ("failed", 1)
    api = serve(lambda seen, body: Status(401))
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY: the service refused it"):
        await judged(some_cases(100), in_flight=5)
    assert len(api.requests) <= 10, "calls that were not under way yet are never sent"


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
    fault = _fault(error, some_cases()[0].call)
    assert fault.words == "400 BadRequestError: what the SDK says"


async def test_a_key_that_is_refused_while_the_service_is_waited_for_stops_all_that_wait(serve):
    api = serve(lambda seen, body: Status(401 if len(api.requests) > 20 else 529))
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY: the service refused it"):
        await asyncio.wait_for(judged(some_cases(60), in_flight=20), 20)


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


async def test_each_waiting_call_raises_an_error_of_its_own_and_a_short_one(serve):
    serve(lambda seen, body: Status(401))
    asks = to_asks(some_cases(300))
    async with Claude(Store(), 5, patience=0.01) as claude:
        told = await asyncio.gather(*(claude.ask(ask.call) for ask in asks), return_exceptions=True)
    assert {type(one) for one in told} == {UserError}
    assert len({id(one) for one in told}) == 600
    assert max(len(traceback.format_exception(one)) for one in told) < 12


async def test_a_fault_of_our_own_is_not_taken_for_one_of_the_service(serve, monkeypatch):
    api = serve(lambda seen, body: judgment(1))

    def wrong(*_):
        raise ValueError("a bug of ours")

    monkeypatch.setattr("tasks.judging.claude._body", wrong)
    with pytest.raises(ValueError, match="a bug of ours"):
        await asyncio.wait_for(judged(some_cases(20)), 5)
    assert api.requests == []


async def test_a_reply_that_drips_is_given_up_and_asked_for_again(serve, monkeypatch):
    monkeypatch.setattr("tasks.judging.claude.LONGEST_REPLY", 0.3)
    serve(lambda seen, body: DRIP if seen == 0 else judgment(3))
    rows, _ = await asyncio.wait_for(judged(some_cases()[:1]), 10)
    assert [r.score for r in rows] == [3]


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


async def test_an_unknown_cost_under_a_limit_stops_the_run_with_its_reason(serve, prices):
    api = serve(lambda seen, body: odd_reply({"usage": "500"}))
    with pytest.raises(CostUnknown, match="gave no count of tokens that is one"):
        await judged(some_cases(40), in_flight=4, budget=Budget(Store(), "r", cap=10.0))
    assert len(api.requests) <= 8
    rows, _ = await judged(some_cases(40), budget=Budget(Store(), "another run"))
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 80, "what was answered is not asked again"


# ---- the store


async def test_a_store_that_fails_stops_all_calls_and_costs_at_most_those_under_way(serve, monkeypatch):
    api, put, rows = serve(lambda seen, body: judgment(2)), Store.put, [0]

    def full(self, new, spent=()):
        rows[0] += len(new)
        if rows[0] > 20:
            raise OSError(28, "No space left on device")
        put(self, new, spent)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(StoreFailed, match=r"could not be written .*No space left on device.* resume the run"):
        await judged(some_cases(250), in_flight=8)
    held = Store().get(ask.call.key for ask in to_asks(some_cases(250)))
    assert len(api.requests) - len(held) <= 8


async def test_a_store_that_another_program_has_locked_is_waited_for_while_the_calls_go_on(serve, monkeypatch):
    monkeypatch.setattr("tasks.paid.store.BUSY_SECONDS", 0)
    api, said = serve(lambda seen, body: judgment(2)), []
    Store().put([])
    with sqlite3.connect(data_folder() / "store" / "answers.db", check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        running = asyncio.create_task(judged(some_cases(50), in_flight=60, say=said.append))
        await asyncio.sleep(1)
        assert len(api.requests) >= 60, "the calls under way did not wait for the lock"
        assert not running.done()
        other.rollback()
        rows, _ = await asyncio.wait_for(running, 20)
    other.close()
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 100
    assert "the answer store cannot be written (database is locked); waited" in said[0]


async def test_what_waits_for_a_lock_is_committed_though_nobody_listens_any_more(monkeypatch):
    monkeypatch.setattr("tasks.paid.store.BUSY_SECONDS", 0)
    store = Store()
    store.say = lambda words: _closed()
    with sqlite3.connect(data_folder() / "store" / "answers.db", check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.commit([Answer("k", "judgment", {})]))
        await asyncio.sleep(0.3)
        waiting.cancel()
        other.rollback()
    other.close()
    store.close()
    assert list(Store().get(["k"])) == ["k"]


def _closed():
    raise RuntimeError("Event loop is closed")


async def test_more_calls_than_a_pool_of_the_transport_holds_by_itself_are_under_way(serve):
    api = serve(lambda seen, body: judgment(1), seconds=2.0)
    await judged(some_cases(550), in_flight=1_100)
    assert api.most_in_flight == 1_100


async def test_a_bad_day_of_the_service_leaves_only_what_can_never_be_answered(serve):
    api = serve(Faults(seed=3), seconds=0.001)
    cases = some_cases(150)
    rows, _ = await judged(cases, in_flight=40)
    never = {body["messages"][0]["content"] for body in api.requests if never_gives_a_number(question_of(body), 3)}
    lost = {c.call.user for c, r in zip(cases, rows, strict=True) if r.state != "scored"}
    assert lost == never
    assert len(never) >= 1
    assert {r.state for r in rows} == {"scored", "unreadable"}


# ---- a first call


async def probed(api, model="m"):
    store = Store()
    async with Claude(store, 1, Budget(store, "r"), patience=0.01) as claude:
        await claude.probe(to_probe(model, api.url))
    return store


async def test_a_first_call_is_tiny_paid_for_and_kept(serve, prices):
    api = serve(lambda seen, body: judgment(1))
    store = await probed(api)
    assert [body["max_tokens"] for body in api.probes] == [16]
    assert to_probe("m", api.url).key in store.get([to_probe("m", api.url).key])
    assert to_probe("m", api.url).key not in (to_probe("n", api.url).key, to_probe("m", "http://other").key)
    assert Budget(store, "r").spent["judging"]["calls"] == 1


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (Status(401), "SPILLOVER_JUDGE_KEY: the service refused it for m"),
        (Status(404), "has no model 'm'"),
        (Status(400, words="odd"), "does not answer a first call for m .*odd.*; nothing is spent: start the service"),
        (DROP, "does not answer a first call for m"),
        (Raw(b"<html>a proxy</html>"), "does not answer a first call for m .*is no message"),
    ],
)
async def test_a_service_that_does_not_answer_a_first_call_is_refused_with_its_reason(serve, says, words):
    api = serve(lambda seen, body: judgment(1), probe=says)
    with pytest.raises(UserError, match=words):
        await asyncio.wait_for(probed(api), 5)


def test_a_first_call_counts_for_a_day(monkeypatch):
    today = to_probe("m", "http://x").key
    assert to_probe("m", "http://x").key == today
    later = SimpleNamespace(now=lambda zone: datetime(2099, 1, 1, tzinfo=zone))
    monkeypatch.setattr("tasks.judging.claude.datetime", later)
    assert to_probe("m", "http://x").key != today


@pytest.mark.parametrize("says", [Status(429), Status(529), Status(500), Say("", "refusal"), Say("", "max_tokens")])
async def test_a_service_that_has_too_much_to_do_is_there(serve, says):
    await asyncio.wait_for(probed(serve(lambda seen, body: judgment(1), probe=says)), 5)


# ---- limits


async def test_no_more_calls_are_under_way_than_allowed(serve):
    api = serve(lambda seen, body: judgment(1))
    await judged(some_cases(40), in_flight=7)
    assert api.most_in_flight == 7


async def test_a_service_that_says_too_many_gets_fewer_calls_at_once(serve):
    """Ten at once are too many for this one: it is asked far less often in vain than a limit that stays would."""
    refused = []

    def script(seen, body):
        if api.in_flight > 10:
            refused.append(1)
            return Status(429, {"retry-after": "0.02"})
        return judgment(1)

    api = serve(script, seconds=0.02)
    rows, _ = await judged(some_cases(150), in_flight=60)
    assert {r.state for r in rows} == {"scored"}
    assert len(refused) < 200


async def test_a_service_that_is_down_is_waited_for_with_a_reason_and_no_call_is_lost(serve):
    down, said = [True], []
    api = serve(lambda seen, body: Status(529) if down[0] and len(api.requests) > 30 else judgment(1))

    async def come_back():
        while not said:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        down[0] = False

    (rows, _), _ = await asyncio.gather(judged(some_cases(60), in_flight=20, say=said.append), come_back())
    assert {r.state for r in rows} == {"scored"}
    assert "is down (529 OverloadedError: scripted 529)" in said[0]
    assert "waiting for it" in said[0]
    assert "is back after" in said[1]
    assert len(api.requests) < 120 + 20 + 40, "while it is down, one call at a time asks"


async def test_a_service_that_stays_down_ends_the_run_and_what_was_paid_is_kept(serve):
    api = serve(lambda seen, body: Status(529) if len(api.requests) > 20 else judgment(1))
    with pytest.raises(ServiceDown, match=r"has been down for over 0 s \(judging.max_outage\); nothing is lost"):
        await judged(some_cases(60), in_flight=10, max_outage=0.3)
    serve(lambda seen, body: judgment(1))
    rows, budget = await judged(some_cases(60))
    assert {r.state for r in rows} == {"scored"}
    assert budget.spent["judging"]["calls"] == 120


# ---- money


@pytest.fixture
def prices(data):
    (data / "prices.yaml").write_text(
        "claude: {claude-sonnet-4-6: {input: 3.0, output: 15.0, cache_write: 3.75, cache_read: 0.3}}\n"
    )


async def test_the_cost_is_that_of_the_tokens_used(serve, prices):
    serve(lambda seen, body: judgment(1))
    _, budget = await judged(some_cases(5))
    assert budget.usd == pytest.approx(10 * (100 * 3 + 20 * 15) / 1e6)


async def test_of_a_server_of_ones_own_the_price_is_unknown_until_it_is_given(serve, prices, data):
    api = serve(lambda seen, body: judgment(1))
    own = CLAUDE.model_copy(update={"base_url": api.url})
    _, budget = await judged(some_cases(judge=own))
    assert budget.usd is None
    (data / "prices.yaml").write_text(f"'{api.url}': {{claude-sonnet-4-6: {{input: 0, output: 0}}}}\n")
    assert some_cases(judge=own)[0].call.prices() == {"input": 0, "output": 0}


async def test_a_limit_on_the_cost_is_never_passed_and_a_raised_one_goes_on_without_asking_twice(serve, prices):
    api = serve(lambda seen, body: judgment(1))
    one = (100 * 3 + 20 * 15) / 1e6
    call = some_cases()[0].call
    most = call.most_cost(call.prices())
    assert most > 10 * one, "what is held back is what the call could cost at most"
    cap = most + 30 * one
    with pytest.raises(BudgetSpent, match="max_cost_usd"):
        await judged(some_cases(40), budget=Budget(Store(), "r", cap=cap))
    asked = len(api.requests)
    assert 25 <= asked <= 31
    assert Budget(Store(), "r").usd == pytest.approx(asked * one)
    assert Budget(Store(), "r").usd <= cap
    rows, budget = await judged(some_cases(40), budget=Budget(Store(), "r", cap=1.0))
    assert {r.state for r in rows} == {"scored"}
    assert len(api.requests) == 80
    assert budget.usd == pytest.approx(80 * one)


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


@pytest.mark.parametrize("address", ["localhost:8000", "file:///etc", "http://user:secret@x", "http://x/v1", "http://"])
def test_an_address_in_the_environment_that_is_none_is_refused_in_a_sentence(monkeypatch, address):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
    with pytest.raises(UserError, match="ANTHROPIC_BASE_URL ") as refused:
        check_key("claude")
    assert "secret" not in str(refused.value)


def test_only_the_service_of_anthropic_needs_a_key(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    check_key("local", "http://127.0.0.1:8000")
    with pytest.raises(UserError, match="ANTHROPIC_API_KEY is not set and the judge 'claude' asks Claude"):
        check_key("claude")
