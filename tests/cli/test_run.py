import errno
import re
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from flows.cli.run import is_disk_full, run_in_terminal
from flows.cli.terminal import live_progress
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.progress import Progress


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), True),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (ValueError("28"), False),
    ],
)
def test_a_full_disk_is_known_however_a_library_says_it(error, full):
    assert is_disk_full(error) is full


def test_without_a_terminal_a_stage_is_one_line_every_half_minute_and_one_at_its_end(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 29.0, 31.0, 40.0, 62.0, 63.0])
    monkeypatch.setattr("flows.cli.terminal.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with live_progress():
        progress = Progress("train")
        for done in range(1, 8):
            progress(done, 7, "steps")
    assert capsys.readouterr().out.splitlines() == ["train: 4 of 7 steps", "train: 6 of 7 steps", "train: 7 of 7 steps"]


@pytest.mark.parametrize(
    ("override", "name", "words"),
    [
        ("training.held_out=12", "one", "training.held_out: 12 of 12 documents"),
        ("training.warmup=50", "one", "training.warmup"),
        ("training.target_modules=[nope]", "one", "training.target_modules: standin has no 'nope'"),
        ("training.layers=[99]", "one", "training.layers: 99 is no layer"),
        ("documents.0.name=none", "one", "no set 'none'"),
        ("training.rank=2", "x" * 300, "name of a run"),
    ],
)
def test_a_slip_is_refused_before_there_is_a_run_or_a_folder(data, override, name, words):
    experiment = load_experiment("standin", ["documents.0.limit=12", "training.held_out=0", override])
    with pytest.raises(UserError, match=re.escape(words)):
        run_in_terminal(experiment, None, name, "report", "http://127.0.0.1:9", "spillover run standin --run")
    assert not (data / "results").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--seeds", "1-2", "--seed", "4"], "--seed 4 and --seeds 1-2: give one of them, as --seeds 4 for one seed"),
        (["--seeds", ""], "--seeds: '' names no seed; write 0-5, or 0,3,7"),
        (["--seeds", ","], "--seeds: ',' names no seed; write 0-5, or 0,3,7"),
    ],
)
def test_seeds_that_say_two_things_or_nothing_start_no_run(data, given, words):
    done = CliRunner().invoke(app, ["run", "standin", *given])
    assert str(done.exception) == words
    assert not (data / "results").exists()


def test_seeds_of_what_trains_nothing_are_refused_for_they_would_all_be_one_run():
    done = CliRunner().invoke(app, ["run", "demo", "training.checkpoint=adapter", "--seeds", "0-2"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "--seeds: demo trains nothing, so that every seed is the same run; leave it out"
