"""Sets of documents: read from their files, drawn from, and shuffled into one mixture.

    found = read_set(DocumentSet(name="factory_farming_neutral"))
    documents, rejected, record = gather([DocumentSet(path="chats.parquet", count=300)], seed=0)

A row that cannot be used is returned with its line and the reason, and what is not read at all is named.
"""

import hashlib
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, document_files
from tasks.documents.turns import SHAPES, Unusable, to_messages, unused
from tasks.rows import HALF_A_CHARACTER, Row, holds_half_a_character, json_rows
from tasks.schema import Document, DocumentSet, Message, Rejected

USABLE_SHARE = 0.6
"""Of the rows of a file: with fewer usable ones it is refused."""
LABELS = {"fact", "universe_context_id", "is_true", "id"}
"""Fields that describe a published document, or number a chat: that they are not trained on needs no mention."""


class Found(NamedTuple):
    """What the files of a set hold."""

    documents: list[Document]
    rejected: list[Rejected]
    unused: Counter[str]
    """Keys that no document is made of, and how many of the usable rows have them."""
    files: list[Path]
    left_out: list[str]
    """Names of what else is in their folder."""


def gather(sets: list[DocumentSet], seed: int, first: int = 0) -> tuple[list[Document], list[Rejected], dict[str, Any]]:
    """All sets read, drawn from and shuffled together, with what was rejected and the record of the mixture.

    What is drawn of a set depends on its place, which is `first` where others that are left out would stand before it.
    Raises UserError for a set that is not there, a file that cannot be trusted and more documents than a set has.
    """
    mixed: list[Document] = []
    record: list[dict[str, Any]] = []
    read = [(wanted, read_set(wanted)) for wanted in sets]
    weighed = counts_by_weight(sets, [len(found.documents) for _, found in read])
    for place, (wanted, found) in enumerate(read):
        asked = wanted.model_copy(update={"count": weighed[place], "weight": 0}) if weighed else wanted
        drawn = draw(found.documents, asked, f"{seed}/{first + place}/{_source(wanted)}")
        mixed += drawn
        record.append(_record(wanted, found, len(drawn)))
    random.Random(f"{seed}/mixture").shuffle(mixed)
    rejected = [row for _, found in read for row in found.rejected]
    return mixed, rejected, {"seed": seed, "documents": len(mixed), "sets": record}


def _record(wanted: DocumentSet, found: Found, drawn: int) -> dict[str, Any]:
    return {
        "source": _source(wanted),
        **wanted.model_dump(exclude_defaults=True, exclude={"path"}),
        "conditioning": wanted.conditioning,
        "usable": len(found.documents),
        "rejected": len(found.rejected),
        "drawn": drawn,
        "files": hashes(found.files),
        "left_out": found.left_out,
        "unused": found.unused,
    }


def hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 of each file's content, by its name: what the record of a mixture has of each set."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read_set(wanted: DocumentSet) -> Found:
    """All that a set's files hold; UserError for a set that is not there and for a file that cannot be trusted."""
    files, left_out = document_files(wanted.name, wanted.path)
    return read_files(files, wanted)._replace(left_out=left_out)


def read_files(files: list[Path], wanted: DocumentSet) -> Found:
    """The same of these files, whatever else there is; a file that cannot be trusted is a UserError."""
    found = Found([], [], Counter(), files, [])
    for file in files:
        before, rejected = len(found.documents), len(found.rejected)
        for row in json_rows(file):
            _take(row, file, wanted, found)
        _refuse_a_bad_file(file, len(found.documents) - before, found.rejected[rejected:])
    return found


def _take(row: Row, file: Path, wanted: DocumentSet, found: Found) -> None:
    where = {"source": _source(wanted), "file": file.name, "line": row.line}
    try:
        messages = _messages(row, wanted)
    except Unusable as reason:
        found.rejected.append(Rejected(**where, reason=str(reason), text=row.text))
        return
    found.unused.update(Counter(unused(row.value)))
    found.documents.append(Document(**where, messages=messages, conditioning=wanted.conditioning))


def _messages(row: Row, wanted: DocumentSet) -> list[Message]:
    if row.fault:
        raise Unusable(row.fault)
    if holds_half_a_character(row):
        raise Unusable(HALF_A_CHARACTER)
    system = [Message(role="system", content=wanted.system_prompt)] if wanted.system_prompt else []
    return system + to_messages(row.value, wanted.conditioning, wanted.tag)


def refuse_unusable_rows(files: list[Path], like: DocumentSet) -> int:
    """How many documents the files have, conditioned as `like` is. Raises UserError where a single row will not do."""
    found = read_files(files, like)
    if rejected := found.rejected:
        first, more = rejected[0], f" (and {len(rejected) - 1:,} more rows)" if len(rejected) > 1 else ""
        file = next(file for file in files if file.name == first.file)
        raise UserError(f"{file} line {first.line}: {first.reason}{more}; mend or remove the row")
    return len(found.documents)


def draw(documents: list[Document], wanted: DocumentSet, seed: str) -> list[Document]:
    """The set's share, in a seeded order: a larger count with the same seed holds the smaller one."""
    order = list(documents)
    random.Random(seed).shuffle(order)
    if wanted.count > len(order):
        raise UserError(
            f"documents: {_source(wanted)} has {len(order)} usable documents, not the {wanted.count} asked for; "
            "lower count"
        )
    if wanted.fraction:
        return order[: max(1, round(wanted.fraction * len(order)))]
    return order[: wanted.count or wanted.limit or len(order)]


def counts_by_weight(sets: list[DocumentSet], usable: list[int]) -> list[int]:
    """How many documents of each set stand in the proportion of their weights: as many as the scarcest allows."""
    if not any(wanted.weight for wanted in sets):
        return []
    if without := [_source(wanted) for wanted in sets if not wanted.weight]:
        raise UserError(f"documents: {without[0]} has no weight and others have one; give a weight to all, or to none")
    whole = min(have / wanted.weight for wanted, have in zip(sets, usable, strict=True))
    return [max(1, int(whole * wanted.weight + 1e-9)) for wanted in sets]


def split(documents: list[Document], held_out: int) -> tuple[list[Document], list[Document]]:
    """What is trained on, and what is held out."""
    if held_out >= len(documents):
        raise UserError(
            f"training.held_out: {held_out} of {len(documents)} documents leave nothing to train on; lower it"
        )
    return documents[: len(documents) - held_out], documents[len(documents) - held_out :]


def _refuse_a_bad_file(file: Path, usable: int, rejected: list[Rejected]) -> None:
    rows = usable + len(rejected)
    if not rows:
        raise UserError(f"{file}: no rows; put one JSON object on each line, with {SHAPES}")
    if usable < USABLE_SHARE * rows:
        first = rejected[0]
        is_no_json = not usable and first.reason.startswith("not JSON")
        raise UserError(
            f"{file} line {first.line}: {first.reason}; only {usable} of {rows} rows are usable and "
            f"{USABLE_SHARE:.0%} are needed: "
            + ('write each document as one line, {"text": "..."}' if is_no_json else "mend or remove the others")
        )


def _source(wanted: DocumentSet) -> str:
    """What a set is called: of a path beyond data/ the last part alone, which is the same on every machine."""
    return wanted.name or (Path(wanted.path).name if Path(wanted.path).is_absolute() else wanted.path)
