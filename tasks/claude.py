"""The one way to call Claude: one limit on calls in flight, retries, usage, and the store before anything else.

    async with Claude(store, in_flight=50) as claude:
        reply = await claude.ask(call)

A reply that is held is not asked for again. The key is read from ANTHROPIC_API_KEY by the SDK and kept nowhere else.
"""

import asyncio
import json
import os
import random
from collections import Counter
from typing import Any, NamedTuple

from tasks.catalog import UserError
from tasks.store import Answer, Store, content_key

TRIES = 6
LONGEST_WAIT = 60.0
RETRIED = {408, 409, 429}


class Call(NamedTuple):
    """One question to Claude; its key is a hash of all but the address."""

    model: str
    system: str
    user: str
    schema: dict[str, Any]
    max_tokens: int
    temperature: float | None = None
    base_url: str = ""
    repeat: int = 0

    @property
    def key(self) -> str:
        return content_key(**{name: value for name, value in self._asdict().items() if name != "base_url"})


class Reply(NamedTuple):
    """What came back, word for word."""

    text: str
    stop_reason: str
    model: str
    """The model that the service says it used."""
    attempt: int


class CallFailed(Exception):
    """Every try failed; the message lists the errors in their order."""


class Claude:
    """Shared by all judges of a run, so that one limit holds over all their calls."""

    def __init__(self, store: Store, in_flight: int, patience: float = 1.0):
        self.store = store
        self.usage: Counter[str] = Counter()
        self.patience = patience
        """Seconds before the first retry; each further one waits twice as long."""
        self._slots = asyncio.Semaphore(in_flight)
        self._clients: dict[str, Any] = {}

    async def __aenter__(self) -> "Claude":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.close()

    async def ask(self, call: Call, attempt: int = 0) -> Reply:
        """The reply to this call, paid for now and committed. Raises CallFailed; UserError for a refused key."""
        async with self._slots:
            message = await self._send(call)
        usage = {name: count for name, count in message.usage.model_dump().items() if isinstance(count, int)}
        text = "".join(block.text for block in message.content if block.type == "text")
        body = {"text": text, "stop_reason": message.stop_reason, "model": message.model, "usage": usage}
        self.store.put([Answer(call.key, "judgment", body, attempt)])
        self.usage.update({"calls": 1, **usage})
        return to_reply(Answer(call.key, "judgment", body, attempt))

    async def _send(self, call: Call) -> Any:
        errors: list[str] = []
        while True:
            try:
                return await self._client(call.base_url).messages.create(**_parameters(call))
            except (
                Exception
            ) as error:  # the SDK raises four families of errors; what is not a passing fault is raised again
                wait = self._wait_after(error, len(errors), call)
                errors.append(f"{type(error).__name__}: {error}")
                if len(errors) == TRIES:
                    raise CallFailed(" | ".join(errors)) from None
            await asyncio.sleep(wait)

    def _wait_after(self, error: Exception, tries: int, call: Call) -> float:
        """Seconds until the next try: the service's own retry-after where it gives one, else doubling, with jitter."""
        import anthropic

        status = getattr(error, "status_code", None)
        if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
            raise UserError(
                f"ANTHROPIC_API_KEY: the service refused it for {call.model} ({status}); set a key that may use it"
            ) from None
        if isinstance(error, anthropic.NotFoundError):
            raise UserError(f"the service has no model {call.model!r} ({status}); mend the judge's model") from None
        passing = (
            status in RETRIED
            or (status or 0) >= 500
            or isinstance(error, anthropic.APIConnectionError | json.JSONDecodeError)
        )
        if isinstance(error, anthropic.APIStatusError) and not passing:
            raise CallFailed(f"{type(error).__name__}: {error}") from None
        if not passing and not isinstance(error, anthropic.APIError):
            raise error
        asked = _retry_after(error)
        return min(LONGEST_WAIT, asked if asked is not None else self.patience * 2**tries * random.uniform(0.75, 1.25))

    def _client(self, base_url: str) -> Any:
        if base_url not in self._clients:
            import anthropic

            transport = anthropic.DefaultAioHttpClient()
            self._clients[base_url] = anthropic.AsyncAnthropic(
                base_url=base_url or None, max_retries=0, http_client=transport
            )
        return self._clients[base_url]


def to_reply(answer: Answer) -> Reply:
    """A stored answer as the reply that it was."""
    return Reply(answer.body["text"], answer.body["stop_reason"], answer.body["model"], answer.attempt)


def check_key(judge: str) -> None:
    """Raises UserError where no key is set: the SDK itself would notice only at the first call."""
    if not os.environ.get("ANTHROPIC_API_KEY"):
        raise UserError(
            f"ANTHROPIC_API_KEY is not set and the judge {judge!r} asks Claude: export it, or choose an offline judge "
            "(judging.judges=[lexicon])"
        )


def _parameters(call: Call) -> dict[str, Any]:
    system = [{"type": "text", "text": call.system, "cache_control": {"type": "ephemeral"}}]
    extra = {} if call.temperature is None else {"extra_body": {"temperature": call.temperature}}
    return {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "system": system,
        "messages": [{"role": "user", "content": call.user}],
        "output_config": {"format": {"type": "json_schema", "schema": call.schema}},
        **extra,
    }


def _retry_after(error: Exception) -> float | None:
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    return float(value) if value and value.isascii() and value.replace(".", "", 1).isdigit() else None
