"""Finds experiments, evals, document sets and models by name, and refuses a wrong definition in one sentence.

experiment = load_experiment("demo", ["training.rank=8"])
"""

import difflib
import os
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tasks.schema import Eval, Experiment

Definition = TypeVar("Definition", bound=BaseModel)


class UserError(Exception):
    """A mistake that its user can mend: one sentence with the thing, the place and the remedy."""


def data_folder() -> Path:
    """The project's data/, or SPILLOVER_DATA."""
    return Path(os.environ.get("SPILLOVER_DATA") or Path(__file__).parents[1] / "data").resolve()


def names(kind: str) -> list[str]:
    """Names to be found in data/<kind>, sorted: definitions are files, sets of documents and models are folders."""
    found = (data_folder() / kind).glob("*.yaml" if kind in ("experiments", "evals") else "*/")
    return sorted(p.stem if p.is_file() else p.name for p in found)


def load_experiment(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Experiment:
    """An experiment by name or by the path of a YAML file, with dotted overrides (`training.rank=8`) applied."""
    path = _definition(name, "experiments")
    fields = _read_yaml(path)
    for override in overrides:
        _apply(fields, override)
    return validate(Experiment, fields, str(path) if not overrides else f"{path} with {' '.join(overrides)}")


def load_eval(name: str) -> Eval:
    """An eval by name or by the path of a YAML file."""
    path = _definition(name, "evals")
    one = validate(Eval, _read_yaml(path), str(path))
    if one.name != path.stem:
        raise UserError(f"{path}: its name is {one.name!r}; an eval is named like its file, so make them the same")
    return one


def load_evals(experiment: Experiment) -> list[Eval]:
    """The experiment's evals with the judges that it chooses; a judge name that no eval has is refused."""
    evals = [load_eval(name) for name in experiment.evals]
    if twice := [one.name for n, one in enumerate(evals) if one.name in [e.name for e in evals[:n]]]:
        raise UserError(f"evals: {twice[0]!r} is there twice; name each eval once")
    chosen = experiment.judging.judges
    known = {judge.name for e in evals for judge in e.judges}
    for name in chosen:
        if name not in known:
            raise UserError(f"judging.judges: no judge {name!r} in {', '.join(experiment.evals)}{nearest(name, known)}")
    return [choose_judges(e, chosen) for e in evals] if chosen else evals


def choose_judges(one: Eval, chosen: list[str]) -> Eval:
    """The eval with these of its judges alone, and the rules that need no other.

    UserError where no judge is left, or one that another waits for is not.
    """
    judges = [judge for judge in one.judges if judge.name in chosen]
    rules = [rule for rule in one.rules if set(rule.judges) <= set(chosen)]
    if not judges:
        raise UserError(
            f"judging.judges: none of {', '.join(chosen)} belongs to the eval {one.name!r}; add one that does"
        )
    fields = {"judges": [judge.model_dump() for judge in judges], "rules": [rule.model_dump() for rule in rules]}
    return validate(Eval, one.model_dump() | fields, f"judging.judges of {one.name}")


def read_text(file: str | Path, option: str = "") -> str:
    """The text of a user's file; UserError for one that is not there, not UTF-8 or empty."""
    path, before = Path(file).expanduser(), f"{option}: " if option else ""
    if not path.is_file():
        raise UserError(f"{before}{str(path)!r} is not a file (from {Path.cwd()}); give the place of one")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{before}{path}: not UTF-8 text; save it as UTF-8 (from a spreadsheet: CSV UTF-8)") from None
    if not text.strip():
        raise UserError(f"{before}{path} is empty; fill it")
    return text


def parse_seeds(text: str) -> list[int]:
    """`0-5` and `0,3,7` as seeds; none for an empty text."""
    seeds: list[int] = []
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not (last.isdigit() and int(last) >= int(first))):
            raise UserError(f"--seeds: {part!r} is neither a seed nor a range of seeds; write 0-5, or 0,3,7")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def document_files(name: str, path: str) -> list[Path]:
    """The JSONL files of a set, by its name in data/documents or by its path, sorted."""
    place = Path(path).expanduser() if path else data_folder() / "documents" / name
    if name and not place.is_dir():
        raise UserError(f"documents: no set {name!r} in {place.parent}{nearest(name, names('documents'))}")
    if not place.exists():
        raise UserError(f"documents: {str(place)!r} does not exist; give the path of a JSONL file (from {Path.cwd()})")
    files = [place] if place.is_file() else sorted(place.glob("*.jsonl"))
    if not files:
        raise UserError(f"documents: no .jsonl file in {place}; put the set's documents there")
    return files


def model_folder(name: str) -> Path | None:
    """The folder of a model in data/models or on disk; None where the name must be a hub's."""
    for place in (data_folder() / "models" / name, Path(name).expanduser()):
        if (place / "config.json").is_file():
            return place
    return None


def validate(noun: type[Definition], fields: Any, place: str) -> Definition:
    """The noun made of these fields, or a UserError that names the place, the field and the nearest valid name."""
    if not isinstance(fields, dict):
        raise UserError(f"{place}: expected fields with names, found {type(fields).__name__}")
    try:
        return noun.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(_explain(noun, problem) for problem in error.errors())
        raise UserError(f"{place}: {problems}") from None


def _explain(noun: type[BaseModel], problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown field{nearest(str(problem['loc'][-1]), _fields_at(noun, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: this field is missing"
    message = problem["msg"].removeprefix("Value error, ")
    found = "" if isinstance(problem["input"], dict | list) else f" (found {problem['input']!r})"
    return (f"{where}: " if where else "") + message[0].lower() + message[1:] + found


def _fields_at(noun: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for part in loc:
        if isinstance(part, str):
            annotation: Any = noun.model_fields[part].annotation
            noun = next(
                t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel)
            )
    return list(noun.model_fields)


def nearest(name: str, known: Any) -> str:
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(known)}" if known else "; there is none yet"


def _definition(name: str, kind: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(
                f"{name!r} is not a file (from {Path.cwd()}); give a YAML file or one of {', '.join(names(kind))}"
            )
        return path
    path = data_folder() / kind / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no {kind.removesuffix('s')} {name!r} in {path.parent}{nearest(name, names(kind))}")
    return path


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _apply(fields: Any, override: str) -> None:
    dotted, equals, value = override.partition("=")
    if not equals:
        raise UserError(f"{override!r} is not an override; write field=value, for example training.rank=8")
    *parents, last = dotted.split(".")
    place = fields
    for parent in parents:
        place = _child(place, parent, override)
    key: str | int = int(last) if isinstance(place, list) and last.isdigit() else last
    if isinstance(place, list) and not (isinstance(key, int) and key < len(place)):
        raise UserError(f"{override!r}: {'.'.join(parents)} has {len(place)} entries, counted from 0")
    try:
        place[key] = yaml.safe_load(value) if value else ""
    except yaml.YAMLError:
        raise UserError(f"{override!r}: {value!r} is not a YAML value; put quotes around text") from None


def _child(place: Any, name: str, override: str) -> Any:
    inner = None
    if isinstance(place, list) and name.isdigit() and int(name) < len(place):
        inner = place[int(name)]
    elif isinstance(place, dict):
        inner = place.setdefault(name, {})
    if not isinstance(inner, dict | list):
        raise UserError(f"{override!r}: there is no {name!r} to set a field of")
    return inner
