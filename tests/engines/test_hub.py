import pytest

from tasks.catalog import UserError
from tasks.engines.local import LocalEngine
from tasks.schema import Message, Training
from tests.fakes.hub import COMMIT, serve_hub
from tests.fakes.trainings import STANDIN, documents


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serve_hub({"us/standin": STANDIN}, gated={"them/gated"}) as (address, requested):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield requested


async def test_a_model_of_hugging_face_is_found_before_any_work_and_fetched_when_it_is_needed(hub, tmp_path):
    engine = LocalEngine(Training(base_model="us/standin", epochs=1))
    await engine.preflight()
    assert not any(path.endswith(".safetensors") for path in hub)
    assert engine.untuned().identity == "us/standin@" + COMMIT
    trained = await engine.train(documents(2), [], 0, tmp_path / "a", lambda *_: None)
    assert any(path.endswith(".safetensors") for path in hub)
    assert trained.identity.startswith("us/standin@")
    local = LocalEngine(Training(base_model="standin"))
    message = [Message(role="user", content="Why?")]
    assert engine.render(message) == local.render(message)


async def test_a_model_that_was_fetched_is_used_when_the_hub_is_out_of_reach(hub, monkeypatch):
    _ = LocalEngine(Training(base_model="us/standin")).weights
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    later = LocalEngine(Training(base_model="us/standin"))
    await later.preflight()
    assert later.untuned().identity == "us/standin@" + COMMIT
    assert (later.weights / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("them/gated", "'them/gated' is gated; accept its terms at https://huggingface.co/them/gated and set HF_TOKEN"),
        ("them/no--thing", "is neither a folder nor a model id of Hugging Face"),
        ("them/nothing", "no model 'them/nothing' on this machine or at Hugging Face; check the name"),
    ],
)
async def test_a_gated_or_missing_model_is_one_sentence_before_any_work(hub, name, words):
    with pytest.raises(UserError, match=words):
        await LocalEngine(Training(base_model=name)).preflight()


async def test_a_hub_out_of_reach_is_one_sentence(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="is not on this machine and Hugging Face cannot be reached"):
        await LocalEngine(Training(base_model="us/other")).preflight()
