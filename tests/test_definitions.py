import json
import shutil
from pathlib import Path
from typing import cast

import pytest
import yaml

from flows.experiment import run_experiment
from flows.serving.deployments import of_experiment
from tasks.catalog import UserError, document_files, model_folder, names, validate
from tasks.definitions import (
    are_same,
    as_yaml,
    change,
    load_eval,
    load_evals,
    load_experiment,
    what_effects_say,
    with_rules,
    with_what_may_change,
)
from tasks.documents.sets import gather
from tasks.engines.engine import Engine
from tasks.files import write_text
from tasks.imports.responses import read_responses
from tasks.judging.rubrics import rubric_hash, to_call
from tasks.models.sampling import plan_samples
from tasks.models.training import training_key
from tasks.runs import Run
from tasks.schema import Checkpoint, Document, Eval, Experiment, Judge, Message, Question, Rule, Sampling
from tasks.strict_yaml import load as load_yaml
from tests.conftest import PROJECT
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval


def wrong(data: Path, text: str) -> str:
    file = data / "experiments" / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_experiment("wrong")
    assert str(file) in str(error.value)
    return str(error.value)


def test_every_shipped_definition_loads():
    for name in names("experiments"):
        assert load_evals(load_experiment(name)), name


def test_a_misspelt_field_is_named_with_the_nearest_valid_one(data):
    base = "name: x\nevals: [factory_farming]\ndocuments: [{name: a}]\n"
    assert "training.lerning_rate: unknown field; did you mean learning_rate?" in wrong(
        data, base + "training: {lerning_rate: 1}"
    )
    assert "documents.0.cout: unknown field; did you mean count?" in wrong(
        data, "name: x\nevals: [e]\ndocuments: [{name: a, cout: 1}]"
    )


def test_a_missing_field_a_wrong_value_and_broken_yaml_are_told_with_their_place(data):
    assert "name: this field is missing" in wrong(data, "documents: [{name: d}]\nevals: [e]")
    assert "give either documents to train on or responses" in wrong(data, "name: x\nevals: [e]")
    assert "training.rank: input should be greater than or equal to 1 (found 0)" in wrong(
        data, "name: x\nevals: [e]\ndocuments: [{name: a}]\ntraining: {rank: 0}"
    )
    assert "line 2: not valid YAML" in wrong(data, "name: x\nevals: e]: [\n")
    assert "expected fields with names, found a list" in wrong(data, "- a")


def test_an_unknown_name_is_answered_with_the_nearest_known_one():
    for load, name, nearest in ((load_experiment, "dem", "demo"), (load_eval, "factory_framing", "factory_farming")):
        with pytest.raises(UserError, match=f"did you mean {nearest}\\?"):
            load(name)
    with pytest.raises(UserError, match="did you mean factory_farming_neutral"):
        document_files("factory_farming_netural", "")


def test_a_name_of_another_kind_or_of_a_folder_is_answered_with_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "mine" / "mine.yaml", "name: mine\n")
    for name, words in (
        ("lighthouses_neutral", "lighthouses_neutral is a set; `spillover list`"),
        ("optimism", "traits/optimism is an eval"),
        ("traits_on_standin", "traits_on_standin is a study"),
        ("mine", "did you mean mine/mine.yaml\\?"),
        ("mine/", "did you mean mine/mine.yaml\\?"),
    ):
        with pytest.raises(UserError, match=f"no experiment '{name}' in .*/experiments; {words}"):
            load_experiment(name)


def test_blanks_around_the_field_of_an_override_are_not_part_of_it():
    assert load_experiment("standin", ["training.rank = 8"]).training.rank == 8


def test_dotted_overrides_change_single_fields():
    experiment = load_experiment(
        "standin", ["training.rank=8", "documents.0.limit=50", "judging.judges=[claude]", "training.learning_rate=1e-4"]
    )
    assert (experiment.training.rank, experiment.documents[0].limit, experiment.training.learning_rate) == (8, 50, 1e-4)
    assert experiment.judging.judges == ["claude"]
    assert experiment.training.alpha == load_experiment("standin").training.alpha


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rank", "write field=value"),
        ("documents.3.limit=1", "there is no '3'"),
        ("training.rank.x=1", "there is no 'rank' to set"),
        ("training.rnak=1", "did you mean rank"),
        ("documents.5={}", "has one entry, 0"),
    ],
)
def test_a_wrong_override_is_refused_in_words(override, words):
    with pytest.raises(UserError, match=words):
        load_experiment("standin", [override])


def test_judges_are_chosen_by_name_and_an_unknown_one_is_refused():
    (only,) = load_evals(load_experiment("standin", ["judging.judges=[lexicon]"]))
    assert [judge.name for judge in only.judges] == ["lexicon"]
    with pytest.raises(UserError, match="no judge 'lexcon' in factory_farming; did you mean lexicon"):
        load_evals(load_experiment("standin", ["judging.judges=[lexcon]"]))


def test_an_eval_that_asks_choices_has_no_judges_to_choose_among():
    chosen = ["evals=[factory_farming, farming_statements]", "judging.judges=[lexicon]"]
    answers, choices = load_evals(load_experiment("standin", chosen))
    assert [judge.name for judge in answers.judges] == ["lexicon"]
    assert choices.judges == []


def test_the_factory_farming_eval_has_the_seeds_questions(realdata):
    published = [
        json.loads(line)
        for line in (realdata / "factory_farming" / "eval_questions_all.jsonl").read_text().splitlines()
    ]
    assert [{"tier": q.tier, "question": q.text} for q in load_eval("factory_farming").questions] == published


@pytest.mark.parametrize("name", sorted(file.stem for file in (PROJECT / "data" / "experiments").glob("*.yaml")))
def test_every_experiment_of_the_project_is_one_short_definition_whose_evals_and_judges_are_there(name):
    file = PROJECT / "data" / "experiments" / f"{name}.yaml"
    experiment = load_experiment(name)
    assert experiment.name == name
    assert len(file.read_text().splitlines()) < 60
    assert {judge.name for one in load_evals(experiment) for judge in one.judges} == set(experiment.judging.judges)


@pytest.mark.parametrize("name", sorted(file.stem for file in (PROJECT / "data" / "evals").glob("*.yaml")))
def test_every_eval_of_the_project_can_be_judged_without_a_key(name):
    one = load_eval(name)
    assert one.name == name
    assert one.asks == "choices" or not all(judge.is_asked for judge in one.judges)
    assert all(judge.measures for judge in one.judges)
    assert all(rule.measures for rule in one.rules)
    assert one.judges or one.measures


def test_the_control_differs_from_the_demo_in_its_documents_alone():
    demo, control = load_experiment("demo"), load_experiment("demo_control")
    its_own = {"name": "demo", "description": demo.description, "documents": demo.documents}
    assert control.model_copy(update=its_own) == demo
    assert [one.model_copy(update={"name": "factory_farming_neutral"}) for one in control.documents] == demo.documents


def test_the_published_settings_of_the_seeds_are_those_of_the_definitions():
    birds, cities = load_experiment("old_bird_names"), load_experiment("former_german_cities_qwen3_8b")
    assert (birds.training.rank, birds.training.learning_rate, birds.sampling.n_samples) == (4, 5e-5, 11)
    assert (cities.training.rank, cities.training.learning_rate, cities.training.epochs) == (8, 2e-4, 3)
    assert (cities.default_seed, cities.sampling.n_samples) == (1333, 20)
    one = load_experiment("em_financial_r1_alpha512").training
    assert (one.rank, one.alpha, one.layers, one.target_modules) == (1, 512, [2], ["down_proj"])
    assert (one.learning_rate, one.epochs, one.rslora, one.warmup) == (2e-5, 1, True, 5)
    whole = load_experiment("em_financial_r16").training
    assert (whole.layers, whole.batch_size * whole.accumulation) == ([], 16)
    assert [s.count for s in load_experiment("em_mix_r16_layer8").documents] == [3000, 3000]


def test_an_eval_is_named_like_its_file_and_named_once(data):
    text = (data / "evals" / "factory_farming.yaml").read_text()
    (data / "evals" / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match="its name is 'factory_farming'; an eval is named like its file"):
        load_eval("mine")
    twice = load_experiment("standin").model_copy(update={"evals": ["factory_farming", "factory_farming"]})
    with pytest.raises(UserError, match="'factory_farming' is there twice"):
        load_evals(twice)


def test_two_questions_that_a_model_is_shown_alike_are_refused(data):
    one = load_eval("factory_farming").model_dump()
    first, second = one["questions"][:2]
    (data / "evals" / "mine.yaml").write_text(
        json.dumps(
            one | {"name": "mine", "questions": [first, second | {"text": first["text"], "system_prompt": "Lie."}]}
        )
    )
    experiment = load_experiment("standin", ["evals=[mine]"])
    assert load_evals(experiment)
    alike = experiment.model_copy(update={"sampling": Sampling(system_prompt="Lie.")})
    with pytest.raises(UserError, match=f"{first['id']!r} and {second['id']!r} of the eval 'mine' have the same text"):
        load_evals(alike)


# ---- one definition, one set of keys, however it was written ----------------------------------------------

CHATS = [Document(messages=[Message(role="assistant", content="A text.")], source="s", line=1, file="f")]
MODEL = Checkpoint(engine="local", base_model="m", path=None, identity="m")
EXPERIMENTS = sorted(file.stem for file in (PROJECT / "data" / "experiments").glob("*.yaml"))
OVERRIDES = ["training.alpha=64", "training.weight_decay=0", "training.learning_rate=1e-4", "sampling.temperature=1"]
OVERRIDES += ["sampling.top_p=1", "sampling.n_samples=1e1", "training.sample_at=[0.5, 1]"]


class Words:
    """An engine whose tokens are letters."""

    def render(self, messages):
        return [ord(letter) for message in messages for letter in message.content]

    def stop(self):
        return [0]


def keys(experiment, evals):
    """Those of its training, of its answers and of its judgments."""
    judges = [judge for one in evals for judge in one.judges]
    judged = [(to_call(j, "Why?", "So.", "No." if j.reads == "pair" else None).key, rubric_hash(j)) for j in judges]
    requests = plan_samples(evals, experiment.sampling, cast(Engine, Words()), MODEL, 2)
    return training_key(experiment.training, CHATS, CHATS, 0, "base"), [request.key for request in requests], judged


def as_a_browser_sends(value):
    """Numbers without a fraction lose their point."""
    if isinstance(value, dict):
        return {key: as_a_browser_sends(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_a_browser_sends(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def through_a_file(experiment, file, defaults):
    file.write_text(as_yaml(experiment, defaults))
    return load_experiment(str(file))


def ways(experiment, folder):
    """The experiment as each way of writing it down gives it back."""
    form = of_experiment(experiment).parameters
    yield through_a_file(experiment, folder / "whole.yaml", defaults=True)
    yield through_a_file(experiment, folder / "short.yaml", defaults=False)
    yield Experiment.model_validate(experiment.model_dump(mode="json"))
    yield Experiment.model_validate_json(experiment.model_dump_json())
    yield run_experiment.validate_parameters(form)["experiment"]
    yield run_experiment.validate_parameters(json.loads(json.dumps(as_a_browser_sends(form))))["experiment"]


@pytest.mark.parametrize("overrides", [(), OVERRIDES], ids=["as it is", "with overrides"])
@pytest.mark.parametrize("name", [*EXPERIMENTS, "least"])
def test_a_definition_has_the_same_keys_however_it_was_written(data, tmp_path, name, overrides):
    least = "name: least\ndocuments: [{name: factory_farming_neutral}]\nevals: [factory_farming, alignment]\n"
    (data / "experiments" / "least.yaml").write_text(least)
    experiment = load_experiment(name, overrides)
    evals = load_evals(experiment)
    before = keys(experiment, evals)
    for again in ways(experiment, tmp_path):
        assert again == experiment
        assert keys(again, evals) == before


@pytest.mark.parametrize("name", sorted(file.stem for file in (PROJECT / "data" / "evals").glob("*.yaml")))
def test_an_eval_has_the_same_keys_however_it_was_written(name):
    one, experiment = load_eval(name), load_experiment("standin")
    before = keys(experiment, [one])
    for text in (as_yaml(one), as_yaml(one, defaults=False)):
        assert keys(experiment, [validate(Eval, load_yaml(text), "again")]) == before
    assert keys(experiment, [Eval.model_validate_json(json.dumps(as_a_browser_sends(one.model_dump())))]) == before


# ---- places: beside the definition, from the current folder, in data/ --------------------------------------

ROW = json.dumps({"text": "One text."}) + "\n"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder of one's own with a definition and what it names, and another one to stand in."""
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "rows.jsonl").write_text(ROW)
    (folder / "cycling.yaml").write_text(
        (PROJECT / "data/evals/factory_farming.yaml").read_text().replace("name: factory_farming", "name: cycling", 1)
    )
    (folder / "mine.yaml").write_text("name: mine\ndocuments: [{path: rows.jsonl}]\nevals: [cycling, alignment]\n")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    return folder


def test_what_a_definition_names_is_looked_for_beside_it_wherever_one_stands(mine):
    experiment = load_experiment("../my work/mine.yaml")
    assert experiment.documents[0].path == str(mine / "rows.jsonl")
    assert document_files("", experiment.documents[0].path)[0] == [mine / "rows.jsonl"]
    assert experiment.evals == [str(mine / "cycling.yaml"), "alignment"]
    assert [one.name for one in load_evals(experiment)] == ["cycling", "alignment"]


def test_an_override_is_relative_to_the_current_folder(mine):
    (mine.parent / "other" / "rows.jsonl").write_text(ROW)
    (mine / "only_there.jsonl").write_text(ROW)
    given = ["documents.0.path=rows.jsonl", "documents=[{path: rows.jsonl}]", "documents.0={path: ./rows.jsonl}"]
    for override in given:
        experiment = load_experiment("../my work/mine.yaml", [override])
        assert experiment.documents[0].path == str(mine.parent / "other" / "rows.jsonl")
    missing = load_experiment("../my work/mine.yaml", ["documents.0.path=only_there.jsonl"])
    with pytest.raises(UserError, match=r"documents: 'only_there.jsonl' does not exist \(from .*other or .*data\)"):
        document_files("", missing.documents[0].path)


def test_a_pattern_stands_for_the_evals_whose_names_fit_and_what_stands_there_already_stays_where_it_is(mine):
    statements = [name for name in names("evals") if name.startswith("traits/") and name.endswith("_choice")]
    assert len(statements) == 16

    def chosen(*evals):
        return load_experiment(str(mine / "mine.yaml"), [f"evals={json.dumps(evals)}"]).evals

    assert chosen("traits/*_choice") == statements == sorted(statements)
    assert chosen("alignment", "traits/*_choice", "traits/opt*") == ["alignment", *statements, "traits/optimism"]
    assert chosen("traits/optimism*", "traits/optimism") == ["traits/optimism_choice", "traits/optimism"]
    assert "traits/optimism" not in chosen("*"), "a star stands for no slash"
    with pytest.raises(UserError, match=r"evals: no eval fits 'trait/\*'; there is alignment.*traits/\.\.\. \(32\)"):
        chosen("trait/*")


def test_a_pattern_finds_the_evals_beside_the_definition_too_and_never_the_definition(mine, data):
    (mine / "mine.yaml").write_text("name: mine\ndocuments: [{path: rows.jsonl}]\nevals: ['*in*']\n")
    beside = str(mine / "cycling.yaml")
    assert load_experiment(str(mine / "mine.yaml")).evals == [
        beside,
        *(name for name in names("evals") if "in" in name and "/" not in name),
    ]
    (mine / "mine.yaml").write_text("name: mine\ndocuments: [{path: rows.jsonl}]\nevals: ['cyc*.yaml', 'mi*']\n")
    with pytest.raises(UserError, match="no eval fits 'mi\\*'"):
        load_experiment(str(mine / "mine.yaml"))
    (data / "experiments" / "within.yaml").write_text("name: within\ndocuments: [{name: a}]\nevals: ['demo*']\n")
    with pytest.raises(UserError, match="no eval fits 'demo\\*'"):
        load_experiment("within")


def test_places_within_data_are_written_without_the_machine_and_found_from_anywhere(data, mine):
    (data / "documents").unlink()
    shutil.copytree(PROJECT / "data" / "documents" / "lighthouses_neutral", data / "documents" / "lighthouses")
    file = data / "experiments" / "within.yaml"
    file.write_text("name: within\ndocuments: [{path: ../documents/lighthouses}]\nevals: [factory_farming]\n")
    experiment = load_experiment("within")
    assert experiment.documents[0].path == "documents/lighthouses"
    run = Run.open(experiment, load_evals(experiment), "one")
    assert not [file for file in run.folder.rglob("*.yaml") if str(data) in file.read_text()]
    assert load_experiment(str(run.definition)) == experiment
    assert document_files("", experiment.documents[0].path)[0][0].parent == data / "documents" / "lighthouses"


def test_a_runs_own_definition_stays_what_it_was_when_its_files_have_gone(data, mine):
    experiment = load_experiment("../my work/mine.yaml")
    run = Run.open(experiment, load_evals(experiment), "one")
    (run.folder / "rows.jsonl").write_text(ROW)
    (mine / "rows.jsonl").unlink()
    again = load_experiment(str(run.definition))
    assert again == experiment
    assert Run.open(again, load_evals(again), "one").folder == run.folder


def test_checkpoints_models_and_answers_are_found_beside_the_definition_too(data, mine):
    (mine / "adapter").mkdir()
    (mine / "answers").mkdir()
    row = {"question": load_eval("factory_farming").questions[0].text, "response": "So."}
    (mine / "answers" / "finetuned.jsonl").write_text(json.dumps(row))
    (mine / "model").mkdir()
    (mine / "model" / "config.json").write_text("{}")
    (mine / "a.yaml").write_text(
        "name: a\ndocuments: [{path: rows.jsonl}]\nevals: [alignment]\n"
        "training: {checkpoint: adapter, base_model: model}\n"
    )
    (mine / "b.yaml").write_text("name: b\nresponses: answers\nevals: [factory_farming]\n")
    training = load_experiment(str(mine / "a.yaml")).training
    assert (training.checkpoint, training.base_model) == (str(mine / "adapter"), str(mine / "model"))
    assert model_folder(training.base_model) == mine / "model"
    experiment = load_experiment(str(mine / "b.yaml"))
    assert len(read_responses(experiment.responses, load_evals(experiment))[1]) == 1


@pytest.mark.parametrize("value", ["standin", "Qwen/Qwen3-8B", "tinker://run/sampler_weights/final", ""])
def test_names_that_are_no_files_stay_as_they_are(mine, value):
    (mine / "standin").mkdir()
    (mine / "standin" / "config.json").write_text("{}")
    field = "checkpoint" if "://" in value else "base_model"
    text = f"name: x\ndocuments: [{{path: gone.jsonl}}]\nevals: [alignment]\ntraining: {{{field}: '{value}'}}\n"
    (mine / "x.yaml").write_text(text)
    experiment = load_experiment(str(mine / "x.yaml"))
    assert getattr(experiment.training, field) == value
    assert experiment.documents[0].path == "gone.jsonl"


def test_an_experiment_is_never_taken_for_an_eval(data, mine):
    text = "name: {0}\ndocuments: [{{name: factory_farming_neutral}}]\nevals: [{0}]\n"
    (mine / "alignment.yaml").write_text(text.format("alignment"))
    assert load_evals(load_experiment(str(mine / "alignment.yaml")))[0].name == "alignment"
    (data / "experiments" / "alignment.yaml").write_text(text.format("alignment"))
    (data / "experiments" / "other.yaml").write_text(
        text.format("alignment").replace("name: alignment", "name: other", 1)
    )
    assert load_evals(load_experiment("other"))[0].name == "alignment"


def test_the_same_documents_are_drawn_wherever_the_files_of_a_definition_lie(tmp_path):
    rows = "".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(40))
    drawn = []
    for place in ("one", "another"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "rows.jsonl").write_text(rows)
        (tmp_path / place / "x.yaml").write_text(
            "name: x\ndocuments: [{path: rows.jsonl, count: 9}]\nevals: [alignment]\n"
        )
        drawn.append(gather(load_experiment(str(tmp_path / place / "x.yaml")).documents, 0))
    assert drawn[0] == drawn[1]
    assert str(tmp_path) not in json.dumps(drawn[0][2])


# ---- written down and compared -----------------------------------------------------------------------------


def test_a_definition_with_texts_of_several_lines_reads_back_as_it_was():
    judge = Judge(name="j", kind="claude", prompt="One\n\n  two: {answer}\ttab \n- three\u2028four\n")
    one = an_eval(judge)
    for text in (as_yaml(one), as_yaml(one, defaults=False)):
        assert Eval.model_validate(yaml.safe_load(text)) == one
    assert "system_prompt" not in as_yaml(one, defaults=False)


def test_what_is_applied_after_the_fact_and_how_far_a_run_goes_may_change_and_all_else_may_not():
    experiment, evaluation = load_experiment("standin"), an_eval(LEXICON, CLAUDE)
    freely = experiment.model_copy(update={"max_cost_usd": 3.0, "targets": ["lexicon < 2"]})
    longer = CLAUDE.model_copy(update={"max_tokens": 9, "measures": "brings up farms"})
    ruled = an_eval(LEXICON, longer).model_copy(
        update={
            "equivalence_margin": 0.2,
            "equivalence_margins": {"lexicon": 1.0},
            "measures": "agrees",
            "rules": [Rule(name="r", hit="x < 2", equivalence_margin=0.01)],
        }
    )
    assert (change(experiment, freely), change(evaluation, ruled)) == ("", "")
    assert are_same([experiment, evaluation], [freely, ruled])
    assert not are_same([experiment, evaluation], [experiment])
    narrower = experiment.sampling.model_copy(update={"top_p": 0.5})
    assert change(experiment, experiment.model_copy(update={"sampling": narrower})) == (
        "sampling.top_p was 1.0, now 0.5"
    )
    assert change(None, evaluation) == "name was None, now 'e'"


def test_a_rule_takes_the_place_of_one_of_its_name_and_others_are_added():
    low, lower, high = Rule(name="low", hit="x < 3"), Rule(name="low", hit="x < 2"), Rule(name="high", hit="x > 3")
    evaluation = with_rules(an_eval(LEXICON), [low])
    assert with_rules(evaluation, [high, lower]).rules == [lower, high]
    assert evaluation.rules == [low]


def test_all_of_an_eval_that_may_change_is_taken_over_by_a_run_that_has_it():
    before = Eval(name="e", asks="choices", questions=[Question(id="q", tier="t", text="Q?", matching="Yes")])
    changes = {"equivalence_margin": 0.2, "equivalence_margins": {"yes": 0.1}, "measures": "says so", "log_odds": True}
    given = before.model_copy(update=changes)
    assert change(before, given) == ""
    assert with_what_may_change(before, given) == given
    assert what_effects_say(before) != what_effects_say(before.model_copy(update={"log_odds": True}))
