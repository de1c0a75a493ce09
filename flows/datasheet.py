"""The datasheet of a set, written beside its documents as datasheet.json and datasheet.html.

sheet, page = write_datasheet(to_set("factory_farming_condemning"), to_set("factory_farming_neutral"))
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tasks.catalog import document_files, validate, without_ending
from tasks.documents.texts import read_texts
from tasks.files import write_text
from tasks.generation.datasheet import measure, paired_lengths
from tasks.generation.set_files import RECORD, universe_of
from tasks.report.datasheet_page import render
from tasks.schema import Datasheet, DocumentSet, GeneratedSet, SetLimits

INDENT = 1


class Origin(NamedTuple):
    """How a set came about."""

    limits: SetLimits = SetLimits()
    given: str = ""
    """What its writer was told of the subject."""
    counts: Mapping[str, int] = MappingProxyType({})


def write_datasheet(
    wanted: DocumentSet, pair: DocumentSet | None = None, banned: Sequence[str] = ()
) -> tuple[Datasheet, Path]:
    """The datasheet, and its page: both are beside the documents, of a file under its name.

    Limits are those of the definition of a generated set. Raises UserError for sets that cannot be read.
    """
    sheet, place = measured(wanted, pair, banned), _place(wanted)
    page = write_text(place.with_name(f"{place.name}.html"), render(sheet))
    write_text(place.with_name(f"{place.name}.json"), sheet.model_dump_json(indent=INDENT) + "\n")
    return sheet, page


def measured(wanted: DocumentSet, pair: DocumentSet | None = None, banned: Sequence[str] = ()) -> Datasheet:
    """The datasheet, written nowhere."""
    texts, found = read_texts(wanted)
    origin = _origin(found.files[0].parent)
    limits = origin.limits.model_copy(update={"banned": [*origin.limits.banned, *banned]})
    other = pair and paired_lengths(texts, _name(pair), read_texts(pair)[0])
    about = {
        "files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in found.files},
        "rejected": len(found.rejected),
        "made": dict(origin.counts),
        "pair": other,
    }
    return measure(_name(wanted), texts, limits, origin.given).model_copy(update=about)


def _origin(folder: Path) -> Origin:
    """Of a generated set, its definition's limits and what came of it: a tone's folder is within that of its set."""
    for place in (folder, folder.parent):
        if (place / RECORD).is_file():
            record: dict[str, Any] = json.loads((place / RECORD).read_text(encoding="utf-8"))
            made = validate(GeneratedSet, record["definition"], str(place / RECORD))
            universe = None if made.trait else universe_of(made)
            given = " ".join([universe.universe_context, *universe.key_facts]) if universe else ""
            return Origin(made.limits, given, record["counts"])
    return Origin()


def _name(wanted: DocumentSet) -> str:
    """As it is found in data/, or the last part of its path."""
    name = wanted.name or wanted.path
    return Path(name).name if Path(name).is_absolute() else name


def _place(wanted: DocumentSet) -> Path:
    """Where its datasheet is, without .html and .json."""
    file = document_files(wanted.name, wanted.path)[0][0]
    is_file = file.name == Path(_name(wanted)).name
    return file.with_name(f"{without_ending(file)}.datasheet" if is_file else "datasheet")
