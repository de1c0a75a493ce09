"""The answer store: every sampled response and every judge's reply, kept by content, committed before it counts.

    store = Store()
    missing = keys - store.get(keys).keys()
    await store.commit([StoredReply(key, "response", {"response": "..."})])

A key that is stored is never asked for again. One key can have several attempts (an unreadable reply, then another):
the last one counts, and the others stay. One thread of a store writes, so that no call waits for the disk or for
another program that holds the database.
"""

import asyncio
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from tasks.catalog import UserError
from tasks.paid.database import default_url, open_database, passes, reason_of

LOOK_UP_AT_ONCE = 5_000
FIRST_TABLES = 7_355_608
"""Number of the lock under which a PostgreSQL store makes its tables."""
LONGEST_WAIT = 1800.0
"""Seconds for which the writer waits for a database that is locked, or whose server is away."""

Result = TypeVar("Result")

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
batches = Table(
    "batches",
    metadata,
    Column("marker", String(64), primary_key=True),
    Column("service", Text, nullable=False),
    Column("requests", Text, nullable=False),
    Column("newest", Text, nullable=False),
    Column("id", Text, nullable=False),
)


class StoredReply(NamedTuple):
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


class BatchRequest(NamedTuple):
    """What is asked of one call in a batch."""

    attempt: int
    """Which reply to it, counted from 0."""
    max_tokens: int
    """The longest that the reply may be."""
    tries: int = 0
    """Batches before this one that brought no reply to it."""


class OpenBatch(NamedTuple):
    """Calls that were handed to a service together, of which not all that came back is stored yet."""

    marker: str
    """Its own name for it."""
    service: str
    """Where it is, in words that are the same for each call to that service and model."""
    requests: dict[str, BatchRequest]
    """By the key of each call."""
    newest: str
    """The service's newest batch just before this one; empty where there was none."""
    id: str = ""
    """The service's name for it; empty as long as it is not known whether the service has it."""


class StoreFailed(UserError):
    """What was paid for could not be committed: nothing more may be paid."""


class _Commit(NamedTuple):
    """What one caller of `commit` waits for."""

    answers: list[StoredReply]
    spent: list[Spending]
    done: "Future[None]"
    batch: OpenBatch | None = None
    ended: str = ""
    """The marker of a batch that is open no longer."""


class Store:
    """data/store/answers.db, or the SQLAlchemy URL in SPILLOVER_STORE. Safe to share between processes."""

    def __init__(self, url: str = ""):
        self.url = url or os.environ.get("SPILLOVER_STORE") or default_url()
        self.engine = open_database(self.url)
        self.create_tables()
        self._waiting: deque[_Commit] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="answer store")
        self._failure = ""
        self.warn: Callable[[str], object] = lambda _: None
        """Called from the writer's thread while the database is waited for."""

    def get(self, keys: Iterable[str]) -> dict[str, StoredReply]:
        """The last attempt of each key that is stored."""
        return {key: attempts[-1] for key, attempts in self.attempts(keys).items()}

    def attempts(self, keys: Iterable[str]) -> dict[str, list[StoredReply]]:
        """All attempts of each key that is stored, in their order."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, list[StoredReply]] = {}
        with self._read(), self.engine.connect() as connection:
            for start in range(0, len(wanted), LOOK_UP_AT_ONCE):
                some = answers.c.key.in_(wanted[start : start + LOOK_UP_AT_ONCE])
                for key, attempt, kind, body in connection.execute(select(answers).where(some)):
                    found.setdefault(key, []).append(StoredReply(key, kind, json.loads(body), attempt))
        for several in found.values():
            several.sort(key=lambda answer: answer.attempt)
        return found

    async def commit(self, new: Iterable[StoredReply], spent: Iterable[Spending] = ()) -> None:
        """Returns when they are committed; whoever is cancelled meanwhile has them committed all the same.

        Raises StoreFailed where they cannot be, and from then on for every later call too.
        """
        await self._write(_Commit(list(new), list(spent), Future()))

    async def keep_batch(self, batch: OpenBatch) -> None:
        """Commits that it is open, or what is known of it by now; raises as `commit` does."""
        await self._write(_Commit([], [], Future(), batch))

    async def end_batch(self, marker: str) -> None:
        """Commits that all it brought is stored; raises as `commit` does."""
        await self._write(_Commit([], [], Future(), ended=marker))

    def open_batches(self, service: str = "") -> list[OpenBatch]:
        """Those at this service, or all, whichever run began them."""
        columns = batches.c.marker, batches.c.service, batches.c.requests, batches.c.newest, batches.c.id
        wanted = select(*columns).order_by(batches.c.marker)
        with self._read(), self.engine.connect() as connection:
            rows = connection.execute(wanted.where(batches.c.service == service) if service else wanted)
            return [OpenBatch(marker, here, _to_requests(held), *names) for marker, here, held, *names in rows]

    async def change(self, change: Callable[[Connection], Result]) -> Result:
        """What `change` returns: it is called in a transaction of its own, in the writer's turn; raises as `commit`.

        Whoever is cancelled meanwhile has it happen all the same.
        """
        return await asyncio.shield(asyncio.wrap_future(self._writer.submit(self._change, change)))

    def _change(self, change: Callable[[Connection], Result]) -> Result:
        results: list[Result] = []

        def write() -> None:
            with self.engine.begin() as connection:
                results.append(change(connection))

        try:
            self._when_free(write)
        except SQLAlchemyError as error:
            self._failure = self._failure or reason_of(error)
        if self._failure:
            raise self._failed()
        return results[-1]

    async def _write(self, wanted: _Commit) -> None:
        self._waiting.append(wanted)
        self._writer.submit(self._commit_waiting)
        await asyncio.shield(asyncio.wrap_future(wanted.done))

    def _commit_waiting(self) -> None:
        """In the writer's thread: all that has arrived since its last turn, together."""
        arrived = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not arrived:
            return  # an earlier turn took it along
        try:
            new, spent = [a for c in arrived for a in c.answers], [s for c in arrived for s in c.spent]
            self._when_free(partial(self.put, new, spent))
            for commit in (c for c in arrived if c.batch or c.ended):
                self._when_free(partial(self._change_batch, commit.batch, commit.ended))
        except Exception as error:  # whatever it is: each caller that waits gets an error of its own
            self._failure = self._failure or reason_of(error)
        for commit in arrived:
            if self._failure:
                commit.done.set_exception(self._failed())
            else:
                commit.done.set_result(None)

    def _when_free(self, write: Callable[[], None]) -> None:
        """Waits for a database that is locked, or whose server is away: what would be lost is paid."""
        started = time.monotonic()
        while not self._failure:
            try:
                write()
                return
            except OperationalError as error:
                waited = time.monotonic() - started
                if not passes(error) or waited > LONGEST_WAIT:
                    raise
                with suppress(RuntimeError):  # the event loop may be closed: what is paid is committed all the same
                    self.warn(f"the answer store cannot be written ({reason_of(error)}); waited {waited:,.0f} s for it")
                time.sleep(min(1.0, 0.05 + waited))

    def _failed(self) -> StoreFailed:
        return StoreFailed(
            f"the answer store {self.name} could not be written ({self._failure}); no further call was sent: mend "
            "that and resume the run, which asks for nothing that was committed"
        )

    @property
    def name(self) -> str:
        """Its address without a password, and without a query, which may hold one."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def put(self, new: Iterable[StoredReply], spent: Iterable[Spending] = ()) -> None:
        """Commits all of them, or none. The first writer of a key and attempt wins: nothing stored is ever changed."""
        rows = [{"key": a.key, "attempt": a.attempt, "kind": a.kind, "body": json.dumps(a.body)} for a in new]
        paid = [row._asdict() | {"tokens": json.dumps(row.tokens)} for row in spent]
        if rows or paid:
            with self.engine.begin() as connection:
                if rows:
                    connection.execute(self._insert_new, rows)
                if paid:
                    connection.execute(insert(spending), paid)

    def _change_batch(self, batch: OpenBatch | None, ended: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(batches).where(batches.c.marker == (batch.marker if batch else ended)))
            if batch:
                connection.execute(insert(batches), batch._asdict() | {"requests": json.dumps(batch.requests)})

    def spending(self, run: str) -> list[Spending]:
        """Everything that a run has paid."""
        columns = spending.c.run, spending.c.stage, spending.c.model, spending.c.tokens, spending.c.usd
        with self._read(), self.engine.connect() as connection:
            rows = connection.execute(select(*columns).where(spending.c.run == run))
            return [Spending(run, stage, model, json.loads(tokens), usd) for _, stage, model, tokens, usd in rows]

    def each(self, kind: str) -> Iterator[StoredReply]:
        """Every attempt of one kind of answer, in the order of their keys; as many as it takes at a time."""
        wanted = select(answers).where(answers.c.kind == kind).order_by(answers.c.key, answers.c.attempt)
        with self._read(), self.engine.connect().execution_options(yield_per=LOOK_UP_AT_ONCE) as connection:
            for key, attempt, _, body in connection.execute(wanted):
                yield StoredReply(key, kind, json.loads(body), attempt)

    def forget(self, keys: Iterable[str]) -> None:
        """Removes every attempt of these keys for good, and gives the room of a file back: they are paid again.

        Raises StoreFailed where the database is locked, or the disk too full for the copy that makes a file smaller.
        """
        unwanted = list(keys)
        try:
            with self.engine.begin() as connection:
                for start in range(0, len(unwanted), LOOK_UP_AT_ONCE):
                    some = answers.c.key.in_(unwanted[start : start + LOOK_UP_AT_ONCE])
                    connection.execute(delete(answers).where(some))
            if self.engine.dialect.name == "sqlite":
                with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.execute(text("VACUUM"))
        except SQLAlchemyError as error:
            raise StoreFailed(
                f"the answer store {self.name} could not be made smaller ({reason_of(error)}); mend that and try again"
            ) from None

    @contextmanager
    def _read(self) -> Iterator[None]:
        """Raises StoreFailed, in one sentence, for a file that is damaged or another program's."""
        try:
            yield
        except (SQLAlchemyError, ValueError) as error:
            raise StoreFailed(
                f"the answer store {self.name} could not be read ({reason_of(error)}); restore it from a copy, or set "
                "SPILLOVER_STORE"
            ) from None

    def create_tables(self) -> None:
        """Those that are not there yet.

        `metadata.create_all` looks first and then creates: of two processes that begin at once, one would fail.
        """
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":  # whose IF NOT EXISTS fails too where two come at once
                connection.execute(select(func.pg_advisory_xact_lock(FIRST_TABLES)))
            for table in metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def close(self) -> None:
        """Waits for what is still to be written."""
        self._writer.shutdown()
        self.engine.dispose()

    @cached_property
    def _insert_new(self) -> Any:
        if self.engine.dialect.name == "sqlite":
            return insert(answers).prefix_with("OR IGNORE")
        from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql

        return insert_into_postgresql(answers).on_conflict_do_nothing()


def _to_requests(held: str) -> dict[str, BatchRequest]:
    return {key: BatchRequest(*request) for key, request in json.loads(held).items()}


def store_is_shared() -> bool:
    """Whether the store is one that SPILLOVER_STORE names, and so may be that of other data folders too."""
    return bool(os.environ.get("SPILLOVER_STORE"))


def content_key(**parts: Any) -> str:
    """A hash of everything that an answer depends on: the same parts give the same key in any process."""
    return hashlib.sha256(_in_one_form(parts).encode()).hexdigest()
