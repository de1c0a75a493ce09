import pytest

from tasks.judging.asking import reads_left, to_calls, unanswered
from tasks.judging.calls import JudgeReply
from tasks.judging.cases import plan
from tasks.paid.store import Store, StoredReply
from tests.fakes.judging import ONE_QUESTION, attempts, cases_of, judged, some_cases, stored_reply
from tests.fakes.messages_api import Faults, Say, Status, judgment, never_gives_a_number, question_of
from tests.fakes.nouns import CLAUDE, an_eval, responses


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


def test_of_two_judges_that_ask_the_same_the_one_that_may_say_more_is_asked():
    brief, long = (CLAUDE.model_copy(update={"name": str(n), "max_tokens": n}) for n in (100, 1024))
    for judges in ((brief, long), (long, brief)):
        planned = plan([an_eval(*judges, questions=ONE_QUESTION)], responses("b0", "b1"), responses("f0"), 1)
        assert {call.max_tokens for call, _ in to_calls(planned)} == {1024}


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


@pytest.mark.parametrize(
    ("text", "begun", "replies", "left"),
    [
        ("no number", None, 1, 1),
        ("no number", None, 2, 0),
        ("no number", 2, 2, 2),
        ("no number", 2, 3, 1),
        ("no number", 2, 4, 0),
        ("no number", 2, 5, 0),
        ('{"score": 3}', 2, 2, 0),
    ],
)
def test_what_was_asked_again_before_a_run_was_suspended_counts_when_it_goes_on(text, begun, replies, left):
    reply = JudgeReply(text, "end_turn", "m", replies - 1, 1024)
    assert reads_left(to_calls(some_cases())[0], reply, begun) == left


def test_a_refusal_that_came_since_it_was_asked_again_is_a_result():
    call = to_calls(some_cases())[0]
    assert [reads_left(call, JudgeReply("", "refusal", "m", n, 1024), begun=1) for n in range(2)] == [2, 0]


async def test_a_kill_between_two_readings_leaves_one_more_reading(serve):
    api = serve(lambda seen, body: judgment(2))
    body = {"text": "no number", "stop_reason": "end_turn", "model": "m", "usage": {}, "max_tokens": 1024}
    Store().put([StoredReply(some_cases()[0].call.key, "judgment", body)])
    rows, _ = await judged(some_cases()[:1])
    assert [(r.state, r.score) for r in rows] == [("scored", 2)]
    assert len(api.requests) == 1


def test_a_reply_that_ended_by_itself_serves_any_longer_limit_and_one_that_was_cut_off_is_asked_anew():
    def asked(max_tokens):
        judge = CLAUDE.model_copy(update={"max_tokens": max_tokens})
        calls = to_calls(cases_of(judge, ["b0", "b1"], ["f0", "f1"]))
        return [call.user for call, _ in unanswered(calls, store)]

    store, (whole, cut, *others) = Store(), cases_of(CLAUDE, ["b0", "b1"], ["f0", "f1"])
    store.put([stored_reply(case, '{"score": 2}') for case in (whole, *others)])
    store.put([stored_reply(cut, '{"sc', "max_tokens")])
    assert asked(1024) == asked(512) == []
    assert asked(1025) == [cut.call.user]
    store.put([stored_reply(cut, '{"score": 3}', attempt=1)])
    assert asked(4096) == []


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


async def test_a_bad_day_of_the_service_leaves_only_what_can_never_be_answered(serve):
    api = serve(Faults(seed=3), seconds=0.001)
    cases = some_cases(150)
    rows, _ = await judged(cases, in_flight=40)
    never = {body["messages"][0]["content"] for body in api.requests if never_gives_a_number(question_of(body), 3)}
    lost = {c.call.user for c, r in zip(cases, rows, strict=True) if r.state != "scored"}
    assert lost == never
    assert len(never) >= 1
    assert {r.state for r in rows} == {"scored", "unreadable"}
