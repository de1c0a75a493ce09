"""Where things are found by name in data/, and how a mistake is said: in one sentence that names it and its remedy.

raise UserError(f"documents: no set {name!r} in {folder}{suggestion(name, names('documents'))}")
training = validate(Training, fields, "demo.yaml")          # UserError: demo.yaml: rnak: unknown field; did you ...
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tasks.schema import LARGEST_SEED, check_address
from tasks.strict_yaml import Misread, load
from tasks.visible import visible

DOCUMENT_KINDS = (".jsonl", ".jsonl.gz", ".json", ".parquet")
YAML_KINDS = (".yaml", ".yml")
MOST_PROBLEMS = 5
LONGEST_EXCERPT = 100
"""Problems of one definition, and characters of a wrong value, that an error shows."""
MOST_SEEDS = 1000
MADE_BESIDE = (".manifest.jsonl", ".mixture.json", ".datasheet.json")
"""Endings of what `spillover data mix` and `data sheet` write beside a file of documents."""
UNIVERSES = ("universe.json", "universe.jsonl", "universe.yaml")
ABOUT_A_SET = ("set.yaml", "set.json", "rejected.jsonl", "datasheet.json", "datasheet.html", *UNIVERSES)
"""What stands in the folder of a generated set beside its documents."""
Definition = TypeVar("Definition", bound=BaseModel)
MESSAGES = {
    "string_pattern_mismatch": "use letters, digits, dashes, underscores, and dots within",
    "model_type": "expected fields with names",
}
"""Instead of pydantic's own messages, which speak of regular expressions and Python types."""


class UserError(Exception):
    """A mistake that its user can mend: one sentence with the thing, the place and the remedy."""

    def __str__(self) -> str:
        return visible(super().__str__())  # a file's name, or what a service said


# ---- where things are ----------------------------------------------------------------------------


def data_folder() -> Path:
    """The project's data/, or SPILLOVER_DATA."""
    return Path(os.environ.get("SPILLOVER_DATA") or Path(__file__).parents[1] / "data").resolve()


def names(kind: str) -> list[str]:
    """Names to be found in data/<kind>, sorted: definitions are files, sets of documents and models are folders.

    An eval in a sub-folder is found by both, as traits/optimism, and is named by the last alone. The set of one tone of
    several is named by both, as farming/negative.
    """
    folder = data_folder() / kind
    if kind in ("experiments", "evals", "studies"):
        return sorted(file.relative_to(folder).as_posix().removesuffix(".yaml") for file in definition_files(kind))
    within = folder.glob("*/*/documents.jsonl") if kind == "documents" else []
    places = [*folder.glob("*/"), *(file.parent for file in within)]
    return sorted(place.relative_to(folder).as_posix() for place in places)


def names_in_words(kind: str) -> str:
    """The same for a sentence: those of a sub-folder together, as traits/... (32)."""
    folders = Counter(name.partition("/")[0] for name in names(kind) if "/" in name)
    return ", ".join([*(n for n in names(kind) if "/" not in n), *(f"{f}/... ({n})" for f, n in folders.items())])


def definition_files(kind: str) -> list[Path]:
    """The files of data/experiments or data/studies, or those of data/evals and its sub-folders."""
    folder = data_folder() / kind
    within = folder.glob("[!.]*/*.yaml") if kind == "evals" else []
    return sorted([*folder.glob("*.yaml"), *within])


def relative_to_data(place: Path) -> str:
    """How a run writes a path down: relative to data/ where it is within, and so the same on all machines."""
    whole, data = Path(os.path.abspath(place)), data_folder()
    return str(whole.relative_to(data)) if whole.is_relative_to(data) else str(whole)


def resolve_path(path: str) -> Path:
    """The path that `relative_to_data` wrote down; what is not in data/ is relative to the current folder."""
    place = Path(os.path.expanduser(path))
    within = data_folder() / place
    return within if os.path.exists(within) else place


def model_folder(name: str) -> Path | None:
    """The folder of a model in data/models or on disk; None where the name must be a hub's."""
    for place in (data_folder() / "models" / name, resolve_path(name)):
        if os.path.isfile(place / "config.json"):
            return place
    return None


# ---- documents -----------------------------------------------------------------------------------


def document_files(name: str, path: str) -> tuple[list[Path], list[str]]:
    """The files of a set, by its name in data/documents or by its path, sorted, and what else is in its folder."""
    place = resolve_path(path) if path else data_folder() / "documents" / name
    if name and not os.path.isdir(place):
        raise UserError(f"documents: no set {name!r} in {place.parent}{suggestion(name, names('documents'))}")
    if not os.path.exists(place):
        raise UserError(
            f"documents: {str(place)!r} does not exist (from {Path.cwd()} or {data_folder()}); give the path of a file "
            "or a folder of documents"
        )
    if place.is_file():
        return [place], []
    files, left_out = split_folder(place)
    if not files:
        if any((place / about).is_file() for about in ("set.yaml", "set.json")):
            raise UserError(f"documents: {place} {_instead_of_all(place)}")
        found = f" (there is {', '.join(left_out)})" if left_out else ""
        raise UserError(f"documents: no {', '.join(DOCUMENT_KINDS)} file in {place}{found}; put the documents there")
    plain = [without_ending(file) for file in files]
    if twice := [file.name for file, name in zip(files, plain, strict=True) if plain.count(name) > 1]:
        raise UserError(
            f"documents: {' and '.join(twice)} in {place} look like the same documents twice; keep one, or rename it"
        )
    return files, left_out


def _instead_of_all(place: Path) -> str:
    """What to name of a generated set that has no documents of its own."""
    if several := [f"{place.name}/{file.parent.name}" for file in sorted(place.glob("*/documents.jsonl"))]:
        return f"has a set for each tone or direction; name one of {', '.join(several)}"
    return f"is not written yet; write it with `spillover generate {place.name}`"


def split_folder(place: Path) -> tuple[list[Path], list[str]]:
    """The files of documents in a folder, sorted, and the names of all else that is there.

    A link to a file that is gone counts as a file, so that reading it says what is missing.
    """
    found = sorted(place.iterdir())
    files = [path for path in found if not path.is_dir() and is_document_file(path)]
    others = [path for path in found if path not in files and path.name not in ABOUT_A_SET]
    return files, [f"{path.name}/" if path.is_dir() else path.name for path in others]


def is_document_file(file: Path) -> bool:
    """Whether a file is one of documents, by its name alone."""
    name = file.name.lower()
    is_made = name.endswith(MADE_BESIDE) or name in ABOUT_A_SET
    return name.endswith(DOCUMENT_KINDS) and not name.startswith(".") and not is_made


def without_ending(file: Path) -> str:
    """The name of a file of documents without .jsonl, .jsonl.gz, .json or .parquet."""
    ending = next((ending for ending in DOCUMENT_KINDS if file.name.lower().endswith(ending)), "")
    return file.name[: len(file.name) - len(ending)]


# ---- what a user wrote ---------------------------------------------------------------------------


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
        raise UserError(f"{file}: expected fields with names, found {_type_of(fields)}; write name: value on each line")
    return fields


def validate(noun: type[Definition], fields: Any, place: str) -> Definition:
    """The noun made of these fields, or a UserError that names the place, the field and the nearest valid name."""
    if not isinstance(fields, dict):
        raise UserError(f"{place}: expected fields with names, found {_type_of(fields)}")
    try:
        return noun.model_validate(fields)
    except ValidationError as error:
        problems = [_explain(noun, problem) for problem in error.errors()]
        more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        raise UserError(f"{place}: {'; '.join(problems[:MOST_PROBLEMS] + more)}") from None


def _explain(noun: type[BaseModel], problem: Any) -> str:
    where, kind, given = ".".join(map(str, problem["loc"])), problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown field{suggestion(str(problem['loc'][-1]), _fields_at(noun, problem['loc'][:-1]))}"
    if kind == "missing":
        return f"{where}: this field is missing"
    message = MESSAGES.get(kind) or problem["msg"].removeprefix("Value error, ")
    found = "" if isinstance(given, dict | list) and not kind.endswith("_type") else f" (found {excerpt(given)})"
    quotes = "; put quotes around it" if kind == "string_type" and isinstance(given, int | float) else ""
    return (f"{where}: " if where else "") + message[0].lower() + message[1:] + found + quotes


def _fields_at(noun: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The names of the fields that a definition has at this place."""
    for part in loc:
        if isinstance(part, str):
            annotation: Any = noun.model_fields[part].annotation
            noun = next(
                t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel)
            )
    return list(noun.model_fields)


def _type_of(value: Any) -> str:
    """What a value of YAML is, in words; the value itself where it is none of these."""
    return {dict: "fields", list: "a list", type(None): "nothing"}.get(type(value), repr(value)[:LONGEST_EXCERPT])


def address_in_environment(name: str, added: str = "") -> str:
    """The address in an environment variable, or nothing; `added` is what the client puts behind it."""
    try:
        return check_address(os.environ.get(name, ""), name, added)
    except ValueError as problem:
        raise UserError(str(problem)) from None


def check_seed(seed: int, option: str = "seed") -> int:
    """The seed, or a UserError for one that not every library takes."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"{option}: {str(seed)[:40]} is no seed; give a whole number from 0 to {LARGEST_SEED}")
    return seed


def parse_seeds(text: str, place: str = "--seeds") -> list[int]:
    """`0-5` and `0,3,7` as seeds, in their order; none for an empty text. UserError begins with `place`."""
    seeds: list[int] = []
    for part in filter(None, text.split(",")):
        ends = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if last < first:
            raise UserError(f"{place}: {part[:40]!r} is neither a seed nor a range of seeds; write 0-5, or 0,3,7")
        check_seed(last, place)
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"{place}: {text[:40]!r} has more than {MOST_SEEDS} seeds; give fewer")
        seeds += range(first, last + 1)
    if twice := [seed for n, seed in enumerate(seeds) if seed in seeds[:n]]:
        raise UserError(f"{place}: {twice[0]} is there twice; name each seed once")
    return seeds


# ---- what an error says --------------------------------------------------------------------------


def excerpt(value: Any) -> str:
    """A wrong value as an error shows it: at most 100 characters, and no password of an address."""
    text = without_login(_type_of(value) if isinstance(value, dict | list) else repr(value))
    return text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: the closest match, or else all that is known."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(known)}" if known else "; there is none yet"


def without_login(text: str) -> str:
    """A text without the users, passwords and queries of the addresses in it, whether or not they name a scheme."""
    text = re.sub(r"(?<![^\s=/'\"])[^\s=/'\"]+:[^@/'\"]*@(?:[^\s@/'\"]*@)*|(?<=//)[^/'\"]*@", "...@", text)
    return re.sub(r"(://[^\s?'\"]*\?)[^\s'\"]+", r"\1...", text)
