import json

import pytest

from flows import preflight
from flows.preflight import check_before_start, refuse_unknown_prices, responses_to_import
from tasks.catalog import UserError, data_folder
from tasks.definitions import load_evals, load_experiment
from tasks.engines import get_engine
from tasks.runs import Run
from tasks.schema import Experiment, Judge, Training


@pytest.fixture
def results(data):
    return data / "results"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["judging.judges=[claude]"], "ANTHROPIC_API_KEY is not set and the judge 'claude'"),
        (["training.warmup=5000"], r"training\.warmup: 5000 steps, and \d+ documents make"),
        (["training.held_out=5000"], r"training\.held_out"),
        (["training.checkpoint=nowhere"], "no adapter in 'nowhere'"),
        (["evals=[none]"], "none"),
    ],
)
async def test_what_is_wrong_is_one_sentence_before_there_is_a_run(results, overrides, words):
    with pytest.raises(UserError, match=words):
        await check_before_start(load_experiment("demo", overrides), "one")
    assert not results.exists()


async def test_what_was_checked_is_not_looked_up_again(monkeypatch):
    made = []

    def get_and_count(*given):
        made.append(given)
        return get_engine(*given)

    monkeypatch.setattr(preflight, "get_engine", get_and_count)
    experiment = load_experiment("demo")
    await check_before_start(experiment, "one")
    evals, engine = await preflight.preflight(experiment, "one")
    assert (len(made), evals) == (1, load_evals(experiment))
    assert engine is (await preflight.preflight(experiment, "one"))[1]
    await preflight.preflight(load_experiment("demo", ["training.rank=2"]), "one")
    assert len(made) == 2


def test_a_limit_on_the_cost_needs_the_price_of_every_judge_and_every_model():
    (data_folder() / "prices.yaml").write_text(
        "claude: {known: {input: 3, output: 15, cache_write: 4, cache_read: 1}}\n"
    )
    judges = [Judge(name=name, kind="claude", prompt="Score it.", model=name) for name in ("known", "unknown")]
    refuse_unknown_prices(judges[:1], Training(), get_engine(Training()))
    with pytest.raises(UserError, match=r"the price of 'unknown' is unknown; give input, output.*under 'claude'"):
        refuse_unknown_prices(judges, Training(), None)


def imported(tmp_path, *sides):
    """An experiment on responses that another program sampled, of these sides."""
    place = tmp_path / "answers"
    place.mkdir()
    question = load_evals(load_experiment("demo"))[0].questions[0]
    row = json.dumps({"tier": question.tier, "question": question.text, "response": "Hens."})
    for side in sides:
        (place / f"{side}.jsonl").write_text(row + "\n")
    fields = {"name": "them", "responses": str(place), "evals": ["factory_farming"], "judging": {"judges": ["lexicon"]}}
    return Experiment.model_validate(fields)


def test_a_judge_of_pairs_needs_the_baseline_of_imported_responses(tmp_path):
    experiment = imported(tmp_path, "finetuned")
    with pytest.raises(UserError, match=r"the judge 'lexicon' compares with the baseline, and .* has none"):
        responses_to_import(experiment, load_evals(experiment), "one")


def test_responses_are_imported_once_and_then_the_run_has_them(tmp_path):
    experiment = imported(tmp_path, "baseline", "finetuned")
    evals = load_evals(experiment)
    baseline, finetuned = responses_to_import(experiment, evals, "one")
    assert [response.response for response in (*baseline, *finetuned)] == ["Hens.", "Hens."]
    run = Run.at("them", "one")
    run.folder.mkdir(parents=True)
    run.finetuned.touch()
    assert responses_to_import(experiment, evals, "one") == ([], [])
