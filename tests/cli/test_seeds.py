import pytest

from flows.cli.seeds import show_seed_check
from tasks.catalog import UserError
from tasks.definitions import load_experiment


def test_an_experiment_that_trains_on_no_tinker_server_has_no_seeds_to_check():
    with pytest.raises(UserError, match=r"^--seeds checks a Tinker server, and standin uses none; set "):
        show_seed_check(load_experiment("standin"))


def test_a_server_that_is_not_there_is_one_sentence_and_nothing_is_noted(data, monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", "tml-planted")
    training = "training={engine: tinker, base_model: standin, renderer: llama3, base_url: 'http://127.0.0.1:9'}"
    with pytest.raises(UserError, match=r"no Tinker server at http://127.0.0.1:9 \(ConnectError\); start it"):
        show_seed_check(load_experiment("standin", [training]))
    assert not (data / "store").exists()
