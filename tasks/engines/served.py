"""Which models hosted Tinker retired, and what to run instead: data/models/served.yaml, dated, with its sources.

problem = retirement(experiment)      # "hosted Tinker retired ... on 2026-06-12; run its sister ... instead, or ..."

The service's own list has the last word: nothing is refused because of this file, not even where it is wrong.
"""

from datetime import date

from pydantic import Field

from tasks.catalog import UserError, address_in_environment, data_folder, read_fields, validate
from tasks.schema import Experiment, Noun, Training

HOSTED = "https://tinker.thinkingmachines.dev/services/tinker-prod"


class RetiredModel(Noun):
    """A model that hosted Tinker took out of its lineup."""

    model: str
    since: date
    """The day on which it went."""
    successor: str = ""
    """A model that is served in its place; empty where none is known."""
    source: str
    """One of the file's `sources`."""


class ServedModel(Noun):
    """A model that was listed when the file was written."""

    model: str
    renderer: str
    """The chat format to train it with."""
    source: str
    """One of the file's `sources`."""


class Lineup(Noun):
    """data/models/served.yaml."""

    as_of: date | None = None
    sources: dict[str, str] = Field({})
    """By their short names, where each line is from."""
    retired: list[RetiredModel] = Field([])
    served: list[ServedModel] = Field([])
    judges: list[dict[str, str]] = Field([])
    """Of other services, the models that judges ask: tasks/judging/endings.py reads them."""
    sisters: dict[str, str] = Field({})
    """By experiment, the same on a model that is served."""


def lineup() -> Lineup:
    """What is known of hosted Tinker's models: nothing where the file is missing; UserError for one that is wrong."""
    file = data_folder() / "models" / "served.yaml"
    try:
        return validate(Lineup, read_fields(file), str(file)) if file.is_file() else Lineup()
    except UserError as problem:
        raise UserError(f"{problem}; mend the file, or remove it: it only says which models are gone") from None


def server_address(base_url: str) -> str:
    """The address of the Tinker server in use: the one that is named, or TINKER_BASE_URL, or hosted Tinker."""
    return base_url or address_in_environment("TINKER_BASE_URL") or HOSTED


def retirement(experiment: Experiment) -> str:
    """Since when hosted Tinker lacks the experiment's model, with the remedies; empty for other models and servers.

    Of a file that is wrong, what is wrong with it.
    """
    if not _is_hosted(experiment.training):
        return ""
    try:
        known = lineup()
    except UserError as problem:
        return str(problem)
    if not (gone := _retired(experiment.training, known)):
        return ""
    renderers = {served.model: served.renderer for served in known.served}
    if sister := known.sisters.get(experiment.name):
        remedy = f"run its sister {sister} instead"
    elif gone.successor in renderers:
        remedy = f"set training.base_model={gone.successor} training.renderer={renderers[gone.successor]}"
    else:
        remedy = "choose another training.base_model"
    return (
        f"hosted Tinker retired {gone.model} on {gone.since}; {remedy}, or name a server of your own that has it with "
        "training.base_url"
    )


def served_all_the_same(training: Training) -> list[str]:
    """A warning where the file has a model as retired, or is wrong; of one that the service has just said it has."""
    if not _is_hosted(training):
        return []
    try:
        gone = _retired(training, lineup())
    except UserError as problem:
        return [str(problem)]
    if not gone:
        return []
    return [
        f"data/models/served.yaml has {gone.model} as retired on {gone.since}, and {HOSTED} serves it still: it may be "
        "gone any day"
    ]


def _is_hosted(training: Training) -> bool:
    """Whether the file has anything to say of it."""
    return training.engine == "tinker" and server_address(training.base_url) == HOSTED


def _retired(training: Training, known: Lineup) -> RetiredModel | None:
    return next((gone for gone in known.retired if gone.model == training.base_model), None)
