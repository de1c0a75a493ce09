"""Thousands of calls on the real command line: a service on a bad day, and kills at every kind of instant."""

import json
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.cli.test_terminal import environment, place, spillover  # noqa: F401 # place is a fixture
from tests.conftest import PROJECT, make_data_folder
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import Faults, MessagesAPI, never_gives_a_number, question_of, score_of

pytestmark = pytest.mark.integration
KEY = "sk-planted-0123456789"


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def files_with(folder, words):
    """Every file that holds these bytes, of all that a run writes: results, store, Prefect's database, its logs."""
    files = (f for f in folder.rglob("*") if f.is_file() and not {"models", "documents"} & set(f.parts))
    return [file for file in files if words in file.read_bytes()]


class Counting(Faults):
    """Faults that also count how often each question got a message, and the score it was given."""

    def __init__(self, **how):
        super().__init__(**how)
        self.messages: Counter[str] = Counter()
        self.scores: dict[str, int | None] = {}

    def __call__(self, seen, body):
        what, question = super().__call__(seen, body), question_of(body)
        if hasattr(what, "stop_reason"):
            self.messages[question] += 1
        response = body["messages"][0]["content"].rsplit("\n", 2)[1]
        self.scores[response] = None if never_gives_a_number(question, self.seed) else score_of(question)
        return what


@pytest.mark.timeout(600)
def test_on_a_bad_day_of_the_service_every_answerable_call_is_scored_and_none_is_paid_twice(place, tmp_path):  # noqa: F811
    write_eval(place, questions=10)
    answers = write_answers(tmp_path / "bad_day", questions=10, samples=250)
    service = Counting(seed=1, outage=20.0, after=2_000)
    command = ["judge", str(answers), "--eval", "animals", "--in-flight", "200", "--name", "run"]
    with MessagesAPI(service, seconds=0.01) as api:
        keys = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url}
        done = spillover(place, *command, **keys)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = len(api.requests)
        again = spillover(place, *command, **keys)
        assert again.returncode == 0, again.stdout + again.stderr
        assert len(api.requests) == asked, "a finished run asks nothing"
        other = spillover(place, *command[:-1], "other", **keys)
        assert other.returncode == 0
        assert len(api.requests) == asked, "a new run on the same answers asks nothing"
    never = {question for question in service.messages if never_gives_a_number(question, 1)}
    assert 20 < len(never) < 100
    assert len(service.messages) == 5_000
    assert {service.messages[question] for question in never} == {2}
    assert set(service.messages.values()) == {1, 2}
    assert asked > 5_000 * 1.2, "the faults were played"
    run = place / "results" / "bad_day" / "run"
    judged = rows(run / "judged.jsonl")
    texts = [row["response"] for name in ("baseline", "finetuned") for row in rows(run / f"{name}.jsonl")]
    scored = {f"{r['side']} says {r['sample']} of {r['question_id'][1:]}": r["score"] for r in judged}
    assert set(scored) == set(texts)
    assert scored == service.scores
    assert Counter(row["state"] for row in judged) == {"scored": 5_000 - len(never), "unreadable": len(never)}
    assert len(rows(run / "failures.jsonl")) == len(never)
    assert (place / "results" / "bad_day" / "other" / "judged.jsonl").read_bytes() == (
        run / "judged.jsonl"
    ).read_bytes()
    assert files_with(place, KEY.encode()) == []
    assert KEY not in done.stdout + done.stderr + again.stdout


# Each instant, how often it is passed before the process dies, and whether judge calls may be under way by then.
KILLS = [
    ("a step is trained", 3, False),
    ("a token is drawn", 30, False),
    ("a chunk starts", 2, True),
    ("a request leaves", 9, True),
    ("a reply is there", 7, True),
    ("before a commit", 5, True),
    ("mid-commit", 6, True),
    ("after a commit", 4, True),
    ("a chart is drawn", 3, True),
    ("before a file is renamed", 4, True),
    ("the report is made", 1, False),
    ("after a file is renamed", 2, False),
]
WHOLE = [
    "documents.0.limit=40",
    "training.held_out=2",
    "training.epochs=2",
    "training.rank=4",
    "training.batch_size=8",
    "sampling.n_samples=6",
    "sampling.max_tokens=60",
    "judging.judges=[claude]",
    "judging.in_flight=4",
]


@pytest.mark.timeout(1800)
def test_kills_at_every_kind_of_instant_of_a_whole_run_lose_nothing_and_leave_the_same_files(place, tmp_path):  # noqa: F811
    command = ["run", "standin", *WHOLE, "--run", "killed"]
    service = Counting(seed=1, only_words=True)
    with MessagesAPI(service, seconds=0.02) as api:
        more = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api.url}
        for point, nth, _ in KILLS:
            process = [sys.executable, "-m", "tests.fakes.killed_run", point, str(nth), *command]
            killed = subprocess.run(
                process, cwd=PROJECT, env=environment(place, **more), capture_output=True, timeout=280
            )
            assert killed.returncode == -signal.SIGKILL, (point, nth, killed.stdout, killed.stderr)
        done = spillover(place, *command, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        readings = sum(service.readings(question) for question in service.messages)
        asked = service.messages.total()
        assert readings <= asked <= readings + 4 * sum(judges for *_, judges in KILLS)
        other = make_data_folder(tmp_path / "another place")
        with_server = {**more, "PREFECT_API_URL": json.loads((place / "prefect" / "server.json").read_text())["url"]}
        undisturbed = spillover(other, *command, **with_server)
        assert undisturbed.returncode == 0, undisturbed.stdout + undisturbed.stderr
    run = place / "results" / "standin" / "killed"
    for name in ("documents", "baseline", "finetuned", "judged"):
        mine, its = (data / "results" / "standin" / "killed" / f"{name}.jsonl" for data in (place, other))
        assert mine.read_bytes() == its.read_bytes(), name
    assert not [file for file in run.iterdir() if file.name.startswith(".")]
    assert files_with(place, KEY.encode()) == []
