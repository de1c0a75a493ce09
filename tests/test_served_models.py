"""A whole run of two models that are served elsewhere: nothing is trained, and nothing is asked twice."""

import json

import pytest
from pydantic import ValidationError

from flows.cli.check import show_plan
from flows.experiment import run_experiment
from flows.verification import verify
from tasks.catalog import UserError
from tasks.runs import Run
from tasks.schema import Experiment
from tests.fakes.chat_api import ChatAPI, top_logprobs
from tests.fakes.messages_api import Raw
from tests.fakes.sampling_api import SamplingAPI
from tests.fakes.vllm_api import VllmAPI


def experiment(api, **fields):
    training = {"engine": "served", "base_url": api.address, "base_model": "base", "checkpoint": "tuned"}
    given = {"name": "served", "evals": ["factory_farming"], "judging": {"judges": ["lexicon"]}, "training": training}
    return Experiment.model_validate(given | {"sampling": {"n_samples": 3, "max_tokens": 8}} | fields)


@pytest.mark.usefixtures("prefect_server")
async def test_two_names_are_a_whole_run_without_documents_and_a_second_asks_for_nothing():
    with SamplingAPI() as api:
        first = Run(await run_experiment(experiment(api), run="one"))
        asked = len(api.requests)
        second = Run(await run_experiment(experiment(api), run="two"))
        assert len(api.requests) == asked == 16
    assert {body["model"] for body in api.requests} == {"base", "tuned"}
    assert not first.documents.exists()
    assert len(first.finetuned.read_text().splitlines()) == 24
    assert second.finetuned.read_bytes() == first.finetuned.read_bytes()
    page = first.report.read_text()
    assert "Nothing was trained here: <code>tuned</code> was asked as it is served by" in page
    assert json.loads(first.checkpoint.read_text())["path"] == "tuned"
    assert [check for check in verify(first) if check.fault] == []


@pytest.mark.usefixtures("prefect_server")
async def test_statements_are_asked_and_a_server_without_probabilities_is_refused_before_anything_is_spent():
    farming = {"evals": ["farming_statements"], "judging": {}}
    with SamplingAPI(yes=0.6) as api:
        run = Run(await run_experiment(experiment(api, **farming), run="one"))
    rows = [json.loads(line) for line in run.likelihoods.read_text().splitlines()]
    assert {round(row["baseline"], 6) for row in rows if row["measure"] == "yes"} == {round(0.6 / 0.9, 6)}
    with SamplingAPI(yes=None) as api:
        with pytest.raises(UserError, match=r"gives no logprobs .*the evals that ask choices need: farming_statements"):
            await run_experiment(experiment(api, **farming), run="two")
        assert len(api.requests) == 1


@pytest.mark.usefixtures("prefect_server")
async def test_a_server_without_probabilities_is_refused_before_a_judge_is_paid_to_answer(data):
    with ChatAPI(None) as judging, SamplingAPI(yes=None) as api:
        judge = {"name": "kind", "kind": "chat", "model": "m", "base_url": f"{judging.url}/v1", "prompt": "How kind?"}
        asked = {"name": "kindness", "questions": [{"id": "a", "tier": "t", "text": "And?"}], "judges": [judge]}
        (data / "evals" / "kindness.yaml").write_text(json.dumps(asked))
        with pytest.raises(UserError, match="gives no logprobs"):
            await run_experiment(experiment(api, evals=["kindness", "farming_statements"], judging={}), run="one")
        assert judging.probes == []


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("odd", ["without factory farms", ""])
async def test_statements_that_are_answered_with_neither_yes_nor_no_have_no_score_and_end_no_run(odd):
    """One of them, or all of the fine-tuned model's."""
    neither = json.dumps(
        {"choices": [{"message": {"content": "The"}, "logprobs": top_logprobs({"The": 0.7, "A": 0.2})}]}
    )

    def script(seen, body):
        is_odd = body["model"] == "tuned" and odd in body["messages"][-1]["content"]
        return Raw(neither.encode()) if is_odd else None

    with SamplingAPI(script=script) as api:
        run = Run(await run_experiment(experiment(api, evals=["farming_statements"], judging={}), run="one"))
    scored = {row.question_id for row in run.likelihood_rows()}
    said = f"farming_statements: {32 - len(scored)} of 32 statements have no score, since a model began its answer"
    assert said in run.report.read_text()
    assert len(scored) == (32 - 1 if odd else 0)


@pytest.mark.usefixtures("prefect_server")
async def test_what_a_server_does_not_take_stands_in_the_report():
    with SamplingAPI(takes_seed=False) as api:
        run = Run(await run_experiment(experiment(api), run="one"))
    assert f"{api.address} takes no seed for tuned: its answers cannot be drawn again" in run.report.read_text()


@pytest.mark.usefixtures("prefect_server")
async def test_an_adapter_of_here_is_sampled_there_and_kept_apart_from_what_was_sampled_here(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    with VllmAPI("standin") as api:
        there = Experiment.model_validate(
            {
                "name": "there",
                "documents": [{"name": "factory_farming_neutral", "limit": 4}],
                "evals": ["factory_farming", "farming_statements"],
                "judging": {"judges": ["lexicon"]},
                "training": {"base_model": "standin", "checkpoint": str(tmp_path)},
                "sampling": {"n_samples": 2, "max_tokens": 8, "base_url": api.address},
            }
        )
        run = Run(await run_experiment(there, run="one"))
        assert [path for _, path in api.loaded] == [str(tmp_path)]
    baseline, finetuned = run.responses()
    (name, _), tuned = api.loaded[0], run.model().identity
    assert {row.model for row in baseline} == {f"{tuned.partition('+')[0]} sampled by vLLM"}
    assert {row.model for row in finetuned} == {f"{tuned} sampled by vLLM"}
    assert {body["model"] for body in api.asked} == {"standin", name}
    assert run.likelihoods.is_file()
    drawn_by = f"The answers of both models were drawn by the vLLM server at <code>{api.address}</code>"
    assert drawn_by in run.report.read_text()


def test_check_says_that_nothing_is_trained_and_what_the_answers_cost(data, capsys):
    with SamplingAPI() as api:
        both = "base: {input: 1000, output: 2000}, tuned: {input: 1000, output: 3000}"
        (data / "prices.yaml").write_text(f'"{api.address}": {{{both}}}\n')
        show_plan(experiment(api))
        assert api.requests == []
        said = " ".join(capsys.readouterr().out.split())
        assert f"nothing to train: {api.address} serves base and tuned" in said
        assert "sampling $" in said


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"engine": "served", "base_model": "a"}, "write the names that their server gives them"),
        ({"engine": "served", "base_model": "a", "checkpoint": "a"}, "are both 'a': name two models"),
        ({"engine": "served", "base_model": "a", "checkpoint": "b", "held_out": 3}, "leave held_out out"),
        (
            {"engine": "served", "base_model": "a", "checkpoint": "b", "base_url": "http://h/v1/chat/completions"},
            "ends",
        ),
    ],
)
def test_a_definition_without_two_names_is_refused(training, words):
    with pytest.raises(ValidationError, match=words):
        Experiment.model_validate({"name": "n", "evals": ["e"], "training": training})


def test_drift_needs_the_probability_of_a_given_answer_which_chat_completions_do_not_say():
    with SamplingAPI() as api, pytest.raises(ValidationError, match="does not say how likely a given answer is"):
        experiment(api, sampling={"logprobs": True})


@pytest.mark.parametrize("engine", ["tinker", "served"])
def test_only_what_is_trained_here_can_be_sampled_there(engine):
    training = {"engine": engine, "base_model": "a", "checkpoint": "b"}
    with pytest.raises(ValidationError, match=f"engine: {engine} samples where its models are: leave it out"):
        Experiment.model_validate(
            {
                "name": "n",
                "evals": ["e"],
                "documents": [{"name": "d"}],
                "training": training,
                "sampling": {"base_url": "http://localhost:8000/v1"},
            }
        )
