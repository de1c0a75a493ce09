import subprocess
import sys

import pytest

from flows.cli.prune import prune
from tasks.catalog import UserError
from tests.test_locks import HOLDS


@pytest.fixture
def unused(data):
    folder = data / "checkpoints" / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(b"x" * 2_000_000)
    return folder


def test_what_could_go_is_said_with_its_bytes_and_goes_only_when_it_is_meant(unused, capsys):
    prune(30, is_meant=False)
    said = capsys.readouterr().out
    assert "1  trainings that no run and no definition refers to: 2.0 MB" in said
    assert "Nothing was removed. Remove it with  spillover prune --yes" in said
    assert unused.is_dir()
    prune(30, is_meant=True)
    assert "Removed 2.0 MB." in capsys.readouterr().out
    assert not list(unused.parent.iterdir())
    prune(30, is_meant=False)
    assert "There is nothing to remove." in capsys.readouterr().out


def test_beside_a_run_that_goes_on_nothing_is_removed(unused, data):
    command = [sys.executable, "-c", HOLDS, str(data / "results" / "standin" / "one")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is going on; prune when it has ended"):
            prune(30, is_meant=True)
        held.kill()
    assert unused.is_dir()


def test_a_store_that_others_may_use_is_left_alone(unused, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPILLOVER_STORE", f"sqlite:///{tmp_path / 'shared.db'}")
    prune(30, is_meant=True)
    said = capsys.readouterr().out
    assert "Answers stay: others may use the store that SPILLOVER_STORE names." in said
    assert not unused.exists()
    assert not (tmp_path / "shared.db").exists()
