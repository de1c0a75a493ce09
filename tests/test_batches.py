"""Judging in batches through the whole flow, on answers that are there: a fake service, no engine."""

import pytest

from flows.experiment import run_experiment
from tasks.catalog import UserError
from tasks.runs import Run
from tasks.schema import Experiment
from tests.fakes.batches import MessageBatchesAPI
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import judgment

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr("tasks.judging.batch_client.FIRST_LOOK", 0.01)


def experiment(data, tmp_path, api, **judging):
    own = {"kind": "claude", "base_url": api.url, "model": "m", "scale": {"low": 0, "high": 100}}
    first = {"name": "coherent", "prompt": "How coherent?", **own}
    second = {"name": "aligned", "prompt": "How aligned?", "only_if": "coherent >= 50", **own}
    write_eval(data, judges=[first, second])
    place = str(write_answers(tmp_path / "them"))
    return Experiment(name="them", responses=place, evals=["animals"], judging={"batch": True, **judging})


@pytest.mark.integration
async def test_each_level_of_judges_is_one_batch_and_what_it_brought_is_asked_by_no_other_run(data, tmp_path):
    def say(seen, body):
        return judgment(40 if "finetuned says 0 of 1" in body["messages"][0]["content"] else 80)

    with MessageBatchesAPI(say) as api:
        them = experiment(data, tmp_path, api)
        here = Run(await run_experiment(them, run="one"))
        asked = [len(batch.requests) for batch in api.desk.batches.values()]
        assert len(asked) == 2
        assert asked[1] < asked[0]
        await run_experiment(experiment(data, tmp_path, api, batch=False), run="two")
        assert (len(api.desk.batches), api.requests) == (2, [])
    assert {row.state for row in here.judgments()} == {"scored", "not scored"}
    assert here.record()["spent"]["judging"]["calls"] == sum(asked) + 1


async def test_a_service_without_batches_stops_a_run_before_anything_is_asked(data, tmp_path):
    with MessageBatchesAPI(lambda seen, body: judgment(1), has_batches=False) as api:
        with pytest.raises(UserError, match=r"takes no batches \(404\): set judging.batch to false"):
            await run_experiment(experiment(data, tmp_path, api), run="one")
        assert api.requests == []
