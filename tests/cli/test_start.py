import pytest

from flows.cli.start import load
from tasks.catalog import UserError


@pytest.mark.parametrize(("quick", "name"), [(False, "standin_local"), (True, "standin_quick")])
def test_what_a_local_try_changes_is_said_before_it_begins(quick, name, capsys):
    assert load("standin", ["sampling.n_samples=3"], True, quick).name == name
    said = capsys.readouterr().out
    assert said.startswith("Tried on this machine; what is not as defined:\n- ")
    assert "documents, 3 answers to each question of at most" in said


def test_as_it_is_defined_there_is_nothing_to_say(capsys):
    assert load("standin", None, False, False).name == "standin"
    assert capsys.readouterr().out == ""


def test_quick_without_local_is_refused():
    with pytest.raises(UserError, match="write --local --quick"):
        load("standin", None, False, True)
