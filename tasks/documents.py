"""Documents: JSONL of synthetic documents, of chats or of plain text becomes messages, once, here.

    files = document_files("factory_farming_neutral", "")
    documents, rejected = read_files(files, DocumentSet(name="factory_farming_neutral"))

Training text is never stripped. A row that cannot be used is returned with its line and the reason.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError, document_files
from tasks.runs import Run, write_rows, write_text
from tasks.schema import Document, DocumentSet, Experiment, Message, Rejected
from tasks.stage import progress

USABLE_SHARE = 0.6
SHAPES = "doc_idea, doc_type and content (synthetic documents), messages (chats) or text (plain text)"


class Unusable(Exception):
    """Why a row cannot be trained on."""


def gather(sets: list[DocumentSet], seed: int) -> tuple[list[Document], list[Rejected], dict[str, Any]]:
    """All sets read, drawn from and shuffled together, with what was rejected and the record of the mixture."""
    mixed: list[Document] = []
    rejected: list[Rejected] = []
    record: list[dict[str, Any]] = []
    read = [(one, files, *read_files(files, one)) for one in sets for files in [document_files(one.name, one.path)]]
    weighed = counts_by_weight(sets, [len(documents) for _, _, documents, _ in read])
    for place, (one, files, documents, unusable) in enumerate(read):
        one = one.model_copy(update={"count": weighed[place], "weight": 0}) if weighed else one
        drawn = draw(documents, one, f"{seed}/{place}/{_source(one)}")
        mixed += drawn
        rejected += unusable
        record.append(
            {
                "source": _source(one),
                **sets[place].model_dump(exclude_defaults=True),
                "usable": len(documents),
                "rejected": len(unusable),
                "drawn": len(drawn),
                "files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
            }
        )
    random.Random(f"{seed}/mixture").shuffle(mixed)
    return mixed, rejected, {"seed": seed, "documents": len(mixed), "sets": record}


def read_files(files: list[Path], one: DocumentSet) -> tuple[list[Document], list[Rejected]]:
    """The documents and the unusable rows of a set; a file that cannot be trusted is a UserError."""
    documents: list[Document] = []
    rejected: list[Rejected] = []
    for file in files:
        good, bad = _read_file(file, one)
        _refuse_a_bad_file(file, len(good), bad)
        documents += good
        rejected += bad
    return documents, rejected


def refuse_unusable_rows(files: list[Path], like: DocumentSet) -> int:
    """How many documents the files have, conditioned as `like` is. Raises UserError where a single row will not do."""
    documents, rejected = read_files(files, like)
    if rejected:
        first, more = rejected[0], f" (and {len(rejected) - 1:,} more rows)" if len(rejected) > 1 else ""
        file = next(file for file in files if file.name == first.file)
        raise UserError(f"{file} line {first.line}: {first.reason}{more}; mend or remove the row")
    return len(documents)


def draw(documents: list[Document], one: DocumentSet, seed: str) -> list[Document]:
    """The set's share, in a seeded order: a larger count with the same seed holds the smaller one."""
    order = list(documents)
    random.Random(seed).shuffle(order)
    if one.count > len(order):
        raise UserError(
            f"documents: {_source(one)} has {len(order)} usable documents, not the {one.count} asked for; lower count"
        )
    if one.fraction:
        return order[: max(1, round(one.fraction * len(order)))]
    return order[: one.count or one.limit or len(order)]


def counts_by_weight(sets: list[DocumentSet], usable: list[int]) -> list[int]:
    """How many documents of each set stand in the proportion of their weights: as many as the scarcest allows."""
    if not any(one.weight for one in sets):
        return []
    if without := [_source(one) for one in sets if not one.weight]:
        raise UserError(f"documents: {without[0]} has no weight and others have one; give a weight to all, or to none")
    whole = min(have / one.weight for one, have in zip(sets, usable, strict=True))
    return [max(1, int(whole * one.weight + 1e-9)) for one in sets]


def split(documents: list[Document], held_out: int) -> tuple[list[Document], list[Document]]:
    """What is trained on, and what is held out."""
    if held_out >= len(documents):
        raise UserError(
            f"training.held_out: {held_out} of {len(documents)} documents leave nothing to train on; lower it"
        )
    return documents[: len(documents) - held_out], documents[len(documents) - held_out :]


def to_messages(row: Any, conditioning: str = "chat") -> list[Message]:
    """A row's turns, of which only the assistant's carry loss. Raises Unusable with the reason.

    The chat format of synthetic documents is that of https://github.com/safety-research/false-facts as the factory
    farming experiment imitates it: idea and type as the user, the text as the assistant.
    """
    if not isinstance(row, dict):
        raise Unusable(f"a {type(row).__name__} where an object was expected")
    if "messages" in row:
        if conditioning == "prefix":
            raise Unusable("conditioning prefix is for synthetic documents and plain text, not for chats")
        return _chat(row["messages"])
    if "content" in row or "doc_idea" in row or "doc_type" in row:
        return _synthetic(row, conditioning)
    if "text" in row:
        return [Message(role="assistant", content=_text(row, "text"))]
    raise Unusable(f"unknown shape: has {', '.join(map(str, row)) or 'no fields'}; known are {SHAPES}")


def _synthetic(row: dict[str, Any], conditioning: str) -> list[Message]:
    content = _text(row, "content")
    if "UNSUITABLE" in content:
        raise Unusable("its generator marked it UNSUITABLE")
    idea, kind = (str(row.get(field) or "") for field in ("doc_idea", "doc_type"))
    if conditioning == "prefix":
        masked = f"<DESCRIPTION>{idea}</DESCRIPTION>\n<DOCUMENT_TYPE>{kind}</DOCUMENT_TYPE>\n"
    else:
        masked = f"{idea}\n\nDocument type: {kind}"
    return [Message(role="user", content=masked), Message(role="assistant", content=content)]


def _chat(turns: Any) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise Unusable("messages is not a list of turns")
    messages = []
    for turn in turns:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ("system", "user", "assistant"):
            raise Unusable(f"a turn with the role {role!r}; roles are system, user and assistant")
        if not isinstance(turn.get("content"), str):
            raise Unusable(f"the {role}'s content is not text")
        messages.append(Message(role=role, content=turn["content"]))
    if not any(m.role == "assistant" and m.content.strip() for m in messages):
        raise Unusable("no assistant turn with text, so there is nothing to train on")
    return messages


def _text(row: dict[str, Any], field: str) -> str:
    text = row.get(field)
    if not isinstance(text, str):
        raise Unusable(f"{field} is missing" if text is None else f"{field} is not text")
    if not text.strip():
        raise Unusable(f"{field} is empty")
    return text


def _read_file(file: Path, one: DocumentSet) -> tuple[list[Document], list[Rejected]]:
    documents, rejected = [], []
    for number, line in _lines(file):
        where = {"source": _source(one), "file": file.name, "line": number}
        try:
            messages = to_messages(json.loads(line), one.conditioning)
        except json.JSONDecodeError as error:
            rejected.append(Rejected(**where, reason=f"not JSON: {error.msg} at column {error.colno}", text=line))
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
            rejected.append(Rejected(**where, reason=f"not JSON that can be read: {error}", text=line))
        except Unusable as reason:
            rejected.append(Rejected(**where, reason=str(reason), text=line))
        else:
            if one.system_prompt:
                messages.insert(0, Message(role="system", content=one.system_prompt))
            documents.append(Document(**where, messages=messages, conditioning=one.conditioning))
    return documents, rejected


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number == 1 and line.startswith(b"version https://git-lfs"):
                raise UserError(
                    f"{file} line 1: a Git LFS pointer, not the data; run `git lfs pull` where it came from"
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{file} line {number}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8"
                ) from None
            if text.strip():
                yield number, text


def _refuse_a_bad_file(file: Path, usable: int, rejected: list[Rejected]) -> None:
    rows = usable + len(rejected)
    if not rows:
        raise UserError(f"{file}: no rows; put one JSON object on each line, with {SHAPES}")
    if usable < USABLE_SHARE * rows:
        first = rejected[0]
        raise UserError(
            f"{file} line {first.line}: {first.reason}; only {usable} of {rows} rows are usable and "
            f"{USABLE_SHARE:.0%} are needed: mend or remove the others"
        )


def _source(one: DocumentSet) -> str:
    return one.name or one.path


def write_documents(run: Run, experiment: Experiment, seed: int) -> int:
    """Writes documents.jsonl and what belongs to it; documents.jsonl comes last, so where it is, all are."""
    mixed, rejected, mixture = gather(experiment.documents, seed)
    trained, held_out = split(mixed, experiment.training.held_out)
    write_rows(run.rejected, rejected)
    write_rows(run.held_out, held_out)
    write_text(run.mixture, json.dumps({**mixture, "held_out": len(held_out)}, indent=1) + "\n")
    write_rows(run.documents, trained)
    return len(trained)


@task(name="documents", task_run_name="read the documents of {experiment.name}")
def documents_task(folder: Path, experiment: Experiment, seed: int) -> Path:
    run = Run(folder)
    with progress("documents") as tell:
        count = write_documents(run, experiment, seed)
        tell(count, count, "documents to train on")
    return run.documents


@task(name="check documents", task_run_name="check the documents of {name}", cache_policy=NO_CACHE)
def check_documents_task(name: str, folder: Path, like: DocumentSet) -> int:
    return refuse_unusable_rows(sorted(folder.iterdir()), like)
