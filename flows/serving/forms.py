"""How the parameters of a flow look in the form of the Prefect UI: names, drop-downs, and no choice between types.

schema = form_of(run_experiment, what_there_is())

Its first values are accepted as they are, and a value out of bounds is refused at its own field.
"""

from contextlib import suppress
from typing import Any

from prefect import Flow

from tasks.catalog import UserError, names
from tasks.definitions import load_eval, load_experiment
from tasks.generation.set_files import versions_of_sets
from tasks.schema import Experiment, Study
from tasks.studies.definition import load_study

BOUNDS = {
    "minimum": "at least {:,.12g}",
    "exclusiveMinimum": "above {:,.12g}",
    "maximum": "at most {:,.12g}",
    "exclusiveMaximum": "below {:,.12g}",
    "minLength": "",
    "maxLength": "at most {} letters",
    "pattern": "",
}
"""The words of each keyword of JSON schema that bounds a value; none where the field's own words say it."""
Choices = list[tuple[str, str, list[str]]]
"""A noun, its field, and what the field's drop-down offers."""


def form_of(flow: Flow[..., Any], choices: Choices) -> dict[str, Any]:
    """The flow's parameters as JSON schema, with drop-downs of these choices."""
    schema = flow.parameters.model_dump()
    for name, field in schema["properties"].items():
        title = name.replace("_", " ").replace("usd", "(US dollars)")
        field["title"] = title[0].upper() + title[1:]
        if name == "experiment" and field.get("type") == "string":
            field["enum"] = names("experiments")
        if field.get("default", "") is None:
            del field["default"]  # a form would send it, and null is none of the types that a field may have
    for noun, field, offered in choices:
        if noun in schema["definitions"]:
            shown = schema["definitions"][noun]["properties"][field]
            (shown["items"] if shown["type"] == "array" else shown)["enum"] = offered
    for shown in (schema, *schema["definitions"].values()):
        for field in shown["properties"].values():
            _show_bounds(field)
    return schema


def _show_bounds(field: dict[str, Any]) -> None:
    """Bounds in the help text, and under `allOf`: the older of Prefect's two UIs (3.8.8) loses them anywhere else."""
    bounds = {keyword: field.pop(keyword) for keyword in BOUNDS if keyword in field}
    if bounds:
        words = ", ".join(filter(None, (BOUNDS[keyword].format(bound) for keyword, bound in bounds.items())))
        field["allOf"] = [bounds]
        field["description"] += f" {words.capitalize()}." if words else ""


def what_there_is() -> Choices:
    """The choices in data/; every definition is read for them."""
    evals = list(dict.fromkeys([*names("evals"), *_evals_by_path()]))
    judges = {judge.name: None for name in evals for judge in _judges(name)}
    return [
        ("DocumentSet", "name", list(dict.fromkeys(["", *names("documents"), *versions_of_sets()]))),
        (Experiment.__name__, "evals", evals),
        (Study.__name__, "evals", evals),
        ("Judging", "judges", list(judges)),
    ]


def _evals_by_path() -> list[str]:
    """The evals that experiments and studies name, by name or by the path of a file that is not in data/evals."""
    found: list[str] = []
    for name in names("experiments"):
        with suppress(UserError):
            found += load_experiment(name).evals
    for name in names("studies"):
        with suppress(UserError):
            found += load_study(name).evals
    return found


def _judges(name: str) -> list[Any]:
    with suppress(UserError):
        return list(load_eval(name).judges)
    return []
