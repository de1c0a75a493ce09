import json

import pytest

from flows import preflight
from flows.preflight import (
    check_before_start,
    check_engine,
    check_writer,
    outdated_sets,
    refuse_unknown_prices,
    responses_to_import,
    warnings_of,
)
from tasks.catalog import UserError, data_folder
from tasks.definitions import load_evals, load_experiment
from tasks.engines import get_engine, served
from tasks.generation.set_files import keep_set
from tasks.runs import Run
from tasks.schema import DocumentSet, Experiment, Judge, SyntheticDocument, Training, Writer
from tests.fakes.author import a_set
from tests.fakes.tinker_lineup import serving
from tests.fakes.trainings import STANDIN


@pytest.fixture
def results(data):
    return data / "results"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["judging.judges=[claude]"], "the judge 'claude' asks Claude, and ANTHROPIC_API_KEY is not set"),
        (["training.warmup=5000"], r"training\.warmup: 5000 steps, and \d+ documents make"),
        (["training.held_out=5000"], r"training\.held_out"),
        (["training.checkpoint=nowhere"], "no adapter in 'nowhere'"),
        (["evals=[none]"], "none"),
    ],
)
async def test_what_is_wrong_is_one_sentence_before_there_is_a_run(results, overrides, words):
    with pytest.raises(UserError, match=words):
        await check_before_start(load_experiment("standin", overrides), "one")
    assert not results.exists()


async def test_what_was_checked_is_not_looked_up_again(monkeypatch):
    made = []

    def get_and_count(*given):
        made.append(given)
        return get_engine(*given)

    monkeypatch.setattr(preflight, "get_engine", get_and_count)
    experiment = load_experiment("standin")
    await check_before_start(experiment, "one")
    evals, engine = await preflight.preflight(experiment, "one")
    assert (len(made), evals) == (1, load_evals(experiment))
    assert engine is (await preflight.preflight(experiment, "one"))[1]
    await preflight.preflight(load_experiment("standin", ["training.rank=2"]), "one")
    assert len(made) == 2


def test_a_limit_on_the_cost_needs_the_price_of_every_judge_and_every_model():
    (data_folder() / "prices.yaml").write_text(
        "claude: {known: {input: 3, output: 15, cache_write: 4, cache_read: 1}}\n"
    )
    judges = [Judge(name=name, kind="claude", prompt="Score it.", model=name) for name in ("known", "unknown")]
    refuse_unknown_prices(judges[:1], Training(), get_engine(Training()))
    with pytest.raises(UserError, match=r"the price of 'unknown' is unknown; give input, output.*under 'claude'"):
        refuse_unknown_prices(judges, Training(), None)
    with pytest.raises(UserError, match=r"the price of 'known' is unknown; give .* batch_input and batch_output"):
        refuse_unknown_prices(judges[:1], Training(), None, in_batches=True)


def test_a_missing_key_and_an_unknown_price_are_said_of_the_writer(monkeypatch):
    with pytest.raises(UserError, match="the writer asks Claude, and ANTHROPIC_API_KEY is not set: export it"):
        check_writer(Writer(), has_limit=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    with pytest.raises(UserError, match="max_cost_usd is set and the price of 'claude-none' is unknown; give input"):
        check_writer(Writer(model="claude-none"), has_limit=True)
    check_writer(Writer(model="claude-none"), has_limit=False)


def imported(tmp_path, *sides):
    """An experiment on responses that another program sampled, of these sides."""
    place = tmp_path / "answers"
    place.mkdir()
    question = load_evals(load_experiment("standin"))[0].questions[0]
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


GONE = "hosted Tinker retired meta-llama/Llama-3.3-70B-Instruct on 2026-06-12; run its sister"
LINEUP = "retired: [{model: standin, since: 2026-06-12, source: s}]\nsisters: {standin: standin_again}\n"


@pytest.fixture
def hosted(monkeypatch):
    """Puts a server in the place of hosted Tinker."""
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    monkeypatch.setenv("TINKER_API_KEY", "tml-planted")
    return lambda address: monkeypatch.setattr(served, "HOSTED", address)


@pytest.fixture
def on_standin(data):
    """An experiment on the stand-in as a model of a Tinker server, which the list has as gone."""
    (data / "models").unlink()
    (data / "models").mkdir()
    (data / "models" / "standin").symlink_to(STANDIN)
    (data / "models" / "served.yaml").write_text(LINEUP)
    return load_experiment("standin", ["training={engine: tinker, base_model: standin, renderer: llama3}"])


async def test_a_model_that_the_service_lacks_is_refused_with_its_day_and_its_sister(hosted):
    experiment = load_experiment("factory_farming_neutral")
    with serving("Qwen/Qwen3.8-27B") as address:
        hosted(address)
        with pytest.raises(UserError, match=f"does not have 'meta-llama/Llama-3.3-70B-Instruct'.*; {GONE}") as refused:
            await check_engine(experiment, get_engine(experiment.training))
    assert "factory_farming_neutral_qwen3_8_27b instead, or name a server of your own" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_sister_is_served(hosted):
    experiment = load_experiment("factory_farming_neutral_qwen3_8_27b")
    with serving("Qwen/Qwen3.8-27B") as address:
        hosted(address)
        await check_engine(experiment, get_engine(experiment.training))


async def test_a_model_that_the_list_has_as_gone_and_the_service_serves_is_run_with_a_note(hosted, on_standin):
    engine = get_engine(on_standin.training)
    with serving(str(STANDIN)) as address:
        hosted(address)
        engine = get_engine(on_standin.training)
        await check_engine(on_standin, engine)
    (note,) = engine.warnings()
    assert "standin as retired on 2026-06-12" in note
    assert "serves it still" in note


async def test_another_server_is_not_asked_what_hosted_tinker_retired(hosted, on_standin):
    with serving(str(STANDIN)) as mine, serving() as lacking:
        hosted("http://127.0.0.1:9")
        own = on_standin.model_copy(update={"training": on_standin.training.model_copy(update={"base_url": mine})})
        engine = get_engine(own.training)
        await check_engine(own, engine)
        assert engine.warnings() == []
        bare = own.model_copy(update={"training": own.training.model_copy(update={"base_url": lacking})})
        with pytest.raises(UserError, match="does not have") as refused:
            await check_engine(bare, get_engine(bare.training))
    assert "retired" not in str(refused.value)


async def test_whoever_has_no_key_yet_learns_first_that_the_model_is_gone(monkeypatch, tmp_path):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    experiment = load_experiment("factory_farming_neutral")
    with pytest.raises(UserError, match=f"no Tinker credentials.*; {GONE}"):
        await check_engine(experiment, get_engine(experiment.training))


def test_a_source_of_warnings_that_cannot_be_read_is_a_warning_itself(monkeypatch):
    def damaged():
        raise UserError("the list of models is damaged; mend it")

    engine = get_engine(load_experiment("standin").training)
    monkeypatch.setattr(engine, "warnings", damaged)
    assert warnings_of(engine) == ["the list of models is damaged; mend it"]


def test_a_set_whose_definition_was_changed_since_it_was_written_is_told(data):
    (data / "documents").unlink()
    text = SyntheticDocument(
        content="c", doc_idea="i", doc_type="t", fact="f", universe_context_id="lakes", is_true=True
    )
    keep_set(a_set(documents=1), {"neutral": [text]}, {"neutral": []}, {"counts": {}})
    experiment = Experiment(name="e", documents=[DocumentSet(name="lakes")], evals=["factory_farming"])
    assert outdated_sets(experiment) == []
    definition = data / "documents" / "lakes" / "set.yaml"
    definition.write_text(definition.read_text() + "seed: 7\n")
    (words,) = outdated_sets(experiment)
    assert words.startswith("the set lakes was written by an earlier definition")
    assert "spillover generate lakes" in words
