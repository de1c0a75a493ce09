import pytest

from tasks.definitions import load_experiment
from tasks.estimates.comparison import compare
from tasks.estimates.effects import write_effects
from tasks.estimates.groups import grouped
from tasks.files import write_rows
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.report.answers import of_groups, of_run
from tasks.runs import Run
from tests.fakes.nouns import LEXICON, an_eval, write_answers

NOT_AFTER_ONE = LEXICON.model_copy(update={"name": "later", "reads": "response", "only_if": "lexicon > 4"})


@pytest.fixture
def judged(data):
    """Makes a run of two judges, of which the later one judges no answer: its name, and two answers of each model."""

    def make(name, before=("a farm", "two cats"), after=("farms", "b"), seed=0):
        experiment = load_experiment("standin").model_copy(update={"name": name, "evals": ["e"]})
        evals = [an_eval(LEXICON, NOT_AFTER_ONE)]
        run = Run.open(experiment, evals, f"seed-{seed}")
        run.note(seed=seed)
        write_rows(run.judged, judge_all(plan(evals, *write_answers(run, before, after), 2), Store()))
        write_effects(run)
        return run

    return make


def shown(reading, question=0):
    return [
        [answer and answer.response.response for answer in row] for row in reading.questions[question].samples.values()
    ]


def test_both_models_answers_to_a_question_stand_beside_each_other_by_their_sample(judged):
    run = judged("x")
    reading = of_run(run, run.evals(), run.estimates())
    assert shown(reading) == [["a farm", "farms"], ["two cats", "b"]]
    assert list(reading.questions[0].samples) == [1, 2]
    assert [column.key for column in reading.columns] == ["baseline", "finetuned"]
    assert reading.questions[0].changes[0].startswith("lexicon ")


def test_an_answer_that_one_model_did_not_give_leaves_its_place_empty(judged):
    run = judged("x")
    write_rows(run.finetuned, run.responses()[1][1:])
    reading = of_run(run, run.evals(), run.estimates())
    assert shown(reading)[0] == ["a farm", None]


def test_words_are_marked_where_a_judge_counted_them_and_not_where_it_judged_nothing(judged):
    run = judged("x")
    reading = of_run(run, run.evals(), run.estimates())
    first = reading.questions[0].samples[1][0]
    assert first is not None
    assert first.text == 'a <mark class="c0" title="lexicon: farm*">farm</mark>'
    assert {j.judge: j.state for j in first.judgments} == {"lexicon": "scored", "later": "not scored"}


def test_of_runs_that_share_their_baseline_it_stands_there_once(judged):
    groups = grouped([[judged("x"), judged("x", seed=1)], [judged("y", after=("c", "d"))]], [])
    reading = of_groups(groups, compare(groups))
    assert [column.name for column in reading.columns] == ["Baseline", "x, seed 0", "x, seed 1", "y"]
    assert shown(reading) == [["a farm", "farms", "farms", "c"], ["two cats", "b", "b", "d"]]
    assert reading.questions[0].notes[1].startswith("y, fine-tuned minus baseline: lexicon ")


def test_of_runs_with_other_baselines_each_says_whose_it_is(judged):
    groups = grouped([[judged("x")], [judged("y", before=("other", "words"))]], [])
    reading = of_groups(groups, compare(groups))
    assert [column.name for column in reading.columns] == ["Baseline of x", "Baseline of y", "x", "y"]
    assert shown(reading)[0] == ["a farm", "other", "farms", "farms"]


def test_results_without_answers_show_their_questions_alone(judged):
    run = judged("x")
    run.finetuned.unlink()
    reading = of_run(run, run.evals(), run.estimates())
    assert [question.samples for question in reading.questions] == [{}] * 4
    assert reading.judges == []
