import pytest

from flows.so_far import write_so_far
from tasks.definitions import as_yaml, load_experiment
from tasks.documents.documents import write_documents
from tasks.files import write_text
from tasks.models.training import checkpoint_folder
from tasks.runs import Run
from tasks.schema import Judge, Scale
from tests.fakes.nouns import LEXICON, an_eval, write_answers


@pytest.fixture
def run(data):
    experiment = load_experiment("standin", ["sampling.n_samples=2"]).model_copy(update={"evals": ["e"]})
    run = Run.open(experiment, [an_eval(LEXICON)], "one")
    run.note(seed=0)
    return run


def test_a_run_that_has_just_begun_has_a_page(run, tmp_path):
    page = write_so_far(run, tmp_path).read_text()
    assert "The run is not finished:</b> begun" in page
    assert 'http-equiv="refresh"' in page


def test_a_training_that_goes_on_shows_its_curve_so_far(run, tmp_path):
    write_documents(run, run.experiment(), 0)
    run.note(training_key="abc")
    growing = checkpoint_folder("abc").with_name(".abc.1") / "metrics.jsonl"
    write_text(growing, '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n')
    page = write_so_far(run, tmp_path).read_text()
    assert "Training curve: loss by step" in page
    assert "loss 2.500 to 2.250" in page


def test_while_answers_are_judged_the_page_shows_those_that_the_store_has(run, tmp_path):
    write_answers(run, ("a farm", "<img src=x onerror=alert(1)>"), ("a farm", "<img src=x onerror=alert(1)>"))
    page = write_so_far(run, tmp_path).read_text()
    assert "16 of 16 answers are judged" in page
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 8
    assert not run.judged.is_file(), "looking changes nothing"
    assert not run.effects.is_file()


def test_a_judge_that_waits_for_another_is_not_counted_before_that_one_was_heard(run, tmp_path):
    first = Judge(name="coherent", kind="claude", prompt="?", scale=Scale(low=0, high=100))
    second = first.model_copy(update={"name": "aligned", "only_if": "coherent >= 50"})
    write_text(run.evals_folder / "e.yaml", as_yaml(an_eval(first, second, LEXICON)))
    write_answers(run, ("a farm", "a dog"), ("a farm", "a dog"))
    page = write_so_far(run, tmp_path).read_text()
    assert "16 of 48 answers are judged" in page
    assert "only_if coherent" not in page
