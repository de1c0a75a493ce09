"""Mixtures of sets as files of their own, each with a manifest that says where every row came from.

write_mixture(Path("mixed.jsonl"), [to_set("factory_farming_neutral:3000"), to_set("chats.jsonl:50%")], seed=0)
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, data_folder, resolve_path, validate
from tasks.documents.sets import gather
from tasks.files import write_text
from tasks.schema import DocumentSet


def to_set(text: str, system_prompt: str = "") -> DocumentSet:
    """`name`, `path.jsonl`, with `:3000` for so many documents, `:50%` for a share of them or `:x2` for a weight.

    Raises UserError for an amount that is none.
    """
    has_amount = re.search(r":(x?[0-9]+(\.[0-9]+)?|[0-9]+(\.[0-9]+)?%)$", text)
    place, _, amount = text.rpartition(":") if has_amount else (text, "", "")
    if amount and not float(amount.strip("x%")):
        raise UserError(f"{text!r}: none of it is asked for; leave the set out")
    is_set = os.path.isdir(data_folder() / "documents" / place)
    given: dict[str, Any] = {"name": place} if is_set else {"path": _path(place)}
    if amount.endswith("%"):
        given["fraction"] = float(amount[:-1]) / 100
    elif amount.startswith("x"):
        given["weight"] = float(amount[1:])
    elif amount:
        given["count"] = _to_count(amount, text)
    return validate(DocumentSet, given | {"system_prompt": system_prompt}, repr(text))


def _path(place: str) -> str:
    """As it is typed, unless data/ has a place of this name too: that of the current folder is meant."""
    here = os.path.exists(place) and resolve_path(place) != Path(place)
    return os.path.abspath(place) if here else place


def _to_count(amount: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", amount):
        raise UserError(
            f"{text[:100]!r}: {amount[:20]} is no number of documents; write :300, :50% or :x2 for a weight"
        )
    return int(amount)


def write_mixture(out: Path, sets: list[DocumentSet], seed: int, first: int = 0) -> int:
    """Writes the shuffled chats, and beside them where each came from; returns how many there are.

    Raises UserError where the file exists. `first` is the place of the first set, as in `gather`.
    """
    if out.exists():
        raise UserError(f"{out} exists already; give another name or remove it")
    mixed, _, record = gather(sets, seed, first)
    rows = [{"messages": [m.model_dump() for m in document.messages]} for document in mixed]
    manifest = [{"row": n, "source": d.source, "file": d.file, "line": d.line} for n, d in enumerate(mixed, 1)]
    write_text(out.with_suffix(".manifest.jsonl"), _jsonl(manifest))
    write_text(out.with_suffix(".mixture.json"), json.dumps(record, indent=1) + "\n")
    write_text(out, _jsonl(rows))
    return len(mixed)


class Mixture(NamedTuple):
    """A file of a sweep."""

    file: Path
    documents: int
    poisoned: int
    """How many of them are of the set whose share varies."""
    source: str
    """What that set is called."""


def write_sweep(
    out: Path, poison: DocumentSet, clean: DocumentSet, shares: list[float], total: int, seed: int
) -> Iterator[Mixture]:
    """Writes a mixture of `total` documents for each share of poison, and yields each as it is there.

    A larger share holds the poison of a smaller one.
    """
    for share in shares:
        count = round(share * total)
        # The clean set has the first place, even where nothing of it is asked for.
        sets = [chosen for chosen in (_counted(clean, total - count), _counted(poison, count)) if chosen.count]
        file = out.with_stem(f"{out.stem}_{share:g}")
        documents = write_mixture(file, sets, seed, first=int(count == total))
        yield Mixture(file, documents, count, poison.name or poison.path)


def _counted(chosen: DocumentSet, count: int) -> DocumentSet:
    return chosen.model_copy(update={"count": count, "fraction": 0, "limit": 0})


def _jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
