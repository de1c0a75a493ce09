"""Locks between processes, so that two runs neither pay for the same work twice nor write over one another.

    async with exclusive("training 5f0c"):          # waits until the other process is done, and then finds its result
        ...
    with exclusive_now("run demo/one", "run 'one' is being written ..."):         # refuses instead of waiting
        ...
    with alone("a run is going on ..."):            # nothing else goes on, and nothing begins
        ...

The operating system keeps the locks and frees those of a process that ends, however it ends. A data folder that several
machines share must be on a file system that shares locks between them, as NFS 4 does.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from filelock import AsyncFileLock, BaseFileLock, FileLock, Timeout

from tasks.catalog import UserError, data_folder

DOOR = "the door"
"""The lock that every run passes as it begins: who holds it has nothing begin meanwhile."""


@asynccontextmanager
async def exclusive(work: str, report: Callable[[str], object] | None = None) -> AsyncIterator[None]:
    """Waits until no other process holds the lock of this name; `report` is called with a sentence if it must wait."""
    lock = AsyncFileLock(_file(work))
    try:
        await lock.acquire(timeout=0)
    except Timeout:
        if report:
            report("waits for another run that does the same work")
        await lock.acquire(timeout=-1)
    try:
        yield
    finally:
        await lock.release()


@contextmanager
def exclusive_in_turn(work: str) -> Iterator[None]:
    """The same for work of seconds outside an event loop: waits in silence."""
    with FileLock(_file(work), thread_local=False):
        yield


@contextmanager
def exclusive_now(work: str, refusal: str) -> Iterator[None]:
    """Holds the lock of this name; where another process holds it, raises UserError with the sentence `refusal`."""
    with exclusive_in_turn(DOOR):
        lock = _taken(_file(work), refusal)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def alone(refusal: str) -> Iterator[None]:
    """No process holds any lock of this data folder, and whoever wants one by `exclusive_now` waits.

    Raises UserError with the sentence `refusal` where one is held.
    """
    with exclusive_in_turn(DOOR):
        for file in sorted(_file(DOOR).parent.glob("*.lock")):
            if file != _file(DOOR):
                _taken(file, refusal).release()
        yield


def _taken(file: Path, refusal: str) -> BaseFileLock:
    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(refusal) from None
    return lock


def _file(work: str) -> Path:
    """Its file in data/locks, named by a hash, because the name of the work can be any text."""
    folder = data_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(work.encode()).hexdigest()[:32]}.lock"
