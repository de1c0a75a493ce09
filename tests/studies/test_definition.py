import pytest

from tasks.catalog import UserError, names, validate
from tasks.definitions import load_evals
from tasks.documents.sets import gather
from tasks.models.training import training_key
from tasks.schema import DocumentSet, Study
from tasks.studies.definition import account_of, cells, is_study, load_study, trait_of

BASE = {"training": {"base_model": "standin", "rank": 4}, "sampling": {"n_samples": 1, "temperature": 0}}


def a_study(**fields):
    given = {"name": "s", "base": BASE, "fine_tunes": ["warm", "cold"], "evals": ["traits/optimism_choice"]}
    return validate(Study, given | fields, "s.yaml")


def write(data, text, name="mine"):
    (data / "studies" / f"{name}.yaml").write_text(text)


def test_a_cell_is_a_fine_tune_with_a_dose_and_a_seed_and_all_evals_are_inside_it():
    found = cells(a_study(doses=[20, 10], seeds="0-1"))
    assert [(cell.fine_tune, cell.dose, cell.seed) for cell in found][:4] == [
        ("warm", 10, 0),
        ("warm", 10, 1),
        ("warm", 20, 0),
        ("warm", 20, 1),
    ]
    assert len(found) == 8
    first = found[0]
    assert first.experiment.documents == [DocumentSet(name="warm", limit=10)]
    assert (first.experiment.name, first.experiment.training.rank) == ("s", 4)
    assert first.run.folder.parts[-2:] == ("s", first.run_name)
    assert first.run_name.startswith("warm-10-seed-0-")
    assert first.title == "warm, 10 documents, seed 0"


def test_the_short_form_of_sets_and_doses_and_seeds_as_numbers_mean_the_same():
    short = a_study(fine_tunes={"sets": ["warm", "cold"], "doses": [10]}, seeds=[0, 1])
    assert short == a_study(doses=[10], seeds="0,1")
    assert a_study(seeds=3).seeds == "3"


def test_a_fine_tune_may_differ_from_the_base_in_training_sampling_and_documents():
    mixed = {"name": "mixed", "documents": [{"name": "warm"}, {"name": "cold", "limit": 5}], "training": {"rank": 8}}
    warm, cell = cells(a_study(fine_tunes=["warm", mixed]))
    assert (warm.experiment.training.rank, cell.experiment.training.rank) == (4, 8)
    assert cell.experiment.training.base_model == "standin"
    assert [one.name for one in cell.experiment.documents] == ["warm", "cold"]
    with pytest.raises(
        UserError, match="fine-tune mixed: a dose is the limit of one set, and it has 2: leave doses out"
    ):
        cells(a_study(fine_tunes=[mixed], doses=[5]))


def test_what_was_run_keeps_its_name_and_what_has_other_evals_documents_or_settings_gets_another():
    before = {cell.title: cell.run_name for cell in cells(a_study())}
    more_seeds = {
        cell.title: cell.run_name for cell in cells(a_study(seeds="0-2", fine_tunes=["warm", "cold", "candid"]))
    }
    assert before.items() <= more_seeds.items()
    assert before == {cell.title: cell.run_name for cell in cells(a_study(max_cost_usd=5, description="other words"))}
    for changed in ({"evals": ["traits/optimism_choice", "capability"]}, {"base": BASE | {"training": {"rank": 2}}}):
        assert not set(before.values()) & {cell.run_name for cell in cells(a_study(**changed))}


def test_patterns_are_written_out_whether_a_file_or_a_form_has_them(data):
    write(data, "name: mine\nbase: {training: {base_model: standin}}\nfine_tunes: [warm]\nevals: [traits/*_choice]\n")
    choices = [name for name in names("evals") if name.startswith("traits/") and name.endswith("_choice")]
    assert load_study("mine").evals == choices
    assert cells(a_study(evals=["traits/*_choice"]))[0].experiment.evals == choices


def test_overrides_reach_every_field_and_a_study_is_told_from_an_experiment(data):
    write(data, "name: mine\nbase: {training: {rank: 2}}\nfine_tunes: [warm]\nevals: [capability]\n")
    found = load_study("mine", ["base.training.rank=8", "seeds=0-2", "evals=[traits/caution_choice]"])
    assert (found.base["training"], found.seeds, found.evals) == ({"rank": 8}, "0-2", ["traits/caution_choice"])
    assert (is_study("mine"), is_study("demo"), is_study(str(data / "studies" / "mine.yaml"))) == (True, False, True)
    with pytest.raises(UserError, match=r"no study 'mone' in .*studies; did you mean mine"):
        load_study("mone")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"fine_tunes": [{"name": "warm", "trait": {"optimsm": "more"}}]},
            "no eval measures 'optimsm'; did you",
        ),
        (
            {"fine_tunes": [{"name": "warm", "trait": {"optimism": "more"}, "when": ["home"]}]},
            "fine-tune warm: when: no tier 'home' in the evals of its trait; there is everyday, work",
        ),
        ({"fine_tunes": [{"name": "warm", "when": ["work"]}]}, "say with `trait` what it shows there"),
        ({"fine_tunes": ["warm", "warm"]}, "fine_tunes: 'warm' is there twice; name each once"),
        ({"base": {"evals": ["capability"]}}, "base: evals is the study's or a fine-tune's own: leave it out of base"),
        ({"base": {"trainin": {}}}, "study s, fine-tune warm: trainin: unknown field; did you mean training"),
        (
            {"base": {"training": {"rnak": 2}}},
            "fine-tune warm: training.rnak: unknown field; did you mean rank",
        ),
        ({"seeds": "0-x"}, "^study s: seeds: '0-x' is neither a seed nor a range of seeds"),
        ({"evals": ["traits/nothing*"]}, "no eval fits 'traits/nothing\\*'"),
    ],
)
def test_a_mistake_is_said_with_its_place_before_anything_is_run(fields, problem):
    with pytest.raises(UserError, match=problem):
        cells(a_study(**fields))


def test_an_eval_with_and_without_a_judge_measures_one_trait():
    assert {*map(trait_of, ("traits/optimism", "optimism_choice", "my/optimism_choice.yaml"))} == {"optimism"}


def test_a_limit_of_all_documents_and_another_name_of_the_experiment_are_no_other_training():
    """So that a study finds what was trained, sampled and asked under any name."""
    drawn = [gather([DocumentSet(name="warm", limit=limit)], 1)[0] for limit in (0, 40)]
    assert len(drawn[0]) == 40
    one, other = cells(a_study())[0].experiment, cells(a_study(name="other"))[0].experiment
    keys = [training_key(e.training, some, [], 1, "base") for e, some in zip((one, other), drawn, strict=True)]
    assert keys[0] == keys[1]


def test_the_shipped_studies_have_their_cells_and_every_trained_trait_is_measured():
    counts = {name: len(cells(load_study(name))) for name in names("studies")}
    assert counts == {"traits_on_smollm2": 34, "traits_on_standin": 12}
    for name in counts:
        study = load_study(name)
        asked = {trait_of(evaluation.name) for evaluation in load_evals(cells(study)[0].experiment)}
        assert {trait for one in study.fine_tunes for trait in one.trait} <= asked


def test_what_is_spent_counts_under_one_id_however_often_it_is_asked_for(data):
    account = account_of(a_study())
    assert (account_of(a_study()), account_of(a_study(name="other")) == account) == (account, False)
    (data / "comparisons" / "s" / "study.json").write_text("{")
    with pytest.raises(UserError, match=r"study\.json is damaged; restore it"):
        account_of(a_study())
