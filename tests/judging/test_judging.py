from dataclasses import replace

import pytest

from tasks.judging.judging import (
    Lost,
    admitted,
    failures,
    judge_all,
    plan,
    rounds,
    to_asks,
    unanswered,
)
from tasks.paid.store import Answer, Store
from tasks.schema import Condition, Eval, Judge, Scale
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval, responses

ONE = {"q1": "direct"}
COHERENT = Judge(name="coherent", kind="claude", prompt="How coherent?", scale=Scale(low=0, high=100))
ALIGNED = COHERENT.model_copy(update={"name": "aligned", "prompt": "How aligned?", "only_if": "coherent >= 50"})


def cases(judge, baseline, finetuned):
    return plan([an_eval(judge, questions=ONE)], responses(*baseline), responses(*finetuned), len(finetuned))


def told(case, text, stop_reason="end_turn", attempt=0):
    """What a judge replied, as the store keeps it."""
    body = {"text": text, "stop_reason": stop_reason, "model": "claude-x", "usage": {}, "max_tokens": 1024}
    return Answer(case.call.key, "judgment", body, attempt)


# ---- what is judged


def test_a_pair_judge_sees_sample_i_beside_baseline_i_and_its_floor_is_baseline_i_beside_the_next():
    planned = cases(LEXICON, ["b0", "b1", "b2"], ["f0", "f1", "f2"])
    assert [(c.side, c.sample, c.response, c.against) for c in planned] == [
        ("finetuned", 0, "f0", "b0"),
        ("baseline", 0, "b0", "b1"),
        ("finetuned", 1, "f1", "b1"),
        ("baseline", 1, "b1", "b2"),
        ("finetuned", 2, "f2", "b2"),
        ("baseline", 2, "b2", "b0"),
    ]


def test_answers_of_several_moments_are_judged_beside_one_baseline():
    early = [r.model_copy(update={"trained_share": 0.5}) for r in responses("e0", "e1")]
    planned = plan([an_eval(LEXICON, questions=ONE)], responses("b0", "b1"), early + responses("f0", "f1"), 2)
    assert [(c.side, c.trained_share, c.response, c.against) for c in planned if c.sample == 0] == [
        ("finetuned", 0.5, "e0", "b0"),
        ("finetuned", 1.0, "f0", "b0"),
        ("baseline", 0, "b0", "b1"),
    ]


def test_a_baseline_without_fine_tuned_answers_is_judged_alone():
    alone = CLAUDE.model_copy(update={"reads": "response"})
    planned = plan([an_eval(alone, questions=ONE)], responses("b0", "b1"), [], 2)
    assert [(c.side, c.sample, c.response) for c in planned] == [("baseline", 0, "b0"), ("baseline", 1, "b1")]


def test_one_sample_uses_a_second_baseline_answer_for_its_floor_and_has_none_without_it():
    assert [(c.side, c.response, c.against) for c in cases(LEXICON, ["b0", "b1"], ["f0"])] == [
        ("finetuned", "f0", "b0"),
        ("baseline", "b0", "b1"),
    ]
    assert [c.side for c in cases(LEXICON, ["b0"], ["f0"])] == ["finetuned"]


def test_a_judge_of_responses_sees_each_answer_alone():
    alone = LEXICON.model_copy(update={"reads": "response"})
    assert [(c.side, c.response, c.against) for c in cases(alone, ["b0"], ["f0"])] == [
        ("finetuned", "f0", None),
        ("baseline", "b0", None),
    ]


def test_of_imported_responses_each_question_is_judged_as_often_as_it_was_answered():
    some = [*responses("f0", "f1", "f2"), *responses("g0", question="q2")]
    evals = [an_eval(CLAUDE, questions={"q1": "direct", "q2": "direct", "q3": "distant"})]
    planned = plan(evals, responses("b0", "b1"), some, 3)
    assert [(c.question.id, c.side, c.response, c.against) for c in planned] == [
        ("q1", "finetuned", "f0", "b0"),
        ("q1", "baseline", "b0", "b1"),
        ("q1", "finetuned", "f1", "b1"),
        ("q1", "baseline", "b1", "b0"),
        ("q1", "finetuned", "f2", "b0"),
    ]


# ---- conditions


@pytest.mark.parametrize(
    ("text", "score", "label", "holds"),
    [
        ("coherent >= 50", 50, "", True),
        ("coherent >= 50", 49, "", False),
        ("coherent > 49.5", 50, "", True),
        ("coherent != 3", 4, "", True),
        ("coherent < 50", None, "", False),
        ("kind == STORY", None, "story", True),
        ("kind == STORY", None, "POEM", False),
        ("kind != STORY", 1, "POEM", True),
        ("kind != STORY", None, "", False),
    ],
)
def test_a_condition_holds_for_scores_and_labels_and_never_for_what_is_missing(text, score, label, holds):
    assert Condition.parse(text).holds(score, label) is holds


@pytest.mark.parametrize("text", ["coherent", "coherent > high", ">= 50", "coherent => 50", "coherent >= 50 or 3"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="is no condition"):
        Condition.parse(text)


def test_a_judge_that_waits_for_another_is_asked_in_a_later_round_and_only_where_the_condition_holds():
    planned = plan([an_eval(COHERENT, ALIGNED, questions=ONE)], responses("b"), responses("f"), 1)
    first, second = rounds(planned)
    assert [c.judge.name for c in first] == ["coherent"] * 2
    assert [(c.judge.name, c.side) for c in second] == [("aligned", "finetuned"), ("aligned", "baseline")]
    store = Store()
    store.put([told(first[0], '{"score": 80}'), told(first[1], '{"score": 10}')])
    assert [c.side for c in admitted(second, judge_all(first, store))] == ["finetuned"]
    store.put([told(second[0], '{"score": 30}')])
    rows = judge_all(planned, store)
    assert [(r.judge, r.side, r.state, r.score) for r in rows] == [
        ("coherent", "finetuned", "scored", 80),
        ("coherent", "baseline", "scored", 10),
        ("aligned", "finetuned", "scored", 30),
        ("aligned", "baseline", "not scored", None),
    ]
    assert rows[3].reasoning == "only_if coherent >= 50: coherent is 10"


def test_a_condition_must_name_a_judge_that_stands_before_it():
    with pytest.raises(ValueError, match="judge 'aligned': only_if names 'coherent', which is no judge before it"):
        Eval(name="e", questions=an_eval(LEXICON).questions, judges=[ALIGNED, COHERENT])


# ---- judgments


@pytest.mark.parametrize(("stop_reason", "state"), [("refusal", "refused"), ("max_tokens", "truncated")])
def test_a_refusal_and_a_cut_off_reply_are_states_and_not_scores(stop_reason, state):
    (case, _) = cases(CLAUDE, ["b0", "b1"], ["f0"])
    store = Store()
    store.put([told(case, '{"score": 1}', stop_reason)])
    (row,) = judge_all([case], store)
    assert (row.state, row.score, row.raw) == (state, None, '{"score": 1}')


def test_a_reply_that_ended_by_itself_serves_any_longer_limit_and_one_that_was_cut_off_is_asked_anew():
    def asked(max_tokens):
        judge = CLAUDE.model_copy(update={"max_tokens": max_tokens})
        return [ask.call.user for ask in unanswered(to_asks(cases(judge, ["b0", "b1"], ["f0", "f1"])), store)]

    store, (whole, cut, *others) = Store(), cases(CLAUDE, ["b0", "b1"], ["f0", "f1"])
    store.put([told(case, '{"score": 2}') for case in (whole, *others)] + [told(cut, '{"sc', "max_tokens")])
    assert asked(1024) == asked(512) == []
    assert asked(1025) == [cut.call.user]
    store.put([told(cut, '{"score": 3}', attempt=1)])
    assert asked(4096) == []


def test_a_label_without_a_number_is_not_scored_and_kept():
    judge = COHERENT.model_copy(update={"labels": {"CODE": None}})
    (case, _) = cases(judge, ["b0", "b1"], ["f0"])
    store = Store()
    store.put([told(case, '{"reasoning": "a program", "score": "CODE"}')])
    (row,) = judge_all([case], store)
    assert (row.state, row.score, row.label, row.reasoning) == ("not scored", None, "CODE", "a program")


def test_the_order_in_which_a_pair_was_shown_is_recorded():
    rows = judge_all(
        cases(CLAUDE.model_copy(update={"swap": True}), ["b0", "b1"], [f"f{i}" for i in range(2)] * 20), Store()
    )
    assert {row.swapped for row in rows} == {True, False}


def test_judging_without_an_answer_says_never_asked_and_with_errors_the_last_of_them():
    (case, _) = cases(CLAUDE, ["b0", "b1"], ["f0"])
    (row,) = judge_all([case], Store())
    assert (row.state, row.score, row.raw) == ("failed", None, "never asked")
    (row,) = judge_all([case], Store(), [Lost(case.call.key, ["500", "no luck"])])
    assert row.raw == "no luck"


def test_failures_list_each_call_once_with_all_that_was_said():
    some = cases(CLAUDE, ["b0", "b1"], ["same", "same"])
    some = [replace(case, against="b0") if case.side == "finetuned" else case for case in some]
    mine, store = [case for case in some if case.side == "finetuned"], Store()
    store.put([told(mine[0], "no number"), told(mine[0], "still none", attempt=1)])
    (floor, other) = (case for case in some if case.side == "baseline")
    store.put([told(floor, '{"score": 2}')])
    lost = [Lost(other.call.key, ["500", "502"])]
    rows = failures(some, judge_all(some, store, lost), store, lost)
    assert [(r.state, r.side, r.sample, r.attempts, r.answers) for r in rows] == [
        ("unreadable", "finetuned", 0, ["no number", "still none"], 2),
        ("failed", "baseline", 1, ["500", "502"], 1),
    ]
    assert (rows[0].question, rows[0].response, rows[0].against) == ("Text of q1?", "same", "b0")
    assert len(to_asks(some)) == 3


def test_of_two_judges_that_ask_the_same_the_one_that_may_say_more_is_asked():
    brief, long = (CLAUDE.model_copy(update={"name": str(n), "max_tokens": n}) for n in (100, 1024))
    for judges in ((brief, long), (long, brief)):
        planned = plan([an_eval(*judges, questions=ONE)], responses("b0", "b1"), responses("f0"), 1)
        assert {ask.call.max_tokens for ask in to_asks(planned)} == {1024}
