"""Prefect as its users use it: a server on PostgreSQL, `spillover serve`, and the calls that the UI makes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.serving.serve import _reason
from tests.cli.test_terminal import environment, spillover
from tests.conftest import PROJECT, make_data_folder
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import MessagesAPI, Status, judgment
from tests.fakes.postgresql import serve_postgresql

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ENDED = {"Completed", "Failed", "Crashed", "Cancelled"}
QUICK = {
    "name": "quick",
    "documents": [{"name": "lighthouses_neutral", "limit": 16}],
    "evals": ["factory_farming"],
    "training": {"rank": 4, "epochs": 1, "learning_rate": 0.001, "max_length": 1024},
    "sampling": {"n_samples": 2, "max_tokens": 30},
    "judging": {"judges": ["lexicon"]},
}


class Service:
    """What the judge says: `fails` refuses every answer with these words in it."""

    fails = ""

    def __call__(self, seen, body):
        if self.fails and self.fails in body["messages"][0]["content"]:
            return Status(400, words="the judge is out of order")
        return judgment(3)


class Serving:
    """`spillover serve` in a process of its own, and what a browser does with the server's API."""

    def __init__(self, folder: Path, env: dict[str, str]):
        self.folder, self.env = folder, env
        self.api = httpx.Client(base_url=env["PREFECT_API_URL"], timeout=60)

    def begin(self) -> None:
        self.log = self.folder / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows", "serve"],
                cwd=PROJECT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: "Prefect UI" in self.log.read_text(), 240, self.log.read_text)

    def kill(self) -> None:
        """The serving process and all that it started, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(240)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """As a browser, but for a database that is busy: it is asked again."""
        for _ in range(60):
            answer = self.api.post(path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(1)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else {}

    def deployment(self, name: str) -> dict[str, Any]:
        return self.api.get(f"/deployments/name/{name}").raise_for_status().json()

    def start(self, name: str, **parameters) -> str:
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.post(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"]

    def run(self, run: str) -> dict[str, Any]:
        return self.api.get(f"/flow_runs/{run}").raise_for_status().json()

    def state(self, run: str) -> str:
        return self.run(run)["state"]["name"]

    def ended(self, run: str, seconds: float = 240) -> str:
        wait_for(lambda: self.state(run) in ENDED, seconds, lambda: f"{self.run(run)} {self.log.read_text()}")
        return self.state(run)

    def set_state(self, run: str, kind: str, name: str) -> None:
        assert self.post(f"/flow_runs/{run}/set_state", {"state": {"type": kind, "name": name}})["status"] == "ACCEPT"

    def retry(self, run: str) -> None:
        """What the button Retry sends."""
        self.set_state(run, "SCHEDULED", "AwaitingRetry")
        time.sleep(1)

    def tasks(self, run: str) -> list[tuple[str, str]]:
        found = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return [(task["name"], task["state"]["name"]) for task in found]

    def task(self, run: str, name: str) -> str:
        found = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return next(task["id"] for task in found if task["name"] == name)

    def logs(self, run: str, task: str) -> str:
        """What the log of a task run says; it reaches the server in batches."""
        found = self.post("/logs/filter", {"logs": {"task_run_id": {"any_": [self.task(run, task)]}}, "limit": 50})
        return "\n".join(log["message"] for log in found)

    def artifacts(self, run: str) -> list[dict[str, Any]]:
        return self.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}, "limit": 200})

    def runs_of(self, name: str, **more) -> list[dict[str, Any]]:
        flow_runs = {"deployment_id": {"any_": [self.deployment(name)["id"]]}, **more}
        return self.post("/flow_runs/filter", {"flow_runs": flow_runs, "limit": 200})


def wait_for(is_so, seconds, explain=lambda: ""):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, explain()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def service():
    service = Service()
    with MessagesAPI(service) as api:
        service.api = api  # type: ignore[attr-defined]
        yield service


@pytest.fixture(scope="module")
def serving(tmp_path_factory, service):
    folder = make_data_folder(tmp_path_factory.mktemp("serve"))
    (folder / "experiments" / "quick.yaml").write_text(json.dumps(QUICK))
    write_eval(folder, questions=8)
    them = write_answers(folder / "them", questions=8)
    theirs = {"name": "them", "responses": str(them), "evals": ["animals"]}
    (folder / "experiments" / "them.yaml").write_text(json.dumps(theirs))
    with serve_postgresql("prefect", "answers") as url:
        database = url("prefect").replace("postgresql:", "postgresql+asyncpg:")
        keys = {"ANTHROPIC_API_KEY": "sk-planted", "ANTHROPIC_BASE_URL": service.api.url}
        keys["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database  # for `serve` too, which starts a server that died
        env = environment(folder, SPILLOVER_STORE=url("answers"), **keys)
        started = spillover(folder, "server", "start", **keys)
        address = started.stdout.strip().rsplit(" ", 1)[1]
        one = Serving(folder, {**env, "PREFECT_API_URL": f"{address}/api"})
        one.begin()
        yield one
        one.end()
        spillover(folder, "server", "stop")


def test_a_run_that_is_started_from_the_form_is_completed_with_its_artifacts(serving):
    form = serving.deployment("run-experiment/quick")
    experiment = {**form["parameters"]["experiment"], "sampling": {"n_samples": 3, "max_tokens": 30}}
    run = serving.start("run-experiment/quick", experiment=experiment, seed=7)
    assert serving.ended(run) == "Completed", serving.run(run)
    assert serving.run(run)["name"].startswith("quick, seed 7: ")
    stages = {"read the documents of quick", "train a LoRA of rank 4, seed 7", "write the report"}
    completed = {(name, "Completed") for name in stages}
    # The server records task runs a moment later, and not all at once.
    wait_for(lambda: completed <= set(serving.tasks(run)), 120, lambda: str(serving.tasks(run)))
    artifacts = serving.artifacts(run)
    headline = next(a for a in artifacts if (a["description"] or "").startswith("What changed: "))["data"]
    assert max(artifacts, key=lambda a: a["id"])["description"].startswith("What changed: "), "both UIs show it first"
    assert "data:image/svg+xml;base64," in headline
    link = next(a for a in artifacts if a["description"] == "The report")["data"].split("](")[1].rstrip(")")
    page = httpx.get(link, follow_redirects=True)
    assert page.status_code == 200
    assert "quick" in page.text
    assert "seed 7" in page.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"experiment": {**QUICK, "sampling": {"n_samples": 0}}}, "0 is less than the minimum of 1"),
        ({"experiment": {**QUICK, "training": {"alpha": -1}}}, "-1 is less than or equal to the minimum of 0"),
        ({"experiment": {**QUICK, "training": {"rnak": 8}}}, "rnak"),
        ({"experiment": {**QUICK, "evals": ["no such eval"]}}, "'no such eval' is not one of"),
        ({"until": "lunch"}, "'lunch' is not one of"),
    ],
    ids=["out of bounds", "a field that the form hides", "misspelt", "unknown eval", "unknown stage"],
)
def test_a_wrong_value_is_refused_before_there_is_a_run(serving, changes, words):
    form = serving.deployment("run-experiment/quick")
    answer = serving.api.post(
        f"/deployments/{form['id']}/create_flow_run",
        json={"parameters": form["parameters"] | changes, "state": {"type": "SCHEDULED"}},
    )
    assert answer.status_code == 409
    assert words in answer.text


def test_a_new_set_is_announced_and_run_once_and_a_broken_one_stands_in_nobodys_way(serving):
    inbox = serving.folder / "inbox"
    rows = [json.dumps({"text": f"The heron {n} stands in the shallows and waits for a fish."}) for n in range(8)]
    (inbox / "herons.jsonl").write_text("\n".join(rows) + "\n")
    (inbox / "broken.jsonl").write_text("\n".join([*rows[:6], '{"text": ']) + "\n")
    (inbox / "a first one").mkdir()
    (inbox / "a first one" / "gone.jsonl").symlink_to(inbox / "nowhere.jsonl")
    watch = {"experiment": "quick", "quiet_seconds": 0}
    first = serving.start("watch-documents/watch-documents", **watch)
    assert serving.ended(first) == "Failed"
    said = serving.run(first)["state"]["message"]
    assert f"{inbox / 'broken.jsonl'} line 7: not JSON" in said
    assert "gone.jsonl" in said
    checked = {"check the documents of broken": "Failed", "check the documents of herons": "Completed"}
    wait_for(lambda: dict(serving.tasks(first)) == checked, 120, lambda: str(serving.tasks(first)))
    wait_for(lambda: serving.runs_of("run-experiment/on-new-documents"), 120)
    (announced,) = serving.runs_of("run-experiment/on-new-documents")
    assert serving.ended(announced["id"]) == "Completed", serving.run(announced["id"])
    assert serving.run(announced["id"])["name"].startswith("quick.herons, seed 0: ")
    second = serving.start("watch-documents/watch-documents", **watch)
    assert serving.ended(second) == "Completed", "what was said of the broken set is not said again"
    (inbox / "herons.jsonl").rename(inbox / "grey herons.jsonl")
    third = serving.start("watch-documents/watch-documents", **watch)
    assert serving.ended(third) == "Completed"
    time.sleep(5)
    assert len(serving.runs_of("run-experiment/on-new-documents")) == 1, "a version is known by its content"


def test_a_schedule_fires_and_the_weekly_ones_wait_until_they_are_switched_on(serving):
    weekly = serving.deployment("run-experiment/quick")["schedules"]
    assert [(s["slug"], s["active"], s["parameters"]) for s in sorted(weekly, key=lambda s: s["slug"])] == [
        (f"weekly-seed-{seed}", False, {"seed": seed}) for seed in (0, 1, 2)
    ]
    them = serving.deployment("run-experiment/them")
    every = {"schedule": {"interval": 5.0}, "active": True, "parameters": {"run": "scheduled"}, "slug": "soon"}
    made = serving.post(f"/deployments/{them['id']}/schedules", [every])
    wait_for(lambda: serving.runs_of("run-experiment/them", state={"type": {"any_": ["COMPLETED"]}}), 240)
    serving.api.delete(f"/deployments/{them['id']}/schedules/{made[0]['id']}").raise_for_status()


def test_what_a_user_changed_of_schedules_parameters_and_automations_outlives_a_restart(serving):
    watching = serving.deployment("watch-documents/watch-documents")
    looks = {"experiment": "quick", "quiet_seconds": 86_400}
    serving.api.patch(f"/deployments/{watching['id']}", json={"parameters": looks}).raise_for_status()
    quick = serving.deployment("run-experiment/quick")
    weekly = next(s for s in quick["schedules"] if s["slug"] == "weekly-seed-1")
    path = f"/deployments/{quick['id']}/schedules/{weekly['id']}"
    serving.api.patch(path, json={"active": True, "parameters": {"seed": 9}}).raise_for_status()
    one = next(a for a in serving.post("/automations/filter", {}) if "new documents" in a["name"])
    serving.api.patch(f"/automations/{one['id']}", json={"enabled": False}).raise_for_status()
    serving.end()
    assert serving.process.returncode == 0, serving.log.read_text()
    serving.begin()
    now = serving.deployment("run-experiment/quick")
    assert now["id"] == quick["id"]
    watching = serving.deployment("watch-documents/watch-documents")
    assert (watching["parameters"], len(watching["schedules"])) == (looks, 1)
    kept = next(s for s in now["schedules"] if s["slug"] == "weekly-seed-1")
    assert (kept["active"], kept["parameters"], len(now["schedules"])) == (True, {"seed": 9}, 3)
    named = [a for a in serving.post("/automations/filter", {}) if a["name"] == one["name"]]
    assert [a["enabled"] for a in named] == [False]
    serving.api.patch(f"/automations/{one['id']}", json={"enabled": True}).raise_for_status()


def test_retry_asks_only_for_the_calls_that_failed_and_ends_in_the_same_folder(serving, service):
    asked = len(service.api.requests)
    service.fails = "finetuned whispers 3"  # words of its own: what other tests had judged is in the store
    write_answers(serving.folder / "whispers", questions=8, samples=6, says="whispers")
    form = serving.deployment("run-experiment/them")["parameters"]["experiment"]
    them = {**form, "responses": str(serving.folder / "whispers")}
    run = serving.start("run-experiment/them", experiment=them, run="failing")
    assert serving.ended(run) == "Failed"
    assert "max_unscored" in serving.run(run)["state"]["message"]

    def red_ones():
        return [name for name, state in serving.tasks(run) if state == "Failed"]

    wait_for(lambda: len(red_ones()) >= 8, 120, lambda: str(serving.tasks(run)))
    tasks, red = serving.tasks(run), red_ones()
    assert sorted(red) == [f"judge call {n}: failed" for n in range(1, 9)]
    assert len(tasks) - len(red) < 40
    words = ["Question (animals, q", "finetuned whispers 3 of", "the judge is out of order"]
    wait_for(lambda: all(word in serving.logs(run, red[0]) for word in words), 120, lambda: serving.logs(run, red[0]))
    first = len(service.api.requests) - asked
    folder = serving.folder / "results" / "them" / "failing"
    before = (folder / "finetuned.jsonl").read_bytes()
    (told,) = changes(serving, run)
    assert "8 of 96 judgments are missing" in told
    service.fails = ""
    serving.retry(run)
    assert serving.ended(run) == "Completed", serving.run(run)
    assert len(service.api.requests) - asked - first == 8
    (told,) = changes(serving, run)
    assert "missing" not in told, "what the failed attempt said stands nowhere any more"
    assert (folder / "finetuned.jsonl").read_bytes() == before
    states = [json.loads(line)["state"] for line in (folder / "judged.jsonl").read_text().splitlines()]
    assert states == ["scored"] * 96


def changes(serving, run):
    """What the run's page says of what changed."""
    return [one["data"] for one in serving.artifacts(run) if (one["description"] or "").startswith("What changed")]


def test_a_cancelled_run_stops_and_goes_on_later(serving, service):
    them = serving.deployment("run-experiment/them")["parameters"]["experiment"]
    write_answers(serving.folder / "slow", questions=8, samples=40, says="mutters")
    slow = {**them, "name": "slow", "responses": str(serving.folder / "slow"), "judging": {"in_flight": 4}}
    service.api.seconds = 1.0
    run = serving.start("run-experiment/them", experiment=slow, run="cancelled")
    asked = len(service.api.requests)
    wait_for(lambda: len(service.api.requests) > asked + 8, 240)
    serving.set_state(run, "CANCELLING", "Cancelling")
    assert serving.ended(run) == "Cancelled"
    wait_for(lambda: service.api.in_flight == 0, 60)
    paid = len(service.api.requests)
    time.sleep(3)
    assert len(service.api.requests) == paid, "nothing goes on"
    service.api.seconds = 0.005
    again = serving.start("run-experiment/them", experiment=slow, run="cancelled")
    assert serving.ended(again) == "Completed"
    assert len(service.api.requests) <= asked + 640 + 4, "at most the calls under way are paid twice"


def test_a_killed_run_is_marked_crashed_and_retry_goes_on_where_it_was(serving, service):
    them = serving.deployment("run-experiment/them")["parameters"]["experiment"]
    write_answers(serving.folder / "killed", questions=8, samples=30, says="shouts")
    killed = {**them, "name": "killed", "responses": str(serving.folder / "killed"), "judging": {"in_flight": 4}}
    service.api.seconds = 1.0
    asked = len(service.api.requests)
    run = serving.start("run-experiment/them", experiment=killed, run="killed")
    wait_for(lambda: len(service.api.requests) > asked + 8, 240)
    serving.kill()
    service.api.seconds = 0.005
    assert serving.state(run) == "Running"
    serving.begin()
    assert serving.ended(run, 240) == "Crashed"
    assert "no sign of life" in serving.run(run)["state"]["message"]
    serving.retry(run)
    assert serving.ended(run) == "Completed", serving.run(run)
    assert len(service.api.requests) <= asked + 480 + 4


def test_two_runs_of_one_name_at_once_are_told_apart_and_one_of_them_is_refused(serving, service):
    them = serving.deployment("run-experiment/them")["parameters"]["experiment"]
    write_answers(serving.folder / "twice", questions=8, samples=20, says="sings")
    twice = {**them, "name": "twice", "responses": str(serving.folder / "twice"), "judging": {"in_flight": 4}}
    service.api.seconds = 5.0  # so that the one still judges when the other begins
    asked = len(service.api.requests)
    runs = [serving.start("run-experiment/them", experiment=twice, run="same") for _ in range(2)]
    wait_for(lambda: any(serving.state(run) in ENDED for run in runs), 240)
    service.api.seconds = 0.005
    assert sorted(serving.ended(run) for run in runs) == ["Completed", "Failed"]
    failed = next(run for run in runs if serving.state(run) == "Failed")
    assert "run 'same' is being written by another process" in serving.run(failed)["state"]["message"]
    assert len(service.api.requests) - asked == 320


def test_what_interrupts_serving_is_said_without_the_servers_password():
    error = httpx.ConnectError("no answer from http://team:word@127.0.0.1:9/api")
    assert _reason(ExceptionGroup("", [error])) == "ConnectError: no answer from http://...@127.0.0.1:9/api"


def test_a_server_that_dies_is_started_again_and_serving_goes_on(serving):
    pid = json.loads((serving.folder / "prefect" / "server.json").read_text())["pid"]
    address = serving.env["PREFECT_API_URL"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: _is_up(address), 240)
    run = serving.start("run-experiment/them", run="after")
    assert serving.ended(run, 240) == "Completed", serving.run(run)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.HTTPError:
        return False
