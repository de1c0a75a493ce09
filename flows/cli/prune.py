"""What `spillover prune` shows and does: what nothing refers to any more, how many of it, and its bytes."""

import os
from datetime import UTC, datetime, timedelta

from flows.console import console
from flows.serving.history import old_records
from flows.unused import Unused, unused_answers, unused_checkpoints
from tasks.catalog import UserError
from tasks.locks import alone
from tasks.paid.database import store_file
from tasks.paid.store import Store, store_is_shared

GOING_ON = "a run, or something else that works with the data folder, is going on; prune when it has ended"
NOTHING = "There is nothing to remove."


def prune(days: int, is_meant: bool) -> None:
    """Says what could be removed, and where `is_meant` removes it; UserError while anything is going on, then."""
    before = datetime.now(UTC) - timedelta(days=days)
    if not is_meant:
        said = f"Nothing was removed. Remove it with  spillover prune --days {days} --yes"
        console.print(f"\n{said if _show(before) else NOTHING}")
        return
    with alone(GOING_ON):
        found = _show(before)
        for unused in found:
            _remove(unused)
    console.print(f"\nRemoved {_bytes(sum(unused.size for unused in found))}." if found else f"\n{NOTHING}")


def _show(before: datetime) -> list[Unused]:
    """What could go: of each kind of which there is any."""
    found = [old_records(before), unused_checkpoints(), *_answers()]
    for unused in found:
        console.print(f"{unused.what}: {unused.number:,} ({_bytes(unused.size)})")
    return [unused for unused in found if unused.number]


def _remove(unused: Unused) -> None:
    try:
        unused.remove()
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        raise UserError(f"{problem.filename} cannot be removed ({reason}); see to its permissions") from None


def _answers() -> list[Unused]:
    """None where there is no store, or where it cannot be known which are used, and then it is said why."""
    if store_is_shared():
        console.print("Answers stay: others may use the store that SPILLOVER_STORE names.", style="yellow")
        return []
    if not store_file().is_file():
        return []
    try:
        return [unused_answers(Store())]
    except UserError as problem:
        console.print(str(problem)[0].upper() + str(problem)[1:], style="yellow")
        return []


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
