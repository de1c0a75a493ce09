from dataclasses import replace

import pytest

from tasks.judging.asking import to_calls
from tasks.judging.calls import FailedCall
from tasks.judging.judgments import failures, judge_all
from tasks.paid.store import Store
from tests.fakes.judging import COHERENT, cases_of, stored_reply
from tests.fakes.nouns import CLAUDE


@pytest.mark.parametrize(("stop_reason", "state"), [("refusal", "refused"), ("max_tokens", "truncated")])
def test_a_refusal_and_a_cut_off_reply_are_states_and_not_scores(stop_reason, state):
    (case, _) = cases_of(CLAUDE, ["b0", "b1"], ["f0"])
    store = Store()
    store.put([stored_reply(case, '{"score": 1}', stop_reason)])
    (row,) = judge_all([case], store)
    assert (row.state, row.score, row.raw) == (state, None, '{"score": 1}')


def test_a_label_without_a_number_is_not_scored_and_kept():
    judge = COHERENT.model_copy(update={"labels": {"CODE": None}})
    (case, _) = cases_of(judge, ["b0", "b1"], ["f0"])
    store = Store()
    store.put([stored_reply(case, '{"reasoning": "a program", "score": "CODE"}')])
    (row,) = judge_all([case], store)
    assert (row.state, row.score, row.label, row.reasoning) == ("not scored", None, "CODE", "a program")


def test_the_order_in_which_a_pair_was_shown_is_recorded():
    rows = judge_all(
        cases_of(CLAUDE.model_copy(update={"swap": True}), ["b0", "b1"], [f"f{i}" for i in range(2)] * 20), Store()
    )
    assert {row.swapped for row in rows} == {True, False}


def test_judging_without_an_answer_says_never_asked_and_with_errors_the_last_of_them():
    (case, _) = cases_of(CLAUDE, ["b0", "b1"], ["f0"])
    (row,) = judge_all([case], Store())
    assert (row.state, row.score, row.raw) == ("failed", None, "never asked")
    (row,) = judge_all([case], Store(), [FailedCall(case.call.key, ["500", "no luck"])])
    assert row.raw == "no luck"


def test_failures_list_each_call_once_with_all_that_was_said():
    some = cases_of(CLAUDE, ["b0", "b1"], ["same", "same"])
    some = [replace(case, against="b0") if case.side == "finetuned" else case for case in some]
    mine, store = [case for case in some if case.side == "finetuned"], Store()
    store.put([stored_reply(mine[0], "no number"), stored_reply(mine[0], "still none", attempt=1)])
    (floor, other) = (case for case in some if case.side == "baseline")
    store.put([stored_reply(floor, '{"score": 2}')])
    lost = [FailedCall(other.call.key, ["500", "502"])]
    rows = failures(some, judge_all(some, store, lost), store, lost)
    assert [(r.state, r.side, r.sample, r.attempts, r.answers) for r in rows] == [
        ("unreadable", "finetuned", 0, ["no number", "still none"], 2),
        ("failed", "baseline", 1, ["500", "502"], 1),
    ]
    assert (rows[0].question, rows[0].response, rows[0].against) == ("Text of q1?", "same", "b0")
    assert len(to_calls(some)) == 3
