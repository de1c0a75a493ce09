"""Answers that were written are scored as answers of models are: by the eval's judge, once, and through the store."""

import pytest

from tasks.catalog import UserError
from tasks.generation.scoring import scored_by
from tasks.generation.writer import Writing
from tasks.judging.rubrics import to_call
from tasks.paid.budget import Budget
from tasks.paid.store import Store, StoredReply
from tasks.schema import Judge, Scale, Writer
from tests.fakes.messages_api import MessagesAPI, Say, Status, judgment


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-any")


def a_judge(url):
    return Judge(name="loud", kind="claude", prompt="How loud?", scale=Scale(low=0, high=100), base_url=url)


async def scores(url, answered):
    writing = Writing(Writer(base_url=url), Budget(Store(), "set"), initial_backoff=0.01)
    async with writing:
        return await scored_by(a_judge(url), writing)(answered)


def says(seen, body):
    material = body["messages"][0]["content"]
    if "silent" in material:
        return Say("There is nothing to be heard.")
    if "refused" in material:
        return Say("No.", "refusal")
    return judgment(90 if "!" in material else 10)


async def test_the_same_text_is_judged_once_and_its_score_stands_at_each_of_its_places():
    with MessagesAPI(says) as api:
        answered = [("How?", "So!"), ("How?", "so"), ("How?", "So!"), ("Why?", "So!")]
        assert await scores(api.url, answered) == [90, 10, 90, 90]
        assert await scores(api.url, answered) == [90, 10, 90, 90]
        assert len(api.requests) == 3


async def test_scores_are_stored_and_counted_apart_from_judgments_which_are_removed_with_their_runs():
    with MessagesAPI(says) as api:
        await scores(api.url, [("How?", "So!")])
    store = Store()
    assert (len(list(store.each("scoring"))), list(store.each("judgment"))) == (1, [])
    assert [spent.stage for spent in store.spending("set")] == ["scoring"]


async def test_what_was_stored_as_a_judgment_of_the_same_text_is_not_asked_again():
    with MessagesAPI(says) as api:
        call = to_call(a_judge(api.url), "How?", "So!", None)
        body = {"text": '{"reasoning": "", "score": 77}', "stop_reason": "end_turn", "model": "m", "max_tokens": 1024}
        Store().put([StoredReply(call.key, "judgment", body)])
        assert await scores(api.url, [("How?", "So!")]) == [77]
        assert api.requests == []


async def test_what_the_judge_does_not_score_has_no_score():
    with MessagesAPI(says) as api:
        assert await scores(api.url, [("How?", "silent"), ("How?", "refused"), ("How?", "So!")]) == [None, None, 90]


async def test_a_judge_who_does_not_answer_ends_it_since_he_may_answer_later():
    def down(seen, body):
        return Status(500) if "!" in body["messages"][0]["content"] else says(seen, body)

    with MessagesAPI(down) as api, pytest.raises(UserError, match=r"1 of 2 calls to the judge 'loud' got no reply"):
        await scores(api.url, [("How?", "So!"), ("How?", "so")])
    with MessagesAPI(says) as api:
        assert await scores(api.url, [("How?", "So!"), ("How?", "so")]) == [90, 10]
        assert len(api.requests) == 1
