import pytest

from tasks.catalog import UserError, names
from tasks.definitions import load_experiment
from tasks.engines.served import HOSTED, lineup, retirement, served_all_the_same
from tasks.engines.tinker import TinkerEngine
from tasks.engines.tinker_data import recommended
from tasks.schema import Training

OWN = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def hosted(monkeypatch):
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)


def write_lineup(data, text):
    (data / "models").unlink()
    (data / "models").mkdir()
    (data / "models" / "served.yaml").write_text(text)


def on_hosted_tinker():
    experiments = [load_experiment(name) for name in names("experiments")]
    return [experiment for experiment in experiments if experiment.training.engine == "tinker"]


def test_every_line_has_its_source_and_no_model_is_both_gone_and_served():
    known = lineup()
    gone, served = {line.model for line in known.retired}, {line.model for line in known.served}
    judges = {line["source"] for line in known.judges}
    named = {line.source for line in known.retired} | {line.source for line in known.served} | judges
    assert named == known.sources.keys()
    assert not gone & served
    assert {line.successor for line in known.retired} - {""} <= served
    assert len(gone) == len(known.retired)


def test_the_renderer_of_a_served_model_fits_it():
    for line in lineup().served:
        assert line.renderer in recommended(line.model), line.model


def test_a_shipped_experiment_names_a_chat_format_that_its_model_takes():
    assert on_hosted_tinker()
    for experiment in on_hosted_tinker():
        assert TinkerEngine(experiment.training)._renderer_name == experiment.training.renderer


def test_every_shipped_experiment_on_a_model_that_is_gone_has_a_sister_on_one_that_is_served():
    known = lineup()
    gone = {experiment.name for experiment in on_hosted_tinker() if retirement(experiment)}
    assert gone == known.sisters.keys()
    assert {load_experiment(name).training.base_model for name in known.sisters.values()} <= {
        line.model for line in known.served
    }


@pytest.mark.parametrize(("name", "sister"), lineup().sisters.items())
def test_a_sister_differs_in_its_model_alone(name, sister):
    def settings(experiment):
        training = experiment.training.model_dump(exclude={"base_model", "renderer"})
        return experiment.model_dump(exclude={"name", "description", "training"}) | {"training": training}

    one, other = load_experiment(name), load_experiment(sister)
    assert settings(one) == settings(other)
    assert name in other.description
    assert not retirement(other)


def test_a_model_that_is_gone_is_told_with_its_day_and_the_sister_to_run():
    assert retirement(load_experiment("factory_farming_neutral")) == (
        "hosted Tinker retired meta-llama/Llama-3.3-70B-Instruct on 2026-06-12; run its sister "
        "factory_farming_neutral_qwen3_8_27b instead, or name a server of your own that has it with training.base_url"
    )


def test_an_experiment_of_ones_own_is_given_the_successor_or_nothing_of_the_kind():
    model = "training.base_model=Qwen/Qwen3-30B-A3B"
    mine = load_experiment("factory_farming_neutral", [model]).model_copy(update={"name": "mine"})
    remedy = "set training.base_model=Qwen/Qwen3.6-35B-A3B training.renderer=qwen3_5_disable_thinking, or name"
    assert remedy in retirement(mine)
    alone = mine.model_copy(update={"training": Training(engine="tinker", base_model="deepseek-ai/DeepSeek-V3.1-Base")})
    assert "2026-06-12; choose another training.base_model, or name" in retirement(alone)


def test_a_server_of_ones_own_and_a_local_model_are_not_hosted_tinkers_business(monkeypatch):
    assert not retirement(load_experiment("factory_farming_neutral", [f"training.base_url={OWN}"]))
    assert not retirement(load_experiment("factory_farming_neutral", ["training.engine=local"]))
    assert retirement(load_experiment("factory_farming_neutral", [f"training.base_url={HOSTED}"]))
    monkeypatch.setenv("TINKER_BASE_URL", OWN)
    assert not retirement(load_experiment("factory_farming_neutral"))


def test_what_the_service_serves_although_the_file_has_it_as_gone_is_warned_about():
    gone, there = (load_experiment(f"former_german_cities_qwen3_{size}") for size in ("32b", "8b"))
    (warning,) = served_all_the_same(gone.training)
    assert "Qwen/Qwen3-32B as retired on 2026-06-12" in warning
    assert served_all_the_same(there.training) == []


def test_without_the_file_nothing_is_known(data):
    write_lineup(data, "x")
    (data / "models" / "served.yaml").unlink()
    assert not retirement(load_experiment("factory_farming_neutral"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("retired: [{model: a, since: 2026-06-12, sauce: s}]", "retired.0.sauce: unknown field; did you mean source?"),
        ("retired: [{model: a, since: soon, source: s}]", "retired.0.since: "),
        ("- a", "expected fields with names, found a list"),
        ("retired: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence_with_its_place(data, text, words):
    write_lineup(data, text)
    with pytest.raises(UserError, match=r"served\.yaml") as wrong:
        lineup()
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert "mend the file, or remove it" in str(wrong.value)


def test_a_file_that_is_wrong_is_a_warning_and_stops_nothing(data):
    write_lineup(data, "retired:\n  - {model: a")
    gone = load_experiment("factory_farming_neutral")
    (warning,) = served_all_the_same(gone.training)
    assert "served.yaml line 2: not valid YAML" in warning
    assert retirement(gone) == warning
    assert served_all_the_same(load_experiment("standin").training) == []
