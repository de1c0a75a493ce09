"""What `spillover serve` offers in the Prefect UI: every experiment with its form prefilled, and the other flows.

    for deployment in deployments():
        await runner.aadd_deployment(deployment)

deployments/prefect.yaml has them for a work pool.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from prefect import Flow
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.schema_tools.validation import validate

from flows.compare import compare_runs
from flows.experiment import run_experiment
from flows.generate import generate
from flows.judge_again import judge_again
from flows.serving.automations import TAG
from flows.serving.forms import form_of, what_there_is
from flows.study import run_study
from flows.watch_documents import watch_documents
from tasks.catalog import UserError, names
from tasks.definitions import load_experiment
from tasks.generation.set_files import generated_sets, load_set
from tasks.schema import Experiment, GeneratedSet, Study
from tasks.studies.definition import load_study
from tasks.visible import in_markdown

PUBLISHED = "published"
"""The tag of experiments that others published."""
ZOO = "zoo-"
"""Before the names of their deployments: the UI sorts by name, so that they stand together, behind all others."""
INBOX_EVERY = timedelta(minutes=5)
"""Between two looks into the inbox."""
WEEKLY_SEEDS = (0, 1, 2)
ON_NEW_DOCUMENTS = "on-new-documents"


def deployments() -> list[RunnerDeployment]:
    """One for each experiment that can be read, and those of the flows that take no experiment."""
    made = [
        *(of_experiment(load_experiment(name)) for name in readable()),
        *(of_set(wanted) for wanted in readable_sets()),
        *(of_study(study) for study in readable_studies()),
        on_new_documents(),
        watching(),
        deployment(judge_again, "judge-again", {}),
        deployment(compare_runs, "compare", {}),
    ]
    choices = what_there_is()
    flows = run_experiment, generate, run_study, watch_documents, judge_again, compare_runs
    forms = {flow.name: form_of(flow, choices) for flow in flows}
    for one in made:
        one._parameter_openapi_schema = type(one._parameter_openapi_schema).model_validate(forms[one.flow_name or ""])
    return made


def readable() -> list[str]:
    """Names of the experiments without a mistake; `spillover list` shows the others with theirs."""
    return [name for name in names("experiments") if not problem_of(name)]


def problem_of(name: str) -> str:
    """Why an experiment cannot be served, or nothing."""
    try:
        known = load_experiment(name).name
    except UserError as problem:
        return str(problem)
    if known != name or name == ON_NEW_DOCUMENTS:
        return f"its name is {known!r}; make it that of its file, and another than {ON_NEW_DOCUMENTS}"
    return ""


def of_experiment(experiment: Experiment) -> RunnerDeployment:
    """Its form prefilled, and a weekly run with each of a few seeds, paused until it is switched on."""
    weekly = [
        Cron(f"0 {6 + place} * * 1", active=False, slug=f"weekly-seed-{seed}", parameters={"seed": seed})
        for place, seed in enumerate(WEEKLY_SEEDS)
    ]
    name, tags = (f"{ZOO}{experiment.name}", [PUBLISHED]) if experiment.published else (experiment.name, [])
    return deployment(run_experiment, name, prefilled(experiment), experiment.description, weekly, tags)


def readable_sets() -> list[GeneratedSet]:
    """The sets that are to be generated, but for those whose definition has a mistake."""
    found = []
    for name in generated_sets():
        with suppress(UserError):
            found.append(load_set(name))
    return found


def of_set(wanted: GeneratedSet) -> RunnerDeployment:
    """A set that a model writes, its form prefilled."""
    given = {"definition": wanted.model_dump(mode="json")}
    return deployment(generate, f"generate-{wanted.name}", given, wanted.description)


def readable_studies() -> list[Study]:
    """Those without a mistake; `spillover list` shows the others with theirs."""
    found = []
    for name in names("studies"):
        with suppress(UserError):
            found.append(load_study(name))
    return found


def of_study(study: Study) -> RunnerDeployment:
    """Its form prefilled, and a weekly run of what is missing, paused until it is switched on."""
    weekly = [Cron("0 9 * * 1", active=False, slug="weekly")]
    return deployment(
        run_study, f"study-{study.name}", {"study": study.model_dump(mode="json")}, study.description, weekly
    )


def on_new_documents() -> RunnerDeployment:
    """What the automation starts; the event brings the experiment, with the set in place of its documents."""
    words = "Started by the event of a new set of documents, on that set."
    return deployment(run_experiment, ON_NEW_DOCUMENTS, {}, words)


def watching() -> RunnerDeployment:
    """Looks into the inbox every few minutes, one look at a time."""
    every = Interval(INBOX_EVERY, slug="every-few-minutes")
    return deployment(watch_documents, "watch-documents", {}, schedules=[every], concurrency_limit=1)


def deployment(
    flow: Flow[..., Any],
    name: str,
    parameters: dict[str, Any],
    description: str = "",
    schedules: list[Schedule] | None = None,
    tags: Sequence[str] = (),
    **more: Any,
) -> RunnerDeployment:
    """A flow with these values for its form; `more` is given to Prefect as it is."""
    return cast(
        RunnerDeployment,  # a coroutine inside of an event loop alone
        flow.to_deployment(
            name,
            parameters=parameters,
            description=in_markdown(description) or None,
            schedules=schedules,
            tags=[TAG, *tags],
            entrypoint_type=EntrypointType.MODULE_PATH,
            **more,
        ),
    )


def keep_changes(deployment: RunnerDeployment, there: DeploymentResponse) -> None:
    """Leaves schedules as they are on the server, and those parameters that come from no definition in a file."""
    deployment.schedules = None
    deployment.model_fields_set.discard("schedules")  # else "none" would be sent, and taken at its word
    form, given = deployment._parameter_openapi_schema, deployment.parameters
    kept = {n: value for n, value in there.parameters.items() if n in form.properties and n not in given}
    form.properties |= {name: _offering(value, form.properties[name]) for name, value in kept.items()}
    deployment.parameters = {n: value for n, value in kept.items() if _is_taken({n: value}, form.model_dump())} | given


def _offering(value: object, field: dict[str, Any]) -> dict[str, Any]:
    """An experiment that is gone stays chosen: runs say that it is, where another would be run without a word."""
    is_gone = isinstance(value, str) and value not in field.get("enum", [value])
    return field | {"enum": [*field["enum"], value]} if is_gone else field


def _is_taken(parameters: dict[str, Any], form: dict[str, Any]) -> bool:
    """Whether the server takes them: for one value that the form does not have it refuses the whole deployment."""
    return not validate(parameters, form, preprocess=False, ignore_required=True)


def prefilled(experiment: Experiment) -> dict[str, Any]:
    """The parameters of run_experiment for this experiment, as JSON."""
    return {"experiment": experiment.model_dump(mode="json")}
