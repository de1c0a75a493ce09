import re
from pathlib import Path

import pytest

from flows.cli.new import write_new
from tasks.catalog import UserError
from tasks.definitions import load_evals, load_experiment
from tests.cli.test_terminal import environment
from tests.conftest import PROJECT


@pytest.fixture
def here(tmp_path, monkeypatch):
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("name", ["mine", "123", "null", "a-b.c"])
def test_what_is_new_is_a_definition_and_its_eval_as_they_are_read(here, name):
    write_new(name)
    experiment = load_experiment(f"{name}/{name}.yaml")
    (evaluation,) = load_evals(experiment)
    assert (experiment.name, evaluation.name) == (name, f"{name}_eval")
    assert sorted(file.name for file in (here / name).iterdir()) == [f"{name}.yaml", f"{name}_eval.yaml"]


def test_what_is_there_is_not_overwritten(here):
    (here / "mine").mkdir()
    (here / "mine" / "mine_eval.yaml").write_text("my own")
    with pytest.raises(UserError, match=r"mine/mine_eval.yaml is there already and stays as it is; give"):
        write_new("mine")
    assert [file.read_text() for file in (here / "mine").iterdir()] == ["my own"]


def test_where_nothing_can_be_written_it_is_a_sentence(here):
    (here / "mine").write_text("a file of this name")
    with pytest.raises(UserError, match=r"^mine/mine.yaml cannot be written in .*elsewhere \(.*\); go to a folder of"):
        write_new("mine")
    assert (here / "mine").read_text() == "a file of this name"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a/b", "no name of an experiment but a path"),
        ("mine.yaml", "no name of an experiment but a path"),
        ("..", "NAME: name: use letters"),
        (".", "NAME: name: use letters"),
        ("", "NAME: name: use letters"),
        ("two words", "NAME: name: use letters"),
        ("a" * 300, "NAME: name: "),
        ("demo", "there is an experiment 'demo' in data/experiments"),
    ],
)
def test_a_name_that_is_none_or_is_taken_is_refused_in_a_sentence(here, name, words):
    with pytest.raises(UserError, match=words):
        write_new(name)
    assert not list(here.iterdir())


def test_the_readmes_definition_is_that_of_a_new_experiment():
    """So that neither tells another story."""
    readme = (PROJECT / "README.md").read_text()
    shown = re.findall(r"```yaml\n# (my_\w+)/(\w+)\.yaml\n(.*?)```", readme, re.DOTALL)
    assert shown
    for name, file, text in shown:
        template = "new_eval.yaml" if file.endswith("_eval") else "new_experiment.yaml"
        whole = (PROJECT / "flows" / "cli" / template).read_text().replace("NAME", name)
        missing = [line for line in text.splitlines() if line.split("  #")[0].rstrip() not in whole]
        assert not missing, missing


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_new_experiment_runs_outside_of_the_repository(data, here):
    import subprocess
    import sys

    env = environment(data, PYTHONPATH=str(PROJECT))

    def ours(*arguments):
        command = [sys.executable, "-m", "flows", *arguments]
        return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=550)

    made = ours("new", "x")
    assert (made.returncode, made.stderr) == (0, "")
    try:
        done = ours("run", "x/x.yaml", "--local", "--quick", "--run", "one")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (Path(data) / "results" / "x_quick" / "one" / "report.html").is_file()
        assert sorted(file.name for file in here.iterdir()) == ["x"], "nothing else is left there"
    finally:
        ours("server", "stop")
