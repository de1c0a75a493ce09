"""New documents: the sets in an inbox, each version of which is run once.

    for new in find_sets(inbox_folder()):
        if new.is_complete(quiet_seconds=60) and not is_known(new.digest, "demo/seed-0"):
            ...

A version is known by its content: a set that was only renamed or touched is not a new one.
"""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.catalog import DOCUMENT_KINDS, UserError, data_folder, is_document_file, split_folder, without_ending
from tasks.files import copy_file, write_text
from tasks.rows import json_rows

UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
"""Endings under which programs write what is not complete yet."""
PATIENCE = 60
"""A last line that is not whole is taken for a set being written until it has rested this many times as long."""


@dataclass(frozen=True)
class InboxSet:
    """A set of documents in the inbox: a file of them, or a folder of files."""

    name: str
    place: Path
    files: list[Path]
    left_out: list[str]
    """Names of what else is in its folder."""

    @cached_property
    def digest(self) -> str:
        """What this version is known by; raises OSError for a file that cannot be read."""
        return digest(self.files)

    def rests_for(self) -> float:
        """Seconds since anything was written: a file's change time tells, its modification time can be copied."""
        return time.time() - max(file.stat().st_ctime for file in [self.place, *self.files])

    def is_complete(self, quiet_seconds: float) -> bool:
        """Whether nobody writes it any more."""
        if self.place.is_dir() and any(_is_half_there(file.name) for file in self.place.iterdir()):
            return False
        patience = 1 if all(map(_is_whole, self.files)) else PATIENCE
        return self.rests_for() >= patience * quiet_seconds


def inbox_folder(folder: str = "") -> Path:
    """The folder that is named, or else data/inbox, which is made when it is not there."""
    if folder:
        return Path(folder).expanduser()
    place = data_folder() / "inbox"
    place.mkdir(parents=True, exist_ok=True)
    return place


def find_sets(folder: Path) -> list[InboxSet]:
    """Every set in the folder, by name; what begins with a dot or an underscore is not looked at.

    Raises UserError where there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(
            f"folder: {str(folder)!r} is not a folder; make it, or name the one where new documents are put"
        )
    found = []
    for place in sorted(folder.iterdir()):
        file_itself = [place] if is_document_file(place) else []
        files, left_out = split_folder(place) if place.is_dir() else (file_itself, [])
        if files and not place.name.startswith((".", "_")):
            name = place.name if place.is_dir() else without_ending(place)
            found.append(InboxSet(name, place.resolve(), files, left_out))
    return found


def _is_half_there(name: str) -> bool:
    """Whether a program gives this name to what it has not finished; rsync's is .birds.jsonl.x1y2z3."""
    return name.endswith(UNFINISHED) or (name.startswith(".") and any(f"{kind}." in name for kind in DOCUMENT_KINDS))


def digest(files: list[Path]) -> str:
    """Of the content of the files, in their order."""
    content = hashlib.sha256()
    for file in files:
        content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()[:16]


def _is_whole(file: Path) -> bool:
    """Whether a file has its end: a JSONL file a last line that is whole, another file a last row that can be read."""
    if file.name.lower().endswith(".jsonl"):
        return _ends_with_a_row(file)
    fault = ""
    try:
        for row in json_rows(file):
            fault = row.fault
    except UserError:
        return False
    return not fault


def _ends_with_a_row(file: Path) -> bool:
    with file.open("rb") as lines:
        last = b""
        for line in lines:
            last = line
    try:
        return last.endswith(b"\n") or bool(json.loads(last))
    except (ValueError, RecursionError):
        return False


def copy_of(new: InboxSet) -> Path:
    """Where the copy of this version is, which its runs read."""
    return _seen() / "sets" / new.digest


def keep_copy(new: InboxSet) -> bool:
    """Copies this very version for its run to read; False where it was changed meanwhile, and is another one."""
    place = copy_of(new)
    if place.is_dir() and digest(sorted(place.iterdir())) == new.digest:
        return True
    shutil.rmtree(place, ignore_errors=True)
    copies = [copy_file(file, place / file.name) for file in new.files]
    return digest(copies) == new.digest


def is_known(version: str, purpose: str) -> bool:
    """Whether this version was dealt with for this purpose: an experiment and a seed."""
    return _mark(version, purpose).is_file()


def remember(version: str, purpose: str, words: str) -> None:
    """Notes that this version was dealt with for this purpose, and how: announced, or what is wrong with it."""
    write_text(_mark(version, purpose), words + "\n")


def _mark(version: str, purpose: str) -> Path:
    return _seen() / purpose / version


def _seen() -> Path:
    """The record of what was seen in the inbox, beside it: a folder of marks for each purpose, and the copies."""
    return data_folder() / "inbox_seen"
