"""Asking judges in batches, at half the price: handed over together, waited for, and stored as if asked directly.

    failed = await ask_in_batches(Order(calls, dispatcher, on_answer, tell, is_cancelled))

What is asked, its key, what is stored and when a reply is asked for once more are those of asking.py. That a batch is
open stands in the store before the service has it, and until all that it brought is stored: whoever asks for one of its
calls next waits for it instead. Expired, failed and missing requests cost nothing and go into a further batch. An order
that does not wait leaves what is not over, and says what it left.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import IO

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError
from tasks.judging.asking import JudgeCall, gather_all, reads_left
from tasks.judging.batch_client import BatchClient, place_of, words_of
from tasks.judging.batch_services import Outcome, Stage
from tasks.judging.calls import Call, FailedCall, JudgeReply, to_answer, to_reply
from tasks.judging.claude import SECRETS
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.providers import to_probe
from tasks.paid.prices import batch_prices, cost
from tasks.paid.store import BatchRequest, OpenBatch, Spending, Store, StoredReply
from tasks.schema import Judge
from tasks.services.chat_server import secrets_of
from tasks.services.retries import Fault
from tasks.services.transport import NoMessage, Received, without_secrets

STORED_AT_ONCE = 1_000
"""Replies in one commit, and in memory."""
NONE: Mapping[str, int] = MappingProxyType({})
"""No call is asked again."""
BEFORE = Fault("an earlier batch brought no reply to it", is_transient=True)
MISSING = Fault("the batch brought no reply to it", is_transient=True)


@dataclass
class Waiting:
    """A call that has no reply that settles it yet."""

    asked: JudgeCall
    reply: JudgeReply | None
    """The last one, which could not be read."""
    reads: int
    """Replies that may still be asked for."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def call(self) -> Call:
        """What is asked."""
        return self.asked.call

    @property
    def attempt(self) -> int:
        """Which reply is asked for, counted from 0."""
        return self.reply.attempt + 1 if self.reply else 0

    @property
    def request(self) -> BatchRequest:
        """What of it stands in the store while a batch asks it."""
        return BatchRequest(self.attempt, self.call.max_tokens, len(self.faults))

    def is_in(self, batch: OpenBatch) -> bool:
        """Whether it is among what the batch asks."""
        request = batch.requests.get(self.call.key)
        return request is not None and request.attempt == self.attempt

    def read(self, answer: StoredReply) -> None:
        """Takes a reply in. One that was cut off by a batch's shorter limit is asked for anew, under its own."""
        self.reply, self.faults = to_reply(answer), []
        match self.asked.state_of(self.reply):
            case "truncated" if self.call.max_tokens > self.reply.max_tokens:
                self.reads = self.asked.max_reads
            case "unreadable":
                self.reads -= 1
            case _:
                self.reads = 0


class Order:
    """What is asked in batches. A class of its own, so that Prefect does not search thousands of calls for futures."""

    def __init__(
        self,
        calls: list[JudgeCall],
        dispatcher: Dispatcher,
        on_answer: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda _: None,
        is_cancelled: Callable[[], Awaitable[bool]] | None = None,
        ask_again: Mapping[str, int] = NONE,
        makes_new: bool = True,
        waits: bool = True,
    ):
        """`tell` is given the service's counts, `is_cancelled` says whether the run was.

        `ask_again` has the keys of calls that only a score settles, with how many replies there were to each as that
        began: of an order that was left, and is given anew, the replies of meanwhile count.

        Without `makes_new` only what open batches hold is taken; without `waits` what is not over is left.
        """
        self.calls, self.dispatcher, self.on_answer, self.tell = calls, dispatcher, on_answer, tell
        self.ask_again, self.makes_new, self.waits = ask_again, makes_new, waits
        self.left_open: list[str] = []
        """The markers of the batches that were not over, in the end."""
        self._is_cancelled = is_cancelled
        self.judges = ", ".join(dict.fromkeys(f"{judge.name} ({judge.model})" for _, judge in calls))

    async def is_cancelled(self) -> bool:
        """Whether the run was cancelled, by whoever has a say over it."""
        return bool(self._is_cancelled and await self._is_cancelled())


async def ask_in_batches(order: Order) -> list[FailedCall]:
    """Has every call answered in the store; returns those without a reply.

    One batch at a time to each service and model, or several where one cannot hold them. Raises UserError for what no
    later batch would be spared, and where the run was cancelled; what came is stored. Where `order.left_open` names
    batches, the calls in them are still to be answered.
    """
    refuse_open_elsewhere(order.calls, order.dispatcher.store)
    groups: dict[str, list[JudgeCall]] = {}
    for judge_call in order.calls:
        groups.setdefault(place_of(judge_call.call), []).append(judge_call)
    done = await gather_all(_Batches(order, calls).ask() for calls in groups.values())
    return [failed for group in done for failed in group]


def in_open_batches(calls: list[JudgeCall], store: Store) -> list[JudgeCall]:
    """Those that were handed over and have not come back; raises as `refuse_open_elsewhere`."""
    if not (open_batches := store.open_batches()):
        return []
    refuse_open_elsewhere(calls, store)
    held = {key for batch in open_batches for key in batch.requests}
    return [judge_call for judge_call in calls if judge_call.call.key in held]


def refuse_open_elsewhere(calls: list[JudgeCall], store: Store) -> None:
    """Raises UserError where an open batch of another address or key is to bring the reply to one of the calls.

    Where it goes is no part of what a reply is stored under: asked here too, it would be paid twice.
    """
    of_key = {call.key: call for call, _ in calls}
    for batch in store.open_batches():
        shared = [of_key[key] for key in batch.requests if key in of_key]
        elsewhere = {call.key: call for call in shared if place_of(call) != batch.service}
        if elsewhere and (lost := missing_of(batch, elsewhere, store)):
            raise UserError(
                f"batch {batch.id or batch.marker} with {len(lost):,} of these calls is open at "
                f"{words_of(batch.service)}, and they would be paid again at "
                f"{words_of(place_of(elsewhere[lost[0]]))}: go on with the address and the key that it was handed over "
                f"with until it is over or, where it was deleted there, delete its row from the table batches of "
                f"{store.name}"
            )


def missing_of(batch: OpenBatch, keys: Iterable[str], store: Store) -> list[str]:
    """Of these calls of a batch those whose reply the store lacks."""
    keys = list(keys)
    stored = store.get(keys)
    return [key for key in keys if key not in stored or stored[key].attempt < batch.requests[key].attempt]


async def check_batches(judges: Iterable[Judge], store: Store) -> None:
    """Raises UserError where the service of a judge takes no batches. Nothing is spent."""
    for call in {place_of(call): call for call in map(to_probe, judges)}.values():
        client = BatchClient(call, store)
        try:
            await client.check()
        finally:
            await client.aclose()


class _Batches:
    """All calls of an order to one model of one service."""

    def __init__(self, order: Order, calls: list[JudgeCall]):
        dispatcher, self.order, self.model = order.dispatcher, order, calls[0].call.model
        self.store, self.budget, self.warn = dispatcher.store, dispatcher.budget, dispatcher.warn
        limits = dispatcher.max_outage, dispatcher.initial_backoff
        self.client = BatchClient(calls[0].call, self.store, *limits, order.tell)
        self.prices = batch_prices(calls[0].call.prices())
        self.secrets = (*SECRETS, *secrets_of(calls[0].call.key_variable))
        self.failed: list[FailedCall] = []
        self.left_open: list[str] = []
        self.waiting: dict[str, Waiting] = {}
        stored = self.store.get(call.key for call, _ in calls)
        for asked in calls:
            key = asked.call.key
            reply = to_reply(stored[key]) if key in stored else None
            if reads := reads_left(asked, reply, order.ask_again.get(key)):
                self.waiting[key] = Waiting(asked, reply, reads)
            else:
                order.on_answer()

    async def ask(self) -> list[FailedCall]:
        try:
            await self._take_up()
            while self.order.makes_new and self.waiting and not self.left_open:
                await self._ask_once()
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            await self._leave()
            raise
        finally:
            await self.client.aclose()
        self.order.left_open += self.left_open
        return self.failed

    async def _take_up(self) -> None:
        """Waits for the open batches that hold one of the calls, whoever handed them over."""
        for batch in self.store.open_batches(self.client.place):
            if not self._waiting_in(batch):
                if not missing_of(batch, batch.requests, self.store):  # a kill came before its end was noted
                    await self.store.end_batch(batch.marker)
                continue
            if name := batch.id or await self.client.find(batch):
                most = [one.call.most_cost(self.prices) for one in self._waiting_in(batch)] if self.budget.cap else []
                async with self.budget.reserve(sum(most), is_owed=True):
                    await self._take(batch._replace(id=name), is_new=False)
            else:
                await self.store.end_batch(batch.marker)

    async def _ask_once(self) -> None:
        """Hands over all that wait, or as many as the budget allows, and waits for them."""
        waiting = list(self.waiting.values())
        most: list[float | None] = [w.call.most_cost(self.prices) for w in waiting] if self.budget.cap else []
        some = waiting[: self.budget.affordable(most)] if most else waiting
        async with self.budget.reserve(sum(usd or 0.0 for usd in most[: len(some)])):
            async with aclosing(self._written(some)) as files:
                made = [await self.client.hand_over(*written) async for written in files]
            for batch in made:
                await self._take(batch, is_new=True)

    async def _leave(self, but: str = "") -> None:
        """A run that was cancelled cancels its batches; one that was interrupted takes them up again."""
        is_cancelled = await self.order.is_cancelled()
        open_here = self.store.open_batches(self.client.place)
        for name in [batch.id for batch in open_here if batch.id not in ("", but) and self._waiting_in(batch)]:
            does = "is cancelled; a resume keeps what it brought" if is_cancelled else "goes on; a resume waits for it"
            try:
                if is_cancelled:
                    await self.client.service.cancel(name)
            except Exception as error:
                does = f"could not be cancelled ({type(error).__name__}); cancel it at {self.client.address}"
            self.warn(f"batch {name} {does}")

    def _waiting_in(self, batch: OpenBatch) -> list[Waiting]:
        return [one for one in self.waiting.values() if one.is_in(batch)]

    # ---- what is handed over

    async def _written(self, waiting: list[Waiting]) -> AsyncGenerator[tuple[IO[bytes], dict[str, BatchRequest]], None]:
        """As many batches as it takes, each in a file, with what stands in the store of each request."""
        done = 0
        while done < len(waiting):
            with tempfile.TemporaryFile() as file:
                requests = await asyncio.to_thread(self._write, waiting[done:], file)
                yield file, requests
            done += len(requests)

    def _write(self, waiting: list[Waiting], file: IO[bytes]) -> dict[str, BatchRequest]:
        """Writes as many as one batch may hold."""
        service, requests = self.client.service, dict[str, BatchRequest]()
        opening, between, closing = service.FRAME
        file.write(opening)
        for one in waiting[: service.MOST_REQUESTS]:
            request = service.request(one.call.key, self.client.provider.body(one.call, one.reply))
            size = file.tell() + len(between) + len(request) + len(closing)
            if requests and size > service.MOST_BYTES:
                break
            file.write(between * bool(requests) + request)
            requests[one.call.key] = one.request
        file.write(closing)
        return requests

    # ---- what comes back

    async def _take(self, batch: OpenBatch, is_new: bool) -> None:
        """Stores what a batch brought, once it is over; where nothing waits, one that is not is left."""
        if (last := await self._last_stage(batch)) is None:
            self.left_open.append(batch.marker)
            return
        for one in self._waiting_in(batch):
            one.faults = one.faults or [BEFORE] * batch.requests[one.call.key].tries
        taken = _Taken(batch)
        await self.client.patiently(partial(self._store, taken))
        if last.is_cancelled:
            taken.cancelled.update({one.call.key for one in self._waiting_in(batch)} - taken.faults.keys())
        if not missing_of(batch, taken.others & batch.requests.keys(), self.store):  # else other runs will take it up
            await self.store.end_batch(batch.marker)
        if await self.order.is_cancelled():
            await self._leave(but=batch.id)
            raise UserError(f"the run was cancelled, and batch {batch.id} with it; what it brought is stored")
        if taken.mistake:
            raise taken.mistake
        if taken.cancelled and is_new:
            raise UserError(
                f"batch {batch.id} was cancelled at {self.client.address} with {len(taken.cancelled):,} calls not "
                "asked; what it brought is stored: resume the run to ask for the rest"
            )
        for one in self._waiting_in(batch):
            if one.call.key not in taken.cancelled:
                self._count_fault(one, taken.faults.get(one.call.key, MISSING))

    async def _last_stage(self, batch: OpenBatch) -> Stage | None:
        """Of a batch that is over; nothing where it is not, and nothing waits. Cancels it where the run was cancelled.

        Raises UserError where the service did none of it.
        """
        is_cancelled = False
        async with aclosing(self.client.stages(batch.id)) as stages:
            async for stage in stages:
                if stage.refusal:
                    await self.store.end_batch(batch.marker)
                    raise UserError(
                        f"{self.client.address} refused a batch ({stage.refusal[:300]}); mend that, or set "
                        f"{self.client.call.section}.batch to false"
                    )
                if stage.is_over:
                    return stage
                if not is_cancelled and (is_cancelled := await self.order.is_cancelled()):
                    await self.client.patiently(partial(self.client.service.cancel, batch.id))
                if not is_cancelled and not self.order.waits:
                    break
        return None

    async def _store(self, taken: "_Taken") -> None:
        """Commits the replies in blocks as they arrive; begun anew, what was committed is no longer waited for."""
        paid: dict[str, Received] = {}
        try:
            async for outcome in self.client.service.outcomes(taken.batch.id):
                self._sort(outcome, taken, paid)
                if len(paid) >= STORED_AT_ONCE:
                    await self._commit(paid, taken.batch)
                    paid = {}
        except NoMessage:
            await self._commit(paid, taken.batch)  # what was whole, before it is asked for once more
            raise
        await self._commit(paid, taken.batch)

    def _sort(self, outcome: Outcome, taken: "_Taken", paid: dict[str, Received]) -> None:
        """To what is paid and waited for, or to what else the batch brought."""
        one = self.waiting.get(outcome.key)
        if one is None or not one.is_in(taken.batch):
            taken.others.update([outcome.key] if outcome.content else [])
        elif outcome.is_cancelled:
            taken.cancelled.add(outcome.key)
        elif isinstance(read := outcome.fault or self._read(one, outcome, taken), Fault):
            taken.faults[outcome.key] = read
        else:
            paid[outcome.key] = read

    def _read(self, one: Waiting, outcome: Outcome, taken: "_Taken") -> Received | Fault:
        """What a direct call would have read, or have met."""
        try:
            if outcome.error:
                raise outcome.error
            return self.client.provider.parse(outcome.content, one.call)
        except Exception as error:
            try:
                return self.client.provider.fault(error, one.call)
            except UserError as mistake:  # raised once all else that came is stored
                taken.mistake = taken.mistake or mistake
                return MISSING

    async def _commit(self, paid: dict[str, Received], batch: OpenBatch) -> None:
        """Replies and their cost together; then each settles its call, or is asked for once more."""
        if not paid:
            return
        answers = {key: self._to_answer(key, read, batch) for key, read in paid.items()}
        await self.store.commit(answers.values(), [self._spending(list(paid.values()))])
        for key, answer in answers.items():
            one = self.waiting[key]
            one.read(answer)
            if one.reads == 0:
                self._settle(one)

    def _to_answer(self, key: str, read: Received, batch: OpenBatch) -> StoredReply:
        """As it is stored: with the limit on its length under which the batch asked for it, whatever it is by now."""
        one, longest = self.waiting[key], batch.requests[key].max_tokens
        call = one.call if one.call.max_tokens == longest else replace(one.call, max_tokens=longest)
        return to_answer(call, read, one.reply)

    def _spending(self, paid: list[Received]) -> Spending:
        """Of all of them; what one of them cost may not be known, and then the sum is not."""
        counts, usd = {"calls": len(paid)}, [cost(self.prices, read.tokens) for read in paid]
        for read in paid:
            for kind, tokens in (read.tokens or {}).items():
                counts[kind] = counts.get(kind, 0) + tokens
        known = [value for value in usd if value is not None]
        return self.budget.spending(
            self.client.call.stage, self.model, counts, sum(known) if len(known) == len(usd) else None
        )

    def _count_fault(self, one: Waiting, fault: Fault) -> None:
        """Not billed: it is asked for in the next batch, unless its tries are used up."""
        one.faults.append(fault._replace(reason=without_secrets(fault.reason, self.secrets)))
        if one.call.retries.wait_after(one.faults, initial_backoff=1.0, jitter=1.0) is None:
            self.failed.append(FailedCall(one.call.key, [met.reason for met in one.faults], not fault.is_transient))
            self._settle(one)

    def _settle(self, one: Waiting) -> None:
        del self.waiting[one.call.key]
        self.order.on_answer()


@dataclass
class _Taken:
    """What a batch brought beside the replies that are waited for."""

    batch: OpenBatch
    others: set[str] = field(default_factory=set)
    """Keys of other replies: of calls of other runs, or stored by now."""
    faults: dict[str, Fault] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    mistake: UserError | None = None
    """What its user must mend before any call is asked again, such as a credit that is used up."""


@task(
    name="judge in batches",
    task_run_name="ask {order.judges} in batches",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def judge_in_batches_task(order: Order) -> list[FailedCall]:
    """Asks some of a run's calls in batches, in one task run."""
    return await ask_in_batches(order)
