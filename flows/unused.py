"""What no run refers to any more and may go: finished and unfinished trainings, and answers of the store.

    for unused in (unused_checkpoints(), unused_answers(Store())):
        print(unused.what, unused.number, unused.size); unused.remove()

A run refers to what its folder in data/results names or holds, a definition to the checkpoint that it trains on from.
Nothing is removed while anything works with the data folder: `tasks.locks.alone`.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from flows.judging import cases_of
from tasks.catalog import UserError, data_folder, names
from tasks.models.training import checkpoint_folder
from tasks.paid.store import Store, StoredReply, content_key
from tasks.runs import Run, all_runs

TRAINING = re.compile(r"(?P<key>[0-9a-f]{32})|\.(?P<left>[0-9a-f]{32})\.\d+|\.pruned-.+")
"""A folder of data/checkpoints that we made: finished, left by a kill, or left by a removal that was cut off."""


class Unused(NamedTuple):
    """Some things of one kind that may go."""

    what: str
    """In the plural, with the reason; their number stands behind."""
    number: int
    size: int
    """In bytes; of records of a database those of their content."""
    remove: Callable[[], None]


# ---- checkpoints ---------------------------------------------------------------------------------


def unused_checkpoints() -> Unused:
    """Trainings whose key stands in no file by which a run or a definition of this data folder names one."""
    named = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in _files_that_name_trainings())
    folders = [place for place in checkpoint_folder("").glob("*") if _is_unused(place, named)]
    return Unused(
        "trainings that no run in data/results and no definition in data/experiments names",
        len(folders),
        sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()),
        lambda: _remove(folders),
    )


def _files_that_name_trainings() -> list[Path]:
    """Read as text: a key that stands anywhere in one of them counts, so that what is damaged keeps its trainings."""
    of_runs = [file for run in all_runs() for file in (run.definition, run.record_file, run.checkpoint)]
    return [file for file in (*(data_folder() / "experiments").rglob("*.y*ml"), *of_runs) if file.is_file()]


def _is_unused(place: Path, named: str) -> bool:
    """A folder that somebody else put there is none of ours, and neither is what a link leads to."""
    found = TRAINING.fullmatch(place.name) if place.is_dir() and not place.is_symlink() else None
    key = found and (found["key"] or found["left"])
    return bool(found) and not (key and key in named)


def _remove(folders: Iterable[Path]) -> None:
    """A checkpoint is taken out of its place before its files go: what is there is whole."""
    for folder in folders:
        away = (
            folder if folder.name.startswith(".pruned-") else folder.rename(folder.with_name(f".pruned-{folder.name}"))
        )
        shutil.rmtree(away)


# ---- answers -------------------------------------------------------------------------------------


def unused_answers(store: Store) -> Unused:
    """Responses that no run holds, and replies to calls that no run makes; scores of generated sets are none of these.

    Raises UserError where a run has not all of its answers yet or cannot be read: what it refers to is not known.
    """
    runs = all_runs()
    if unfinished := [run for run in runs if not run.finetuned.is_file()]:
        raise UserError(
            f"answers stay, since {unfinished[0].folder} has not all of its own yet: finish it with "
            f"`{unfinished[0].resume_command}`, or remove its folder"
        )
    used = set[bytes]().union(*map(_used_by, runs))
    keys, size, what, kinds = [], 0, "answers that no run in data/results refers to", {"response": _is_response_of}
    if scored := _scored_as_judgments(store):
        what += f" (judgments stay while {scored[0]} is in data/documents: scores of it are among them)"
    else:
        kinds["judgment"] = _is_reply_of
    for kind, is_used in kinds.items():
        for key, attempts in groupby(store.each(kind), lambda reply: reply.key):
            several = list(attempts)
            if not any(is_used(reply, used) for reply in several):
                keys.append(key)
                size += sum(len(json.dumps(reply.body)) for reply in several)
    return Unused(what, len(keys), size, lambda: store.forget(keys))


def _scored_as_judgments(store: Store) -> list[str]:
    """Sets of data/documents that were scored by an earlier version, which stored and counted scores as judgments."""
    spent = {name: store.spending(content_key(generated_set=name)) for name in names("documents")}
    return [name for name, rows in spent.items() if any(row.stage == "judging" for row in rows)]


def _used_by(run: Run) -> set[bytes]:
    """What a run refers to: its responses and replies by their content, and its calls, asked once and again."""
    try:
        asked = [case for case in cases_of(run, run.experiment(), run.evals()) if case.judge.is_asked]
        responses = [_mark(row.response, row.tokens, row.state) for side in run.responses() for row in side]
        replies = [_mark(row.raw) for row in run.judgments()] if run.judged.is_file() else []
    except (OSError, LookupError, ValueError, UserError) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise UserError(f"answers stay, since {run.folder} cannot be read ({reason}): mend it, or remove it") from None
    calls = [_mark(one.call.key) for case in asked for one in (case, replace(case, repeat=1))]
    return {*responses, *replies, *calls}


def _is_response_of(reply: StoredReply, used: set[bytes]) -> bool:
    return _mark(reply.body["text"], reply.body["tokens"], reply.body["state"]) in used


def _is_reply_of(reply: StoredReply, used: set[bytes]) -> bool:
    return _mark(reply.key) in used or _mark(reply.body["text"]) in used


def _mark(*parts: object) -> bytes:
    return sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
