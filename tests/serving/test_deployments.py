"""What is served, and its forms: no server is needed to see them."""

import inspect
import shutil
import subprocess
from uuid import uuid4

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import EventTrigger
from prefect.utilities.schema_tools.validation import validate

from flows.cell import run_cell
from flows.compare import compare_runs
from flows.experiment import run_experiment
from flows.generate import generate
from flows.judge_again import judge_again
from flows.serving.automations import mark_dead_runs, notify_of_budget
from flows.serving.deployments import (
    ON_NEW_DOCUMENTS,
    PUBLISHED,
    ZOO,
    deployments,
    keep_changes,
    of_experiment,
    prefilled,
)
from flows.serving.forms import BOUNDS, form_of, what_there_is
from flows.serving.server import PROGRAM, RECORDING
from flows.study import run_study
from flows.watch_documents import watch_documents
from tasks.catalog import names
from tasks.definitions import load_experiment
from tasks.generation.set_files import generated_sets, load_set
from tasks.paid.budget import BudgetSpent
from tasks.schema import Experiment, GeneratedSet, Study
from tasks.studies.definition import load_study
from tests.conftest import PROJECT, make_data_folder

OURS = {"demo", "demo_control", "standin"}
ALL = (run_experiment, run_study, compare_runs, generate, judge_again, watch_documents)
FLOWS = {flow.name: flow for flow in ALL}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What is served of the experiments that come with Spillover."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(make_data_folder(tmp_path_factory.mktemp("shipped"))))
        return deployments()


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The form of each flow, by its name, with what comes with Spillover; to be left as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(make_data_folder(tmp_path_factory.mktemp("forms"))))
        choices = what_there_is()
    return {name: form_of(flow, choices) for name, flow in FLOWS.items()}


@pytest.fixture(scope="module")
def with_own(tmp_path_factory):
    """What is served where there is an experiment of one's own, zebras, and one with a mistake, wrong."""
    folder = make_data_folder(tmp_path_factory.mktemp("own"))
    standin = (folder / "experiments" / "standin.yaml").read_text()
    (folder / "experiments" / "zebras.yaml").write_text(standin.replace("name: standin", "name: zebras", 1))
    (folder / "experiments" / "wrong.yaml").write_text("name: wrong\nevals: 7\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(folder))
        return deployments()


def test_every_experiment_has_a_deployment_with_its_form_prefilled(shipped, forms):
    made = {f"{one.flow_name}/{one.name}": one for one in shipped}
    others = {"run-experiment/on-new-documents", "watch-documents/watch-documents", "judge-again/judge-again"}
    served = {f"run-experiment/{'' if name in OURS else ZOO}{name}": name for name in names("experiments")}
    written = {f"generate/generate-{name}": name for name in generated_sets()}
    studies = {f"study/study-{name}": name for name in names("studies")}
    assert made.keys() == served.keys() | written.keys() | studies.keys() | others | {"compare/compare"}
    for place, name in studies.items():
        assert Study.model_validate(made[place].parameters["study"]) == load_study(name)
        jsonschema.validate(made[place].parameters, forms["study"])
    for place, name in written.items():
        assert GeneratedSet.model_validate(made[place].parameters["definition"]) == load_set(name)
        jsonschema.validate(made[place].parameters, forms["generate"])
    for place, name in served.items():
        prefilled = made[place].parameters["experiment"]
        assert Experiment.model_validate(prefilled) == load_experiment(name)
        jsonschema.validate(made[place].parameters, forms["run-experiment"])


def test_the_demos_and_ones_own_experiments_come_before_those_of_others_by_name(with_own):
    by_name = sorted(with_own, key=lambda one: one.name)
    own = [place for place, one in enumerate(by_name) if one.name in {*OURS, "zebras"}]
    published = [place for place, one in enumerate(by_name) if PUBLISHED in one.tags]
    assert max(own) < min(published)
    assert len(own) == len(OURS) + 1
    assert len(published) == len(names("experiments")) - len(OURS)


def test_a_definition_with_a_mistake_does_not_keep_the_others_from_being_served(shipped, with_own):
    assert {one.name for one in with_own} == {one.name for one in shipped} | {"zebras"}


def changed_in_the_ui(deployment, **parameters):
    """What the server has of it, once its user saved these parameters."""
    given = {"name": deployment.name, "flow_id": uuid4(), "schedules": []}
    return DeploymentResponse(**given, parameters={**deployment.parameters, **parameters})


def test_parameters_that_a_user_changed_stay_where_no_file_defines_them(data):
    made = {one.name: one for one in deployments()}
    watching, standin = made["watch-documents"], made["standin"]
    keep_changes(watching, changed_in_the_ui(watching, experiment="standin", quiet_seconds=600))
    assert watching.parameters == {"experiment": "standin", "quiet_seconds": 600}
    assert "schedules" not in watching.model_fields_set
    keep_changes(standin, changed_in_the_ui(standin, experiment={"name": "standin"}, seed=7))
    assert standin.parameters == prefilled(load_experiment("standin")) | {"seed": 7}


def test_an_experiment_that_is_gone_stays_chosen_and_what_the_server_would_refuse_does_not(data):
    watching = next(one for one in deployments() if one.name == "watch-documents")
    changed = changed_in_the_ui(watching, experiment="gone", seeds=None, quiet_seconds=-1, of_an_earlier_version=1)
    keep_changes(watching, changed)
    assert watching.parameters == {"experiment": "gone"}
    form = watching._parameter_openapi_schema.model_dump()
    assert validate(watching.parameters, form, preprocess=False) == []


def fields(schema, noun):
    return list(schema["definitions"][noun]["properties"])


def test_the_form_is_short_and_in_the_order_in_which_one_thinks(forms):
    schema = forms["run-experiment"]
    assert list(schema["properties"]) == ["experiment", "seed", "run", "until"]
    assert fields(schema, "Experiment")[:3] == ["name", "documents", "evals"]
    nouns = ("Experiment", "DocumentSet", "Training", "Sampling", "Judging")
    assert sum(len(fields(schema, noun)) for noun in nouns) <= 22
    assert "^warmup$" in schema["definitions"]["Training"]["patternProperties"]


@pytest.mark.parametrize("name", FLOWS)
def test_every_field_that_is_shown_has_a_title_a_help_text_and_one_type(name, forms):
    schema = forms[name]
    shown = dict(schema["properties"])
    for noun, definition in schema["definitions"].items():
        shown |= {f"{noun}.{field}": its for field, its in definition["properties"].items()}
    for place, field in shown.items():
        assert "$ref" in field or field["title"][0].isupper(), place
        assert "$ref" in field or field["description"], place  # a noun's own docstring stands there
        assert "anyOf" not in field, f"{place}: a form would show tabs"


def first_values(schema, prefilled):
    """What a form sends that nobody touched: of each field what was prefilled, else its default."""
    return {name: field["default"] for name, field in schema["properties"].items() if "default" in field} | prefilled


def problems(schema, values):
    """What the server says of them, as it checks what a form sends."""
    return [error.message for error in validate(values, schema)]


WANTED = {
    "judge-again": ["'run' is a required property"],
    "compare": ["'runs' is a required property"],
    "generate": ["'definition' is a required property"],
}
"""What a form cannot know by itself."""


def test_the_first_values_of_every_form_are_accepted_but_for_what_it_cannot_know(shipped):
    for one in shipped:
        schema = one._parameter_openapi_schema.model_dump()
        wanted = ["'experiment' is a required property"] if one.name == ON_NEW_DOCUMENTS else WANTED.get(one.name, [])
        assert problems(schema, first_values(schema, one.parameters)) == wanted, one.name


@pytest.mark.parametrize("name", FLOWS)
def test_a_field_may_be_left_empty_where_python_may_say_none(name, forms):
    schema = forms[name]
    parameters = inspect.signature(FLOWS[name].fn).parameters
    empty = {field: None for field, one in parameters.items() if one.default is None}
    assert set(problems(schema, empty)) <= {f"{name!r} is a required property" for name in schema["required"]}


@pytest.mark.parametrize("name", FLOWS)
def test_bounds_stand_in_the_help_text_and_where_no_form_loses_them(name, forms):
    schema = forms[name]
    fields = [field for one in (schema, *schema["definitions"].values()) for field in one["properties"].values()]
    for field in fields:
        assert BOUNDS.keys().isdisjoint(field), field["title"]
        for keyword, bound in field.get("allOf", [{}])[0].items():
            words = BOUNDS[keyword].format(bound)
            assert words.lower() in field["description"].lower(), field["title"]


def test_the_bounds_of_a_field_are_said_in_plain_words(forms):
    shown = forms["run-experiment"]["definitions"]["Training"]["properties"]
    assert shown["rank"]["description"] == "Rank of the LoRA. At least 1, at most 512."
    assert shown["learning_rate"]["description"].endswith(". Above 0, below 1.")
    assert forms["judge-again"]["properties"]["max_cost_usd"]["title"] == "Max cost (US dollars)"


def test_few_choices_are_drop_downs_of_what_there_is(data):
    (data / "evals" / "mine.yaml").write_text((data / "evals" / "factory_farming.yaml").read_text())
    definitions = form_of(run_experiment, what_there_is())["definitions"]
    assert {"mine", "traits/optimism"} <= {*definitions["Experiment"]["properties"]["evals"]["items"]["enum"]}
    offered = definitions["DocumentSet"]["properties"]["name"]["enum"]
    assert offered[: len(names("documents")) + 1] == ["", *names("documents")]
    assert "farming_in_tones/negative" in offered
    assert {"claude", "lexicon"} <= set(definitions["Judging"]["properties"]["judges"]["items"]["enum"])
    assert definitions["Training"]["properties"]["engine"]["enum"] == ["local", "tinker", "served"]
    assert form_of(watch_documents, what_there_is())["properties"]["experiment"]["enum"] == names("experiments")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampling": {"n_samples": 0}}, "0 is less than the minimum of 1"),
        ({"training": {"warmup": -1}}, "-1 is less than the minimum of 0"),
        ({"training": {"rnak": 8}}, "'rnak'"),
        ({"training": {"optimizer": "sgd"}}, "'sgd' is not one of ['adamw', 'adamw_8bit']"),
        ({"descriptoin": "?"}, "'descriptoin'"),
    ],
    ids=["shown", "hidden", "misspelt", "hidden choice", "misspelt at the top"],
)
def test_fields_that_the_form_hides_are_checked_as_strictly(change, words, forms):
    experiment = load_experiment("standin").model_dump(mode="json")
    for name, value in change.items():
        experiment[name] = {**experiment[name], **value} if isinstance(value, dict) else value
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate({"experiment": experiment}, forms["run-experiment"])
    assert words in refused.value.message


def test_the_automation_for_budgets_looks_for_the_words_that_a_spent_budget_says():
    trigger = notify_of_budget(uuid4()).model_dump()["trigger"]
    words = trigger["match"]["prefect.state-message"]
    assert words == f"Flow run encountered an exception: {BudgetSpent.__name__}:*"


def test_a_run_without_a_heartbeat_for_several_of_them_is_dead():
    from flows.serving.server import client_settings

    beat = int(client_settings("http://127.0.0.1:1/api")["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    trigger = mark_dead_runs().trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.within.total_seconds() >= 3 * beat
    assert trigger.after < trigger.expect


def test_the_work_pools_deployments_name_flows_that_there_are_and_fit_their_forms(forms):
    file = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())
    known = {one.fn.__name__: one for one in FLOWS.values()}
    for one in file["deployments"]:
        path, _, function = one["entrypoint"].partition(":")
        assert f"def {function}(" in (PROJECT / path).read_text()
        if function == run_cell.fn.__name__:  # which a study starts, with all that it takes
            assert one["name"] == one["work_pool"]["name"]
            continue
        for schema in (known[function].parameters.model_dump(), forms[known[function].name]):
            found = problems(schema, first_values(schema, one.get("parameters", {})))
            assert found == WANTED.get(one["name"].removesuffix("-in-pool"), []), one["name"]
    assert {one["work_pool"]["name"] for one in file["deployments"]} == {"spillover", "spillover-docker"}


def test_the_work_pools_demo_is_the_one_that_is_defined():
    file = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())
    given = Experiment.model_validate(file["definitions"]["demo"])
    assert given == load_experiment("demo").model_copy(update={"description": ""})


COMPOSE = PROJECT / "deployments" / "docker-compose.yaml"


def test_no_value_of_a_secret_stands_in_the_compose_file():
    text = COMPOSE.read_text()
    environments = [one.get("environment", {}) for one in yaml.safe_load(text)["services"].values()]
    secret = {k: v for one in environments for k, v in one.items() if k.endswith(("PASSWORD", "AUTH_STRING", "KEY"))}
    assert secret.keys() >= {"POSTGRES_PASSWORD", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"}
    assert all(value.startswith("${") for value in secret.values())


def test_what_is_private_in_a_data_folder_is_private_in_the_image():
    assert "mkdir -p -m 700 data/store data/prefect" in (PROJECT / "deployments" / "Dockerfile").read_text()


@pytest.mark.integration
def test_compose_starts_nothing_without_a_login_for_the_server(tmp_path):
    shutil.copy(COMPOSE, tmp_path)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=planted\n")
    done = subprocess.run(["docker-compose", "config"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode != 0
    assert "write PREFECT_API_AUTH_STRING=user:password into deployments/.env" in done.stderr


@pytest.mark.integration
def test_the_compose_file_is_read_by_compose_and_publishes_on_loopback_alone(tmp_path):
    place = tmp_path / "deployments"
    shutil.copytree(PROJECT / "deployments", place, ignore=shutil.ignore_patterns("tinker_server", "pictures"))
    (place / ".env").write_text(
        "POSTGRES_PASSWORD=planted\nPREFECT_API_AUTH_STRING=team:word\nOWNER=7:7\nANTHROPIC_API_KEY=sk-planted\n"
    )
    command = ["docker-compose", "-f", str(place / "docker-compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services.keys() == {"database", "server", "serve", "worker"}
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:4200:4200/tcp", "127.0.0.1:4300:4300/tcp"]
    assert RECORDING.items() <= services["server"]["environment"].items()
    assert services["server"]["command"][:3] == ["python", "-m", PROGRAM], (
        "guarded, as the one on a machine of one's own"
    )
    assert services["server"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == "team:word"
    assert services["server"]["environment"]["PREFECT_API_URL"] == services["serve"]["environment"]["PREFECT_API_URL"]
    for name in ("serve", "worker"):
        assert services[name]["environment"]["PREFECT_API_AUTH_STRING"] == "team:word"
        assert services[name]["environment"]["ANTHROPIC_API_KEY"] == "sk-planted"
        assert "ANTHROPIC_BASE_URL" not in services[name]["environment"], "unset is not empty"
        assert services[name]["user"] == "7:7"


def test_a_key_that_stands_beside_the_compose_file_is_in_no_image():
    assert "**/.env" in (PROJECT / ".dockerignore").read_text().splitlines()


def test_what_a_definition_says_of_itself_loads_nothing_in_the_ui(data):
    words = "Asks ![x](http://somewhere/track.png) and <img src=http://somewhere/t.png> of birds."
    experiment = load_experiment("standin").model_copy(update={"description": words})
    shown = of_experiment(experiment).description or ""
    assert "![x](" not in shown
    assert "<img" not in shown.replace("\\<img", "")
    assert "of birds" in shown
