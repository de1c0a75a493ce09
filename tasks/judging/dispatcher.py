"""Sending calls: within a limit, a budget and a provider's outages, tried again after faults, committed to the store.

    async with Dispatcher(store, in_flight=50) as dispatcher:
        reply = await dispatcher.send(call)

A reply is committed before it counts. What no later call would be spared (a refused key, a spent budget, a store that
cannot be written) ends every later call.
"""

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tasks.catalog import UserError
from tasks.judging.calls import Call, CallFailed, JudgeReply, Probe, to_reply
from tasks.judging.providers import PROVIDERS, Client, Provider
from tasks.paid.budget import Budget
from tasks.paid.prices import cost
from tasks.paid.store import Spending, Store, StoredReply
from tasks.services.circuit_breaker import CircuitBreaker
from tasks.services.limits import AdaptiveLimit
from tasks.services.retries import LONGEST_WAIT, Fault
from tasks.services.transport import Received

LONGEST_REPLY = 600.0
"""Seconds after which a try is over, even if bytes still arrive; no service allows a longer reply in one piece."""
SPARE_FILES = 256
"""Files that may be open beside the connections."""


class ServiceDown(UserError):
    """The service was down for longer than judging.max_outage."""


class _Service(NamedTuple):
    """What all calls to one address of a provider share."""

    provider: Provider
    client: Client
    breaker: CircuitBreaker
    limit: AdaptiveLimit
    """Its own: one that says "too many", or is down, holds up no calls to another."""


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
        self._services: dict[tuple[str, str, str], _Service] = {}
        self._known_prices: dict[tuple[str, str, str], dict[str, float]] = {}
        self._stopped: UserError | None = None

    async def __aenter__(self) -> "Dispatcher":
        loop = asyncio.get_running_loop()
        self.store.warn = lambda words: loop.call_soon_threadsafe(self.warn, words)  # it warns from its own thread
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self._services.values():
            await service.client.close()

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
                    "the service, or mend the judge's base_url or model"
                ) from None

    async def _try_until_answered(self, call: Call, previous: JudgeReply | None) -> StoredReply:
        """The call counts as in flight until its reply is committed: a kill, or a store that fails, costs no more."""
        service, faults = self._service(call), list[Fault]()
        most = call.most_cost(self._prices(call)) if self.budget.cap else 0.0
        while True:
            slot = service.limit.slot(is_retry=bool(faults) or previous is not None)
            async with slot, self.budget.reserve(most), self._while_service_is_up(service.breaker):
                sent_at = time.monotonic()
                try:
                    received = await self._send_once(service, call, previous)
                except Exception as error:  # the SDK's, a timeout, no message, or a mistake of ours: _to_fault knows
                    fault = self._to_fault(error, call, service)
                    wait = self._wait_after(fault, call, faults, sent_at, service)
                else:
                    service.limit.record_success()
                    service.breaker.record_success()
                    return await self._commit(call, received, previous)
            await asyncio.sleep(wait)

    async def _send_once(self, service: _Service, call: Call, previous: JudgeReply | None) -> Received:
        body = service.provider.body(call, previous)
        async with asyncio.timeout(LONGEST_REPLY):
            content = await service.client.send(body)
        return service.provider.parse(content, call)

    async def _commit(self, call: Call, received: Received, previous: JudgeReply | None) -> StoredReply:
        """Counts what the reply cost and commits both together."""
        body = {
            "text": received.text,
            "stop_reason": received.stop_reason,
            "model": received.model or call.model,
            "usage": received.tokens,
            "max_tokens": call.max_tokens,
        }
        answer = StoredReply(call.key, call.kind, body, previous.attempt + 1 if previous else 0)
        await self.store.commit([answer], [self._spending(call, received)])
        return answer

    def _spending(self, call: Call, received: Received) -> Spending:
        counts = {"calls": 1, **(received.tokens or {})}
        return self.budget.spending("judging", call.model, counts, cost(self._prices(call), received.tokens))

    def _to_fault(self, error: Exception, call: Call, service: _Service) -> Fault:
        """Raises what is no fault of the service; calls that wait for the word of this one go on."""
        if isinstance(error, TimeoutError):
            return Fault(f"no whole reply within {LONGEST_REPLY:,.0f} s", is_transient=True)
        try:
            return service.provider.fault(error, call)
        except Exception:
            service.breaker.record_success()
            raise

    def _wait_after(self, fault: Fault, call: Call, faults: list[Fault], sent_at: float, service: _Service) -> float:
        """Seconds until the next try; the fault is added to those that the call has met, but not during an outage.

        Raises CallFailed where the call's retry policy gives up.
        """
        breaker, limit = service.breaker, service.limit
        was_down, is_first_try = breaker.opened_at is not None, not faults
        if fault.is_throttled:
            limit.record_throttled(sent_at, min(LONGEST_WAIT, fault.retry_after or 0.0))
        if fault.shows_service_up:
            breaker.record_success()
        else:
            breaker.record_failure(is_first_try, fault.reason[:120])
        if was_down and fault.is_transient:
            return 0.0
        faults.append(fault)
        wait = call.retries.wait_after(faults, self.initial_backoff, jitter=random.uniform(0.75, 1.25))
        if wait is None:
            raise CallFailed([met.reason for met in faults], fault.is_busy) from None
        return wait

    @asynccontextmanager
    async def _while_service_is_up(self, breaker: CircuitBreaker) -> AsyncIterator[None]:
        """Waits for a service that is down. Raises anew, for each call, what has ended all of them."""
        async with breaker.permission() as is_allowed:
            if self._stopped:
                raise type(self._stopped)(str(self._stopped)) from None
            if not is_allowed:
                raise ServiceDown(
                    f"{breaker.name} has been down for over {self.max_outage:,.0f} s (judging.max_outage); nothing is "
                    "lost: resume the run when it is back"
                )
            yield

    def _service(self, call: Call) -> _Service:
        place = call.provider, call.base_url, call.key_variable
        if place not in self._services:
            provider = PROVIDERS[call.provider]
            _allow_open_files((len(self._services) + 1) * self.in_flight + SPARE_FILES)
            client = provider.client(call, self.in_flight)
            name = provider.address_of(call.base_url)
            breaker = CircuitBreaker(name, self.max_outage, 2 * self.initial_backoff, self.warn)
            self._services[place] = _Service(provider, client, breaker, AdaptiveLimit(self.in_flight))
        return self._services[place]

    def _prices(self, call: Call) -> dict[str, float]:
        """Looked up once: the list of prices is a file."""
        place = call.provider, call.base_url, call.model
        if place not in self._known_prices:
            self._known_prices[place] = call.prices()
        return self._known_prices[place]


def _allow_open_files(count: int) -> None:
    """Each connection is an open file, of which many systems allow 1,024 unless they are asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count and soft != resource.RLIM_INFINITY:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
