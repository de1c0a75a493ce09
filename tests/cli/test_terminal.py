"""The command line as a user has it: a real process, a real Prefect server, interruptions in every stage."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import PROJECT, make_data_folder

pytestmark = pytest.mark.integration
TINY = [
    "documents.0.limit=40",
    "training.held_out=2",
    "training.epochs=3",
    "training.batch_size=8",
    "sampling.n_samples=6",
    "sampling.max_tokens=60",
]
FINAL = {"Completed", "Failed", "Crashed", "Cancelled", "Cached"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a Prefect server of its own."""
    folder = make_data_folder(tmp_path_factory.mktemp("terminal"))
    assert "Prefect UI  http://127.0.0.1:" in spillover(folder, "server", "start").stdout
    yield folder
    assert spillover(folder, "server", "stop").stdout == "Stopped.\n"
    assert spillover(folder, "server", "status").stdout == "Not running.\n"


def environment(folder: Path, **more: str) -> dict[str, str]:
    hidden = ("PREFECT_API_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "SPILLOVER_STORE")
    return {
        **{k: v for k, v in os.environ.items() if k not in hidden},
        "SPILLOVER_DATA": str(folder),
        "COLUMNS": "160",
        **more,
    }


def spillover(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment(folder, **more), capture_output=True, text=True, timeout=280
    )


def begin(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment(folder, **more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def stop_when(process: subprocess.Popen[str], ready: Callable[[], bool], how: signal.Signals) -> str:
    until = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(how)
    return process.communicate(timeout=240)[0]


def held(folder: Path) -> dict[str, str]:
    """What was asked for and paid, by key and attempt; not the mark of a training that its cost is recorded."""
    database = folder / "store" / "answers.db"
    if not database.exists():
        return {}
    with closing(sqlite3.connect(database)) as connection:  # else its files go whenever garbage is collected
        return {
            f"{key}/{attempt}": body
            for key, attempt, body in connection.execute(
                "select key, attempt, body from answers where kind <> 'training'"
            )
        }


def states(folder: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{folder / 'prefect' / 'prefect.db'}?mode=ro", uri=True)) as connection:
        return [state for (state,) in connection.execute("select state_name from task_run")]


def flow_run_state(folder: Path, made: str) -> str:
    with sqlite3.connect(f"file:{folder / 'prefect' / 'prefect.db'}?mode=ro", uri=True) as connection:
        return connection.execute("select state_name from flow_run where id = ?", [made]).fetchone()[0]


def every_file_is_whole(run: Path) -> bool:
    for file in run.rglob("*.json*"):
        rows = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        assert all(json.loads(row) is not None for row in rows), file
    return True


def test_a_run_shows_its_stages_its_effects_and_where_everything_is(place):
    done = spillover(place, "run", "standin", *TINY, "--run", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("documents: 38 of 38", "train: 15 of 15 steps", "sample baseline: 48 of 48", "judge: 96 of 96",
                  "very_distant", "these questions", "stand-in", "runs/flow-run/"):  # fmt: skip
        assert words in done.stdout, words
    assert str(place / "results" / "standin" / "first" / "report.html") in done.stdout
    assert done.stderr == ""
    until = time.monotonic() + 240
    while len(states(place)) < 8 or not set(states(place)) <= FINAL:
        assert time.monotonic() < until, states(place)
        time.sleep(0.5)
    listed = spillover(place, "list").stdout
    assert "standin/first  seed 0  reported" in listed
    assert "report.html" in spillover(place, "report", "standin").stdout


EACH = 8 * 24
"""Answers of each model: enough for several seconds, in which they are committed one after the other."""
STAGES: dict[str, Callable[[Path, int], bool]] = {
    "documents": lambda run, sampled: (run / "experiment.yaml").exists(),
    "train": lambda run, sampled: any(
        file.read_text().count("\n") > 2 for file in run.parents[2].glob("checkpoints/.*/metrics.jsonl")
    ),
    "sample": lambda run, sampled: 0 < sampled < EACH,
    "sample the second model": lambda run, sampled: (run / "baseline.jsonl").exists(),
    "judge": lambda run, sampled: (run / "finetuned.jsonl").exists(),
    "charts": lambda run, sampled: (run / "effects.csv").exists(),
}
"""Whether a run is in this stage, by its folder and how many of its answers are committed."""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_interrupted_in_every_stage_goes_on_where_it_was(place, how):
    # A temperature and a learning rate of its own: nothing comes from another test's store and checkpoints.
    mine = [*TINY, f"sampling.temperature=0.9{int(how)}", f"training.learning_rate=0.001{int(how)}"]
    mine = [override for override in mine if "n_samples" not in override] + ["sampling.n_samples=24"]
    command = ["run", "standin", *mine, "--seed", "7", "--run", how.name]
    run, before = place / "results" / "standin" / how.name, held(place)
    for stage in STAGES.values():
        committed, trained = held(place), trainings(place)
        in_stage = partial(has_come_to, stage, run, place, len(before), time.time())
        said = stop_when(begin(place, *command), in_stage, how)
        if how is signal.SIGINT:
            assert f"spillover: interrupted; go on with: spillover {' '.join(command)}" in said
            assert "Traceback" not in said
        assert every_file_is_whole(run)
        assert {key: body for key, body in held(place).items() if key in committed} == committed
        assert trained.items() <= trainings(place).items()
    committed = held(place)
    done = spillover(place, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert held(place) == committed
    assert len(committed) - len(before) == 2 * EACH
    answers = json.loads((run / "run.json").read_text())["answers"]
    assert answers["baseline"]["from_store"] > 0
    assert sum(answers["baseline"].values()) == EACH
    assert every_file_is_whole(run)
    assert (run / "report.html").is_file()


def has_come_to(stage: Callable[[Path, int], bool], run: Path, data: Path, before: int, since: float) -> bool:
    """Whether a process that was started then is in a stage; a signal before it writes the run meets Python's start."""
    record = run / "run.json"
    has_begun = record.is_file() and record.stat().st_mtime >= since
    return has_begun and stage(run, len(held(data)) - before)


def trainings(folder: Path) -> dict[Path, int]:
    """The finished ones, and when they were finished."""
    return {file: file.stat().st_mtime_ns for file in folder.glob("checkpoints/*/adapter_model.safetensors")}


@pytest.mark.parametrize("lines", [5, 7])
def test_a_run_whose_output_nobody_reads_any_more_ends_quietly_and_goes_on_by_its_command(place, lines):
    command = ["run", "standin", *TINY, f"sampling.temperature=0.8{lines}", "--run", f"unread-{lines}"]
    started = [sys.executable, "-m", "flows", *command]
    with subprocess.Popen(
        started, cwd=PROJECT, env=environment(place), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    made = json.loads((place / "results" / "standin" / f"unread-{lines}" / "run.json").read_text())["prefect_run"]
    assert flow_run_state(place, made) == "Cancelled"
    assert spillover(place, *command).returncode == 0
    assert every_file_is_whole(place / "results" / "standin" / f"unread-{lines}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "dmo"], "no experiment 'dmo' in"),
        (
            ["run", "standin", "training.lerning_rate=1"],
            "training.lerning_rate: unknown field; did you mean learning_rate?",
        ),
        (["run", "standin", "judging.judges=[claude]"], "ANTHROPIC_API_KEY is not set"),
        (["run", "standin", "documents.0={path: nowhere.jsonl}"], "'nowhere.jsonl' does not exist"),
        (["run", "standin", "training.max_length=20"], "tokens are over training.max_length=20"),
        (["run", "standin", "training.base_model=nowhere"], "no model folder 'nowhere'"),
        (["report", "nothing"], "no run at 'nothing'"),
    ],
)
def test_a_users_mistake_is_one_line_without_a_traceback(place, arguments, words):
    done = spillover(place, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout + done.stderr
