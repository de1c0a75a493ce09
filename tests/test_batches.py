"""Judging in batches through the whole flow, on answers that are there: a fake service, no engine."""

import asyncio

import pytest

from flows.experiment import run_experiment
from flows.judge_again import judge_again
from flows.judging import cases_of
from tasks.catalog import UserError
from tasks.judging.asking import to_calls
from tasks.judging.batches import Order, ask_in_batches
from tasks.judging.dispatcher import Dispatcher
from tasks.locks import exclusive
from tasks.paid.store import Store
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


async def hand_over(calls, dispatcher):
    """Hands them over as another run would, and leaves them."""
    await ask_in_batches(Order(calls, dispatcher, waits=False))


async def test_a_direct_run_waits_for_what_another_handed_over_just_before_its_turn(data, tmp_path, monkeypatch):
    """While the direct run waits for its turn, the other hands its calls over and ends."""
    said = list[str]()
    monkeypatch.setattr("flows.judging.console.print", lambda words, **_: said.append(words))
    with MessageBatchesAPI(lambda seen, body: judgment(80)) as api:
        them = experiment(data, tmp_path, api, batch=False)
        sampled = Run(await run_experiment(them, run="sampled", until="sample"))
        async with Dispatcher(Store(), 10) as dispatcher, asyncio.TaskGroup() as together:
            first = [case for case in cases_of(sampled, them, sampled.evals()) if not case.judge.only_if]
            async with exclusive("judging animals"), exclusive(f"judging {sampled.finetuned.read_text()}"):
                running = together.create_task(run_experiment(them, run="direct", until="judge"))
                while not any("waits for another run" in words for words in said):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                await hand_over(to_calls(first), dispatcher)
        assert {row.score for row in Run(running.result()).judgments()} == {80}
        assert len(api.requests) == len(to_calls(first)), "those of the second level alone"
        assert max(api.desk.paid.values()) == 1


async def test_a_run_is_judged_again_in_batches(data, tmp_path):
    with MessageBatchesAPI(lambda seen, body: judgment(80)) as api:
        await run_experiment(experiment(data, tmp_path, api, batch=False), run="one")
        asked = len(api.requests)
        again = Run(await judge_again("them/one", model="m2", batch=True, name="again"))
        assert len(api.requests) == asked
        assert [len(batch.requests) for batch in api.desk.batches.values()] == [asked // 2] * 2
    assert again.experiment().judging.batch
