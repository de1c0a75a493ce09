"""A generated set on disk: its definition, the universe that it names, and what is written of it.

    wanted = load_set("farming")                      # data/documents/farming/set.yaml
    universe = universe_of(wanted)

A set of several tones or directions has a folder for each, as farming/negative, which an experiment names like any set.
Existence means finished: every file is renamed into place, the last of them set.json, which says how it came about.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.catalog import (
    UNIVERSES,
    YAML_KINDS,
    UserError,
    data_folder,
    names,
    read_fields,
    split_folder,
    suggestion,
    validate,
    without_login,
)
from tasks.definitions import apply_override, load_eval
from tasks.files import write_rows, write_text
from tasks.rows import json_rows
from tasks.schema import GeneratedSet, Universe
from tasks.strict_yaml import dump

DEFINITION, DOCUMENTS, REJECTED, RECORD = "set.yaml", "documents.jsonl", "rejected.jsonl", "set.json"


def set_folder(name: str) -> Path:
    """The folder of the set of this name, whether or not it is there."""
    return data_folder() / "documents" / name


def generated_sets() -> list[str]:
    """The names of the sets that have a definition, made or not."""
    return [name for name in names("documents") if (set_folder(name) / DEFINITION).is_file()]


def versions_of_sets() -> list[str]:
    """The tones and directions of sets that have several, as farming/negative, written or not."""
    found = []
    for name in generated_sets():
        with suppress(UserError):
            versions = load_set(name).versions
            found += [f"{name}/{version}" for version in versions] if len(versions) > 1 else []
    return found


def load_set(name: str, overrides: Sequence[str] = ()) -> GeneratedSet:
    """The definition of a set, with dotted overrides (`documents=1500`) applied.

    UserError where there is none of this name, or with what is wrong with it.
    """
    file = set_folder(name) / DEFINITION
    if not file.is_file():
        raise UserError(f"no {DEFINITION} of a set {name!r} in {file.parent}{suggestion(name, generated_sets())}")
    fields = read_fields(file)
    for override in overrides:
        apply_override(fields, override)
    changed = f" with {without_login(' '.join(overrides))}" if overrides else ""
    wanted = validate(GeneratedSet, fields, f"{file}{changed}")
    if wanted.name != name:
        raise UserError(f"{file}: its name is {wanted.name!r}; a set is named like its folder, so make them the same")
    return wanted


def universe_of(wanted: GeneratedSet) -> Universe:
    """What its documents are about; UserError for a file that holds no universe."""
    if wanted.universe:
        return wanted.universe
    file = set_folder(wanted.name) / os.path.expanduser(wanted.universe_file)
    fields = _fields_of(file)
    known = {name: fields[name] for name in Universe.model_fields if fields.get(name) is not None}
    return validate(Universe, known, str(file))


def _fields_of(file: Path) -> dict[str, Any]:
    if file.name.endswith(YAML_KINDS):
        return read_fields(file)
    if not os.path.isfile(file):
        raise UserError(f"universe_file: {str(file)!r} is not a file; give its place, relative to the set's folder")
    rows = [row.value for row in json_rows(file) if not row.fault]
    if len(rows) != 1 or not isinstance(rows[0], dict):
        raise UserError(f"{file}: it holds {len(rows)} rows that can be read; give a file of one universe")
    return rows[0]


def made_of(wanted: GeneratedSet) -> str:
    """A key of what its documents are made of beside the definition: its universe, or what its trait's eval says.

    Raises UserError where that cannot be read.
    """
    if not wanted.trait:
        return sha256(universe_of(wanted).model_dump_json(exclude_defaults=True).encode()).hexdigest()
    from tasks.generation.traits import made_of_trait, to_trait  # Prefect comes with it, and a list of sets needs none

    return made_of_trait(to_trait(load_eval(f"traits/{wanted.trait}")), is_taught=wanted.teacher is not None)


def version_folder(wanted: GeneratedSet, version: str) -> Path:
    """Where the documents of a tone or a direction are: in the set's own folder, if it is the only one."""
    folder = set_folder(wanted.name)
    return folder / version if len(wanted.versions) > 1 else folder


def _files_of(wanted: GeneratedSet) -> list[Path]:
    """The documents of each tone or direction, written or not."""
    return [version_folder(wanted, version) / DOCUMENTS for version in wanted.versions]


def is_made(wanted: GeneratedSet) -> bool:
    """Whether all its documents are there, as its definition has them now, or more of them."""
    return only_grows(wanted) and documents_of(wanted.name) >= wanted.documents


def only_grows(wanted: GeneratedSet) -> bool:
    """Whether documents of this very definition are there, as many or not: its first ones are known."""
    before = _definition_before(wanted.name)
    if not before or not is_written(wanted):
        return False
    is_same = _definition(before) == _definition(wanted) | {"documents": before.documents}
    return is_same and _is_made_of_the_same(wanted)


def _definition_before(name: str) -> GeneratedSet | None:
    """The one by which it was written; None where it is not made, or was by what is no definition any more."""
    with suppress(ValidationError):
        return GeneratedSet.model_validate(record_of(name).get("definition"))
    return None


def _written_before(name: str) -> list[Path]:
    """The files of documents that are there by its record, which a copy of a set has of the set of another name."""
    before = _definition_before(name)
    files = _files_of(before.model_copy(update={"name": name})) if before else []
    return [file for file in files if file.is_file()]


def _is_made_of_the_same(wanted: GeneratedSet) -> bool:
    """Whether its universe or its trait's eval is what it was; so it is where an older record does not say."""
    before = record_of(wanted.name).get("made_of")
    with suppress(UserError):
        return before is None or before == made_of(wanted)
    return False


def documents_of(name: str) -> int:
    """How many documents each of its tones or directions has by its record; 0 where it is not made."""
    return int(record_of(name).get("definition", {}).get("documents", 0))


def is_written(wanted: GeneratedSet) -> bool:
    """Whether there are documents of each tone or direction, of this definition or an earlier one."""
    return all(file.is_file() for file in _files_of(wanted))


def record_of(name: str) -> dict[str, Any]:
    """How the set came about; nothing where it is not made. Raises UserError for a file that is no record."""
    file = set_folder(name) / RECORD
    try:
        found = json.loads(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{file} is no record of a set; remove it, and the set is written anew from what is stored")
    return found


def refuse_to_write_over(wanted: GeneratedSet) -> None:
    """Raises UserError where files of documents stand in the set's place that did not come of a definition: they would
    be read as part of it. Or where they came of an earlier one and would stay, or were changed since and would be lost.
    And for a place in which nothing can be written.
    """
    place = set_folder(wanted.name)
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{there} is no folder that can be written to; make it one, or give the set another name")
    for folder in (version_folder(wanted, version) for version in wanted.versions):
        for file in split_folder(folder)[0] if folder.is_dir() else []:
            if file.name != DOCUMENTS or not (folder / REJECTED).is_file():
                raise UserError(
                    f"{file} is there and was not made from {DEFINITION}; move it (a universe may be called "
                    f"{' or '.join(UNIVERSES)}), or give the set another name"
                )
    for file in _written_before(wanted.name):
        if file not in _files_of(wanted):
            raise UserError(
                f"{file} was written by an earlier definition and would stay beside what {DEFINITION} defines now; "
                "move it to a set of another name, or remove it"
            )
        if _was_changed(file, wanted.name) and not is_made(wanted):
            raise UserError(
                f"{file} was changed since it was written, and would be written over; move it to a set of another name "
                "to keep it, or remove it to have it written anew"
            )


def _was_changed(file: Path, name: str) -> bool:
    """Whether it is not what was written; an older record does not say what that was."""
    before = record_of(name).get("files", {}).get(_within(file, name))
    return before is not None and before != _hash(file)


def _within(file: Path, name: str) -> str:
    return file.relative_to(set_folder(name)).as_posix()


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def keep_set(
    wanted: GeneratedSet,
    rows: Mapping[str, Sequence[BaseModel]],
    dropped: Mapping[str, Sequence[BaseModel]],
    record: dict[str, Any],
) -> list[Path]:
    """Writes each tone or direction with what was dropped, and `record` with the definition; returns their files.

    A set that was defined in a form gets its set.yaml, so that it can grow.
    """
    about = {"definition": _definition(wanted), "made_of": made_of(wanted)}
    definition = set_folder(wanted.name) / DEFINITION
    if not definition.is_file():
        write_text(definition, dump(wanted.model_dump(mode="json", exclude_defaults=True)))
    for version in wanted.versions:
        write_rows(version_folder(wanted, version) / REJECTED, dropped[version])
    record_file = set_folder(wanted.name) / RECORD
    record_file.unlink(missing_ok=True)  # of what is written from here on it would say that its user changed it
    files = [write_rows(version_folder(wanted, version) / DOCUMENTS, rows[version]) for version in wanted.versions]
    about["files"] = {_within(file, wanted.name): _hash(file) for file in files}
    text = json.dumps(about | record, indent=1, ensure_ascii=False)
    write_text(record_file, f"{text}\n")
    return files


def _definition(wanted: GeneratedSet) -> dict[str, Any]:
    """What the documents depend on, as JSON: not how it is asked, and what it may cost."""
    asked = {"batch", "in_flight", "max_outage", "key_variable"}
    how: dict[str, Any] = dict.fromkeys(("description", "preview", "max_cost_usd"), True)
    return wanted.model_dump(mode="json", exclude=how | {"writer": asked, "teacher": asked})
