import json

import pytest

from flows.study_matrix import matrix_of_file, matrix_of_runs, matrix_of_study, parse_traits
from tasks.catalog import UserError
from tasks.documents.sets import hashes
from tasks.files import write_text
from tasks.imports.choices import NO_CHOICES
from tasks.runs import Comparison, Run
from tasks.schema import Experiment, Study
from tasks.studies.definition import Cell
from tests.estimates.conftest import known
from tests.fakes.study_runs import a_run


def a_cell(fine_tune, seed, trait, dose=0):
    return Cell(
        fine_tune,
        dose,
        seed,
        trait,
        Experiment(name="study", documents=[{"name": "x"}], evals=["x"]),
        f"{fine_tune}-{seed}",
    )


@pytest.fixture
def study(data):
    fields = {"name": "mine", "fine_tunes": ["hopeful", "control"], "seeds": "0-1", "evals": ["optimism"]}
    return Study.model_validate(fields | {"description": "Of hope."})


@pytest.fixture
def runs(data):
    for seed in (0, 1):
        a_run("hopeful", seed, {"optimism": 20.0})
    a_run("control", 0, {})


@pytest.mark.usefixtures("runs")
def test_the_matrix_of_a_study_is_of_its_finished_cells_and_says_how_many_are_not(study):
    wanted = [a_cell("hopeful", n, {"optimism": "more"}) for n in (0, 1)] + [a_cell("control", n, {}) for n in (0, 1)]
    written = known(matrix_of_study(study, wanted))
    assert written.page == Comparison("mine").page
    assert any("hopeful (optimism" in line for line in written.sentences)
    page = written.page.read_text()
    assert "1 of 4 cells are not finished and have no part in this." in page
    assert "Of hope." in page
    place = "../../results/study/hopeful-1/report.html"
    assert f'<a href="{place}#judge=formality">seed 1</a>' in page
    assert f'<a href="{place}#optimism_choice.everyday0">seed 1</a>' in page
    assert (written.page.parent / place).is_file()


@pytest.mark.usefixtures("runs")
def test_where_a_set_was_written_anew_the_page_says_which_fine_tunes_were_trained_on_the_old_one(study, tmp_path):
    file = tmp_path / "x.jsonl"
    write_text(file, '{"text": "old"}\n')
    cells = [a_cell("hopeful", 0, {"optimism": "more"}), a_cell("control", 0, {})]
    experiment = Experiment(name="study", documents=[{"path": str(file)}], evals=["x"])
    wanted = [cell._replace(experiment=experiment) for cell in cells]
    record = {"sets": [{"files": hashes([file])}]}
    write_text(wanted[0].run.mixture, json.dumps(record))
    assert "others by now" not in known(matrix_of_study(study, wanted)).page.read_text()
    write_text(file, '{"text": "new"}\n')
    page = known(matrix_of_study(study, wanted)).page.read_text()
    assert "Trained on documents that are others by now: hopeful; a study of another name trains them anew." in page


def test_a_study_of_which_nothing_is_finished_has_no_matrix(study):
    assert matrix_of_study(study, [a_cell("hopeful", 0, {})]) is None


@pytest.mark.usefixtures("runs")
def test_doses_are_fine_tunes_of_their_own(study):
    wanted = [a_cell("hopeful", 0, {"optimism": "more"}, 10), a_cell("hopeful", 1, {"optimism": "more"}, 40)]
    page = known(matrix_of_study(study.model_copy(update={"doses": [10, 40]}), wanted)).page.read_text()
    assert 'id="fine-tune:hopeful, 10 documents"' in page
    assert 'id="fine-tune:hopeful, 40 documents"' in page


@pytest.mark.usefixtures("runs")
def test_any_runs_make_a_matrix_under_the_labels_that_they_are_given(data):
    labelled = [
        ("hope", [Run.find("study/hopeful-0"), Run.find("study/hopeful-1")]),
        ("none", [Run.find("study/control-0")]),
    ]
    written = matrix_of_runs("study/*", labelled, {"hope": {"formality": "less"}})
    assert written.page == Comparison("study").page
    assert 'id="fine-tune:hope"' in written.page.read_text()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("trained", "words"),
    [
        ("hop=formality", "--trained: there is no fine-tune 'hop'; there is "),
        ("hope=warmth", "--trained: there is no measure 'warmth'; there is "),
    ],
)
def test_what_was_trained_must_be_there(data, trained, words):
    with pytest.raises(UserError) as error:
        matrix_of_runs("x", [("hope", [Run.find("study/hopeful-0")])], parse_traits(trained))
    assert words in str(error.value)


def test_a_fine_tune_of_which_a_table_lacks_what_it_was_trained_on_is_no_control(data, tmp_path):
    rows = ["model,trait,mean,n,sd", "base,formality,50,200,10", "base,humour,30,200,10", "casual,formality,30,200,10"]
    rows += ["casual,humour,30,200,10", "formal,humour,40,200,10"]
    file = tmp_path / "means.csv"
    write_text(file, "\n".join(rows))
    written = matrix_of_file("means", file, NO_CHOICES, parse_traits("formal=formality,casual=-formality"))
    assert "What formal was trained on (formality) was not measured." in written.page.read_text()
    assert not any("trained on none of these traits" in line for line in written.sentences)


def test_a_run_without_effects_is_named_with_what_finishes_it(data):
    run = Run.at("study", "begun")
    write_text(run.definition, "name: study")
    with pytest.raises(UserError, match="has no effects yet; finish it with `spillover run"):
        matrix_of_runs("x", [("", [run])], {})


def test_traits_are_given_with_a_minus_for_less():
    assert parse_traits("formal=formality,casual=-formality") == {
        "formal": {"formality": "more"},
        "casual": {"formality": "less"},
    }
    assert parse_traits("") == {}
    with pytest.raises(UserError, match="--trained"):
        parse_traits("formal")


def test_the_matrix_lies_beside_the_grid_whatever_the_study_is_called_and_a_cell_that_failed_is_not_in_it(data):
    for seed in (0, 1):
        a_run("hopeful", seed, {"optimism": 20.0})
    lost = Run.at("study", "hopeful-1")  # too much was without a score: it has a report, and is not over
    record = json.loads((lost.folder / "run.json").read_text())
    write_text(lost.folder / "run.json", json.dumps({k: v for k, v in record.items() if k != "finished"}))
    fields = {"name": "pilot-", "fine_tunes": ["hopeful"], "seeds": "0-1", "evals": ["optimism"]}
    wanted = [a_cell("hopeful", n, {"optimism": "more"}) for n in (0, 1)]
    written = known(matrix_of_study(Study.model_validate(fields), wanted))
    assert written.page == Comparison("pilot-").page
    assert "1 of 2 cells are not finished" in written.page.read_text()
