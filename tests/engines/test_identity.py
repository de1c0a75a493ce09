import json
import shutil

import pytest

from tasks.engines.local import LocalEngine
from tests.fakes.trainings import STANDIN, TRAINING, documents


def adapter(folder, **changes):
    """An adapter as peft leaves one, with other words in its configuration."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    config = {"r": 4, "lora_alpha": 32, "use_rslora": False, "target_modules": ["q_proj", "v_proj"]}
    config |= {"base_model_name_or_path": "/home/a/standin", "peft_version": "0.17.0", "layers_to_transform": None}
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model_name_or_path": "/srv/standin", "revision": "main", "peft_version": "0.18.1"},
        {"target_modules": ["v_proj", "q_proj"]},
        {"lora_alpha": 32.0, "inference_mode": True, "task_type": "CAUSAL_LM", "auto_mapping": {"a": "b"}},
        {"an_option_of_a_newer_peft": False, "another": None, "and_more": {}},
    ],
)
def test_one_adapter_is_one_model_wherever_and_with_whatever_it_was_written_down(tmp_path, changes):
    one, other = adapter(tmp_path / "one"), adapter(tmp_path / "other", **changes)
    assert LocalEngine(TRAINING).adapted(str(one)).identity == LocalEngine(TRAINING).adapted(str(other)).identity


@pytest.mark.parametrize(
    "changes",
    [{"r": 8}, {"lora_alpha": 16}, {"use_rslora": True}, {"target_modules": ["q_proj"]}, {"layers_to_transform": [1]}],
)
def test_an_adapter_that_is_applied_otherwise_is_another_model(tmp_path, changes):
    one, other = adapter(tmp_path / "one"), adapter(tmp_path / "other", **changes)
    assert LocalEngine(TRAINING).adapted(str(one)).identity != LocalEngine(TRAINING).adapted(str(other)).identity


async def test_what_a_training_leaves_names_no_place_and_is_written_in_one_order(tmp_path, monkeypatch):
    training = TRAINING.model_copy(update={"epochs": 1, "warmup": 0, "sample_at": [0.5]})
    for data in ("one", "two/deeper"):
        shutil.copytree(STANDIN, tmp_path / data / "models" / "standin")
    trained = []
    for data in ("one", "two/deeper"):
        monkeypatch.setenv("SPILLOVER_DATA", str(tmp_path / data))
        folder = tmp_path / data / "adapter"
        trained.append(await LocalEngine(training).train(documents(8), [], 0, folder, lambda *_: None))
    one, two = ({f.relative_to(d): f for f in d.rglob("*") if f.is_file()} for d in (tmp_path / "one/adapter", folder))
    assert one.keys() == two.keys()
    assert len(one) == 5, "two adapters of two files each, and the curve"
    for name, file in one.items():
        assert str(tmp_path).encode() not in file.read_bytes()
        assert name.name == "metrics.jsonl" or file.read_bytes() == two[name].read_bytes()
    config = json.loads((folder / "at-0.5" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "standin"
    assert config["target_modules"] == sorted(training.target_modules)
    assert list(config) == sorted(config)
    assert [c.identity for c in (trained[0], *trained[0].earlier)] == [
        c.identity for c in (trained[1], *trained[1].earlier)
    ]
