"""What several runs may cost together, in however many processes: what is reserved stands in the store.

    budget = SharedBudget(store, run="5f0c...", account="a31e...", cap=20.0)
    async with budget.reserve(0.02):                # waits while calls in flight, of any run, could still use it up
        ...

A run has one row, with what its calls in flight may cost. A row is a lease: the process that holds it renews it, and
what a process reserved that is gone counts no longer.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import psutil
from sqlalchemy import Column, Connection, Float, String, Table, func, insert, select, update

from tasks.paid.budget import Budget, CostUnknown
from tasks.paid.store import Store, metadata, spending

LEASE = 300.0
"""Seconds for which a reservation counts that nobody renews: its process may be on a machine that cannot be asked."""
CLOCK_SET = 60.0
"""Seconds by which the clock may have been set, which moves when a process is said to have begun."""
LOOK_AGAIN = 0.5
"""Seconds between two looks at whether other runs have freed something."""

reservations = Table(
    "reservations",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("account", String(64), nullable=False, index=True),
    Column("usd", Float, nullable=False),
    Column("holder", String(300), nullable=False),
    Column("until", Float, nullable=False),
)


class SharedBudget(Budget):
    """The budget of one run among those of an account; `cap` is what all of them may cost, 0 is no limit."""

    def __init__(self, store: Store, run: str, account: str, cap: float = 0.0, resume: str = ""):
        super().__init__(store, run, cap, resume)
        self.account, self._turn = account, asyncio.Lock()
        self._held: dict[object, float] = {}
        """US dollars, by reservation: a change that a locked database has done anew counts once. The writer's alone."""

    async def join(self) -> None:
        """Has what the run spends count among the account's; to be called before anything is spent."""
        self.store.create_tables()
        await self.store.change(self._write_down)

    def _left(self) -> float:
        with self.store.engine.begin() as connection:
            return self.cap - (spent_by(connection, self.account) or 0.0) - reserved_by(connection, self.account)

    @asynccontextmanager
    async def reserve(self, most: float | None, is_owed: bool = False) -> AsyncIterator[None]:
        """Sets `most` US dollars of the account aside while a call is in flight.

        Waits where calls in flight of any run could use them up; raises as `Budget.reserve` does, and not where it does
        not.
        """
        if not self.cap:
            yield
            return
        mine, usd = object(), most or 0.0
        renewing = asyncio.create_task(self._renew())
        try:
            if is_owed:
                await self.store.change(partial(self._hold, mine, usd))
            else:
                await self._wait_until_reserved(mine, usd)
            yield
        finally:
            renewing.cancel()
            await self.store.change(partial(self._release, mine))  # after what a cancelled call still has in turn

    async def _wait_until_reserved(self, mine: object, usd: float) -> None:
        reserve = partial(self._reserve, mine, usd)
        async with self._turn:
            while not await self.store.change(reserve):  # noqa: ASYNC110 - other processes free it, and no event tells
                await asyncio.sleep(LOOK_AGAIN)

    def _reserve(self, mine: object, usd: float, connection: Connection) -> bool:
        """Whether it is reserved by now; raises where waiting would not help."""
        self._release(mine, connection)  # first: from a write on, SQLite lets nobody else write
        spent, reserved = spent_by(connection, self.account), reserved_by(connection, self.account)
        if spent is None:
            raise CostUnknown(
                f"max_cost_usd is ${self.cap:,.2f} for all runs of the study, and what one of them spent is not known, "
                "for want of a price or of a count of tokens; nothing is lost: without a limit nothing is asked again"
            )
        if spent + reserved + usd <= self.cap:
            self._hold(mine, usd, connection)
            return True
        if reserved <= 1e-9:
            raise self._is_spent(spent, usd)
        return False

    def _hold(self, mine: object, usd: float, connection: Connection) -> None:
        self._held[mine] = usd
        self._write_down(connection)

    def _release(self, mine: object, connection: Connection) -> None:
        self._held.pop(mine, None)
        self._write_down(connection)

    def _write_down(self, connection: Connection) -> None:
        """Its row says what it has reserved, by whom, and until when."""
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(self.account))))
        values = {"usd": sum(self._held.values()), "holder": _this_process(), "until": time.time() + LEASE}
        mine = update(reservations).where(reservations.c.run == self.run).values(account=self.account, **values)
        if not connection.execute(mine).rowcount:
            connection.execute(insert(reservations).values(run=self.run, account=self.account, **values))

    async def _renew(self) -> None:
        """As long as a call is in flight, however long it takes."""
        while True:
            await asyncio.sleep(LEASE / 3)
            await self.store.change(self._write_down)


def spent_by(connection: Connection, account: str) -> float | None:
    """US dollars that the runs of an account have spent; None where a part has no known price."""
    runs = select(reservations.c.run).where(reservations.c.account == account)
    sums = select(func.sum(spending.c.usd), func.count(), func.count(spending.c.usd)).where(spending.c.run.in_(runs))
    usd, rows, known = connection.execute(sums).one()
    return float(usd or 0.0) if rows == known else None


def reserved_by(connection: Connection, account: str) -> float:
    """US dollars that calls in flight may cost, without those of processes that are gone."""
    columns = reservations.c.usd, reservations.c.holder, reservations.c.until
    rows = connection.execute(select(*columns).where(reservations.c.account == account, reservations.c.usd > 0))
    return sum(usd for usd, holder, until in rows if until > time.time() and not _is_gone(holder))


def _this_process() -> str:
    return f"{_machine()} {os.getpid()} {psutil.Process().create_time():.2f}"


def _machine() -> str:
    """Where a number means one process: containers that share their host's name have numbers of their own."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _is_gone(holder: str) -> bool:
    """Whether it was a process of this machine and has ended; of another machine only its lease tells."""
    machine, pid, began = holder.rsplit(" ", 2)
    if machine != _machine():
        return False
    with suppress(psutil.NoSuchProcess):
        return abs(psutil.Process(int(pid)).create_time() - float(began)) > CLOCK_SET
    return True
