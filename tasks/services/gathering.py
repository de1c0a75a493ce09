"""Several requests at once, and what each brings as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

from tasks.catalog import UserError

Found = TypeVar("Found")


async def as_they_come(asked: Iterable[Coroutine[Any, Any, Found]]) -> AsyncGenerator[Found, None]:
    """What each brings, as it comes; what one of them raises is raised when all have ended: nothing paid is lost."""
    tasks = [asyncio.create_task(one) for one in asked]
    failed: UserError | None = None
    try:
        for done in asyncio.as_completed(tasks):
            try:
                found = await done
            except UserError as error:
                failed = failed or error
            else:
                yield found
    finally:
        for task in tasks:
            task.cancel()
    if failed:
        raise failed
