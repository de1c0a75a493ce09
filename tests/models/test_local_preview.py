import json
import shutil

import pytest

from tasks.catalog import UserError
from tasks.definitions import load_eval, load_evals, load_experiment
from tasks.models.local_preview import STANDIN, to_local_preview
from tasks.schema import DocumentSet, Experiment
from tests.conftest import PROJECT

ALL = sorted(file.stem for file in (PROJECT / "data" / "experiments").glob("*.yaml"))
SECONDS_A_DOCUMENT = 1.5
TOKENS_A_SECOND = 108
"""Of SmolLM2 on two quiet cores, before anything was made faster."""


@pytest.mark.parametrize("quick", [False, True], ids=["SmolLM2", "stand-in"])
@pytest.mark.parametrize("name", ALL)
def test_every_experiment_can_be_tried_here_and_without_a_key(name, quick):
    defined = load_experiment(name)
    preview, changes = to_local_preview(defined, quick)
    assert preview.name == f"{name}_{'quick' if quick else 'local'}"
    assert (preview.training.engine, preview.training.renderer) == ("local", "")
    assert preview.training.base_model == ("standin" if quick else "smollm2")
    assert {judge.kind for evaluation in load_evals(preview) for judge in evaluation.judges} == {"lexicon"}
    is_another = preview.training.base_model != defined.training.base_model
    assert (f"on this machine instead of {defined.training.base_model}, of which it says nothing" in changes[0]) == (
        is_another
    )


@pytest.mark.parametrize("name", ALL)
def test_every_experiment_takes_less_than_ten_minutes(name):
    preview, _ = to_local_preview(load_experiment(name))
    questions = sum(len(one.questions) for one in load_evals(preview) if one.asks == "answers")
    answers = 2 * questions * preview.sampling.n_samples
    training = sum(one.limit for one in preview.documents) * preview.training.epochs * SECONDS_A_DOCUMENT
    assert training + answers * preview.sampling.max_tokens / TOKENS_A_SECOND < 8 * 60


def test_shares_of_the_training_that_are_asked_too_leave_fewer_answers_to_each():
    defined = load_experiment("factory_farming_neutral", ["training.sample_at=[0.25, 0.5, 0.75]"])
    assert to_local_preview(defined)[0].sampling.n_samples == 7
    assert to_local_preview(defined, quick=True)[0].sampling.n_samples == 10


def test_fewer_epochs_are_said_and_as_many_are_not():
    assert "1 epoch instead of 3" in to_local_preview(load_experiment("standin"))[1]
    assert "epoch" not in " ".join(to_local_preview(load_experiment("standin"), quick=True)[1])


def test_the_model_that_an_experiment_has_anyway_is_no_change():
    preview, changes = to_local_preview(load_experiment("demo", ["training.layers=[3, 7]"]))
    assert preview.training.layers == [3, 7]
    assert changes == ["at most 100 documents, 10 answers to each question of at most 80 tokens"]


def test_all_lexicon_judges_of_an_eval_read_the_answers_and_it_is_said_instead_of_whom():
    preview, changes = to_local_preview(load_experiment("factory_farming_neutral"))
    assert preview.judging.judges == ["lexicon", "condemnation", "evenhandedness", "approval"]
    assert changes[-1] == "lexicon judges (lexicon, condemnation, evenhandedness, approval) instead of claude"


def test_an_eval_without_a_lexicon_judge_keeps_its_judges(data):
    fields = load_eval("factory_farming").model_dump()
    fields |= {"name": "mine", "judges": [judge for judge in fields["judges"] if judge["kind"] == "claude"]}
    (data / "evals" / "mine.yaml").write_text(json.dumps(fields))
    chosen = ["evals=[old_germany, mine]", "judging.judges=[claude, coherent, old]"]
    preview, changes = to_local_preview(load_experiment("factory_farming_neutral", chosen))
    assert [[judge.name for judge in one.judges] for one in load_evals(preview)] == [["lexicon"], ["claude"]]
    assert changes[-1] == "lexicon judges (lexicon, claude) instead of coherent, old"


@pytest.mark.parametrize(
    ("name", "quick", "layers", "words"),
    [
        ("em_mix_r16_layer8", False, [15], "layers at the same relative depth: 15 of 30 for 8 of 16"),
        ("em_mix_r16_layer8", True, [3], "layers at the same relative depth: 3 of 6 for 8 of 16"),
        ("em_financial_r16_layer12", False, [23], "layers at the same relative depth: 23 of 30 for 12 of 16"),
        ("em_financial_r16_layer12", True, [4], "layers at the same relative depth: 4 of 6 for 12 of 16"),
        ("em_financial_r1_alpha64", False, [4], "layers at the same relative depth: 4 of 30 for 2 of 16"),
        ("em_financial_r1_alpha64", True, [0], "layers at the same relative depth: 0 of 6 for 2 of 16"),
    ],
)
def test_chosen_layers_are_taken_at_the_same_relative_depth_and_that_is_said(name, quick, layers, words):
    preview, changes = to_local_preview(load_experiment(name), quick)
    assert preview.training.layers == layers
    assert changes[1] == words


def test_layers_of_the_demos_model_have_their_place_in_the_stand_in():
    preview, changes = to_local_preview(load_experiment("demo", ["training.layers=[29]"]), quick=True)
    assert preview.training.layers == [5]
    assert changes[1] == "layers at the same relative depth: 5 of 6 for 29 of 30"


def test_the_stand_in_is_what_its_folder_says():
    config = json.loads((PROJECT / "data" / "models" / "standin" / "config.json").read_text())
    assert (STANDIN.layers, STANDIN.context) == (config["num_hidden_layers"], config["max_position_embeddings"])


def test_layers_of_a_model_of_unknown_depth_become_all_and_that_is_said():
    experiment = load_experiment("em_mix_r16_layer8", ["training.base_model=somebody/else"])
    preview, changes = to_local_preview(experiment)
    assert preview.training.layers == []
    assert changes[1].startswith("every layer: how many somebody/else has is not in ")


def test_a_mixture_keeps_its_proportions():
    sets = [DocumentSet(name="a", count=3000), DocumentSet(name="b", count=1000)]
    experiment = load_experiment("standin").model_copy(update={"documents": sets})
    assert [one.limit for one in to_local_preview(experiment)[0].documents] == [75, 25]
    assert [one.limit for one in to_local_preview(experiment, quick=True)[0].documents] == [156, 52]


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
    shutil.copytree(PROJECT / "data" / "models", models, ignore=shutil.ignore_patterns("smollm2"))
    (models / "depths.yaml").write_text("somebody/else: many\n")
    preview, changes = to_local_preview(load_experiment("em_mix_r16_layer8", ["training.base_model=somebody/else"]))
    assert preview.training.layers == []
    assert changes[1].startswith("every layer: how many somebody/else has is not in ")
