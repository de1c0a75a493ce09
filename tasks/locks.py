"""One process at a time: what two runs would pay for twice, or write over one another, has a lock.

    async with exclusive("training 5f0c"):          # waits until the other one is done, and then finds its result
        ...
    with exclusive_now("run demo/one", "run 'one' is being written ..."):         # refuses instead
        ...

A lock is the system's and ends with its process, however that ends. A data folder that machines share must lie on a
file system whose locks they share too, as NFS 4 has them.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from filelock import AsyncFileLock, FileLock, Timeout

from tasks.catalog import UserError, data_folder


@asynccontextmanager
async def exclusive(what: str, say: Callable[[str], object] = lambda words: None) -> AsyncIterator[None]:
    """Waits for its turn, and says so."""
    lock = AsyncFileLock(_place(what))
    try:
        await lock.acquire(timeout=0)
    except Timeout:
        say("waits for another run that does the same work")
        await lock.acquire(timeout=-1)
    try:
        yield
    finally:
        await lock.release()


@contextmanager
def exclusive_now(what: str, words: str) -> Iterator[None]:
    """Raises UserError with these words where another process holds it."""
    lock = FileLock(_place(what), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(words) from None
    try:
        yield
    finally:
        lock.release()


def _place(what: str) -> Path:
    """A file in data/locks, under a name that any text may have."""
    folder = data_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.lock"
