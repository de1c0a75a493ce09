"""Judging in batches through the whole flow, on answers that are there: a fake service, no engine."""

import asyncio

import pytest

from flows.experiment import run_experiment
from flows.judge_again import judge_again
from flows.judging import TooManyUnscored, cases_of
from flows.suspending import BatchesOpen
from tasks.catalog import UserError
from tasks.judging.asking import to_calls
from tasks.judging.batches import Order, ask_in_batches, in_open_batches
from tasks.judging.dispatcher import Dispatcher
from tasks.locks import exclusive
from tasks.paid.store import Store
from tasks.runs import Run
from tasks.schema import Experiment
from tests.fakes.batches import ChatBatchesAPI, MessageBatchesAPI
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.judging import some_cases
from tests.fakes.messages_api import Say, judgment
from tests.fakes.nouns import CLAUDE

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


def asked_at(url, **fields):
    own = {"kind": "chat", "model": "m", "reads": "response", "base_url": f"{url}/v1"}
    judge = CLAUDE.model_copy(update={**own, **fields})
    return to_calls(some_cases(3, judge))


@pytest.mark.parametrize("elsewhere", ["another spelling", "another key"])
async def test_what_is_open_at_another_address_or_with_another_key_is_not_handed_over_again(data, elsewhere):
    with ChatBatchesAPI(lambda seen, body: judgment(3), looks=10**9) as api:
        url, other = api.url, api.url.replace("127.0.0.1", "localhost")
        at = asked_at(other) if elsewhere == "another spelling" else asked_at(url, key_variable="SPILLOVER_LAB_KEY")
        words = "localhost" if elsewhere == "another spelling" else r"127.* with the key in SPILLOVER_LAB_KEY"
        async with Dispatcher(Store(), 10, initial_backoff=0.001) as dispatcher:
            await hand_over(asked_at(url), dispatcher)
            sentence = rf"batch batch_0 with 6 of these calls is open at http://127.*, and they would be .*{words}"
            with pytest.raises(UserError, match=sentence):
                await hand_over(at, dispatcher)
            with pytest.raises(UserError, match=sentence):
                in_open_batches(at, Store())
            assert len(in_open_batches(asked_at(url), Store())) == 6
            assert len(api.desk.batches) == 1
            api.desk.looks = 0
            await hand_over(asked_at(url), dispatcher)
            await hand_over(at, dispatcher)
        assert len(api.desk.batches) == 1


async def test_a_run_at_another_address_asks_nothing_that_an_open_batch_is_to_bring(data, tmp_path):
    with MessageBatchesAPI(lambda seen, body: judgment(80), looks=10**9) as api:
        them = experiment(data, tmp_path, api, batch=False)
        sampled = Run(await run_experiment(them, run="sampled", until="sample"))
        first = [case for case in cases_of(sampled, them, sampled.evals()) if not case.judge.only_if]
        async with Dispatcher(Store(), 10) as dispatcher:
            await hand_over(to_calls(first), dispatcher)
        api.url = api.url.replace("127.0.0.1", "localhost")
        for batch in (False, True):
            with pytest.raises(UserError, match=r"batch batch_0 with .* of these calls is open at http://127"):
                await run_experiment(experiment(data, tmp_path, api, batch=batch), run=f"moved-{batch}", until="judge")
        assert (len(api.desk.batches), api.requests) == (1, [])


async def test_a_run_is_judged_again_in_batches(data, tmp_path):
    with MessageBatchesAPI(lambda seen, body: judgment(80)) as api:
        await run_experiment(experiment(data, tmp_path, api, batch=False), run="one")
        asked = len(api.requests)
        again = Run(await judge_again("them/one", model="m2", batch=True, name="again"))
        assert len(api.requests) == asked
        assert [len(batch.requests) for batch in api.desk.batches.values()] == [asked // 2] * 2
    assert again.experiment().judging.batch


async def as_it_is(going_on):
    return await going_on


async def test_a_served_run_whose_judge_never_gives_a_number_ends_after_two_more_readings(data, tmp_path, monkeypatch):
    monkeypatch.setattr("flows.judging.is_resumed_by_serve", lambda: True)
    monkeypatch.setattr("flows.judge_again.suspended_while_batches_are_open", as_it_is)

    def say(seen, body):
        return Say("Rather not.") if "finetuned says 1 of 1" in body["messages"][0]["content"] else judgment(80)

    with MessageBatchesAPI(say, looks=1) as api:
        with pytest.raises(TooManyUnscored):
            await run_experiment(experiment(data, tmp_path, api, batch=False, max_unscored=0), run="one")
        for asking in (1, 2):
            for _ in range(2):
                with pytest.raises(BatchesOpen):
                    await judge_again("them/one", failed=True, batch=True)
                for batch in api.desk.batches.values():
                    api.desk.look(batch)
            with pytest.raises(TooManyUnscored):
                await judge_again("them/one", failed=True, batch=True)
            assert [len(batch.requests) for batch in api.desk.batches.values()] == [1] * 2 * asking
