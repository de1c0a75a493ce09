"""A set that is written in a process of its own, which kills itself (SIGKILL) as its n-th reply is committed.

    die_at(400, wanted)         # forks, and returns once the process has died or has kept the set

No flow is around it: what a set is made of is asked, stored, held against its limits and kept by the same code.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from itertools import count

from sqlalchemy import event

from tasks.generation.documents import DocumentMaker
from tasks.generation.set_files import keep_set, universe_of
from tasks.generation.writer import Writing
from tasks.paid.budget import Budget
from tasks.paid.store import Spending, Store, StoredReply
from tasks.schema import GeneratedSet


async def write_set(wanted: GeneratedSet) -> DocumentMaker:
    """Writes and keeps a set of documents, as the flow does."""
    budget = Budget(Store(), wanted.name)
    async with Writing(wanted.writer, budget, initial_backoff=0.01) as ask:
        maker = DocumentMaker(wanted, universe_of(wanted), ask)
        await maker.prepare()
        while not maker.is_done:
            await maker.write_round()
    keep_set(wanted, maker.rows, maker.dropped, {"counts": maker.counts})
    return maker


def die_at(reply: int, wanted: GeneratedSet) -> bool:
    """Whether the process died, in the middle of a commit; it does not where it gets fewer replies."""
    process = os.fork()
    if process == 0:
        _write_until(reply, wanted)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _write_until(reply: int, wanted: GeneratedSet) -> None:
    numbers, put = count(1), Store.put

    def put_and_die(store: Store, new: Iterable[StoredReply], spent: Iterable[Spending] = ()) -> None:
        new = list(new)
        if reply in [next(numbers) for _ in new]:
            event.listen(store.engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
        put(store, new, spent)

    Store.put = put_and_die  # type: ignore[assignment,method-assign] # in this process alone
    try:
        asyncio.run(write_set(wanted))
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
