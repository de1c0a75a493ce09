"""Tools for sets of documents: what is odd about one, and mixtures of several as files of their own."""

import json
import os
import re
from pathlib import Path
from typing import Any

from flows.console import console
from tasks.catalog import UserError, data_folder, load_eval, located, names, validate
from tasks.documents.lint import Finding, lengths, lint
from tasks.documents.sets import Found, gather, read_set
from tasks.engines import get_engine
from tasks.files import write_text
from tasks.schema import Document, DocumentSet, Training

SHOWN_LINES = 8
LETTERS_A_TOKEN = 4


def to_set(text: str, system_prompt: str = "") -> DocumentSet:
    """`name`, `path.jsonl`, with `:3000` for so many documents, `:50%` for a share of them or `:x2` for a weight."""
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
        given["count"] = _whole(amount, text)
    return validate(DocumentSet, given | {"system_prompt": system_prompt}, repr(text))


def _path(place: str) -> str:
    """As it is typed, unless data/ has a place of this name too: that of the current folder is meant."""
    here = os.path.exists(place) and located(place) != Path(place)
    return os.path.abspath(place) if here else place


def _whole(amount: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", amount):
        raise UserError(
            f"{text[:100]!r}: {amount[:20]} is no number of documents; write :300, :50% or :x2 for a weight"
        )
    return int(amount)


def show_lint(place: str, evals: list[str], model: str) -> list[Finding]:
    """Prints how many documents there are, how long they are and what is odd; an unreadable file is a UserError."""
    one = to_set(place)
    found = read_set(one)
    asked = [question.text for name in evals or names("evals") for question in load_eval(name).questions]
    console.print(f"{place}: {len(found.documents):,} documents, {len(found.rejected):,} rows rejected", style="bold")
    console.print(
        f"{'tokens' if model else f'about tokens ({LETTERS_A_TOKEN} letters each)'}: {_lengths(found.documents, model)}"
    )
    for words in not_used(found):
        console.print(words)
    findings = lint(found.documents, found.rejected, asked)
    for finding in findings:
        more = f" and {len(finding.lines) - SHOWN_LINES:,} more" if len(finding.lines) > SHOWN_LINES else ""
        console.print(f"{len(finding.lines):>6,}  {finding.what}: {', '.join(finding.lines[:SHOWN_LINES])}{more}")
    if not findings:
        console.print("nothing odd was found")
    return findings


def not_used(found: Found) -> list[str]:
    """What is there and no part of any document, in words: files, keys, and turns that carry no loss."""
    masked = sum(m.weight == 0 for document in found.documents for m in document.messages)
    keys = [f"{key} ({count:,} rows)" for key, count in found.unused.most_common()]
    return [
        *([f"files not read: {', '.join(found.left_out)}"] if found.left_out else []),
        *([f"keys not used: {', '.join(keys)}"] if keys else []),
        *([f"turns shown and not trained on (weight 0): {masked:,}"] if masked else []),
    ]


def _lengths(documents: list[Document], model: str) -> str:
    if not model:
        return lengths([sum(len(m.content) for m in d.messages) // LETTERS_A_TOKEN for d in documents])
    engine = get_engine(Training(base_model=model, max_length=10**9))
    return lengths([engine.check([document]) for document in documents])


def write_mixture(out: Path, sets: list[DocumentSet], seed: int) -> int:
    """Writes the shuffled chats, and beside them where each came from; returns how many there are."""
    if out.exists():
        raise UserError(f"{out} exists already; give another name or remove it")
    mixed, _, record = gather(sets, seed)
    rows = [{"messages": [m.model_dump() for m in document.messages]} for document in mixed]
    manifest = [{"row": n, "source": d.source, "file": d.file, "line": d.line} for n, d in enumerate(mixed, 1)]
    write_text(out.with_suffix(".manifest.jsonl"), _jsonl(manifest))
    write_text(out.with_suffix(".mixture.json"), json.dumps(record, indent=1) + "\n")
    write_text(out, _jsonl(rows))
    return len(mixed)


def write_sweep(out: Path, poison: DocumentSet, clean: DocumentSet, shares: list[float], total: int, seed: int) -> None:
    """One mixture of `total` documents for each share of poison: a larger share holds the poison of a smaller one."""
    for share in shares:
        bad = round(share * total)
        # The clean set comes first: what is drawn of a set depends on its place.
        sets = [
            one.model_copy(update={"count": count, "fraction": 0, "limit": 0})
            for one, count in ((clean, total - bad), (poison, bad))
            if count
        ]
        file = out.with_stem(f"{out.stem}_{share:g}")
        console.print(f"{write_mixture(file, sets, seed):>7,}  {file}  ({bad:,} of {poison.name or poison.path})")


def _jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
