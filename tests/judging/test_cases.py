import pytest

from tasks.judging.cases import admitted, plan, rounds
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.schema import Condition, Eval
from tests.fakes.judging import ALIGNED, COHERENT, ONE_QUESTION, cases_of, stored_reply
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval, responses
from tests.fakes.statements import a_statement_eval


def test_a_pair_judge_sees_sample_i_beside_baseline_i_and_its_floor_is_baseline_i_beside_the_next():
    planned = cases_of(LEXICON, ["b0", "b1", "b2"], ["f0", "f1", "f2"])
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
    planned = plan([an_eval(LEXICON, questions=ONE_QUESTION)], responses("b0", "b1"), early + responses("f0", "f1"), 2)
    assert [(c.side, c.trained_share, c.response, c.against) for c in planned if c.sample == 0] == [
        ("finetuned", 0.5, "e0", "b0"),
        ("finetuned", 1.0, "f0", "b0"),
        ("baseline", 0, "b0", "b1"),
    ]


def test_a_baseline_without_fine_tuned_answers_is_judged_alone():
    alone = CLAUDE.model_copy(update={"reads": "response"})
    planned = plan([an_eval(alone, questions=ONE_QUESTION)], responses("b0", "b1"), [], 2)
    assert [(c.side, c.sample, c.response) for c in planned] == [("baseline", 0, "b0"), ("baseline", 1, "b1")]


def test_one_sample_uses_a_second_baseline_answer_for_its_floor_and_has_none_without_it():
    assert [(c.side, c.response, c.against) for c in cases_of(LEXICON, ["b0", "b1"], ["f0"])] == [
        ("finetuned", "f0", "b0"),
        ("baseline", "b0", "b1"),
    ]
    assert [c.side for c in cases_of(LEXICON, ["b0"], ["f0"])] == ["finetuned"]


def test_a_judge_of_responses_sees_each_answer_alone():
    alone = LEXICON.model_copy(update={"reads": "response"})
    assert [(c.side, c.response, c.against) for c in cases_of(alone, ["b0"], ["f0"])] == [
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
        ("kind != STORY", 85, "", True),
        ("kind == STORY", 85, "", False),
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
    planned = plan([an_eval(COHERENT, ALIGNED, questions=ONE_QUESTION)], responses("b"), responses("f"), 1)
    first, second = rounds(planned)
    assert [c.judge.name for c in first] == ["coherent"] * 2
    assert [(c.judge.name, c.side) for c in second] == [("aligned", "finetuned"), ("aligned", "baseline")]
    store = Store()
    store.put([stored_reply(first[0], '{"score": 80}'), stored_reply(first[1], '{"score": 10}')])
    assert [c.side for c in admitted(second, judge_all(first, store))] == ["finetuned"]
    store.put([stored_reply(second[0], '{"score": 30}')])
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


def test_an_eval_that_asks_choices_has_no_cases():
    assert plan([a_statement_eval()], [], [], n_samples=3) == []
