"""`spillover new`: an experiment and its eval, commented, that run as they are."""

import os
from pathlib import Path

from flows.cli.arguments import say
from tasks.catalog import UserError, names, validate
from tasks.definitions import load_evals, load_experiment
from tasks.files import write_text
from tasks.schema import Experiment

TEMPLATES = {"{name}.yaml": "new_experiment.yaml", "{name}_eval.yaml": "new_eval.yaml"}
"""What is written in the folder NAME, and the file here that it is made of."""


def write_new(name: str) -> None:
    """Writes NAME/NAME.yaml and NAME/NAME_eval.yaml in the current folder, and says what can be done with them.

    Raises UserError for a name that is none or is taken, and where nothing can be written.
    """
    _refuse(name)
    texts = {Path(name, file.format(name=name)): _text(template, name) for file, template in TEMPLATES.items()}
    if there := [str(place) for place in texts if place.exists()]:
        raise UserError(f"{there[0]} is there already and stays as it is; give the new experiment another name")
    try:
        for place, text in texts.items():
            write_text(place, text)
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        raise UserError(f"{place} cannot be written in {Path.cwd()} ({reason}); go to a folder of your own") from None
    definition, evaluation = texts
    load_evals(load_experiment(str(definition)))
    say(f"Experiment  {definition}\nEval        {evaluation}\n")
    for words, command in (
        ("Is it right, and what will it cost?", f"check {definition}"),
        ("Does the whole line run? In a minute", f"run {definition} --local --quick"),
        ("The experiment itself, on SmolLM2", f"run {definition}"),
    ):
        say(f"{words}\n  spillover {command}")


def _refuse(name: str) -> None:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        raise UserError(f"{name!r} is no name of an experiment but a path; give the name alone, as my_experiment")
    for each in (name, f"{name}_eval"):
        validate(Experiment, {"name": each, "documents": [{"name": "any"}], "evals": ["any"]}, "NAME")
    if name in names("experiments"):
        raise UserError(f"there is an experiment {name!r} in data/experiments, whose runs have that name; give another")


def _text(template: str, name: str) -> str:
    return (Path(__file__).with_name(template)).read_text(encoding="utf-8").replace("NAME", name)
