"""Old records of the local Prefect server: task runs with their states, logs and progress, and events.

    old = old_records(datetime.now(UTC) - timedelta(days=30))

Flow runs stay, with what they left on their pages, since run.json names them. The server itself removes none of it but
events.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from flows.addresses import prefect_folder
from flows.unused import Unused
from tasks.catalog import UserError

BUSY_SECONDS = 60
"""For so long a server that writes is waited for."""
FLOW_RUNS = (
    "SELECT id FROM flow_run WHERE end_time < :before AND state_type IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
)
TASK_RUNS = f"SELECT id FROM task_run WHERE flow_run_id IN ({FLOW_RUNS})"
OLD = {
    "task_run_state": f"task_run_id IN ({TASK_RUNS})",
    "artifact": f"task_run_id IN ({TASK_RUNS})",
    "log": f"flow_run_id IN ({FLOW_RUNS})",
    "event_resources": "occurred < :before",
    "events": "occurred < :before",
    "task_run": f"flow_run_id IN ({FLOW_RUNS})",
}
"""Which rows of which table are old, those that others refer to after these."""


def old_records(before: datetime) -> Unused:
    """Of flow runs that ended before this moment; none where the local server has no database here."""
    given = {"before": before.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")}
    found: list[tuple[int, int]] = []
    with _database() as database:
        if database:
            found = [_count(database, table, where, given) for table, where in OLD.items()]
    count, size = (sum(numbers) for numbers in zip(*found, strict=True)) if found else (0, 0)
    words = f"records of the local Prefect server, of runs that ended before {before:%Y-%m-%d}"
    return Unused(words, count, size, lambda: _remove(given))


def _count(database: sqlite3.Connection, table: str, where: str, given: dict[str, str]) -> tuple[int, int]:
    """How many rows, and the bytes of what they hold."""
    columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    size = " + ".join(f'coalesce(length(CAST("{name}" AS BLOB)), 0)' for name in columns)
    count, total = database.execute(f"SELECT count(*), sum({size}) FROM {table} WHERE {where}", given).fetchone()
    return count, total or 0


def _remove(given: dict[str, str]) -> None:
    with _database() as database:
        if database:
            with database:
                for table, where in OLD.items():
                    database.execute(f"DELETE FROM {table} WHERE {where}", given)
            database.execute("VACUUM")


@contextmanager
def _database() -> Iterator[sqlite3.Connection | None]:
    """The local server's, whether or not that runs. Raises UserError for one that cannot be read or written."""
    file = prefect_folder() / "prefect.db"
    if not file.is_file():
        yield None
        return
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as database:
            yield database
    except sqlite3.Error as problem:
        raise UserError(
            f"the local server's database {file} cannot be used ({problem}); stop the server (spillover server stop) "
            "and try again"
        ) from None
