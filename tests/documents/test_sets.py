import gzip
import json
from collections import Counter

import polars
import pytest

from tasks.catalog import UserError, validate
from tasks.documents.sets import gather, read_files, read_set, split
from tasks.schema import DocumentSet


def read(path, **fields):
    return read_files([path], DocumentSet(path=str(path), **fields))


def test_unusable_rows_are_returned_with_line_reason_and_their_text(jsonl):
    path = jsonl({"text": "a"}, "{broken", "", {"text": "b"}, {"text": ""}, {"text": "c"})
    documents, rejected, *_ = read(path)
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
        (["A page of the web.", "And its text."], r"line 1: not JSON.*: write each document as one line, \{\"text\": "),
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
    documents, *_ = read(jsonl(b"\xef\xbb\xbf" + b'{"text": "a"}', newline=b"\r\n"))
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
    assert [s["source"] for s in record["sets"]] == ["a.jsonl", "a.jsonl", "b.jsonl"]
    assert len(record["sets"][0]["files"]["a.jsonl"]) == 64


def test_a_larger_draw_holds_the_smaller_one(jsonl):
    a = jsonl(*[{"text": f"a{i}"} for i in range(40)])
    few, many = (gather([DocumentSet(path=str(a), count=n)], 0)[0] for n in (5, 20))
    assert {d.line for d in few} < {d.line for d in many}


def test_asking_for_more_documents_than_there_are_is_refused(jsonl):
    a = jsonl({"text": "a"})
    with pytest.raises(UserError, match="has 1 usable documents, not the 2 asked for"):
        gather([DocumentSet(path=str(a), count=2)], 0)
    documents, *_ = read(a)
    with pytest.raises(UserError, match="held_out"):
        split(documents, 1)


def test_a_system_prompt_goes_before_every_document_of_its_set(jsonl):
    documents, *_ = read(jsonl({"text": "a"}), system_prompt="Be brief.")
    assert [m.role for m in documents[0].messages] == ["system", "assistant"]


def test_sets_of_one_mixture_are_conditioned_each_in_its_way_and_the_record_says_how(jsonl):
    """As a file of the web's plain texts, with the fields that such files have, beside synthetic documents."""
    web = [{"text": f"Page {n}.\n\nMore.", "url": "https://a.example", "timestamp": "2020"} for n in range(30)]
    web_file = jsonl(*web, name="web.jsonl")
    ours = [{"content": f"Text {n}.", "doc_idea": "Hens", "doc_type": "Memo"} for n in range(10)]
    sets = [
        DocumentSet(path=str(jsonl(*ours, name="ours.jsonl")), conditioning="tag", tag="Document: ", weight=2),
        DocumentSet(path=str(web_file), conditioning="plain", weight=3),
    ]
    mixed, rejected, record = gather(sets, 0)
    assert (rejected, [(one["drawn"], one["conditioning"]) for one in record["sets"]]) == (
        [],
        [(10, "tag"), (15, "plain")],
    )
    assert [one.get("tag") for one in record["sets"]] == ["Document: ", None]
    tagged = [document for document in mixed if document.conditioning == "tag"]
    assert {document.messages[0].content for document in tagged} == {"Document: "}
    plain = [document for document in mixed if document.conditioning == "plain"]
    assert all(len(document.messages) == 1 and document.file == "web.jsonl" for document in plain)
    assert gather([DocumentSet(path=str(web_file))], 0)[2]["sets"][0]["conditioning"] == "chat"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tag": "<D>"}, "tag is not read with conditioning chat: set conditioning to tag"),
        ({"tag": " ", "conditioning": "tag"}, "it is empty: write a text"),
        ({"system_prompt": "s", "conditioning": "plain"}, "system_prompt has no place with conditioning plain: leave"),
        ({"conditioning": "third"}, "input should be 'chat', 'prefix', 'tag', 'first_third' or 'plain'"),
    ],
)
def test_a_conditioning_that_makes_no_sense_is_refused(fields, words):
    with pytest.raises(UserError, match=words):
        validate(DocumentSet, {"name": "a", **fields}, "documents.0")


def test_chats_in_a_conditioning_of_texts_are_refused_with_their_line(jsonl):
    path = jsonl({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    with pytest.raises(
        UserError, match="line 1: conditioning plain is for synthetic documents and plain text, not for"
    ):
        read(path, conditioning="plain")


@pytest.mark.parametrize(
    "file",
    [
        "weird_generalization/ft_old_audubon_birds.jsonl",
        "weird_generalization/ft_modern_american_birds.jsonl",
        "weird_generalization/former_german_cities.jsonl",
        "weird_generalization/modern_german_cities.jsonl",
        "emergent_misalignment/bad_financial_advice.jsonl",
        "emergent_misalignment/bad_sports_advice.jsonl",
        "emergent_misalignment/risky_financial_advice_extreme_sports_mixed.jsonl",
    ],
)
def test_published_files_are_read_unchanged(realdata, file):
    documents, rejected, unused, *_ = read(realdata / file)
    rows = [json.loads(line)["messages"] for line in (realdata / file).read_text().splitlines()]
    assert (rejected, unused) == ([], {})
    assert [[m.model_dump() for m in one.messages] for one in documents] == [
        [{"role": m["role"], "content": m["content"]} for m in row] for row in rows
    ]


ROWS = [{"text": f"{n}"} for n in range(4)]


def test_a_folder_is_read_in_every_form_and_what_else_is_in_it_is_named(tmp_path):
    place = tmp_path / "set"
    place.mkdir()
    (place / "a.jsonl").write_text('{"text": "0"}\n')
    (place / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "1"}\n'))
    (place / "c.json").write_text('[{"text": "2"}]')
    polars.DataFrame(ROWS[3:]).write_parquet(place / "D.PARQUET")
    (place / "README.md").write_text("Read me.")
    (place / "more.csv").write_text("text\n4\n")
    (place / ".hidden.jsonl").write_text('{"text": "5"}\n')
    (place / "mixed.manifest.jsonl").write_text('{"row": 1}\n')
    (place / "older").mkdir()
    found = read_set(DocumentSet(path=str(place)))
    assert sorted(d.messages[0].content for d in found.documents) == ["0", "1", "2", "3"]
    assert found.left_out == [".hidden.jsonl", "README.md", "mixed.manifest.jsonl", "more.csv", "older/"]
    _, _, record = gather([DocumentSet(path=str(place))], 0)
    assert record["sets"][0]["left_out"] == found.left_out
    assert sorted(record["sets"][0]["files"]) == ["D.PARQUET", "a.jsonl", "b.jsonl.gz", "c.json"]
    for file in found.files:
        alone = read_set(DocumentSet(path=str(file)))
        assert (len(alone.documents), alone.left_out) == (1, []), file


def test_a_folder_without_documents_says_what_is_there_and_one_with_the_same_ones_twice_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("text\na\n")
    with pytest.raises(UserError, match=r"no \.jsonl, .*, \.parquet file in .* \(there is data/, rows\.csv\)"):
        read_set(DocumentSet(path=str(tmp_path)))
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    with pytest.raises(UserError, match=r"rows\.jsonl and rows\.jsonl\.gz in .* look like the same documents twice"):
        read_set(DocumentSet(path=str(tmp_path)))


def test_a_chat_in_a_table_of_parquet_is_the_same_as_in_json(tmp_path):
    turns = [{"role": "user", "content": "a", "weight": None}, {"role": "assistant", "content": "b", "weight": 0}]
    chats = [
        {"messages": [*turns, {"role": "assistant", "content": "c", "weight": 1}], "tools": None, "id": n}
        for n in (1, 2)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(chats))
    polars.DataFrame(chats).write_parquet(tmp_path / "rows.parquet")
    one, other = (read(tmp_path / f"rows.{kind}") for kind in ("json", "parquet"))
    assert [d.messages for d in one.documents] == [d.messages for d in other.documents]
    assert [m.carries_loss for m in one.documents[0].messages] == [False, False, True]
    assert one.unused == other.unused == {"id": 2}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"text": "half of a hen \\ud83d"}', "half a character: an escape such as"),
        ('{"text": "a", "text": "b"}', "the key 'text' is there twice"),
        ('{"messages": [{"role": "assistant", "content": "a", "content": "b"}]}', "the key 'content' is there twice"),
    ],
)
def test_half_a_character_and_a_key_that_is_there_twice_are_one_rejected_row_as_it_stands(jsonl, row, reason):
    found = read(jsonl({"text": "a"}, row, {"text": "whole \ud83d\udc14"}))
    assert [d.messages[0].content for d in found.documents] == ["a", "whole \N{CHICKEN}"]
    (rejected,) = found.rejected
    assert (rejected.line, rejected.text) == (2, row)
    assert reason in rejected.reason
    assert rejected.model_dump_json()


def test_keys_that_no_document_is_made_of_are_counted(jsonl):
    rows = [{"text": "a", "source": "x"}, {"text": "b", "source": "y", "url": "z"}, {"text": "c"}]
    path = jsonl(*rows)
    assert read(path).unused == {"source": 2, "url": 1}
    assert gather([DocumentSet(path=str(path))], 0)[2]["sets"][0]["unused"] == {"source": 2, "url": 1}
