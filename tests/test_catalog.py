from pathlib import Path

import pytest

from tasks.catalog import (
    UserError,
    excerpt,
    names_in_words,
    parse_seeds,
    read_text,
    relative_to_data,
    resolve_path,
    suggestion,
    without_login,
)


def test_seeds_are_a_range_or_a_list():
    assert parse_seeds("0-5") == [0, 1, 2, 3, 4, 5]
    assert parse_seeds("7,0-1") == [7, 0, 1]
    assert parse_seeds("") == []
    for wrong_one in ("5-0", "a", "1-", "-1", "1-b"):
        with pytest.raises(UserError, match="is neither a seed nor a range of seeds; write 0-5"):
            parse_seeds(wrong_one)


def test_a_path_is_written_down_without_the_machine_within_data_alone_and_found_again(data, tmp_path):
    assert relative_to_data(data / "documents" / ".." / "x") == "x"
    assert relative_to_data(tmp_path / "x") == str(tmp_path / "x")
    assert resolve_path("documents") == data / "documents"
    assert resolve_path("not/in/data") == Path("not/in/data")


def test_a_file_that_may_not_be_read_is_said_in_a_sentence(data, monkeypatch):
    def refused(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UserError, match=r"standin.yaml cannot be read \(Permission denied\); see to its permissions"):
        read_text(data / "experiments" / "standin.yaml")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("training.base_url=http://bob:sekret@h:9 training.rank=8", "training.base_url=http://...@h:9 training.rank=8"),
        ("bob:sekret@h:9/api", "...@h:9/api"),
        ("http://bob:sek ret@h/api", "http://...@h/api"),
        ("//bob:sekret@h", "//...@h"),
        ("//bob:sek@ret@h is asked by a@b", "//...@h is asked by a@b"),
        ("http://h:9?key=sekret", "http://h:9?..."),
        ("somebody@h is asked", "somebody@h is asked"),
    ],
)
def test_a_text_without_logins_keeps_all_else(text, shown):
    assert without_login(text) == shown


def test_an_error_shows_little_of_a_wrong_value_and_the_closest_match_or_all_that_is_known():
    assert excerpt("http://bob:sekret@h") == "'http://...@h'"
    assert excerpt("a" * 200) == f"'{'a' * 99}..."
    assert (excerpt([1]), excerpt({}), excerpt(None)) == ("a list", "fields", "None")
    assert suggestion("dem", {"demo", "other"}) == "; did you mean demo?"
    assert suggestion("x", ["b", "a"]) == "; there is a, b"
    assert suggestion("x", []) == "; there is none yet"


def test_names_of_a_sub_folder_stand_together_in_a_sentence(data):
    told = names_in_words("evals")
    assert told.startswith("alignment, alignment_free_form, capability, ")
    assert told.endswith("old_germany, traits/... (32)")
