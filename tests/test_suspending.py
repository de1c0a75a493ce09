"""A real server, `spillover serve`, and a fake service's batches."""

import json

import pytest

from tests.cli.test_terminal import environment, spillover
from tests.conftest import make_data_folder
from tests.fakes.batches import MessageBatchesAPI
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import judgment
from tests.serving.test_serve import Serving, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def api():
    with MessageBatchesAPI(lambda seen, body: judgment(80)) as api:
        yield api


@pytest.fixture(scope="module")
def serving(tmp_path_factory, api):
    folder = make_data_folder(tmp_path_factory.mktemp("resuming"))
    own = {"kind": "claude", "base_url": api.url, "model": "m", "scale": {"low": 0, "high": 100}}
    coherent = {"name": "coherent", "prompt": "How coherent?", **own}
    write_eval(folder, judges=[coherent, {"name": "aligned", "prompt": "How?", "only_if": "coherent >= 50", **own}])
    for name in ("them", "others"):
        place = str(write_answers(folder / name, says=name))
        batched = {"name": name, "responses": place, "evals": ["animals"], "judging": {"batch": True}}
        (folder / "experiments" / f"{name}.yaml").write_text(json.dumps(batched))
    address = spillover(folder, "server", "start").stdout.strip().rsplit(" ", 1)[1]
    one = Serving(folder, {**environment(folder), "PREFECT_API_URL": f"{address}/api"})
    one.begin()
    yield one
    one.end()
    spillover(folder, "server", "stop")


def suspended(serving, api, experiment):
    api.desk.looks = 10**9
    run = serving.start(f"run-experiment/{experiment}", run="one")
    reaches(serving, run, "Suspended")
    return run, list(api.desk.batches.values())[-1]


def reaches(serving, run, state):
    wait_for(lambda: serving.state(run) == state, 120, lambda: f"{serving.run(run)} {serving.log.read_text()}")


def test_a_served_run_is_suspended_while_a_batch_goes_on_and_resumed_by_a_later_serve(serving, api):
    run, first = suspended(serving, api, "them")
    serving.kill()
    serving.begin()
    assert serving.state(run) == "Suspended"
    api.desk.looks = first.looks  # it is over at the next look; that of the second level is not at its first
    assert serving.ended(run) == "Completed", serving.run(run)
    assert [len(batch.requests) for batch in api.desk.batches.values()] == [len(first.requests)] * 2
    assert set(api.desk.paid.values()) == {1}
    assert api.requests == []
    states = serving.api.get("/flow_run_states/", params={"flow_run_id": run}).json()
    assert [state["name"] for state in states].count("Suspended") >= 2


def test_a_suspended_run_that_is_cancelled_has_its_batch_cancelled(serving, api):
    run, batch = suspended(serving, api, "others")
    serving.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    reaches(serving, run, "Cancelled")
    wait_for(lambda: batch.is_cancelled, 120, serving.log.read_text)
