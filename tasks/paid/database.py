"""How the database of the answer store is opened, SQLite or PostgreSQL: refused in one sentence where it is none.

engine = open_database(os.environ.get("SPILLOVER_STORE") or default_url())
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError

from tasks.catalog import UserError, data_folder

EXAMPLE = "postgresql://user:password@host/database"
BUSY_SECONDS = 30
"""For so long SQLite waits for a program that has locked the database; then the writer warns and waits on."""


def store_file() -> Path:
    """Of the data folder's own store, whether or not it is there yet."""
    return data_folder() / "store" / "answers.db"


def default_url() -> str:
    """In a folder that only its user can read: answers may be confidential."""
    folder = store_file().parent
    is_new = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    if is_new or _is_ours_and_open(folder):
        folder.chmod(0o700)
    return f"sqlite:///{store_file()}"


def open_database(url: str) -> Engine:
    """Raises UserError for an address that is none, or leads to no database, before anything is spent."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(f"SPILLOVER_STORE is no address; write it as {EXAMPLE}") from None
    if parts.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"SPILLOVER_STORE: {parts.get_backend_name()} is not supported; use SQLite or {EXAMPLE}")
    if "@" in (parts.host or ""):  # which would be shown, as part of what does not answer
        raise UserError("SPILLOVER_STORE: an @ in its user or password must be written as %40")
    is_file = parts.get_backend_name() == "sqlite"
    place = parts.database if is_file else parts.host
    try:
        engine = _sqlite(parts) if is_file else _postgresql(parts)
        engine.connect().close()
    except (OperationalError, OSError, ArgumentError) as error:
        raise UserError(f"SPILLOVER_STORE: no database answers at {place}: {reason_of(error)}") from None
    except DatabaseError as error:
        remedy = "move it away, or set SPILLOVER_STORE" if is_file else f"write the address as {EXAMPLE}"
        raise UserError(f"{place} is no store of answers ({reason_of(error)}); {remedy}") from None
    return engine


def _sqlite(address: URL) -> Engine:
    if address.host:
        raise ArgumentError(f"a file has no host, write sqlite:////{address.database}")
    _keep_private(address.database)
    engine = create_engine(address.set(drivername="sqlite"))
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _postgresql(address: URL) -> Engine:
    return create_engine(address.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


def _keep_private(database: str | None) -> None:
    """Only its user can read the file, a new one from the start; SQLite gives the files beside it the same mode."""
    if not database or database == ":memory:" or not (file := Path(database)).parent.is_dir():
        return
    if not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    elif _is_ours_and_open(file):
        file.chmod(0o600)


def _is_ours_and_open(place: Path) -> bool:
    """Whether users outside of its group may read it; the group may share it on purpose."""
    found = place.stat()
    return found.st_uid == os.getuid() and bool(found.st_mode & 0o007)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def passes(error: OperationalError) -> bool:
    """Whether a later try may succeed: SQLite is locked by another program, or the connection was lost."""
    return "locked" in str(error.orig) or error.connection_invalidated


def reason_of(error: Exception) -> str:
    """The first line of what the database itself says."""
    cause = (error.orig if isinstance(error, DBAPIError) else None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
