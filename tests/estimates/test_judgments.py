import json

from tasks.estimates.judgments import COLUMNS, at_checkpoint, judgments_frame, scan_judgments
from tasks.files import write_rows
from tests.fakes.nouns import LEXICON, an_eval, judgments


def test_the_file_gives_the_table_that_its_rows_give(tmp_path):
    rows = judgments("q1", "baseline", [1, None]) + judgments("q2", "finetuned", [3])
    write_rows(tmp_path / "judged.jsonl", rows)
    frame = scan_judgments(tmp_path / "judged.jsonl")
    assert frame.equals(judgments_frame(rows))
    assert frame.columns == list(COLUMNS)
    assert tuple(frame.select("eval", "question_id", "side", "sample", "trained_share").row(2)) == rows[2].answer_key


def test_a_file_without_rows_gives_a_table_without_rows(tmp_path):
    (tmp_path / "judged.jsonl").write_text("")
    assert scan_judgments(tmp_path / "judged.jsonl").equals(judgments_frame([]))


def test_rows_of_an_older_run_are_of_the_whole_training_and_without_a_label(tmp_path):
    (row,) = judgments("q1", "finetuned", [3])
    older = {name: value for name, value in row.model_dump().items() if name not in ("trained_share", "label")}
    (tmp_path / "judged.jsonl").write_text(json.dumps(older) + "\n")
    assert scan_judgments(tmp_path / "judged.jsonl").equals(judgments_frame([row]))


def test_a_checkpoint_has_its_own_answers_and_the_baselines():
    early = [row.model_copy(update={"trained_share": 0.5}) for row in judgments("q1", "finetuned", [2])]
    baseline = [row.model_copy(update={"trained_share": 0.0}) for row in judgments("q1", "baseline", [1])]
    other = [row.model_copy(update={"eval": "f"}) for row in early]
    frame = judgments_frame(baseline + early + other + judgments("q1", "finetuned", [4]))
    assert at_checkpoint(frame, an_eval(LEXICON), 0.5)["score"].to_list() == [1, 2]
    assert at_checkpoint(frame, an_eval(LEXICON), 1.0)["score"].to_list() == [1, 4]
