import pytest

from flows.preflight import check_engine
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.engines import get_engine, served
from tests.fakes.tinker_lineup import serving
from tests.fakes.trainings import STANDIN

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
