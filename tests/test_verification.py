import pytest

from flows.cli.imports import import_file
from flows.verification import verify
from tasks.catalog import UserError
from tasks.files import write_rows
from tasks.runs import Run
from tests.fakes.imported import as_csv


@pytest.fixture
def run(reported_run):
    return reported_run


def faults(run):
    return {check.claim: check.fault for check in verify(run) if check.fault}


def test_a_run_that_is_as_it_was_made_holds_in_every_check(run):
    assert faults(run) == {}


def test_a_score_that_was_changed_is_named_and_so_is_everything_that_it_was_made_into(run):
    rows = run.judgments()
    rows[0] = rows[0].model_copy(update={"score": 1 if rows[0].score != 1 else 2})
    write_rows(run.judged, rows)
    found = faults(run)
    said = found["every score was said: replies read again, words counted again"]
    assert said == f"lexicon, q1, {rows[0].side} sample 0 does not follow"
    assert "recomputed" in found["effects.csv"]
    assert {"report.html", "results.md", "charts/effects_e.csv"} <= set(found)


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


def test_a_resume_of_a_finished_run_leaves_it_one_that_holds(run):
    run.note(finished="later")
    assert faults(run) == {}


def test_a_run_without_a_report_is_refused(run):
    run.report.unlink()
    with pytest.raises(UserError, match=r"has no report yet; finish it with `spillover run"):
        verify(run)


def test_an_imported_score_that_its_cell_does_not_say_is_named(data, tmp_path):
    rows = [
        {"model": model, "question_id": "q", "aligned": score, "bad": bad}
        for model, score, bad in [("base", "90", "1 of 4"), ("tuned", "CODE", "3 of 4"), ("tuned", "85", "3 of 4")]
    ]
    import_file(as_csv(tmp_path / "theirs.csv", rows))
    run = Run.find("theirs")
    assert faults(run) == {}
    judgments = run.judgments()
    for wrong, score in ((1, 0), (5, 3)):
        changed = judgments[wrong].model_copy(update={"score": score, "state": "scored"})
        write_rows(run.judged, [*judgments[:wrong], changed, *judgments[wrong + 1 :]])
        said = f"{changed.judge}, q, {changed.side} sample 0 is not"
        assert faults(run)["every imported score is what its cell says"] == said
