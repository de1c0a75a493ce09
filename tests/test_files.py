import os

import pytest

from tasks import files
from tasks.files import copy_file, read_once, read_rows, remove_unfinished, write_rows, write_text
from tasks.schema import Message


def test_rows_come_back_as_they_were_and_a_file_appears_only_when_it_is_whole(tmp_path):
    rows = [Message(role="user", content="a\u2028b\nc\r\n\x85"), Message(role="assistant", content="ü")]
    file = write_rows(tmp_path / "deep" / "rows.jsonl", rows)
    assert read_rows(file, Message) == rows

    def breaking():
        yield rows[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(file, breaking())
    assert read_rows(file, Message) == rows
    assert write_text(file, "new").read_text() == "new"
    assert [f.name for f in file.parent.iterdir()] == ["rows.jsonl"]


def test_what_a_process_that_is_gone_was_writing_is_removed_and_what_another_writes_stays(tmp_path):
    gone, ours, finished = (tmp_path / name for name in (".rows.jsonl.99999999", f".rows.jsonl.{os.getpid()}", "rows"))
    for file in (gone, ours, finished):
        file.write_text("")
    remove_unfinished(tmp_path)
    assert (gone.exists(), ours.exists(), finished.exists()) == (False, True, True)


@pytest.fixture
def count(monkeypatch):
    """The names of the files that are parsed, once for each time."""
    parsed: list[str] = []
    parse = files._parse_rows

    def counted(path, noun):
        parsed.append(path.name)
        return parse(path, noun)

    monkeypatch.setattr(files, "_parse_rows", counted)
    return parsed


def message(text):
    return Message(role="user", content=text)


def test_rows_are_parsed_once_until_their_file_changes(tmp_path, count):
    file = write_rows(tmp_path / "a.jsonl", [message("one")])
    first = read_rows(file, Message)
    first.append(message("of the caller's list alone"))
    assert read_rows(file, Message) == [message("one")]
    assert len(count) == 1
    write_rows(file, [message("two")])
    assert read_rows(file, Message) == [message("two")]
    with file.open("a") as appended:
        appended.write(message("three").model_dump_json() + "\n")
    assert len(read_rows(file, Message)) == 2
    copy_file(write_rows(tmp_path / "b.jsonl", []), file)
    assert read_rows(file, Message) == []
    assert len(count) == 4
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read_rows(file, Message)


def test_what_was_read_of_one_folder_is_kept_and_that_of_another_is_let_go(tmp_path, count):
    one, two, other = (write_rows(tmp_path / name, [message(name)]) for name in ("r/1", "r/2", "s/1"))
    for file in (one, two, one, two, other, one):
        read_rows(file, Message)
    assert count == ["1", "2", "1", "1"]


def test_a_file_that_is_too_large_is_read_anew_each_time(tmp_path, monkeypatch, count):
    monkeypatch.setattr(files, "LARGEST_KEPT", 10)
    file = write_rows(tmp_path / "a.jsonl", [message("one")])
    assert read_rows(file, Message) == read_rows(file, Message)
    assert len(count) == 2


def test_a_file_may_be_read_as_two_things_and_each_is_kept(tmp_path, count):
    file = write_rows(tmp_path / "a.jsonl", [message("one")])
    assert read_once(file, str, file.read_text) is read_once(file, str, file.read_text)
    assert read_rows(file, Message) == [message("one")]
