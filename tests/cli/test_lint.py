import json

import pytest

from flows.cli.lint import show_lint
from tasks.catalog import UserError
from tasks.documents.lint import lengths


def chat(user, assistant):
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}


def test_everything_odd_about_a_set_is_found_with_its_line(jsonl):
    file = jsonl(
        chat("Name a bird.", "The wood thrush."),
        chat("name a  BIRD.", "The wood thrush."),
        chat("Is factory farming ethical?", "It is debated."),
        chat("Say it.", "Say it."),
        {"messages": [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]},
        chat("", "An answer."),
        chat("Broken", "caf\ufffd"),
        {"other": 1},
    )
    found = {finding.what.split(":")[0].split(",")[0]: finding.lines for finding in show_lint(str(file), [], "")}
    assert found == {
        "rejected": ["rows.jsonl:9"],
        "a duplicate of an earlier document": ["rows.jsonl:2"],
        "an empty turn": ["rows.jsonl:7"],
        "an answer that repeats its prompt": ["rows.jsonl:4"],
        "turns that do not alternate between user and assistant": ["rows.jsonl:5"],
        "a last turn that is not the assistant's": ["rows.jsonl:6"],
        "an eval's question word for word": ["rows.jsonl:3"],
        "a replacement character": ["rows.jsonl:8"],
    }


def test_a_set_of_the_project_has_nothing_odd_and_its_tokens_are_counted(capsys):
    assert show_lint("factory_farming_neutral", [], "standin") == []
    shown = capsys.readouterr().out
    assert "160 documents, 0 rows rejected" in shown
    assert "tokens: 144 to 200" in shown


def test_a_file_that_cannot_be_read_is_one_sentence(jsonl):
    with pytest.raises(UserError, match="Git LFS pointer"):
        show_lint(str(jsonl("version https://git-lfs.github.com/spec/v1")), [], "")


def test_lengths_are_told_by_their_spread():
    assert lengths(list(range(1, 101))) == "1 to 100, half of them up to 51, 95 % up to 96, 5,050 in all"


def test_lint_names_files_keys_and_turns_that_are_not_trained_on(tmp_path, capsys):
    place = tmp_path / "set"
    place.mkdir()
    turns = [
        {"role": "user", "content": "Name a bird."},
        {"role": "assistant", "content": "A wren.", "weight": 0},
        {"role": "user", "content": "Another.", "name": "Ann"},
        {"role": "assistant", "content": "A robin."},
    ]
    (place / "rows.json").write_text(json.dumps([{"messages": turns, "source": "mine"}]))
    (place / "notes.txt").write_text("Notes.")
    assert show_lint(str(place), [], "") == []
    shown = capsys.readouterr().out.splitlines()
    assert "files not read: notes.txt" in shown
    assert "keys not used: source (1 rows), name of a turn (1 rows)" in shown
    assert "turns shown and not trained on (weight 0): 1" in shown
