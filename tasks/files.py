"""Files that are written whole or not at all: beside their place, and renamed into it, so that what exists is finished.

write_rows(run.documents, documents)             # a JSON object on each line
documents = read_rows(run.documents, Document)
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

Row = TypeVar("Row", bound=BaseModel)
Read = TypeVar("Read")
Version = tuple[int, int, int]
_kept: dict[tuple[Path, object], tuple[Version, Any]] = {}
"""What `read_once` made of which version of a file: of one folder's files alone, so that it stays small."""
_reading = threading.RLock()
LARGEST_KEPT = 100_000_000
"""Bytes of a file whose rows stay in memory; those of a larger one are read anew each time."""


def write_bytes(path: Path, content: bytes) -> Path:
    """Writes the file whole or not at all, and makes its folder where it is missing; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:  # a full disk is not made fuller
        beside.unlink(missing_ok=True)
        raise
    return path


def write_text(path: Path, text: str) -> Path:
    """The same as UTF-8, its line ends as they are."""
    return write_bytes(path, text.encode("utf-8"))


def copy_file(source: Path, target: Path) -> Path:
    """Copies the content, whole or not at all, and makes the folder where it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(target)
    shutil.copyfile(source, beside)
    beside.replace(target)
    return target


def write_rows(path: Path, rows: Iterable[BaseModel]) -> Path:
    """A JSON object on each line."""
    return write_text(path, "".join(row.model_dump_json() + "\n" for row in rows))


def read_rows(path: Path, noun: type[Row]) -> list[Row]:
    """The rows that `write_rows` wrote, read once as `read_once` does: change none of them.

    Raises FileNotFoundError, and pydantic's ValidationError for a line that is no such row.
    """
    return list(read_once(path, noun, lambda: _parse_rows(path, noun)))


def _parse_rows(path: Path, noun: type[Row]) -> list[Row]:
    with path.open(encoding="utf-8") as lines:
        return [noun.model_validate_json(line) for line in lines]


def read_once(path: Path, kind: object, read: Callable[[], Read]) -> Read:
    """What `read` makes of the file as `kind`: the same object again, until the file changes or another folder is read.

    The stages of a run ask for the same rows one after another, and each makes a `Run` of its own.
    """
    with _reading:
        status = path.stat()
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if (path, kind) in _kept and _kept[path, kind][0] == version:
            found: Read = _kept[path, kind][1]
            return found
        for key in [key for key in _kept if key[0].parent != path.parent]:
            del _kept[key]
        _kept.pop((path, kind), None)  # else both versions would be in memory while the new one is read
        found = read()
        if status.st_size <= LARGEST_KEPT:
            _kept[path, kind] = (version, found)
        return found


def remove_unfinished(folder: Path) -> None:
    """Removes the files that were being written within the folder by a process that is gone."""
    for file in folder.glob("**/.*.*"):
        pid = file.suffix[1:]
        if file.is_file() and pid.isdigit() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _beside(path: Path) -> Path:
    """Where the file is written before it is renamed: a hidden one that names the process."""
    return path.with_name(f".{path.name}.{os.getpid()}")
