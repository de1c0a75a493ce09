"""One service's batches, asked patiently: through outages, lost answers and a kill at any moment.

    client = BatchClient(call, store, max_outage=1800, initial_backoff=1.0, tell=print)
    batch = await client.hand_over(file, requests)
    async for stage in client.stages(batch.id): ...       # until stage.is_over

What a kill between the service's taking a batch and our storing its name leaves is found again among the service's
batches. It cannot be known of one that the service does not list yet at that moment, a few seconds after a kill: it
would be paid, and its calls asked again. Of Anthropic's batches, which bear no mark of ours, one that may be it has to
end before its results show whose it is.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import count
from typing import IO, Any, TypeVar
from uuid import uuid4

from tasks.catalog import UserError
from tasks.judging.batch_services import BatchService, Stage
from tasks.judging.calls import Call
from tasks.judging.chat_batches import FileBatches
from tasks.judging.claude_batches import MessageBatches
from tasks.judging.providers import PROVIDERS
from tasks.paid.store import BatchRequest, OpenBatch, Store
from tasks.services.retries import LONGEST_WAIT
from tasks.services.service import ServiceDown
from tasks.services.transport import NoMessage

SERVICES: dict[str, Callable[[Any], BatchService]] = {"claude": MessageBatches, "chat": FileBatches}
"""By the provider of a call; each is given the client of its SDK."""
CONNECTIONS = 4
FIRST_LOOK = 5.0
"""Backoffs until a batch is looked at again, at first."""
NO_BATCHES = {404, 405, 501}
"""How a server answers that has no batches."""
Result = TypeVar("Result")


def place_of(call: Call) -> str:
    """A batch asks one model of one service, and belongs to one key."""
    address = PROVIDERS[call.provider].address_of(call.base_url)
    return json.dumps([call.provider, address, call.base_url, call.key_variable, call.model])


def words_of(place: str) -> str:
    """The same for its user: the address, who named it, and the variable of the key where a judge names one."""
    provider, address, base_url, key_variable, _ = json.loads(place)
    named = " (base_url)" if base_url else " (ANTHROPIC_BASE_URL)" if provider == "claude" and "://" in address else ""
    return f"{address}{named}" + (f" with the key in {key_variable}" if key_variable else "")


def _call_to(place: str) -> Call:
    """A call that goes there, and asks nothing."""
    provider, _, base_url, key_variable, model = json.loads(place)
    return Call(provider, model, "", "", "", base_url=base_url, key_variable=key_variable)


async def is_to_be_taken_up(batch: OpenBatch, store: Store) -> bool:
    """Whether it is over, or meets what its user must mend; a service that is down, or looked for, is asked later."""
    try:
        async with aclosing(BatchClient(_call_to(batch.service), store, max_outage=0)) as client:
            return not batch.id or (await client.stage(batch.id)).is_over
    except ServiceDown:
        return False
    except UserError:
        return True


async def cancel(batch: OpenBatch, store: Store) -> None:
    """Cancels it at its service, unless it is over; what it brought is taken by the next run that asks for it.

    Raises UserError where the service refuses that, or is down.
    """
    async with aclosing(BatchClient(_call_to(batch.service), store, max_outage=0)) as client:
        if batch.id and not (await client.stage(batch.id)).is_over:
            await client.patiently(partial(client.service.cancel, batch.id))


class BatchClient:
    """The batches to where a call goes."""

    def __init__(
        self,
        call: Call,
        store: Store,
        max_outage: float = 1800,
        initial_backoff: float = 1.0,
        tell: Callable[[str], None] = lambda _: None,
    ):
        """Seconds: `initial_backoff` to a first retry, `max_outage` in all; `tell` is given the service's counts."""
        self.call, self.store, self.max_outage, self.initial_backoff = call, store, max_outage, initial_backoff
        self.tell = tell
        self.provider = PROVIDERS[call.provider]
        self.address, self.place = self.provider.address_of(call.base_url), place_of(call)
        self._client = self.provider.client(call, CONNECTIONS)
        self.service = SERVICES[call.provider](self._client.sdk)
        self._slept = 0.0
        """Seconds in which a batch was waited for: no outage."""

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def check(self) -> None:
        """Raises UserError where the service has no batches; one that has too much to do is asked when it matters."""
        try:
            await self._newest()
        except Exception as error:
            self.provider.fault(error, self.call)

    async def _newest(self) -> str:
        try:
            return await self.service.newest()
        except AttributeError:  # the SDKs hand on a page of HTML as a text, which has nothing of a list
            said = "what answered is no list of them"
        except Exception as error:
            if (status := getattr(error, "status_code", None)) not in NO_BATCHES:
                raise
            said = str(status)
        raise UserError(f"{self.address} takes no batches ({said}): set {self.call.section}.batch to false")

    async def hand_over(self, file: IO[bytes], requests: dict[str, BatchRequest]) -> OpenBatch:
        """What is about to be made is stored first, and its name before it counts."""
        batch = OpenBatch(uuid4().hex, self.place, requests, await self.patiently(self._newest))
        await self.store.keep_batch(batch)
        tries = count()

        async def make() -> str:
            """After a try whose answer was lost the service may have it."""
            lost = await self.find(batch) if next(tries) else ""
            return lost or await self.service.create(file, batch.marker)

        batch = batch._replace(id=await self.patiently(make))
        await self.store.keep_batch(batch)
        return batch

    async def find(self, batch: OpenBatch) -> str:
        """The service's name of a batch whose making was not answered; empty where it has none."""
        known = {other.id for other in self.store.open_batches()}
        for name in await self.patiently(partial(self.service.made_since, batch)):
            if name not in known and (self.service.HAS_MARKERS or await self._is_of(name, batch)):
                return name
        return ""

    async def _is_of(self, name: str, batch: OpenBatch) -> bool:
        """Whether its results are those of this batch, for which it must have ended."""

        async def first_key() -> str:
            async for outcome in self.service.outcomes(name):
                return outcome.key
            return ""

        async for _ in self.stages(name):
            pass
        return await self.patiently(first_key) in batch.requests

    async def stages(self, name: str) -> AsyncGenerator[Stage, None]:
        """How far a batch is, now and again until it is over. Raises UserError where the service does not know it."""
        for wait in _waits(FIRST_LOOK * self.initial_backoff, 1.5):
            stage = await self.stage(name)
            self.tell(f"batch {name}: {stage.counts}")
            yield stage
            if stage.is_over:
                return
            await asyncio.sleep(wait)
            self._slept += wait

    async def stage(self, name: str) -> Stage:
        """How far a batch is. Raises UserError where the service does not know it."""

        async def look() -> Stage:
            try:
                return await self.service.stage(name)
            except AttributeError:  # as above
                raise NoMessage(f"what answered for batch {name} is none") from None
            except Exception as error:
                if getattr(error, "status_code", None) == 404:
                    raise UserError(self._is_unknown(name)) from None
                raise

        return await self.patiently(look)

    def _is_unknown(self, name: str) -> str:
        return (
            f"{self.address} knows no batch {name}, which was handed over to it and may be paid: set the key that it "
            f"was made with or, where it was deleted, delete its row from the table batches of {self.store.name}"
        )

    async def patiently(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Asks until the service answers, for as long as an outage may last; UserError for what no try would mend."""
        down_since: float | None = None
        waits = _waits(self.initial_backoff)
        while True:
            try:
                return await ask()
            except Exception as error:
                fault = self.provider.fault(error, self.call)
            if not fault.is_transient:
                raise UserError(f"{self.address} refused what concerns a batch ({fault.reason[:300]})") from None
            now = time.monotonic() - self._slept
            down_since = now if down_since is None else down_since
            if now - down_since > self.max_outage:
                raise ServiceDown(
                    f"{self.address} has been down for over {self.max_outage:,.0f} s ({self.call.section}.max_outage; "
                    f"{fault.reason[:200]}); nothing is lost: resume the run when it is back"
                )
            await asyncio.sleep(min(LONGEST_WAIT, fault.retry_after or next(waits)))


def _waits(first: float, factor: float = 2.0) -> Iterator[float]:
    """Seconds between tries, each so many times as long as the one before, up to the longest."""
    return (min(LONGEST_WAIT, first * factor ** min(number, 64)) for number in count())
