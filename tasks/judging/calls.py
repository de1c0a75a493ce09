"""What is asked and what comes back, for every provider alike: calls, probes, replies, calls that failed.

call = Call("claude", model="claude-sonnet-4-6", system=rubric, user=material, reminder="Answer with a number.")
call.key                  # the same texts have the same key in any process: what the store holds is not asked again
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from tasks.paid.prices import prices
from tasks.paid.store import StoredReply, content_key
from tasks.services.retries import RetryPolicy
from tasks.services.transport import Received

REFUSED = {"refusal", "content_filter"}
CUT_OFF = {"max_tokens", "length", "model_context_window_exceeded"}
"""Why a reply can have ended but by itself, in the words of the Messages API, of chat completions, and of imitators."""
TOP = 20
"""Tokens whose probabilities are asked for: the most that OpenAI's API gives."""
UNREADABLE = "That could not be read. {reminder}"


@dataclass(frozen=True)
class Call:
    """One question to a judge's model.

    Its key is a hash of all but the provider, the address, its key and the longest reply: a reply that ended by itself
    serves any longer limit.
    """

    kind: ClassVar[str] = "judgment"
    stage: ClassVar[str] = "judging"
    """What its cost is counted under."""
    section: ClassVar[str] = "judging"
    """The part of a definition that says how it is asked."""
    retries: ClassVar[RetryPolicy] = RetryPolicy()

    provider: str
    """Who is asked: a name in PROVIDERS, and in data/prices.yaml."""
    model: str
    system: str
    user: str
    reminder: str
    """How to answer, said once more after a reply that could not be read."""
    schema: dict[str, Any] = field(default_factory=dict)
    """JSON schema of the reply; empty: plain text."""
    max_tokens: int = 1024
    temperature: float | None = None
    base_url: str = ""
    repeat: int = 0
    """0, or which repetition of the same question it is, to see how far a judge agrees with itself."""
    seed: int | None = None
    served_by: str = ""
    """Who alone may serve the model, where a service hands calls on to others."""
    key_variable: str = ""
    """The environment variable of the key; empty: the provider's own."""
    top: int = 0
    """0, or of how many tokens the probabilities are asked for: then the reply is those of its first token."""

    @cached_property
    def key(self) -> str:
        """What its reply is stored under: a call that leaves out what came later has the key that it had before."""
        later = {"seed": (self.seed, None), "served_by": (self.served_by, ""), "top": (self.top, 0)}
        return content_key(
            **{name: value for name, (value, left_out) in later.items() if value != left_out},
            model=self.model,
            system=self.system,
            user=self.user,
            schema=self.schema,
            temperature=self.temperature,
            repeat=self.repeat,
        )

    def messages(self, previous: "JudgeReply | None") -> list[dict[str, str]]:
        """The turns to send; after a reply that could not be read that reply too, and the reminder."""
        messages = [{"role": "user", "content": self.user}]
        is_shown = previous and not previous.is_refused and not previous.is_cut_off and not self.top
        if previous and is_shown and previous.text.strip():
            messages.append({"role": "assistant", "content": previous.text})
            messages.append({"role": "user", "content": UNREADABLE.format(reminder=self.reminder)})
        return messages

    def prices(self) -> dict[str, float]:
        """By the prices of its server's address, or its provider's: US dollars for a million tokens of each kind."""
        return prices(self.provider, self.model, self.base_url)

    def most_cost(self, known: dict[str, float]) -> float:
        """US dollars if every byte were a token and the reply as long as it may be: no call can cost more."""
        size = len(f"{self.system}{self.user}{self.reminder}{self.schema}".encode()) + self.max_tokens
        dearest = max(known.get("input", 0), known.get("cache_write", 0))
        return (size * dearest + self.max_tokens * known.get("output", 0)) / 1e6


@dataclass(frozen=True)
class Probe(Call):
    """A first tiny call, to see whether a service is there, takes the key and has the model.

    One a day for all runs with that key.
    """

    kind: ClassVar[str] = "probe"
    retries: ClassVar[RetryPolicy] = RetryPolicy(max_tries=3, max_throttled_tries=1)

    address: str = ""
    """The service in words, its own address where it has one."""

    key_mark: str = ""
    """What tells the key that is sent from others, of which it shows nothing."""

    @cached_property
    def key(self) -> str:
        """Another one for each service, model, key and day, and for who is to serve the model."""
        who = {"served_by": self.served_by, "key_variable": self.key_variable, "key_mark": self.key_mark}
        return content_key(probe=self.address, model=self.model, day=datetime.now(UTC).date().isoformat(), **who)


def to_probabilities(text: str) -> dict[str, float] | None:
    """{token: p} of a reply that was asked for probabilities; None where it holds none."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_one = (
        isinstance(held, dict) and bool(held) and all(type(p) in (int, float) and 0 <= p <= 1 for p in held.values())
    )
    return held if is_one else None


class JudgeReply(NamedTuple):
    """A reply as the store keeps it."""

    text: str
    stop_reason: str
    model: str
    """The model that the service says it used."""
    attempt: int
    """Counted from 0: which reply to this call it is."""
    max_tokens: int
    """The longest that it could have been."""

    @property
    def is_refused(self) -> bool:
        """Whether the model declined to answer."""
        return self.stop_reason in REFUSED

    @property
    def is_cut_off(self) -> bool:
        """Whether it ended because it was too long."""
        return self.stop_reason in CUT_OFF


def to_reply(answer: StoredReply) -> JudgeReply:
    """A stored answer as the reply that it was."""
    body = answer.body
    return JudgeReply(body["text"], body["stop_reason"], body["model"], answer.attempt, body["max_tokens"])


def to_answer(call: Call, received: Received, previous: JudgeReply | None) -> StoredReply:
    """What came back as it is stored, however it came; `previous` is the reply before it."""
    body = {
        "text": received.text,
        "stop_reason": received.stop_reason,
        "model": received.model or call.model,
        "usage": received.tokens,
        "max_tokens": call.max_tokens,
    }
    return StoredReply(call.key, call.kind, body, previous.attempt + 1 if previous else 0)


class FailedCall(NamedTuple):
    """A call that got no reply, and what each try met."""

    key: str
    errors: list[str]
    is_refused: bool = False
    """Whether the same call would be refused again."""
