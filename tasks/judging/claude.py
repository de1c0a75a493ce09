"""The one way to call Claude: limits, retries, usage, cost, and the store before anything else.

    async with Claude(store, in_flight=50) as claude:
        reply = await claude.ask(call)

A reply is committed before it counts, and what can never succeed (a refused key, a spent budget, a store that cannot be
written) ends every later call. Keys are read from the environment and kept nowhere: ANTHROPIC_API_KEY (or what
else the SDK finds) for Anthropic and for ANTHROPIC_BASE_URL; for a server that a judge names SPILLOVER_JUDGE_KEY, so
that no definition can send a key of Anthropic's elsewhere.
"""

import asyncio
import os
import random
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from tasks.catalog import UserError, address_in_environment, without_login
from tasks.judging.limits import Limit, Outage
from tasks.judging.replies import CUT_OFF, REFUSED, NoMessage, Received, read_message
from tasks.paid.budget import Budget
from tasks.paid.prices import cost, prices
from tasks.paid.store import Answer, Spending, Store, content_key

TRIES = 6
MOST_TOO_MANY = 40
"""Tries of one call that are told "too many" before it has failed: at the longest waits, more than half an hour."""
LONGEST_WAIT = 60.0
TIMEOUT = 180.0
"""Seconds without a byte after which a try is over."""
LONGEST_REPLY = 600.0
"""Seconds after which a try is over, however it drips; the service itself allows no longer reply in one piece."""
TOO_MANY = {429, 529}
RETRIED = {408, 409, 429}
SPARE_FILES = 256
"""Files that may be open beside the connections."""
SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "SPILLOVER_JUDGE_KEY")
SHORTEST_SECRET = 16
"""A shorter key is a placeholder, such as "none": it may well be a word of an answer."""
UNREADABLE = "That could not be read. {again}"


@dataclass(frozen=True)
class Call:
    """One question to Claude; its key is a hash of all but the address and the longest reply: one that ended by itself
    serves any longer limit."""

    kind: ClassVar[str] = "judgment"
    tries: ClassVar[int] = TRIES
    most_too_many: ClassVar[int] = MOST_TOO_MANY

    model: str
    system: str
    user: str
    again: str
    """What is said after a reply that could not be read."""
    schema: dict[str, Any] = field(default_factory=dict)
    """JSON schema of the reply; empty: plain text."""
    max_tokens: int = 1024
    temperature: float | None = None
    base_url: str = ""
    repeat: int = 0
    """0, or which repetition of the same question it is, to see how far a judge agrees with itself."""

    @cached_property
    def key(self) -> str:
        return content_key(
            model=self.model,
            system=self.system,
            user=self.user,
            schema=self.schema,
            temperature=self.temperature,
            repeat=self.repeat,
        )

    def prices(self) -> dict[str, float]:
        """By the prices of its server's address, or Anthropic's: US dollars for a million tokens of each kind."""
        return prices("claude", self.model, self.base_url)

    def most_cost(self, known: dict[str, float]) -> float:
        """Its cost if every byte were a token and the reply as long as it may be: no call can cost more."""
        size = len(f"{self.system}{self.user}{self.again}{self.schema}".encode()) + self.max_tokens
        dearest = max(known.get("input", 0), known.get("cache_write", 0))
        return (size * dearest + self.max_tokens * known.get("output", 0)) / 1e6


@dataclass(frozen=True)
class Probe(Call):
    """A first tiny call, to see whether a service is there, takes the key and has the model; one a day for all runs."""

    kind: ClassVar[str] = "probe"
    tries: ClassVar[int] = 3
    most_too_many: ClassVar[int] = 1

    @cached_property
    def key(self) -> str:
        return content_key(probe=address_of(self.base_url), model=self.model, day=datetime.now(UTC).date().isoformat())


def to_probe(model: str, base_url: str) -> Probe:
    return Probe(model, "Answer in one word.", "Are you there?", "", max_tokens=16, base_url=base_url)


class Reply(NamedTuple):
    """What came back, word for word."""

    text: str
    stop_reason: str
    model: str
    """The model that the service says it used."""
    attempt: int
    max_tokens: int
    """The longest that it could have been."""


class CallFailed(Exception):
    """Every try failed; `errors` lists what each one met, in their order."""

    def __init__(self, errors: list[str], is_busy: bool = False):
        super().__init__(errors[-1])
        self.errors, self.is_busy = errors, is_busy
        """is_busy: the service is there, and had too much to do or a fault of its own."""


class ServiceDown(UserError):
    """The service was down for longer than judging.max_outage."""


class Claude:
    """Shared by all judges of a run, so that one limit and one budget hold over all their calls."""

    def __init__(
        self,
        store: Store,
        in_flight: int,
        budget: Budget | None = None,
        max_outage: float = 1800,
        say: Callable[[str], None] = lambda words: None,
        patience: float = 1.0,
    ):
        self.store, self.say, self.patience = store, say, patience
        """patience: seconds before the first retry; each further one waits twice as long."""
        self.budget = budget or Budget(store, "")
        self.limit = Limit(in_flight)
        self.max_outage = max_outage
        self._clients: dict[str, Any] = {}
        self._outages: dict[str, Outage] = {}
        self._known_prices: dict[tuple[str, str], dict[str, float]] = {}
        self._stopped: UserError | None = None

    async def __aenter__(self) -> "Claude":
        _allow_open_files(self.limit.most + SPARE_FILES)
        loop = asyncio.get_running_loop()
        self.store.say = lambda words: loop.call_soon_threadsafe(self.say, words)  # it speaks from its own thread
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.close()

    async def ask(self, call: Call, before: Reply | None = None) -> Reply:
        """The reply to this call, paid for now and committed; Claude sees what it replied before, and why again.

        Raises CallFailed; UserError for what no later call would be spared (a refused key, no credit, a service that
        stays down, a spent budget, a store that cannot be written), and then for every later call too: those under
        way are heard to their end, no other is sent.
        """
        try:
            return to_reply(await self._send(call, before))
        except UserError as error:
            self._stopped = self._stopped or error
            raise

    async def probe(self, call: Probe) -> None:
        """Raises UserError where the service does not answer, refuses the key or has no such model.

        A service that is there and has too much to do is waited for later, when there is something to ask.
        """
        try:
            await self.ask(call)
        except CallFailed as failed:
            if not failed.is_busy:
                raise UserError(
                    f"{address_of(call.base_url)} does not answer a first call for {call.model} ({failed}); nothing is "
                    "spent: start the service, or mend the judge's base_url or model"
                ) from None

    def _answer(self, call: Call, received: Received, before: Reply | None) -> tuple[Answer, Spending]:
        body = {
            "text": _without_secrets(received.text),
            "stop_reason": received.stop_reason,
            "model": received.model or call.model,
            "usage": received.tokens,
            "max_tokens": call.max_tokens,
        }
        counts, usd = {"calls": 1, **(received.tokens or {})}, cost(self._prices(call), received.tokens)
        spent = self.budget.spending("judging", call.model, counts, usd)
        return Answer(call.key, call.kind, body, before.attempt + 1 if before else 0), spent

    def _prices(self, call: Call) -> dict[str, float]:
        place = (call.model, call.base_url)
        if place not in self._known_prices:
            self._known_prices[place] = call.prices()
        return self._known_prices[place]

    async def _send(self, call: Call, before: Reply | None) -> Answer:
        """The call counts as under way until its reply is committed: a kill, or a store that fails, costs no more."""
        outage, met = self._outage(call.base_url), _Met([])
        most = call.most_cost(self._prices(call)) if self.budget.cap else 0.0
        while True:
            turn = self.limit.turn(again=bool(met.errors) or before is not None)
            async with turn, self.budget.reserve(most), self._while_the_service_is_there(outage):
                sent = time.monotonic()
                try:
                    received = await self._ask_service(call, before)
                except Exception as error:  # four families of errors
                    wait = self._wait_after(self._fault(error, call, outage), call, met, sent, outage)
                else:
                    self.limit.answered()
                    outage.is_there()
                    answer, spent = self._answer(call, received, before)
                    await self.store.commit([answer], [spent])
                    return answer
            await asyncio.sleep(wait)

    def _fault(self, error: Exception, call: Call, outage: Outage) -> "_Fault":
        """Raises what is no fault of the service; other calls that wait for this one's word go on."""
        try:
            return _fault(error, call)
        except Exception:
            outage.is_there()
            raise

    def _wait_after(self, fault: "_Fault", call: Call, met: "_Met", sent: float, outage: Outage) -> float:
        """Seconds until the next try: the service's own retry-after where it gives one, else doubling, with jitter.

        Raises CallFailed for what no further try would change, and after as many tries as the call has. That the
        service has too much to do is not the call's fault, and is counted apart.
        """
        was_down, first = outage.since is not None, not met.errors
        if fault.status in TOO_MANY:
            self.limit.throttled(sent, min(LONGEST_WAIT, fault.retry_after or 0.0))
        if fault.status == 429 or not fault.passes:
            outage.is_there()
        else:
            outage.failed(first, reason=fault.words[:120])
        if was_down and fault.passes:
            return 0.0
        met.errors.append(fault.words)
        if fault.status in TOO_MANY:
            met.too_many += 1
        if not fault.passes or len(met.errors) - met.too_many == call.tries or met.too_many == call.most_too_many:
            raise CallFailed(met.errors, fault.passes and fault.status is not None) from None
        doubling = self.patience * 2 ** (len(met.errors) - 1) * random.uniform(0.75, 1.25)
        return min(LONGEST_WAIT, fault.retry_after or doubling)

    async def _ask_service(self, call: Call, before: Reply | None) -> Received:
        """The message as it came: the SDK's models take a fourth of the time, and other servers differ."""
        import httpx2

        body = _body(call, before)
        async with asyncio.timeout(LONGEST_REPLY):
            reply = await self._client(call.base_url).post("/v1/messages", body=body, cast_to=httpx2.Response)
        return read_message(reply.content)

    @asynccontextmanager
    async def _while_the_service_is_there(self, outage: Outage) -> AsyncIterator[None]:
        """Waits for a service that is down. Raises anew, for each call, what has ended all of them."""
        async with outage.asking() as is_there:
            if self._stopped:
                raise type(self._stopped)(str(self._stopped)) from None
            if not is_there:
                raise ServiceDown(
                    f"{outage.name} has been down for over {self.max_outage:,.0f} s (judging.max_outage); nothing is "
                    "lost: resume the run when it is back"
                )
            yield

    def _client(self, base_url: str) -> Any:
        if base_url not in self._clients:
            import anthropic
            import httpx2

            limits = httpx2.Limits(max_connections=self.limit.most, max_keepalive_connections=self.limit.most)
            transport = anthropic.DefaultAioHttpClient(timeout=TIMEOUT, limits=limits, follow_redirects=False)
            settings: dict[str, Any] = {"max_retries": 0, "timeout": TIMEOUT, "http_client": transport}
            settings["open_telemetry"] = False
            if base_url:
                settings |= {"base_url": base_url, "api_key": os.environ.get("SPILLOVER_JUDGE_KEY") or "none"}
            self._clients[base_url] = anthropic.AsyncAnthropic(**settings)
        return self._clients[base_url]

    def _outage(self, base_url: str) -> Outage:
        if base_url not in self._outages:
            self._outages[base_url] = Outage(address_of(base_url), self.max_outage, 2 * self.patience, self.say)
        return self._outages[base_url]


def to_reply(answer: Answer) -> Reply:
    """A stored answer as the reply that it was."""
    body = answer.body
    return Reply(body["text"], body["stop_reason"], body["model"], answer.attempt, body["max_tokens"])


def address_of(base_url: str) -> str:
    """Where the calls of a judge go, in words."""
    return base_url or os.environ.get("ANTHROPIC_BASE_URL") or "the service of Claude"


def check_key(judge: str, base_url: str = "") -> None:
    """Raises UserError where no key is set, or the address is none: the SDK would notice only at the first call."""
    if not base_url:
        address_in_environment("ANTHROPIC_BASE_URL", "/v1/messages")
    if base_url or os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return
    raise UserError(
        f"ANTHROPIC_API_KEY is not set and the judge {judge!r} asks Claude: export it, or choose an offline judge "
        "(judging.judges=[lexicon])"
    )


def _refused_key(call: Call, status: int | None) -> str:
    name = "SPILLOVER_JUDGE_KEY" if call.base_url else "ANTHROPIC_API_KEY"
    return f"{name}: the service refused it for {call.model} ({status}); set a key that may use it"


class _Fault(NamedTuple):
    words: str
    status: int | None
    passes: bool
    """Whether the same call may succeed later: too many calls, a fault of the server's, a lost or broken reply."""
    retry_after: float | None


@dataclass
class _Met:
    """What one call has met so far."""

    errors: list[str]
    too_many: int = 0


def _fault(error: Exception, call: Call) -> _Fault:
    """Raises UserError for what its user must mend, and the error itself where it is none of the service's."""
    import anthropic

    if isinstance(error, TimeoutError):
        return _Fault(f"no whole reply within {LONGEST_REPLY:,.0f} s", None, True, None)
    status, words = getattr(error, "status_code", None), _without_secrets(_reason(error))
    if mistake := _mistake(status, words, error, call):
        raise UserError(mistake) from None
    if isinstance(error, anthropic.APIStatusError):
        passes = status in RETRIED or (status or 0) >= 500
        return _Fault(words, status, passes, _retry_after(error))
    broken = (anthropic.APIConnectionError, anthropic.APIResponseValidationError, NoMessage)
    if not isinstance(error, (*broken, anthropic.APIError)):
        raise error
    return _Fault(words, status, isinstance(error, broken), None)


def _reason(error: Any) -> str:
    """As `400 BadRequestError: prompt is too long`: tables show the beginning, and the rest of a body says nothing."""
    status, name = getattr(error, "status_code", None), type(error).__name__
    match getattr(error, "body", None):
        case {"error": {"message": str(said)}} if said.strip():
            words = said
        case _:
            words = str(error)
    return f"{status} {name}: {words}" if status else f"{name}: {words}"


def _mistake(status: int | None, words: str, error: Any, call: Call) -> str:
    """What no call of this run would be spared, with its remedy; nothing where another call may succeed."""
    place = address_of(call.base_url)
    if status in (401, 403):
        return _refused_key(call, status)
    if status == 404:
        return f"{place} has no model {call.model!r} (404); mend the judge's model, or its base_url"
    if status == 402 or (status == 400 and "credit balance" in words.lower()):
        return f"{place} wants to be paid first ({words[:200]}); add credit there and resume the run"
    if status is not None and 300 <= status < 400:
        other = without_login(error.response.headers.get("location", "")) or "another address"
        return f"{place} sends calls on to {other} ({status}), where no key is sent; mend the judge's base_url"
    return ""


def _body(call: Call, before: Reply | None) -> dict[str, Any]:
    messages = [{"role": "user", "content": call.user}]
    if before and before.stop_reason not in REFUSED | CUT_OFF and before.text.strip():
        messages.append({"role": "assistant", "content": before.text})
        messages.append({"role": "user", "content": UNREADABLE.format(again=call.again)})
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "system": [{"type": "text", "text": call.system, "cache_control": {"type": "ephemeral"}}],
        "messages": messages,
    }
    if call.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": call.schema}}
    if call.temperature is not None:
        body["temperature"] = call.temperature
    return body


def _without_secrets(text: str) -> str:
    """A server may repeat what it was sent."""
    for name in SECRETS:
        if len(secret := os.environ.get(name, "")) >= SHORTEST_SECRET:
            text = text.replace(secret, f"[{name}]")
    return text


def _retry_after(error: Exception) -> float | None:
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    return float(value) if value and value.isascii() and value.replace(".", "", 1).isdigit() else None


def _allow_open_files(count: int) -> None:
    """Each connection is an open file, of which many systems allow 1,024 unless they are asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count and soft != resource.RLIM_INFINITY:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
