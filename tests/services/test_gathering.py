import asyncio

import pytest

from tasks.catalog import UserError
from tasks.services.gathering import as_they_come


async def _after(seconds, found):
    await asyncio.sleep(seconds)
    if isinstance(found, Exception):
        raise found
    return found


async def test_what_is_asked_at_once_comes_in_the_order_in_which_it_is_there():
    assert [found async for found in as_they_come([_after(0.1, "slow"), _after(0, "quick")])] == ["quick", "slow"]


async def test_what_one_meets_is_raised_when_the_others_have_brought_what_they_had():
    several = as_they_come([_after(0, UserError("refused")), _after(0.05, "paid"), _after(0.1, "too")])
    assert [await anext(several), await anext(several)] == ["paid", "too"]
    with pytest.raises(UserError, match="refused"):
        await anext(several)


async def test_who_leaves_early_leaves_nothing_under_way():
    ended = []

    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    several = as_they_come([_after(0, "first"), long()])
    assert await anext(several) == "first"
    await several.aclose()
    await asyncio.sleep(0)
    assert ended == ["cancelled"]
