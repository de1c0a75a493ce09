"""Sending calls: within a limit, a budget and a provider's outages, tried again after faults, committed to the store.

    async with Dispatcher(store, in_flight=50) as dispatcher:
        reply = await dispatcher.send(call)

A reply is committed before it counts. What another run asks at the same moment is waited for, and what another stored
meanwhile is taken: that is looked for before each try. What no later call would be spared (a refused key, a spent
budget, a store that cannot be written) ends every later call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

from tasks.catalog import UserError
from tasks.judging.calls import Call, JudgeReply, Probe, to_answer, to_reply
from tasks.judging.providers import PROVIDERS, Client, Provider
from tasks.paid.budget import Budget
from tasks.paid.prices import cost
from tasks.paid.store import Spending, Store, StoredReply
from tasks.services.service import CallFailed, Service, allow_open_files
from tasks.services.transport import Received

LOOK_EVERY = 1.0
"""Seconds for which a look into the store holds, for all calls that wait: one for each alone would slow them down. A
call of another process that is under way, which takes as long or longer, is not to be seen in any case."""


class _Asked(NamedTuple):
    """One address of a provider."""

    provider: Provider
    client: Client
    service: Service


class _Known(Exception):
    """Another run has the reply by now."""

    def __init__(self, answer: StoredReply):
        super().__init__(answer.key)
        self.answer = answer


class _UnderWay:
    """The calls of one event loop that are in flight, whichever run sent them, and what those of just now brought."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], asyncio.Future[StoredReply | None]] = {}

    async def reply(self, store: str, key: str) -> StoredReply | None:
        """What another run that asks the same gets, once it has it; None where none asks, or it got nothing."""
        while (other := self._calls.get((store, key))) and not other.done():
            await asyncio.shield(other)
        return other.result() if other else None

    @contextmanager
    def asking(self, store: str, key: str) -> Iterator[None]:
        """In flight until it is left; what was answered by then is kept for longer than a look into the store holds."""
        loop, place = asyncio.get_running_loop(), (store, key)
        mine = self._calls[place] = loop.create_future()
        try:
            yield
        finally:
            if mine.done():
                loop.call_later(2 * LOOK_EVERY, self._forget, place, mine)
            else:
                mine.set_result(None)
                self._forget(place, mine)

    def answered(self, store: str, answer: StoredReply) -> None:
        """Those that wait for this reply get it."""
        self._calls[store, answer.key].set_result(answer)

    def _forget(self, place: tuple[str, str], mine: asyncio.Future[StoredReply | None]) -> None:
        if self._calls.get(place) is mine:
            del self._calls[place]


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _UnderWay] = WeakKeyDictionary()
"""A future belongs to its loop: other loops are to each other as other processes are."""


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
        self._wanted = dict[str, None]()
        """Keys of the calls that have no reply yet."""
        self._found, self._looked_at = dict[str, StoredReply](), 0.0
        """What the store had of them at the last look."""

    async def __aenter__(self) -> "Dispatcher":
        loop = asyncio.get_running_loop()
        self._under_way = _of_loops.setdefault(loop, _UnderWay())
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
        """What another run stored meanwhile settles it, unless it was cut off and may be longer here."""
        self._wanted[call.key] = None
        try:
            return await self._ask(call, previous)
        except _Known as known:
            reply = to_reply(known.answer)
            if not (reply.is_cut_off and call.max_tokens > reply.max_tokens):
                return known.answer
        finally:
            self._wanted.pop(call.key, None)
        return await self._try_until_answered(call, reply)

    async def _ask(self, call: Call, previous: JudgeReply | None) -> StoredReply:
        """The call counts as in flight until its reply is committed: a kill, or a store that fails, costs no more."""
        provider, client, service = self._asked(call)
        most = call.most_cost(self._prices(call)) if self.budget.cap else 0.0
        attempt = previous.attempt + 1 if previous else 0

        async def send() -> Received:
            return provider.parse(await client.send(provider.body(call, previous)), call)

        return await service.ask(
            send,
            lambda error: provider.fault(error, call),
            lambda received: self._commit(call, received, previous),
            call.retries,
            lambda: self._allowed(call.key, attempt, most),
            is_retry=previous is not None,
        )

    @asynccontextmanager
    async def _allowed(self, key: str, attempt: int, most: float) -> AsyncIterator[None]:
        """Within the budget, and alone with this key; raises anew, for each call, what has ended all of them.

        Raises _Known where this attempt, or a later one, need not be paid.
        """
        store = self.store.url
        async with self.budget.reserve(most):
            answer = await self._under_way.reply(store, key) or self._stored(key)
            if answer and answer.attempt >= attempt:
                raise _Known(answer)
            if self._stopped:
                raise type(self._stopped)(str(self._stopped)) from None
            with self._under_way.asking(store, key):
                yield

    def _stored(self, key: str) -> StoredReply | None:
        """What the store has of a call, by a look at all that wait."""
        if time.monotonic() - self._looked_at > LOOK_EVERY:
            self._found, self._looked_at = self.store.get(self._wanted), time.monotonic()
        return self._found.get(key)

    async def _commit(self, call: Call, received: Received, previous: JudgeReply | None) -> StoredReply:
        """Counts what the reply cost and commits both together."""
        answer = to_answer(call, received, previous)
        await self.store.commit([answer], [self._spending(call, received)])
        self._under_way.answered(self.store.url, answer)
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
