"""Sending calls: within a limit, a budget and a provider's outages, tried again after faults, committed to the store.

    async with Dispatcher(store, in_flight=50) as dispatcher:
        reply = await dispatcher.send(call)

A reply is committed before it counts. What no later call would be spared (a refused key, a spent budget, a store that
cannot be written) ends every later call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tasks.catalog import UserError
from tasks.judging.calls import Call, JudgeReply, Probe, to_answer, to_reply
from tasks.judging.providers import PROVIDERS, Client, Provider
from tasks.paid.budget import Budget
from tasks.paid.prices import cost
from tasks.paid.store import Spending, Store, StoredReply
from tasks.services.service import CallFailed, Service, allow_open_files
from tasks.services.transport import Received


class _Asked(NamedTuple):
    """One address of a provider."""

    provider: Provider
    client: Client
    service: Service


class Dispatcher:
    """Shared by all judges of a run: one limit over all calls to one service, and one budget over all."""

    def __init__(
        self,
        store: Store,
        in_flight: int,
        budget: Budget | None = None,
        max_outage: float = 1800,
        warn: Callable[[str], None] = lambda _: None,
        initial_backoff: float = 1.0,
    ):
        """`in_flight` calls at once to each service; `warn` is given what a user should know.

        Seconds: `initial_backoff` to a first retry, `max_outage` in all.
        """
        self.store, self.warn, self.initial_backoff, self.max_outage = store, warn, initial_backoff, max_outage
        self.budget = budget or Budget(store, "")
        self.in_flight = in_flight
        self._services: dict[tuple[str, str, str], _Asked] = {}
        self._known_prices: dict[tuple[str, str, str], dict[str, float]] = {}
        self._stopped: UserError | None = None

    async def __aenter__(self) -> "Dispatcher":
        loop = asyncio.get_running_loop()
        self.store.warn = lambda words: loop.call_soon_threadsafe(self.warn, words)  # it warns from its own thread
        return self

    async def __aexit__(self, *_: object) -> None:
        for asked in self._services.values():
            await asked.client.close()

    async def send(self, call: Call, previous: JudgeReply | None = None) -> JudgeReply:
        """The reply to this call, paid for now and committed; after an unreadable reply, `previous`, another one.

        Raises CallFailed; UserError for what no later call would be spared (a refused key, no credit, a service that
        stays down, a spent budget, a store that cannot be written), and then for every later call too: those in flight
        are waited for, no other is sent.
        """
        try:
            return to_reply(await self._try_until_answered(call, previous))
        except UserError as error:
            self._stopped = self._stopped or error
            raise

    async def probe(self, call: Probe) -> None:
        """Raises UserError where the service does not answer, refuses the key or has no such model.

        A service that is there and has too much to do is waited for later, when there is something to ask.
        """
        try:
            await self.send(call)
        except CallFailed as failed:
            if not failed.is_busy:
                raise UserError(
                    f"{call.address} does not answer a first call for {call.model} ({failed}); nothing is spent: start "
                    "the service, or mend its base_url or model"
                ) from None

    async def _try_until_answered(self, call: Call, previous: JudgeReply | None) -> StoredReply:
        """The call counts as in flight until its reply is committed: a kill, or a store that fails, costs no more."""
        provider, client, service = self._asked(call)
        most = call.most_cost(self._prices(call)) if self.budget.cap else 0.0

        async def send() -> Received:
            return provider.parse(await client.send(provider.body(call, previous)), call)

        return await service.ask(
            send,
            lambda error: provider.fault(error, call),
            lambda received: self._commit(call, received, previous),
            call.retries,
            lambda: self._allowed(most),
            is_retry=previous is not None,
        )

    @asynccontextmanager
    async def _allowed(self, most: float) -> AsyncIterator[None]:
        """Within the budget; raises anew, for each call, what has ended all of them."""
        async with self.budget.reserve(most):
            if self._stopped:
                raise type(self._stopped)(str(self._stopped)) from None
            yield

    async def _commit(self, call: Call, received: Received, previous: JudgeReply | None) -> StoredReply:
        """Counts what the reply cost and commits both together."""
        answer = to_answer(call, received, previous)
        await self.store.commit([answer], [self._spending(call, received)])
        return answer

    def _spending(self, call: Call, received: Received) -> Spending:
        counts = {"calls": 1, **(received.tokens or {})}
        return self.budget.spending(call.stage, call.model, counts, cost(self._prices(call), received.tokens))

    def _asked(self, call: Call) -> _Asked:
        place = call.provider, call.base_url, call.key_variable
        if place not in self._services:
            provider = PROVIDERS[call.provider]
            allow_open_files((len(self._services) + 1) * self.in_flight)
            client = provider.client(call, self.in_flight)
            name, setting = provider.address_of(call.base_url), f"{call.section}.max_outage"
            service = Service(name, self.in_flight, self.max_outage, self.warn, self.initial_backoff, setting)
            self._services[place] = _Asked(provider, client, service)
        return self._services[place]

    def _prices(self, call: Call) -> dict[str, float]:
        """Looked up once: the list of prices is a file."""
        place = call.provider, call.base_url, call.model
        if place not in self._known_prices:
            self._known_prices[place] = call.prices()
        return self._known_prices[place]
