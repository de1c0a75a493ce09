import gzip
import json
import os
import time

import polars
import pytest

from tasks.catalog import UserError
from tasks.documents.documents import check_documents_task
from tasks.documents.inbox import copy_of, find_sets, is_known, keep_copy, remember
from tasks.documents.sets import refuse_unusable_rows
from tasks.schema import DocumentSet

ROW = json.dumps({"text": "A wren sings."}) + "\n"


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "inbox"
    place.mkdir()
    return place


@pytest.fixture
def later(monkeypatch):
    """Moves the clock: a change time cannot be set."""

    clock = time.time

    def move(seconds):
        monkeypatch.setattr(time, "time", lambda: clock() + seconds)

    return move


def test_files_and_folders_of_files_are_sets_and_what_is_hidden_or_something_else_is_not(folder):
    (folder / "birds.jsonl").write_text(ROW)
    (folder / "towns").mkdir()
    (folder / "towns" / "b.jsonl").write_text(ROW)
    (folder / "towns" / "a.jsonl").write_text(ROW)
    (folder / "towns" / ".c.jsonl").write_text(ROW)
    (folder / "empty").mkdir()
    for name in (".hidden.jsonl", "_draft.jsonl", "notes.txt"):
        (folder / name).write_text(ROW)
    found = find_sets(folder)
    assert [(one.name, [file.name for file in one.files], one.left_out) for one in found] == [
        ("birds", ["birds.jsonl"], []),
        ("towns", ["a.jsonl", "b.jsonl"], [".c.jsonl"]),
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"folder: '.*nowhere' is not a folder; make it, or name the one"):
        find_sets(tmp_path / "nowhere")


def test_a_set_is_taken_when_nothing_was_written_to_it_for_a_while(folder, later):
    (folder / "birds.jsonl").write_text(ROW)
    (one,) = find_sets(folder)
    assert not one.is_complete(60)
    later(59)
    assert not one.is_complete(60)
    later(61)
    assert one.is_complete(60)
    os.utime(folder / "birds.jsonl", (1, 1))
    later(10)
    assert not one.is_complete(60), "a copied modification time is no rest"


@pytest.mark.parametrize("name", ["more.jsonl.part", "more.tmp", ".more.jsonl.x1y2z3"])
def test_a_folder_in_which_a_program_writes_is_not_complete(folder, later, name):
    (folder / "towns").mkdir()
    (folder / "towns" / "a.jsonl").write_text(ROW)
    (folder / "towns" / name).write_text("{")
    (one,) = find_sets(folder)
    later(100_000)
    assert not one.is_complete(60)
    (folder / "towns" / name).unlink()
    assert one.is_complete(60)


@pytest.mark.parametrize(("text", "is_whole"), [(ROW, True), (ROW.strip(), True), (ROW + '{"text": "ha', False)])
def test_a_last_line_that_is_not_whole_is_waited_for_an_hour(folder, later, text, is_whole):
    (folder / "birds.jsonl").write_text(text)
    (one,) = find_sets(folder)
    later(120)
    assert one.is_complete(60) == is_whole
    later(3_700)
    assert one.is_complete(60), "then it is looked at, and what is wrong is said"


def test_a_version_is_known_by_its_content_and_by_what_was_done_with_it(folder):
    (folder / "birds.jsonl").write_text(ROW)
    (one,) = find_sets(folder)
    assert not is_known(one.digest, "standin/seed-0")
    remember(one.digest, "standin/seed-0", "announced")
    (folder / "birds.jsonl").rename(folder / "wrens.jsonl")
    (renamed,) = find_sets(folder)
    assert is_known(renamed.digest, "standin/seed-0")
    assert not is_known(renamed.digest, "standin/seed-1")
    (folder / "wrens.jsonl").write_text(ROW * 2)
    (changed,) = find_sets(folder)
    assert not is_known(changed.digest, "standin/seed-0")


def test_rows_that_moved_from_one_file_to_another_are_another_version(folder):
    (folder / "s").mkdir()
    (folder / "s" / "a.jsonl").write_text(ROW * 2)
    (folder / "s" / "b.jsonl").write_text(ROW)
    before = find_sets(folder)[0].digest
    (folder / "s" / "a.jsonl").write_text(ROW)
    (folder / "s" / "b.jsonl").write_text(ROW * 2)
    assert find_sets(folder)[0].digest != before


def test_a_copy_of_the_version_is_kept_and_none_where_it_was_changed_meanwhile(folder):
    (folder / "birds.jsonl").write_text(ROW)
    (one,) = find_sets(folder)
    assert keep_copy(one)
    assert (copy_of(one) / "birds.jsonl").read_text() == ROW
    (folder / "birds.jsonl").write_text(ROW * 2)
    (two,) = find_sets(folder)
    assert two.digest
    (folder / "birds.jsonl").write_text(ROW * 3)
    assert not keep_copy(two)


def test_the_same_content_under_another_name_is_not_added_to_the_copy(folder):
    (folder / "s").mkdir()
    (folder / "s" / "a.jsonl").write_text(ROW)
    assert keep_copy(find_sets(folder)[0])
    (folder / "s" / "a.jsonl").rename(folder / "s" / "part1.jsonl")
    (renamed,) = find_sets(folder)
    assert keep_copy(renamed)
    assert [file.name for file in copy_of(renamed).iterdir()] == ["a.jsonl"]


def test_one_unusable_row_is_enough_to_refuse_a_set_that_nobody_looks_at(folder):
    file = folder / "birds.jsonl"
    file.write_text(ROW * 9 + '{"title": "no text"}\n')
    with pytest.raises(UserError, match=r"birds\.jsonl line 10: .*; mend or remove the row"):
        refuse_unusable_rows([file], DocumentSet(path=str(file)))
    file.write_text(ROW * 9)
    assert refuse_unusable_rows([file], DocumentSet(path=str(file))) == 9


def test_every_kind_of_documents_is_a_set_and_a_folder_says_what_is_not_read(folder):
    content = {"a.jsonl.gz": gzip.compress(ROW.encode()), "b.json": f"[{ROW}]".encode(), "c.parquet": parquet(folder)}
    for name, written in content.items():
        (folder / name).write_bytes(written)
    (folder / "towns").mkdir()
    for name in ("d.json", "README.md", "d.mixture.json"):
        (folder / "towns" / name).write_text(f"[{ROW}]")
    found = find_sets(folder)
    assert [(one.name, [file.name for file in one.files]) for one in found] == [
        ("a", ["a.jsonl.gz"]),
        ("b", ["b.json"]),
        ("c", ["c.parquet"]),
        ("towns", ["d.json"]),
    ]
    assert found[-1].left_out == ["README.md", "d.mixture.json"]
    for one in found:
        assert keep_copy(one)
        assert check_documents_task.fn(one.name, copy_of(one), DocumentSet(path=str(copy_of(one)))) == 1, one.name


def test_a_file_that_is_not_whole_is_waited_for_an_hour_whatever_its_kind(folder, later):
    whole = {"a.jsonl.gz": gzip.compress(ROW.encode()), "b.json": f"[{ROW}]".encode(), "c.parquet": parquet(folder)}
    for name, content in whole.items():
        (folder / name).write_bytes(content[:-4])
    later(120)
    assert [one.is_complete(60) for one in find_sets(folder)] == [False] * 3
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    later(120)
    assert [one.is_complete(60) for one in find_sets(folder)] == [True] * 3


def parquet(folder):
    file = folder / "_rows.parquet"
    polars.DataFrame([json.loads(ROW)]).write_parquet(file)
    return file.read_bytes()
