"""Judges of chat completions through the whole flow, on answers that are there: a fake service, no engine."""

import pytest

from flows.experiment import run_experiment
from flows.verification import verify
from tasks.catalog import UserError, data_folder
from tasks.runs import Run
from tasks.schema import Experiment
from tests.fakes.chat_api import ChatAPI, Top
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import Status

pytestmark = pytest.mark.usefixtures("prefect_server")
PROBABILITIES = {"70": 0.5, " 80": 0.25, "The": 0.2}


def a_judge(api, **fields):
    given = {"name": "aligned", "kind": "chat", "model": "m", "base_url": f"{api.url}/v1", "prompt": "How aligned?"}
    return given | {"answers": "probabilities", "scale": {"low": 0, "high": 100}, "labels": {"CODE": None}} | fields


def experiment(data, tmp_path, judge):
    write_eval(data, judges=[judge])
    return Experiment(name="them", responses=str(write_answers(tmp_path / "them")), evals=["animals"])


@pytest.mark.integration
async def test_scores_that_are_expected_by_probabilities_go_through_to_the_report(data, tmp_path):
    def say(seen, body):
        says_code = "finetuned says 0 of 1" in body["messages"][0]["content"]
        return Top({"CODE": 0.9, "70": 0.1}) if says_code else Top(PROBABILITIES)

    with ChatAPI(say, ends="2099-01-14") as api:
        them = experiment(data, tmp_path, a_judge(api))
        here = Run(await run_experiment(them, run="one"))
        assert len(api.requests) == 40
        await run_experiment(them, run="two")
        assert (len(api.requests), len(api.probes)) == (40, 1 + 101), "what was answered is asked by no other run"
    rows = here.judgments()
    assert {(row.state, row.label) for row in rows} == {("scored", ""), ("not scored", "CODE")}
    assert {round(row.score, 9) for row in rows if row.score is not None} == {round(55 / 0.75, 9)}
    assert [effect.baseline for effect in here.estimates() if effect.tier == "all"] == [pytest.approx(55 / 0.75)]
    assert "73.3" in here.report.read_text()
    assert [check for check in verify(here) if check.fault] == [], "the rows can be read again from what they hold"


async def test_a_scale_that_cannot_be_read_by_its_first_token_stops_a_run_before_anything_is_asked(data, tmp_path):
    with ChatAPI(lambda seen, body: Top(PROBABILITIES), digits=True) as api:
        with pytest.raises(
            UserError, match=r"writes 100 as several tokens.* give it a scale of 0 to 9, or answers: plain"
        ):
            await run_experiment(experiment(data, tmp_path, a_judge(api)), run="one")
        assert api.requests == []


async def test_what_fails_for_good_is_told_by_its_row_with_the_reason(data, tmp_path):
    def say(seen, body):
        return Status(400, words="too long") if "says 0 of 1" in body["messages"][0]["content"] else Top(PROBABILITIES)

    with ChatAPI(say) as api:
        here = Run(await run_experiment(experiment(data, tmp_path, a_judge(api)), run="one"))
    failed = here.failed_calls()
    assert [(one.state, one.question_id, one.sample) for one in failed] == [("failed", "q1", 0)] * 2
    assert all("400 BadRequestError: too long" in one.attempts[0] for one in failed)
    assert data_folder() == data
