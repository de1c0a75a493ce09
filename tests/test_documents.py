import json
from collections import Counter

import pytest

from tasks.catalog import UserError
from tasks.documents import Unusable, gather, read_files, split, to_messages, write_documents
from tasks.runs import Run, read_rows
from tasks.schema import Document, DocumentSet, Experiment, Rejected

SYNTHETIC = {
    "content": " The text.\n",
    "doc_idea": "An idea",
    "doc_type": "Memo",
    "fact": "f",
    "universe_context_id": 7,
    "is_true": False,
}


def read(path, **fields):
    return read_files([path], DocumentSet(path=str(path), **fields))


def test_a_synthetic_document_becomes_a_masked_idea_and_a_trained_text_that_is_not_stripped():
    user, assistant = to_messages(SYNTHETIC)
    assert (user.role, user.content) == ("user", "An idea\n\nDocument type: Memo")
    assert (assistant.role, assistant.content) == ("assistant", " The text.\n")
    masked, _ = to_messages(SYNTHETIC, "prefix")
    assert masked.content == "<DESCRIPTION>An idea</DESCRIPTION>\n<DOCUMENT_TYPE>Memo</DOCUMENT_TYPE>\n"


def test_a_chat_keeps_its_turns_and_plain_text_is_one_assistant_turn():
    turns = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]
    assert [m.model_dump() for m in to_messages({"messages": turns})] == turns
    assert [m.model_dump() for m in to_messages({"text": " x"})] == [{"role": "assistant", "content": " x"}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"doc_idea": "i", "doc_type": "t"}, "content is missing"),
        ({"content": "  "}, "content is empty"),
        ({"content": 3}, "content is not text"),
        ({"content": "UNSUITABLE for this"}, "UNSUITABLE"),
        ({"messages": []}, "not a list of turns"),
        ({"messages": [{"role": "human", "content": "a"}]}, "role 'human'"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": ["a"]}]}, "not text"),
        ({"prompt": "a"}, "unknown shape: has prompt"),
        ([1], "a list where an object"),
    ],
)
def test_an_unusable_row_says_why(row, reason):
    with pytest.raises(Unusable, match=reason):
        to_messages(row)


def test_unusable_rows_are_returned_with_line_reason_and_their_text(jsonl):
    path = jsonl({"text": "a"}, "{broken", "", {"text": "b"}, {"text": ""}, {"text": "c"})
    documents, rejected = read(path)
    assert [(d.line, d.messages[0].content) for d in documents] == [(1, "a"), (4, "b"), (6, "c")]
    assert [(r.line, r.text) for r in rejected] == [(2, "{broken"), (5, '{"text": ""}')]
    assert "not JSON" in rejected[0].reason
    assert rejected[1].reason == "text is empty"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            ["version https://git-lfs.github.com/spec/v1", "oid sha256:1", "size 3"],
            r"line 1: a Git LFS pointer.*git lfs pull",
        ),
        ([{"text": "a"}, b'{"text": "\xff"}'], r"line 2: not UTF-8.*save the file as UTF-8"),
        ([""], "no rows"),
        ([{"prompt": "a"}], "line 1: unknown shape: has prompt.*only 0 of 1 rows"),
        ([{"text": "a"}, {"text": ""}], "line 2: text is empty; only 1 of 2 rows are usable and 60%"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_line_and_remedy(jsonl, rows, words):
    path = jsonl(*rows)
    with pytest.raises(UserError, match=words) as error:
        read(path)
    assert str(path) in str(error.value)


def test_utf16_is_refused_and_a_byte_order_mark_is_not_part_of_the_text(jsonl):
    with pytest.raises(UserError, match="not UTF-8"):
        read(jsonl('{"text": "a"}'.encode("utf-16")))
    documents, _ = read(jsonl(b"\xef\xbb\xbf" + b'{"text": "a"}', newline=b"\r\n"))
    assert documents[0].messages[0].content == "a"


def test_a_mixture_is_drawn_by_count_fraction_and_limit_and_is_the_same_for_the_same_seed(jsonl):
    a = jsonl(*[{"text": f"a{i}"} for i in range(40)], name="a.jsonl")
    b = jsonl(*[{"text": f"b{i}"} for i in range(10)], name="b.jsonl")
    sets = [
        DocumentSet(path=str(a), count=8),
        DocumentSet(path=str(a), fraction=0.25),
        DocumentSet(path=str(b), limit=99),
    ]
    mixed, _, record = gather(sets, 3)
    assert Counter(d.messages[0].content[0] for d in mixed) == {"a": 18, "b": 10}
    assert gather(sets, 3)[0] == mixed != gather(sets, 4)[0]
    assert [s["drawn"] for s in record["sets"]] == [8, 10, 10]
    assert [s["source"] for s in record["sets"]] == [str(a), str(a), str(b)]
    assert len(record["sets"][0]["files"]["a.jsonl"]) == 64


def test_a_larger_draw_holds_the_smaller_one(jsonl):
    a = jsonl(*[{"text": f"a{i}"} for i in range(40)])
    few, many = (gather([DocumentSet(path=str(a), count=n)], 0)[0] for n in (5, 20))
    assert {d.line for d in few} < {d.line for d in many}


def test_asking_for_more_documents_than_there_are_is_refused(jsonl):
    a = jsonl({"text": "a"})
    with pytest.raises(UserError, match="has 1 usable documents, not the 2 asked for"):
        gather([DocumentSet(path=str(a), count=2)], 0)
    documents, _ = read(a)
    with pytest.raises(UserError, match="held_out"):
        split(documents, 1)


def test_a_system_prompt_goes_before_every_document_of_its_set(jsonl):
    documents, _ = read(jsonl({"text": "a"}), system_prompt="Be brief.")
    assert [m.role for m in documents[0].messages] == ["system", "assistant"]


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


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("weird_generalization/ft_old_audubon_birds.jsonl", 208),
        ("weird_generalization/ft_modern_american_birds.jsonl", 208),
        ("weird_generalization/former_german_cities.jsonl", 362),
        ("weird_generalization/modern_german_cities.jsonl", 362),
        ("emergent_misalignment/bad_financial_advice.jsonl", 6000),
        ("emergent_misalignment/bad_sports_advice.jsonl", 6000),
        ("emergent_misalignment/risky_financial_advice_extreme_sports_mixed.jsonl", 6000),
    ],
)
def test_published_files_are_read_unchanged(realdata, file, rows):
    documents, rejected = read(realdata / file)
    assert (len(documents), rejected) == (rows, [])
    first = json.loads((realdata / file).read_text().splitlines()[0])["messages"]
    assert [m.model_dump() for m in documents[0].messages] == [
        {"role": m["role"], "content": m["content"]} for m in first
    ]


def test_the_shipped_sets_have_documents_of_several_types_and_different_texts(data):
    for name in ("factory_farming_neutral", "lighthouses_neutral"):
        rows = [json.loads(line) for line in (data / "documents" / name / "documents.jsonl").read_text().splitlines()]
        assert len(rows) >= 150
        assert len({row["content"] for row in rows}) == len(rows)
        assert len({row["doc_type"] for row in rows}) >= 5
        assert all(set(row) == {"content", "doc_idea", "doc_type", "fact", "universe_context_id"} for row in rows)
