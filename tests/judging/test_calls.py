from datetime import datetime
from types import SimpleNamespace

import pytest

from tasks.judging.calls import JudgeReply
from tasks.judging.providers import to_probe
from tests.fakes.judging import some_cases
from tests.fakes.nouns import CLAUDE


def test_a_first_call_counts_for_a_day(monkeypatch):
    today = to_probe(CLAUDE).key
    assert to_probe(CLAUDE).key == today
    later = SimpleNamespace(now=lambda zone: datetime(2099, 1, 1, tzinfo=zone))
    monkeypatch.setattr("tasks.judging.calls.datetime", later)
    assert to_probe(CLAUDE).key != today


def test_a_key_depends_on_what_is_said_and_on_neither_the_address_nor_the_longest_reply():
    key = some_cases()[0].call.key
    same = CLAUDE.model_copy(update={"base_url": "http://h", "max_tokens": 99})
    assert some_cases(judge=same)[0].call.key == key
    assert some_cases(judge=CLAUDE.model_copy(update={"prompt": "Another."}))[0].call.key != key


@pytest.mark.parametrize(
    ("text", "stop_reason", "turns"),
    [("a four, say", "end_turn", 3), (" ", "end_turn", 1), ("I will not", "refusal", 1), ("a fo", "max_tokens", 1)],
)
def test_a_reply_that_could_not_be_read_is_shown_again_and_one_that_did_not_end_by_itself_is_not(
    text, stop_reason, turns
):
    call = some_cases()[0].call
    messages = call.messages(JudgeReply(text, stop_reason, "m", 0, 1024))
    assert messages[0] == call.messages(None)[0] == {"role": "user", "content": call.user}
    assert len(messages) == turns
