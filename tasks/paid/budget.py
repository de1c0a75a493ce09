"""What one run has spent and may spend, over all its resumes: training, sampling and judging.

    budget = Budget(store, run="5f0c...", cap=20.0)
    async with budget.reserve(0.02):                # waits while calls in flight could still use it up
        ...
        spent = budget.spending("judging", model, {"input": 900, "output": 60}, 0.0036)

Spending is committed to the store with the answer that it paid for, so that a kill forgets none of it. What was stored
before is free. A price that is not known, or a count of tokens that the service did not give, makes the sum unknown,
never smaller; and an unknown sum cannot be kept below a limit.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any

from tasks.catalog import UserError
from tasks.paid.store import Spending, Store
from tasks.runs import cost_words


class BudgetSpent(UserError):
    """The next call could take the run beyond max_cost_usd."""


class CostUnknown(UserError):
    """What was spent is not known, so that max_cost_usd cannot be kept."""


class Budget:
    """One for each run; `cap` 0 is no limit."""

    def __init__(self, store: Store, run: str, cap: float = 0.0, resume: str = ""):
        self.store, self.run, self.cap, self.resume = store, run, cap, resume
        self.spent: dict[str, dict[str, Any]] = {}
        self._reserved = 0.0
        self._freed = asyncio.Condition()
        for row in store.spending(run):
            self._count(row)

    @property
    def usd(self) -> float | None:
        """Everything spent so far, or None where a part of it has no known price."""
        costs = [stage["usd"] for stage in self.spent.values()]
        return None if None in costs else sum(costs)

    def summary(self) -> dict[str, Any]:
        """For run.json: tokens, calls and US dollars of each stage, and in all."""
        return {**self.spent, "usd": self.usd}

    def words(self) -> str:
        """What was spent, in parentheses; empty where nothing was."""
        return f"({words})" if (words := cost_words(self.summary())) else ""

    def affordable(self, costs: list[float | None]) -> int:
        """How many of these, from the first on, can be paid now; at least one, which then waits or is refused."""
        left = self._left() if self.cap else math.inf
        return max(1, sum(total <= left for total in accumulate(cost or 0.0 for cost in costs)))

    def _left(self) -> float:
        """US dollars that are neither spent nor set aside."""
        return self.cap - (self.usd or 0.0) - self._reserved

    @asynccontextmanager
    async def reserve(self, most: float | None, is_owed: bool = False) -> AsyncIterator[None]:
        """Sets `most` US dollars aside while a call is in flight; waits where calls in flight could use them up.

        Raises BudgetSpent where they are not there, and CostUnknown where what was spent is not known. With `is_owed`,
        for what was sent before, it does neither.
        """
        reserved = (most or 0.0) if self.cap else 0.0
        if is_owed:
            self._reserved += reserved
        elif self.cap:
            await self._wait_and_reserve(reserved)
        try:
            yield
        finally:
            if self.cap:
                async with self._freed:
                    self._reserved -= reserved
                    self._freed.notify_all()

    async def _wait_and_reserve(self, usd: float) -> None:
        async with self._freed:
            while (spent := self._known()) + self._reserved + usd > self.cap:
                if self._reserved <= 1e-9:
                    raise self._is_spent(spent, usd)
                await self._freed.wait()
            self._reserved += usd

    def _known(self) -> float:
        """US dollars spent so far."""
        if self.usd is None:
            raise CostUnknown(
                f"max_cost_usd is ${self.cap:,.2f}, and what was spent so far is not known: {self._unknown()}; nothing "
                "is lost: under another run name, without a limit, nothing that is there is asked again"
            )
        return self.usd

    def _unknown(self) -> str:
        """What of it has no known cost."""
        stages = [name for name, stage in self.spent.items() if stage["usd"] is None]
        return f"the service of {' and '.join(stages)} gave no count of tokens that is one, or the price was not known"

    def _is_spent(self, spent: float, usd: float) -> BudgetSpent:
        return BudgetSpent(
            f"max_cost_usd is ${self.cap:,.2f}, ${spent:,.4f} are spent and the next step may cost "
            f"${usd:,.4f}; nothing is lost: raise it and go on with `{self.resume}`"
        )

    def spending(self, stage: str, model: str, tokens: dict[str, int], usd: float | None) -> Spending:
        """Counts what was just spent; the caller commits it with what it paid for."""
        row = Spending(self.run, stage, model, tokens, usd)
        self._count(row)
        return row

    async def record(self, stage: str, model: str, tokens: dict[str, int], usd: float | None) -> None:
        """Counts and commits what was paid for something that the store does not hold, such as a training."""
        await self.store.commit([], [self.spending(stage, model, tokens, usd)])

    def _count(self, row: Spending) -> None:
        stage = self.spent.setdefault(row.stage, {"usd": 0.0})
        stage["usd"] = None if None in (stage["usd"], row.usd) else stage["usd"] + row.usd
        for kind, count in row.tokens.items():
            stage[kind] = stage.get(kind, 0) + count
