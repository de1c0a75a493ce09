"""The answer store: every sampled response and every judge's reply, kept by content, committed before it counts.

    store = Store()
    missing = keys - store.get(keys).keys()
    store.put([Answer(key, "response", {"response": "..."})])

A key that is held is never asked for again. One key can have several attempts (an unreadable reply, then another):
the last one counts, and the others stay.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from tasks.catalog import UserError, data_folder

LOOK_UP_AT_ONCE = 5_000
EXAMPLE = "postgresql://user:password@host/database"
FIRST_TABLES = 7_355_608
"""Number of the lock under which a PostgreSQL store makes its tables."""

_in_one_form = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

metadata = MetaData()
answers = Table(
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
)
spending = Table(
    "spending",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String(64), nullable=False, index=True),
    Column("stage", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("tokens", Text, nullable=False),
    Column("usd", Float),
)


class Answer(NamedTuple):
    """What was paid for: a key, what kind of answer, its content as JSON, and which attempt it was (from 0)."""

    key: str
    kind: str
    body: dict[str, Any]
    attempt: int = 0


class Spending(NamedTuple):
    """What a run paid: for a training, or for answers as they were committed. US dollars, None where unknown."""

    run: str
    stage: str
    model: str
    tokens: dict[str, int]
    usd: float | None


class Store:
    """data/store/answers.db, or the SQLAlchemy URL in SPILLOVER_STORE. Safe to share between processes."""

    def __init__(self, url: str = ""):
        self.url = url or os.environ.get("SPILLOVER_STORE") or _default_url()
        self.engine = _engine(self.url)
        self._create_tables()

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The last attempt of each key that is held."""
        return {key: attempts[-1] for key, attempts in self.attempts(keys).items()}

    def attempts(self, keys: Iterable[str]) -> dict[str, list[Answer]]:
        """All attempts of each key that is held, in their order."""
        wanted = list(dict.fromkeys(keys))
        held: dict[str, list[Answer]] = {}
        with self.engine.connect() as connection:
            for start in range(0, len(wanted), LOOK_UP_AT_ONCE):
                some = answers.c.key.in_(wanted[start : start + LOOK_UP_AT_ONCE])
                for key, attempt, kind, body in connection.execute(select(answers).where(some)):
                    held.setdefault(key, []).append(Answer(key, kind, json.loads(body), attempt))
        for several in held.values():
            several.sort(key=lambda answer: answer.attempt)
        return held

    def put(self, new: Iterable[Answer], spent: Iterable[Spending] = ()) -> None:
        """Commits all of them, or none. The first writer of a key and attempt wins: what is held is never changed."""
        rows = [{"key": a.key, "attempt": a.attempt, "kind": a.kind, "body": json.dumps(a.body)} for a in new]
        paid = [one._asdict() | {"tokens": json.dumps(one.tokens)} for one in spent]
        if rows or paid:
            with self.engine.begin() as connection:
                if rows:
                    connection.execute(self._insert_new, rows)
                if paid:
                    connection.execute(insert(spending), paid)

    def spending(self, run: str) -> list[Spending]:
        """Everything that a run has paid."""
        columns = spending.c.run, spending.c.stage, spending.c.model, spending.c.tokens, spending.c.usd
        with self.engine.connect() as connection:
            rows = connection.execute(select(*columns).where(spending.c.run == run))
            return [Spending(run, stage, model, json.loads(tokens), usd) for _, stage, model, tokens, usd in rows]

    def _create_tables(self) -> None:
        """`metadata.create_all` looks first and then creates: of two processes that begin at once, one would fail."""
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":  # whose IF NOT EXISTS fails too where two come at once
                connection.execute(select(func.pg_advisory_xact_lock(FIRST_TABLES)))
            for table in metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def close(self) -> None:
        self.engine.dispose()

    @cached_property
    def _insert_new(self) -> Any:
        if self.engine.dialect.name == "sqlite":
            return insert(answers).prefix_with("OR IGNORE")
        from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql

        return insert_into_postgresql(answers).on_conflict_do_nothing()


def content_key(**parts: Any) -> str:
    """A hash of everything that an answer depends on: the same parts give the same key in any process."""
    return hashlib.sha256(_in_one_form(parts).encode()).hexdigest()


def _default_url() -> str:
    folder = data_folder() / "store"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'answers.db'}"


def _engine(url: str) -> Engine:
    """Raises UserError for an address that is none, before anything is spent."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(f"SPILLOVER_STORE is no address; write it as {EXAMPLE}") from None
    if parts.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"SPILLOVER_STORE: {parts.get_backend_name()} is not supported; use SQLite or {EXAMPLE}")
    if parts.get_backend_name() == "sqlite":
        engine = create_engine(parts)
        event.listen(engine, "connect", _prepare_sqlite)
    else:
        engine = create_engine(parts.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    try:
        engine.connect().close()
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0]
        raise UserError(f"SPILLOVER_STORE: no database answers at {parts.host or parts.database}: {reason}") from None
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
