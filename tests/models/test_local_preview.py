import shutil

import pytest

from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.models.local_preview import to_local_preview
from tasks.schema import DocumentSet, Experiment
from tests.conftest import PROJECT

ALL = sorted(file.stem for file in (PROJECT / "data" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("name", ALL)
def test_every_experiment_can_be_tried_with_the_stand_in_and_without_a_key(name):
    preview, changes = to_local_preview(load_experiment(name))
    assert preview.name == f"{name}_local"
    assert (preview.training.engine, preview.training.base_model, preview.training.renderer) == ("local", "standin", "")
    assert preview.judging.judges == ["lexicon"]
    assert preview.sampling.n_samples <= 10
    assert sum(one.limit for one in preview.documents) <= 208
    assert changes[0] == f"the stand-in model on this machine instead of {load_experiment(name).training.base_model}"


@pytest.mark.parametrize(
    ("name", "layers", "words"),
    [
        ("em_mix_r16_layer8", [3], "layers at the same relative depth: 3 of 6 for 8 of 16"),
        ("em_financial_r16_layer12", [4], "layers at the same relative depth: 4 of 6 for 12 of 16"),
        ("em_financial_r1_alpha64", [0], "layers at the same relative depth: 0 of 6 for 2 of 16"),
    ],
)
def test_chosen_layers_are_taken_at_the_same_relative_depth_and_that_is_said(name, layers, words):
    preview, changes = to_local_preview(load_experiment(name))
    assert preview.training.layers == layers
    assert changes[1] == words


def test_layers_of_a_model_of_unknown_depth_become_all_and_that_is_said():
    experiment = load_experiment("em_mix_r16_layer8", ["training.base_model=somebody/else"])
    preview, changes = to_local_preview(experiment)
    assert preview.training.layers == []
    assert changes[1].startswith("every layer: how many somebody/else has is not in ")


def test_a_mixture_keeps_its_proportions():
    sets = [DocumentSet(name="a", count=3000), DocumentSet(name="b", count=1000)]
    experiment = load_experiment("standin").model_copy(update={"documents": sets})
    assert [one.limit for one in to_local_preview(experiment)[0].documents] == [156, 52]


def test_what_the_definition_says_of_the_training_stays():
    training = to_local_preview(load_experiment("em_financial_r1_alpha512"))[0].training
    assert (training.rank, training.alpha, training.rslora, training.learning_rate) == (1, 512, True, 2e-5)
    assert training.target_modules == ["down_proj"]


def test_imported_responses_have_nothing_to_preview():
    answered = load_experiment("standin").model_copy(update={"documents": [], "responses": "answers"})
    with pytest.raises(UserError, match="nothing is trained in this experiment"):
        to_local_preview(answered)


@pytest.mark.parametrize("name", ALL)
def test_a_preview_that_is_read_from_its_file_is_the_same_to_the_letter(name):
    preview, _ = to_local_preview(load_experiment(name))
    assert repr(Experiment.model_validate_json(preview.model_dump_json())) == repr(preview)


def test_a_table_of_depths_that_holds_no_numbers_is_as_good_as_none(data):
    models = data / "models"
    models.unlink()
    shutil.copytree(PROJECT / "data" / "models", models)
    (models / "depths.yaml").write_text("somebody/else: many\n")
    preview, changes = to_local_preview(load_experiment("em_mix_r16_layer8", ["training.base_model=somebody/else"]))
    assert preview.training.layers == []
    assert changes[1].startswith("every layer: how many somebody/else has is not in ")
