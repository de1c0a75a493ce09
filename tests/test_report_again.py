import polars
import pytest

from flows.report_again import report_again, write_parquet
from tasks.catalog import UserError
from tasks.schema import Rule


def test_a_run_is_one_parquet_file_with_a_row_for_each_answer_and_judge(reported_run, tmp_path):
    file = tmp_path / "run.parquet"
    assert write_parquet(reported_run, file) == 16
    table = polars.read_parquet(file)
    assert table["run"].unique().to_list() == ["one"]
    scores = {(j.question_id, j.side, j.sample): j.score for j in reported_run.judgments()}
    assert {(r["question_id"], r["side"], r["sample"]): r["score"] for r in table.to_dicts()} == scores
    assert table.filter(side="finetuned", sample=1)["response"].unique().to_list() == ["<script>a dog</script>"]
    assert set(table["response_state"]) == {"complete"}


def test_a_run_without_judgments_makes_no_parquet_file(reported_run, tmp_path):
    reported_run.judged.unlink()
    with pytest.raises(UserError, match="has no judgments yet"):
        write_parquet(reported_run, tmp_path / "x.parquet")


def test_a_run_of_statements_alone_says_where_its_probabilities_are(run_of_statements, tmp_path):
    with pytest.raises(UserError, match=r"are the rows of likelihoods\.jsonl"):
        write_parquet(run_of_statements, tmp_path / "x.parquet")


def test_a_rule_that_is_given_stays_with_the_run_and_one_of_its_name_takes_its_place(reported_run):
    report_again(reported_run, ["some: lexicon > 1"])
    report_again(reported_run, ["some: lexicon > 2"])
    assert reported_run.evals()[0].rules == [Rule(name="some", hit="lexicon > 2")]
    assert {effect.rule for effect in reported_run.estimates() if effect.measure == "some"} == {"lexicon > 2"}


def test_beside_a_rule_stands_what_papers_report_of_all_answers_alike(reported_run):
    report_again(reported_run, ["high: lexicon >= 3"])
    whole = next(e for e in reported_run.estimates() if e.measure == "high" and e.is_overall)
    page = reported_run.report.read_text()
    assert f"as papers often have it, it goes from {whole.baseline_pooled:.3f} to {whole.finetuned_pooled:.3f}" in page
