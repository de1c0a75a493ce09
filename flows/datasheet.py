"""The datasheet of a set, written beside its documents as datasheet.json and datasheet.html.

sheet = write_datasheet(to_set("factory_farming_condemning"), pair=to_set("factory_farming_neutral"))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.catalog import validate, without_ending
from tasks.documents.sets import Found, hashes
from tasks.documents.texts import read_texts
from tasks.files import write_text
from tasks.generation.datasheet import measure, paired_lengths
from tasks.generation.set_files import RECORD, universe_of
from tasks.report.datasheet_page import render
from tasks.schema import Datasheet, DocumentSet, GeneratedSet, SetLimits, SetText


@dataclass(frozen=True)
class Subject:
    """A set whose datasheet is made."""

    name: str
    texts: list[SetText]
    found: Found
    """What else was read, without its documents."""
    limits: SetLimits
    """Those of the definition of a generated set."""
    made: GeneratedSet | None
    """The definition of a generated set."""
    counts: dict[str, int]
    """What came of its calls."""

    @property
    def given(self) -> str:
        """What its writer was told of the subject."""
        if not self.made or self.made.trait:
            return ""
        universe = universe_of(self.made)
        return "\n".join([universe.universe_context, *universe.key_facts])

    @property
    def place(self) -> Path:
        """Where its datasheet is, without .html and .json: in its folder, or under the name of its one file."""
        file = self.found.files[0]
        is_file = file.name == Path(self.name).name
        return file.with_name(f"{without_ending(file)}.datasheet" if is_file else "datasheet")


def load_subject(wanted: DocumentSet, banned: Sequence[str] = ()) -> Subject:
    """The set with its limits, `banned` among them; UserError for one that cannot be read."""
    texts, found = read_texts(wanted)
    made, counts = _made(found.files[0].parent)
    limits = made.limits if made else SetLimits()
    limits = limits.model_copy(update={"banned": [*limits.banned, *banned]})
    return Subject(_name(wanted), texts, found, limits, made, counts)


def measured(subject: Subject, pair: DocumentSet | None = None) -> Datasheet:
    """The datasheet, written nowhere; with the lengths beside those of a set with the same prompts."""
    about = {
        "files": hashes(subject.found.files),
        "rejected": len(subject.found.rejected),
        "made": subject.counts,
        "pair": pair and paired_lengths(subject.texts, _name(pair), read_texts(pair)[0]),
    }
    return measure(subject.name, subject.texts, subject.limits, subject.given).model_copy(update=about)


def write_datasheet(wanted: DocumentSet, pair: DocumentSet | None = None) -> Datasheet:
    """Measures the set, and writes both files; UserError for sets that cannot be read."""
    subject = load_subject(wanted)
    sheet = measured(subject, pair)
    write_files(sheet, subject.place)
    return sheet


def write_files(sheet: Datasheet, place: Path) -> Path:
    """Writes .json and .html behind the place, each whole or not at all, and returns the page."""
    page = write_text(place.with_name(f"{place.name}.html"), render(sheet))
    write_text(place.with_name(f"{place.name}.json"), sheet.model_dump_json(indent=1) + "\n")
    return page


def _made(folder: Path) -> tuple[GeneratedSet | None, dict[str, int]]:
    """Of a generated set its definition, and what came of it; a tone's folder is within that of its set."""
    for file in (folder / RECORD, folder.parent / RECORD):
        if file.is_file():
            record = json.loads(file.read_text(encoding="utf-8"))
            return validate(GeneratedSet, record["definition"], str(file)), record["counts"]
    return None, {}


def _name(wanted: DocumentSet) -> str:
    """As it is found in data/, or the last part of its path."""
    name = wanted.name or wanted.path
    return Path(name).name if Path(name).is_absolute() else name.removeprefix("documents/")
