"""What `spillover prune` shows and does: what nothing refers to any more, how many of it, and its bytes."""

from datetime import UTC, datetime, timedelta

from flows.console import console
from flows.serving.history import old_records
from flows.unused import Unused, unused_answers, unused_checkpoints
from tasks.catalog import UserError
from tasks.locks import alone
from tasks.paid.store import Store, store_is_shared

GOING_ON = "a run, or something else that works with the data folder, is going on; prune when it has ended"


def prune(days: int, is_meant: bool) -> None:
    """Says what could be removed, and where `is_meant` removes it; UserError while anything is going on, then."""
    before = datetime.now(UTC) - timedelta(days=days)
    if not is_meant:
        found = _show(before)
        if any(unused.number for unused in found):
            console.print("\nNothing was removed. Remove it with  spillover prune --yes")
        else:
            console.print("\nThere is nothing to remove.")
        return
    with alone(GOING_ON):
        found = [unused for unused in _show(before) if unused.number]
        for unused in found:
            unused.remove()
    console.print(f"\nRemoved {_bytes(sum(unused.size for unused in found))}.")


def _show(before: datetime) -> list[Unused]:
    found = [old_records(before), unused_checkpoints(), *_answers()]
    for unused in found:
        console.print(f"{unused.number:>9,}  {unused.what}: {_bytes(unused.size)}")
    return found


def _answers() -> list[Unused]:
    """None where it cannot be known which are used, and then it is said why."""
    if store_is_shared():
        console.print("Answers stay: others may use the store that SPILLOVER_STORE names.", style="yellow")
        return []
    try:
        return [unused_answers(Store())]
    except UserError as problem:
        console.print(str(problem)[0].upper() + str(problem)[1:], style="yellow")
        return []


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
