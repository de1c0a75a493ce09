"""How the parameters of a flow look in the form of the Prefect UI: names, drop-downs, and no choice between types.

schema = form_of(run_experiment)
"""

from contextlib import suppress
from typing import Annotated, Any

from prefect import Flow
from pydantic import WithJsonSchema

from tasks.catalog import UserError, load_eval, load_experiment, names
from tasks.schema import Experiment

Seed = Annotated[int | None, WithJsonSchema({"type": "integer", "minimum": 0})]
Words = Annotated[list[str] | None, WithJsonSchema({"type": "array", "items": {"type": "string"}})]
Numbers = Annotated[list[float] | None, WithJsonSchema({"type": "array", "items": {"type": "number"}})]
Seeds = Annotated[list[int] | None, WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 0}})]
"""Python may say None; a form would show two tabs for it, and an empty field says the same."""


def form_of(flow: Flow[..., Any]) -> dict[str, Any]:
    """The flow's parameters as JSON schema, with drop-downs of what there is in data/ now."""
    schema = flow.parameters.model_dump()
    for name, field in schema["properties"].items():
        field["title"] = name.replace("_", " ").replace("usd", "(US dollars)").capitalize()
        if name == "experiment" and field.get("type") == "string":
            field["enum"] = names("experiments")
    for noun, field, choices in _choices():
        if noun in schema["definitions"]:
            shown = schema["definitions"][noun]["properties"][field]
            (shown["items"] if shown["type"] == "array" else shown)["enum"] = choices
    return schema


def _choices() -> list[tuple[str, str, list[str]]]:
    evals = list(dict.fromkeys([*names("evals"), *_evals_elsewhere()]))
    judges = {judge.name: None for name in evals for judge in _judges(name)}
    return [
        ("DocumentSet", "name", ["", *names("documents")]),
        (Experiment.__name__, "evals", evals),
        ("Judging", "judges", list(judges)),
    ]


def _evals_elsewhere() -> list[str]:
    """Those that experiments name by their paths."""
    found: list[str] = []
    for name in names("experiments"):
        with suppress(UserError):
            found += load_experiment(name).evals
    return found


def _judges(name: str) -> list[Any]:
    with suppress(UserError):
        return list(load_eval(name).judges)
    return []
