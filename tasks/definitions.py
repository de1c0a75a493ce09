"""Definitions, experiments and evals: found and loaded by name, chosen from, written down, and compared.

experiment = load_experiment("demo", ["training.rank=8"])
evals = load_evals(experiment)
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.catalog import (
    LONGEST_EXCERPT,
    YAML_KINDS,
    UserError,
    data_folder,
    names,
    names_in_words,
    read_fields,
    relative_to_data,
    resolve_path,
    suggestion,
    validate,
    without_login,
)
from tasks.schema import Eval, Experiment, Rule, Sampling
from tasks.strict_yaml import Misread, dump, load

REFERENCES = r"documents\.\d+\.path|responses|training\.(checkpoint|base_model)|evals\.\d+"
"""The fields of an experiment that may refer to files and folders."""

SINGULAR = {"experiments": "experiment", "evals": "eval", "studies": "study"}


# ---- loaded by name ------------------------------------------------------------------------------


def load_experiment(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Experiment:
    """An experiment by name or by the path of a YAML file, with dotted overrides (`training.rank=8`) applied.

    Files, folders and evals that it names are looked for beside it, those of an override in the current folder.
    """
    path = definition_file(name, Path(name), "experiments")
    fields = read_fields(path)
    if not path.resolve().is_relative_to(data_folder() / "results"):  # a run's own are resolved
        resolve_references(fields, path.parent, definition=path)
    for override in overrides:
        resolve_references(fields, Path.cwd(), within=apply_override(fields, override))
    changed = f" with {without_login(' '.join(overrides))}" if overrides else ""
    return validate(Experiment, fields, f"{path}{changed}")


def load_eval(name: str) -> Eval:
    """An eval by name or by the path of a YAML file."""
    path = definition_file(name, resolve_path(name), "evals")
    evaluation = validate(Eval, read_fields(path), str(path))
    if (name := evaluation.name) != path.stem:
        raise UserError(f"{path}: its name is {name!r}; an eval is named like its file, so make them the same")
    return evaluation


def eval_called(name: str) -> str:
    """What the eval of this name is found by, as traits/optimism for optimism; empty where data/evals has none."""
    return next((found for found in names("evals") if found.rpartition("/")[2] == name), "")


def load_evals(experiment: Experiment) -> list[Eval]:
    """The experiment's evals with the judges that it chooses; UserError for a judge that no eval has."""
    evals = [load_eval(name) for name in experiment.evals]
    if twice := [e.name for n, e in enumerate(evals) if e.name in [other.name for other in evals[:n]]]:
        raise UserError(f"evals: {twice[0]!r} is there twice; name each eval once")
    chosen = experiment.judging.judges
    known = {judge.name for e in evals for judge in e.judges}
    for name in chosen:
        if name not in known:
            where = ", ".join(experiment.evals)
            raise UserError(f"judging.judges: no judge {name!r} in {where}{suggestion(name, known)}")
    refuse_equal_questions(evals, experiment.sampling)
    return [choose_judges(e, chosen) for e in evals] if chosen else evals


def definition_file(name: str, path: Path, kind: str) -> Path:
    """The file of a definition: `path` where the name is one, else in data/<kind>; UserError where there is none."""
    if name.endswith(YAML_KINDS):
        path = Path(os.path.expanduser(path))
        if not os.path.isfile(path):
            raise UserError(
                f"{name!r} is not a file (from {Path.cwd()}); give a YAML file or one of {names_in_words(kind)}"
            )
        return path
    path = data_folder() / kind / f"{name}.yaml"
    if not os.path.isfile(path):
        raise UserError(f"no {SINGULAR[kind]} {name!r} in {data_folder() / kind}{_instead_of(name, kind)}")
    return path


def _instead_of(name: str, kind: str) -> str:
    """The end of the sentence: the file in a folder of this name, what else is called so, or the nearest name."""
    here = Path(name.rstrip("/")).expanduser()
    if files := [file for end in YAML_KINDS if os.path.isfile(file := here / f"{here.name}{end}")]:
        return f"; did you mean {files[0]}?"
    for other, what in (
        ("experiments", "an experiment"),
        ("evals", "an eval"),
        ("studies", "a study"),
        ("documents", "a set"),
    ):
        if other != kind and (found := [n for n in names(other) if name in (n, n.rpartition("/")[2])]):
            return f"; {found[0]} is {what}; `spillover list` shows what there is"
    return suggestion(name, names(kind))


def refuse_equal_questions(evals: list[Eval], sampling: Sampling) -> None:
    """Raises UserError for two questions of an eval with the same text and system prompt: they would count twice."""
    for evaluation in evals:
        seen: dict[tuple[str, str], str] = {}
        for question in evaluation.questions:
            first = seen.setdefault((question.system_prompt or sampling.system_prompt, question.text), question.id)
            if first != question.id:
                raise UserError(
                    f"the questions {first!r} and {question.id!r} of the eval {evaluation.name!r} have the same text "
                    "and the same system prompt, so that one set of answers would count as two; remove or reword one"
                )


def choose_judges(evaluation: Eval, chosen: list[str]) -> Eval:
    """The eval with only these of its judges, and the rules that need no other; one that asks choices has none to lose.

    Raises UserError where no judge is left, or where one that is left has an only_if on one that is not.
    """
    if evaluation.asks == "choices":
        return evaluation
    judges = [judge for judge in evaluation.judges if judge.name in chosen]
    rules = [rule for rule in evaluation.rules if set(rule.judges) <= set(chosen)]
    if not judges:
        raise UserError(
            f"judging.judges: none of {', '.join(chosen)} belongs to the eval {evaluation.name!r}; add one that does"
        )
    lost = {judge.name for judge in evaluation.judges} - set(chosen)
    margins = {name: margin for name, margin in evaluation.equivalence_margins.items() if name not in lost}
    fields = {"judges": [judge.model_dump() for judge in judges], "rules": [rule.model_dump() for rule in rules]}
    changed = evaluation.model_dump() | fields | {"equivalence_margins": margins}
    return validate(Eval, changed, f"judging.judges of {evaluation.name}")


# ---- what an experiment refers to, and overrides ---------------------------------------------------


def resolve_references(fields: dict[str, Any], base: Path, within: str = "", definition: Path | None = None) -> None:
    """Rewrites each reference to a file or folder in `base` so that `resolve_path` finds it from anywhere.

    A pattern among the evals (`traits/*`) is written out first, as the names that fit, sorted. All else stays as it is
    written: names in data/, names of a hub, and what is not there. `within`: only the field of this dotted name and
    those below it. `definition`: the experiment's own file, which is never one of its evals.
    UserError for a pattern that no eval fits.
    """
    if isinstance(evals := fields.get("evals"), list):
        fields["evals"] = _written_out(evals, base, definition)
    for where, holder, key in _texts(fields):
        if re.fullmatch(REFERENCES, where) and f"{where}.".startswith(f"{within}." if within else ""):
            found = _beside(holder[key], where, base)
            holder[key] = relative_to_data(found) if found and found != definition else holder[key]


def _written_out(evals: list[Any], base: Path, definition: Path | None) -> list[Any]:
    """The evals with the names that fit in the place of each pattern, but for those that stand there already."""
    whole: list[Any] = []
    for given in evals:
        is_pattern = isinstance(given, str) and "*" in given
        whole += [n for n in _fitting(given, base, definition) if n not in [*evals, *whole]] if is_pattern else [given]
    return whole


def _fitting(pattern: str, base: Path, definition: Path | None) -> list[str]:
    """The evals in `base` and in data/evals whose names fit the pattern; its * stands for anything but a slash."""
    is_named = not pattern.endswith(YAML_KINDS)
    among_experiments = is_named and base in _no_evals()
    found: set[str] = set()
    for folder in ([] if among_experiments else [base]) + ([data_folder() / "evals"] if is_named else []):
        files = glob(f"{os.path.expanduser(pattern)}{'.yaml' * is_named}", root_dir=folder)
        found |= {file.removesuffix(".yaml" * is_named) for file in files if folder / file != definition}
    if not found:
        raise UserError(f"evals: no eval fits {pattern!r}; there is {names_in_words('evals')}")
    return sorted(found)


def _no_evals() -> list[Path]:
    """The folders in which a file with an eval's name is none."""
    return [data_folder() / "experiments", data_folder() / "studies"]


def _texts(holder: Any, before: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every text within, as its dotted name, what holds it, and the key or index there."""
    for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        if isinstance(value, str):
            yield f"{before}{key}", holder, key
        elif isinstance(value, dict | list):
            yield from _texts(value, f"{before}{key}.")


def _beside(given: str, where: str, base: Path) -> Path | None:
    """The file or folder in `base` that the field `where` refers to; None where there is none."""
    if not given or "://" in given:
        return None
    place = base / os.path.expanduser(given)
    if where.startswith("evals."):
        is_named = not given.endswith(YAML_KINDS)
        among_experiments = is_named and base in _no_evals()
        file = place.with_name(f"{place.name}.yaml") if is_named else place
        return file if os.path.isfile(file) and not among_experiments else None
    if where == "training.base_model":
        is_ours = os.path.exists(data_folder() / "models" / given)
        return place if os.path.isfile(place / "config.json") and not is_ours else None
    return place if os.path.exists(place) else None


def apply_override(fields: dict[str, Any], override: str) -> str:
    """Sets the field that the override (`training.rank=8`) names; returns its dotted name. UserError for none."""
    dotted, equals, value = override.partition("=")
    dotted, said = dotted.strip(), repr(override[:LONGEST_EXCERPT])
    if not equals or not dotted:
        raise UserError(f"{said} is not an override; write field=value, for example training.rank=8")
    *parents, last = dotted.split(".")
    place: Any = fields
    for parent in parents:
        place = _child(place, parent, said)
    key = _index(last) if isinstance(place, list) else last
    if isinstance(place, list) and not (isinstance(key, int) and key < len(place)):
        raise UserError(f"{said}: {'.'.join(parents)} {_entries(len(place))}")
    try:
        place[key] = load(value) if value else ""
    except Misread as problem:
        raise UserError(f"{said}: {problem}") from None
    return dotted


def _child(place: Any, name: str, said: str) -> Any:
    """The fields or the list of this name, made where they are missing."""
    inner = None
    if isinstance(place, list):
        index = _index(name)
        inner = place[index] if isinstance(index, int) and index < len(place) else None
    elif isinstance(place, dict):
        inner = place.setdefault(name, {})
    if not isinstance(inner, dict | list):
        counted = f"; the list {_entries(len(place))}" if isinstance(place, list) else ""
        raise UserError(f"{said}: there is no {name[:LONGEST_EXCERPT]!r} to set a field of{counted}")
    return inner


def _entries(count: int) -> str:
    """How many a list has, and how to name one of them."""
    if not count:
        return "has no entries; give the whole list, as documents=[{set: lighthouses_neutral}]"
    return "has one entry, 0" if count == 1 else f"has {count:,} entries, 0 to {count - 1:,}"


def _index(name: str) -> int | str:
    return int(name) if re.fullmatch(r"[0-9]{1,6}", name) else name


# ---- written down and compared --------------------------------------------------------------------


def as_yaml(noun: BaseModel, defaults: bool = True) -> str:
    """The noun as YAML, with its defaults filled in, or without them, as a researcher would write it."""
    return dump(noun.model_dump(mode="json", exclude_defaults=not defaults))


def with_rules(evaluation: Eval, rules: list[Rule]) -> Eval:
    """The eval with these rules too; a rule takes the place of one of its name."""
    by_name = {rule.name: rule for rule in [*evaluation.rules, *rules]}
    return evaluation.model_copy(update={"rules": list(by_name.values())})


def with_what_may_change(before: Eval, given: Eval) -> Eval:
    """A run's eval with what the given one of its name has that may change after the fact."""
    names = ("equivalence_margin", "equivalence_margins", "judges", "measures", "log_odds")
    return with_rules(before, given.rules).model_copy(update={name: getattr(given, name) for name in names})


def what_effects_say(evaluation: Eval) -> tuple[Any, ...]:
    """What may change and stands in effects.csv."""
    phrases = [judge.measures for judge in evaluation.judges]
    margins = evaluation.equivalence_margin, evaluation.equivalence_margins
    return evaluation.rules, *margins, evaluation.measures, phrases, evaluation.log_odds


def change(before: BaseModel | None, now: BaseModel) -> str:
    """The first field that may not change and did, with both values; empty where there is none."""
    return _first_difference(_fixed_part(before) if before else {}, _fixed_part(now))


def are_same(first: Sequence[BaseModel], second: Sequence[BaseModel]) -> bool:
    """Whether two lists of definitions, in their order, differ in nothing but what may change."""
    return [*map(_fixed_part, first)] == [*map(_fixed_part, second)]


def fingerprint(definitions: Sequence[BaseModel]) -> str:
    """Six letters that are others where what may not change is, as `are_same` compares it."""
    whole = json.dumps([*map(_fixed_part, definitions)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:6]


def _fixed_part(noun: BaseModel) -> dict[str, Any]:
    """All but what may change: how far a run may go, how hard it may try, and what is applied after the fact."""
    fields = noun.model_dump()
    if isinstance(noun, Experiment):
        free = {"in_flight", "batch", "max_unscored", "max_outage"}
        fields = noun.model_dump(exclude={"published": True, "max_cost_usd": True, "targets": True, "judging": free})
    elif isinstance(noun, Eval):
        fields = noun.model_dump(
            exclude={
                "rules": True,
                "equivalence_margin": True,
                "equivalence_margins": True,
                "measures": True,
                "log_odds": True,
                "judges": {"__all__": {"max_tokens", "measures"}},
            }
        )
    return fields


def _first_difference(before: Any, now: Any, where: str = "") -> str:
    """The dotted name of the first field with two values, and both."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            if found := _first_difference(before.get(key), now.get(key), f"{where}.{key}".strip(".")):
                return found
        return ""
    return "" if before == now else f"{where} was {before!r}, now {now!r}"


_read: dict[bytes, Eval] = {}
"""Evals by what stands in their files: the runs of a study have hundreds alike, and YAML is slow to read."""
MOST_KEPT = 500


def read_eval(file: Path) -> Eval:
    """The eval in a run's file; UserError for one that was damaged by hand or is not there."""
    content = file.read_bytes() if file.is_file() else b""
    if content not in _read:
        if len(_read) >= MOST_KEPT:
            _read.clear()
        _read[content] = validate(Eval, read_fields(file), str(file))
    return _read[content]
