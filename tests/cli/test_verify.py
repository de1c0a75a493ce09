import shutil

import pytest

from flows.cli.report import report_again, write_parquet
from flows.cli.verify import show_checks, verify
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.files import write_rows, write_text
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.runs import Run
from tests.conftest import make_data_folder
from tests.fakes.nouns import LEXICON, an_eval, write_answers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A reported run of four questions that a lexicon judged, in a data folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(make_data_folder(tmp_path_factory.mktemp("made"))))
        experiment, one = load_experiment("demo").model_copy(update={"evals": ["e"]}), an_eval(LEXICON)
        run = Run.open(experiment, [one], "one")
        run.note(seed=0)
        answers = write_answers(run, ("a farm", "two cats"), ("farms and animal welfare", "<script>a dog</script>"))
        write_rows(run.judged, judge_all(plan([one], *answers, 2), Store()))
        report_again(run, [])
        yield run


@pytest.fixture
def run(made, data):
    """A copy of it, to be tampered with."""
    place = data / "results" / "demo" / "one"
    shutil.copytree(made.folder, place)
    return Run(place)


def faults(run):
    return {check.what: check.fault for check in verify(run) if check.fault}


def test_a_run_that_is_as_it_was_made_holds_in_every_check(run, capsys):
    assert faults(run) == {}
    assert show_checks(run)
    assert "checks hold: the report follows from the run's rows." in capsys.readouterr().out


def test_a_score_that_was_changed_is_named_and_so_is_everything_that_it_was_made_into(run, capsys):
    rows = run.judgments()
    rows[0] = rows[0].model_copy(update={"score": 1 if rows[0].score != 1 else 2})
    write_rows(run.judged, rows)
    found = faults(run)
    said = found["every score was said: replies read again, words counted again"]
    assert said == f"lexicon, q1, {rows[0].side} sample 0 does not follow"
    assert "and follows as" in found["effects.csv"]
    assert {"report.html", "results.md", "charts/effects_e.csv"} <= set(found)
    assert not show_checks(run)
    assert "makes the rest anew" in capsys.readouterr().out


def test_a_number_that_was_changed_in_a_table_is_named_with_its_row_and_column(run):
    text = run.effects.read_text()
    difference = str(run.estimates()[0].difference)
    write_text(run.effects, text.replace(difference, "9.5", 1))
    assert faults(run)["effects.csv"] == f"row 1: difference is 9.5, and follows as {difference}"


def test_judgments_that_are_gone_twice_there_or_of_another_judge_are_named(run):
    rows = run.judgments()
    write_rows(run.judged, [*rows[1:], rows[1]])
    found = faults(run)
    assert found["every one of 16 answers to be judged has one judgment"].endswith("sample 0 has none")
    write_rows(run.judged, [*rows, rows[1]])
    assert faults(run)["every one of 16 answers to be judged has one judgment"].endswith("is there twice")
    write_rows(run.judged, [rows[0].model_copy(update={"rubric": "another"}), *rows[1:]])
    assert faults(run)["every judgment was made by the judge that the run's eval defines"].endswith("does not follow")
    write_rows(run.judged, [rows[0].model_copy(update={"tier": "distant"}), *rows[1:]])
    assert faults(run)["every judgment names the question and the tier of its answer"].endswith("does not follow")


def test_a_judgment_of_no_answer_and_words_that_were_put_in_a_lexicons_mouth_are_named(run):
    rows = run.judgments()
    write_rows(run.judged, [*rows, rows[0].model_copy(update={"sample": 7})])
    assert faults(run)["every one of 16 answers to be judged has one judgment"].endswith("sample 7 is of no answer")
    for change in ({"reasoning": "Because I say so."}, {"state": "failed", "score": None}):
        write_rows(run.judged, [rows[0].model_copy(update=change), *rows[1:]])
        assert "every score was said: replies read again, words counted again" in faults(run)


def test_a_picture_that_was_drawn_otherwise_is_named(run):
    picture = run.charts / "effects_e.svg"
    write_text(picture, picture.read_text().replace("Fine-tuned minus baseline", "Anything", 1))
    assert faults(run) == {"charts/effects_e.svg": "is drawn otherwise than its table is now"}
    write_text(run.report, run.report.read_text().replace("base64,", "base64,AAAA", 1))
    assert "report.html" in faults(run)


def test_a_resume_of_a_finished_run_leaves_it_one_that_holds(run):
    run.note(finished="later")
    assert faults(run) == {}


def test_a_file_that_is_missing_or_is_made_of_nothing_is_named(run):
    run.results.unlink()
    write_text(run.charts / "boxes_other.csv", "a\n1\n")
    found = faults(run)
    assert found["results.md"] == "is not there, and should be"
    assert found["charts/boxes_other.csv"] == "is there, and nothing in the rows makes it"


def test_a_run_without_a_report_is_refused(run):
    run.report.unlink()
    with pytest.raises(UserError, match=r"has no report yet; finish it with `spillover run"):
        verify(run)


def test_a_run_is_one_parquet_file_with_a_row_for_each_answer_and_judge(run, tmp_path):
    import polars

    file = tmp_path / "run.parquet"
    assert write_parquet(run, file) == 16
    table = polars.read_parquet(file)
    assert table["run"].unique().to_list() == ["one"]
    scores = {(j.question_id, j.side, j.sample): j.score for j in run.judgments()}
    assert {(r["question_id"], r["side"], r["sample"]): r["score"] for r in table.to_dicts()} == scores
    assert table.filter(side="finetuned", sample=1)["response"].unique().to_list() == ["<script>a dog</script>"]
    assert set(table["response_state"]) == {"complete"}


def test_a_run_without_judgments_makes_no_parquet_file(run, tmp_path):
    run.judged.unlink()
    with pytest.raises(UserError, match="has no judgments yet"):
        write_parquet(run, tmp_path / "x.parquet")
