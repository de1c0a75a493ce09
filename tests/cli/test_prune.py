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
    prune(7, is_meant=False)
    said = capsys.readouterr().out
    assert "trainings that no run in data/results and no definition in data/experiments names: 1 (2.0 MB)" in said
    assert "Nothing was removed. Remove it with  spillover prune --days 7 --yes" in said, "what was looked at, no more"
    assert not (unused.parents[1] / "store").exists(), "looking makes nothing"
    assert unused.is_dir()
    prune(30, is_meant=True)
    assert "Removed 2.0 MB." in capsys.readouterr().out
    assert not list(unused.parent.iterdir())
    for is_meant in (False, True):
        prune(30, is_meant)
        said = capsys.readouterr().out
        assert ("There is nothing to remove." in said, "Removed" in said) == (True, False)


def test_what_cannot_be_removed_is_one_sentence(unused, monkeypatch):
    def refuse(place, *_, **__):
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(
        UserError, match=r"/\.pruned-0+ cannot be removed \(Permission denied\); see to its permissions"
    ):
        prune(30, is_meant=True)


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
