"""Finds experiments, evals, document sets and models by name, and refuses a wrong definition in one sentence.

experiment = load_experiment("demo", ["training.rank=8"])
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tasks.schema import LARGEST_SEED, Eval, Experiment, Sampling, check_address
from tasks.strict_yaml import Misread, load
from tasks.visible import visible

DOCUMENT_KINDS = (".jsonl", ".jsonl.gz", ".json", ".parquet")
YAML_KINDS = (".yaml", ".yml")
PLACES = r"documents\.\d+\.path|responses|training\.(checkpoint|base_model)|evals\.\d+"
"""The fields of an experiment that name files and folders."""
MOST_PROBLEMS = 5
LONGEST_FOUND = 100
"""Letters of a wrong value, and problems of one definition, that an error shows."""
MOST_SEEDS = 1000
MADE_BESIDE = (".manifest.jsonl", ".mixture.json")
Definition = TypeVar("Definition", bound=BaseModel)


class UserError(Exception):
    """A mistake that its user can mend: one sentence with the thing, the place and the remedy."""

    def __str__(self) -> str:
        return visible(super().__str__())  # a file's name, or what a service said


def data_folder() -> Path:
    """The project's data/, or SPILLOVER_DATA."""
    return Path(os.environ.get("SPILLOVER_DATA") or Path(__file__).parents[1] / "data").resolve()


def address_in_environment(name: str, added: str = "") -> str:
    """The address in an environment variable, or nothing; `added` is what the client puts behind it."""
    try:
        return check_address(os.environ.get(name, ""), name, added)
    except ValueError as problem:
        raise UserError(str(problem)) from None


def names(kind: str) -> list[str]:
    """Names to be found in data/<kind>, sorted: definitions are files, sets of documents and models are folders."""
    found = (data_folder() / kind).glob("*.yaml" if kind in ("experiments", "evals") else "*/")
    return sorted(p.stem if p.is_file() else p.name for p in found)


def load_experiment(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Experiment:
    """An experiment by name or by the path of a YAML file, with dotted overrides (`training.rank=8`) applied.

    Files, folders and evals that it names are looked for beside it, those of an override in the current folder.
    """
    path = _definition(name, Path(name), "experiments")
    fields = read_fields(path)
    if not path.resolve().is_relative_to(data_folder() / "results"):  # else a run wrote it, and settled it before
        settle(fields, path.parent, definition=path)
    for override in overrides:
        settle(fields, Path.cwd(), within=_apply(fields, override))
    changed = f" with {without_login(' '.join(overrides))}" if overrides else ""
    return validate(Experiment, fields, f"{path}{changed}")


def load_eval(name: str) -> Eval:
    """An eval by name or by the path of a YAML file."""
    path = _definition(name, located(name), "evals")
    one = validate(Eval, read_fields(path), str(path))
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
    refuse_equal_questions(evals, experiment.sampling)
    return [choose_judges(e, chosen) for e in evals] if chosen else evals


def refuse_equal_questions(evals: list[Eval], sampling: Sampling) -> None:
    """UserError for two questions of an eval that a model is shown alike: their answers would be counted twice."""
    for one in evals:
        seen: dict[tuple[str, str], str] = {}
        for question in one.questions:
            first = seen.setdefault((question.system_prompt or sampling.system_prompt, question.text), question.id)
            if first != question.id:
                raise UserError(
                    f"the questions {first!r} and {question.id!r} of the eval {one.name!r} have the same text and the "
                    "same system prompt, so that one set of answers would count as two; remove or reword one"
                )


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


def settle(fields: dict[str, Any], base: Path, within: str = "", definition: Path | None = None) -> None:
    """What an experiment names and the folder `base` holds is named as `located` finds it from anywhere.

    All else stays as it is written: names in data/ and of hubs, and what is not there. `within`: only the field of this
    dotted name and what is below it. `definition`: the experiment's own file, which is none of its evals.
    """
    for where, holder, key in _texts(fields):
        if re.fullmatch(PLACES, where) and f"{where}.".startswith(f"{within}." if within else ""):
            found = _beside(holder[key], where, base)
            holder[key] = portable(found) if found and found != definition else holder[key]


def _texts(holder: Any, before: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted name of every text within, and where it is held."""
    for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        if isinstance(value, str):
            yield f"{before}{key}", holder, key
        elif isinstance(value, dict | list):
            yield from _texts(value, f"{before}{key}.")


def _beside(given: str, where: str, base: Path) -> Path | None:
    """The file or folder that is meant, if `base` has it."""
    if not given or "://" in given:
        return None
    place = base / os.path.expanduser(given)
    if where.startswith("evals."):
        is_named = not given.endswith(YAML_KINDS)
        among_experiments = is_named and base == data_folder() / "experiments"
        file = place.with_name(f"{place.name}.yaml") if is_named else place
        return file if os.path.isfile(file) and not among_experiments else None
    if where == "training.base_model":
        is_ours = os.path.exists(data_folder() / "models" / given)
        return place if os.path.isfile(place / "config.json") and not is_ours else None
    return place if os.path.exists(place) else None


def portable(place: Path) -> str:
    """How a run writes a place down: relative to data/ where it lies within, and so the same on all machines."""
    whole, data = Path(os.path.abspath(place)), data_folder()
    return str(whole.relative_to(data)) if whole.is_relative_to(data) else str(whole)


def located(path: str) -> Path:
    """The place that `portable` wrote down; what is not in data/ is relative to the current folder."""
    place = Path(os.path.expanduser(path))
    within = data_folder() / place
    return within if os.path.exists(within) else place


def read_text(file: str | Path, option: str = "") -> str:
    """The text of a user's file; UserError for one that is not there, cannot be read, is not UTF-8 or empty."""
    path, before = Path(os.path.expanduser(file)), f"{option}: " if option else ""
    if not os.path.isfile(path):
        raise UserError(f"{before}{str(path)!r} is not a file (from {Path.cwd()}); give the place of one")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{before}{path} line {line}: not UTF-8 text; save it as UTF-8 (from a spreadsheet: CSV UTF-8)"
        ) from None
    except OSError as error:
        raise UserError(f"{before}{path} cannot be read ({error.strerror}); see to its permissions") from None
    if not text.strip():
        raise UserError(f"{before}{path} is empty; fill it")
    return text


def read_yaml(file: Path) -> Any:
    """What a YAML file says; UserError with the line of what is no YAML or could be misread."""
    try:
        return load(read_text(file))
    except Misread as problem:
        raise UserError(f"{file} line {problem.line}: {problem}") from None


def read_fields(file: Path) -> dict[str, Any]:
    """The same of a file that must hold fields with names."""
    fields = read_yaml(file)
    if not isinstance(fields, dict):
        raise UserError(f"{file}: expected fields with names, found {_kind(fields)}; write name: value on each line")
    return fields


def _kind(value: Any) -> str:
    return {dict: "fields", list: "a list", type(None): "nothing"}.get(type(value), repr(value)[:LONGEST_FOUND])


def check_seed(seed: int, option: str = "seed") -> int:
    """The seed, or a UserError for one that not every library takes."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"{option}: {str(seed)[:40]} is no seed; give a whole number from 0 to {LARGEST_SEED}")
    return seed


def parse_seeds(text: str) -> list[int]:
    """`0-5` and `0,3,7` as seeds, in their order; none for an empty text."""
    seeds: list[int] = []
    for part in filter(None, text.split(",")):
        ends = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if last < first:
            raise UserError(f"--seeds: {part[:40]!r} is neither a seed nor a range of seeds; write 0-5, or 0,3,7")
        check_seed(last, "--seeds")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"--seeds: {text[:40]!r} has more than {MOST_SEEDS} seeds; give fewer")
        seeds += range(first, last + 1)
    if twice := [seed for n, seed in enumerate(seeds) if seed in seeds[:n]]:
        raise UserError(f"--seeds: {twice[0]} is there twice; name each seed once")
    return seeds


def document_files(name: str, path: str) -> tuple[list[Path], list[str]]:
    """The files of a set, by its name in data/documents or by its path, sorted, and what else is in its folder."""
    place = located(path) if path else data_folder() / "documents" / name
    if name and not os.path.isdir(place):
        raise UserError(f"documents: no set {name!r} in {place.parent}{nearest(name, names('documents'))}")
    if not os.path.exists(place):
        raise UserError(
            f"documents: {str(place)!r} does not exist (from {Path.cwd()} or {data_folder()}); give the path of a file "
            "or a folder of documents"
        )
    if place.is_file():
        return [place], []
    files, left_out = split_folder(place)
    if not files:
        found = f" (there is {', '.join(left_out)})" if left_out else ""
        raise UserError(f"documents: no {', '.join(DOCUMENT_KINDS)} file in {place}{found}; put the documents there")
    plain = [without_kind(file) for file in files]
    if twice := [file.name for file, name in zip(files, plain, strict=True) if plain.count(name) > 1]:
        raise UserError(
            f"documents: {' and '.join(twice)} in {place} look like the same documents twice; keep one, or rename it"
        )
    return files, left_out


def split_folder(place: Path) -> tuple[list[Path], list[str]]:
    """The files of documents in a folder, sorted, and the names of all else that is there."""
    found = sorted(place.iterdir())
    files = [one for one in found if not one.is_dir() and is_of_documents(one)]  # a link to nowhere is one, and missed
    return files, [f"{one.name}/" if one.is_dir() else one.name for one in found if one not in files]


def is_of_documents(file: Path) -> bool:
    """Whether a file is one of documents by its name; what `spillover data mix` writes beside a mixture is none."""
    name = file.name.lower()
    return name.endswith(DOCUMENT_KINDS) and not name.startswith(".") and not name.endswith(MADE_BESIDE)


def without_kind(file: Path) -> str:
    """The name of a file of documents without its ending."""
    kind = next((kind for kind in DOCUMENT_KINDS if file.name.lower().endswith(kind)), "")
    return file.name[: len(file.name) - len(kind)]


def model_folder(name: str) -> Path | None:
    """The folder of a model in data/models or on disk; None where the name must be a hub's."""
    for place in (data_folder() / "models" / name, located(name)):
        if os.path.isfile(place / "config.json"):
            return place
    return None


def validate(noun: type[Definition], fields: Any, place: str) -> Definition:
    """The noun made of these fields, or a UserError that names the place, the field and the nearest valid name."""
    if not isinstance(fields, dict):
        raise UserError(f"{place}: expected fields with names, found {_kind(fields)}")
    try:
        return noun.model_validate(fields)
    except ValidationError as error:
        problems = [_explain(noun, problem) for problem in error.errors()]
        more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        raise UserError(f"{place}: {'; '.join(problems[:MOST_PROBLEMS] + more)}") from None


def _explain(noun: type[BaseModel], problem: Any) -> str:
    where, kind, given = ".".join(map(str, problem["loc"])), problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown field{nearest(str(problem['loc'][-1]), _fields_at(noun, problem['loc'][:-1]))}"
    if kind == "missing":
        return f"{where}: this field is missing"
    message = WORDS.get(kind) or problem["msg"].removeprefix("Value error, ")
    found = "" if isinstance(given, dict | list) and not kind.endswith("_type") else f" (found {shown(given)})"
    quotes = "; put quotes around it" if kind == "string_type" and isinstance(given, int | float) else ""
    return (f"{where}: " if where else "") + message[0].lower() + message[1:] + found + quotes


WORDS = {
    "string_pattern_mismatch": "use letters, digits, dashes, underscores, and dots within",
    "model_type": "expected fields with names",
}
"""What pydantic says in words of its own."""


def without_login(text: str) -> str:
    """A text without the users, passwords and queries of the addresses in it, whether or not they name a scheme."""
    text = re.sub(r"(?<![^\s=/'\"])[^\s=/'\"]+:[^@/'\"]*@(?:[^\s@/'\"]*@)*|(?<=//)[^/'\"]*@", "...@", text)
    return re.sub(r"(://[^\s?'\"]*\?)[^\s'\"]+", r"\1...", text)


def shown(value: Any) -> str:
    """A wrong value in few letters, without the password of an address."""
    text = without_login(_kind(value) if isinstance(value, dict | list) else repr(value))
    return text if len(text) <= LONGEST_FOUND else f"{text[:LONGEST_FOUND]}..."


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


def _definition(name: str, path: Path, kind: str) -> Path:
    """The file of a definition: `path` where the name is one, else in data/."""
    if name.endswith(YAML_KINDS):
        path = Path(os.path.expanduser(path))
        if not os.path.isfile(path):
            raise UserError(
                f"{name!r} is not a file (from {Path.cwd()}); give a YAML file or one of {', '.join(names(kind))}"
            )
        return path
    path = data_folder() / kind / f"{name}.yaml"
    if not os.path.isfile(path):
        raise UserError(f"no {kind.removesuffix('s')} {name!r} in {path.parent}{nearest(name, names(kind))}")
    return path


def _apply(fields: dict[str, Any], override: str) -> str:
    """Sets the field that the override names; returns its dotted name."""
    dotted, equals, value = override.partition("=")
    said = repr(override[:LONGEST_FOUND])
    if not equals:
        raise UserError(f"{said} is not an override; write field=value, for example training.rank=8")
    *parents, last = dotted.split(".")
    place: Any = fields
    for parent in parents:
        place = _child(place, parent, said)
    key = _index(last) if isinstance(place, list) else last
    if isinstance(place, list) and not (isinstance(key, int) and key < len(place)):
        raise UserError(f"{said}: {'.'.join(parents)} has {len(place)} entries, counted from 0")
    try:
        place[key] = load(value) if value else ""
    except Misread as problem:
        raise UserError(f"{said}: {problem}") from None
    return dotted


def _child(place: Any, name: str, said: str) -> Any:
    inner = None
    if isinstance(place, list):
        index = _index(name)
        inner = place[index] if isinstance(index, int) and index < len(place) else None
    elif isinstance(place, dict):
        inner = place.setdefault(name, {})
    if not isinstance(inner, dict | list):
        raise UserError(f"{said}: there is no {name[:LONGEST_FOUND]!r} to set a field of")
    return inner


def _index(name: str) -> int | str:
    return int(name) if re.fullmatch(r"[0-9]{1,6}", name) else name
