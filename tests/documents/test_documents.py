import json

from tasks.documents.documents import not_trained_on, write_documents
from tasks.files import read_rows
from tasks.runs import Run
from tasks.schema import Document, DocumentSet, Experiment, Rejected


def test_the_run_folder_holds_documents_rejected_rows_and_the_mixture(jsonl, tmp_path):
    path = jsonl({"text": "a\u2028b"}, {"text": "c"}, {"text": "d"}, "no json")
    experiment = Experiment(name="x", documents=[DocumentSet(path=str(path))], evals=["e"], training={"held_out": 1})
    run = Run(tmp_path / "run")
    assert write_documents(run, experiment, seed=0) == 2
    kept = read_rows(run.documents, Document) + read_rows(run.held_out, Document)
    assert {d.messages[0].content for d in kept} == {"a\u2028b", "c", "d"}
    assert [r.line for r in read_rows(run.rejected, Rejected)] == [4]
    mixture = json.loads(run.mixture.read_text())
    assert (mixture["seed"], mixture["documents"], mixture["held_out"]) == (0, 3, 1)


def test_the_shipped_sets_have_documents_of_several_types_and_different_texts(data):
    for name in ("factory_farming_neutral", "lighthouses_neutral"):
        rows = [json.loads(line) for line in (data / "documents" / name / "documents.jsonl").read_text().splitlines()]
        assert len(rows) >= 150
        assert len({row["content"] for row in rows}) == len(rows)
        assert len({row["doc_type"] for row in rows}) >= 5
        assert all(set(row) == {"content", "doc_idea", "doc_type", "fact", "universe_context_id"} for row in rows)


def test_what_was_not_trained_on_is_said_when_documents_are_read(tmp_path):
    place = tmp_path / "set"
    place.mkdir()
    (place / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n{"text": "\\ud83d"}\n')
    (place / "README.md").write_text("Read me.")
    run = Run(tmp_path / "run")
    write_documents(run, Experiment(name="x", documents=[DocumentSet(path=str(place))], evals=["e"]), seed=0)
    assert not_trained_on(json.loads(run.mixture.read_text())) == ", 1 rows rejected, not read: README.md"
    assert read_rows(run.rejected, Rejected)[0].text == '{"text": "\\ud83d"}'


def test_a_turn_without_loss_is_written_down_as_one(jsonl, tmp_path):
    turns = [{"role": "assistant", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"}]
    run = Run(tmp_path / "run")
    path = jsonl({"messages": turns})
    write_documents(run, Experiment(name="x", documents=[DocumentSet(path=str(path))], evals=["e"]), seed=0)
    (document,) = read_rows(run.documents, Document)
    assert [m.carries_loss for m in document.messages] == [False, True]


def test_fields_that_were_left_unread_are_said_but_for_the_labels_of_published_documents():
    mixture = {"sets": [{"rejected": 0, "left_out": [], "unused": {"fact": 9, "is_true": 9, "loss": 2}}]}
    assert not_trained_on(mixture) == ", not read: the field loss"
