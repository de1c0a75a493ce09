"""Who can be asked to judge: what a provider must be able to do, and the providers that there are.

    PROVIDERS["claude"].check_key(judge)      # a provider has the name of its kind of judge

Another service is one more module like claude.py, its entry in PROVIDERS, and its kind in tasks/schema.py.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Protocol

from tasks.judging import chat, claude
from tasks.judging.calls import Call, JudgeReply, Probe
from tasks.judging.endings import announced_end
from tasks.schema import Judge
from tasks.services.retries import Fault
from tasks.services.transport import Received


class Client(Protocol):
    """Open connections to one address."""

    sdk: Any
    """The client of the service's own SDK."""

    async def send(self, body: dict[str, Any]) -> bytes:
        """One try, without retries of its own: the response's body. Raises what `Provider.fault` explains."""

    async def close(self) -> None:
        """Closes the connections."""


class Provider(Protocol):
    """A module that knows one service: its key and address, and how a call is written, sent, read and fails."""

    TOKEN_KINDS: tuple[str, ...]
    """What is paid for: of these kinds a limit on the cost needs the prices."""

    def check_key(self, judge: Judge) -> None:
        """Raises UserError where the judge cannot be asked, because of a key or an address."""

    def objection(self, base_url: str, key_variable: str, /) -> str:
        """Why a server cannot be asked with the key in this variable, in words that follow who asks; or nothing."""

    def address_of(self, base_url: str) -> str:
        """Where the calls go, in words."""

    async def shutdown_date(self, judge: Judge, /) -> date | None:
        """The day on which the judge's model ends, where the service says so."""

    def client(self, call: Call, connections: int) -> Client:
        """A client for so many calls at once to where this one goes."""

    def body(self, call: Call, previous: JudgeReply | None) -> dict[str, Any]:
        """The request; `previous` is a reply to the same call that could not be read."""

    def parse(self, content: bytes, call: Call, /) -> Received:
        """The reply, whatever it holds: it is paid. Raises what `fault` explains for what is no reply at all."""

    def fault(self, error: Exception, call: Call) -> Fault:
        """What an error of `send` or `parse` amounts to.

        Raises UserError for what its user must mend, and the error itself where it is none of the service's.
        """


PROVIDERS: dict[str, Provider] = {"claude": claude, "chat": chat}


def check_key(judge: Judge) -> None:
    """Raises UserError where a judge cannot be asked: without a key, or at an address that is none."""
    PROVIDERS[judge.kind].check_key(judge)


def token_kinds(judge: Judge) -> tuple[str, ...]:
    """What is paid for by the token where this judge is asked."""
    return PROVIDERS[judge.kind].TOKEN_KINDS


async def endings(judges: Iterable[Judge]) -> list[str]:
    """A sentence for each model of judges that is announced to end, by its service or by data/models/served.yaml."""
    models = {(judge.kind, judge.base_url, judge.model): judge for judge in judges}
    said = [announced_end(judge, await PROVIDERS[judge.kind].shutdown_date(judge)) for judge in models.values()]
    return list(filter(None, dict.fromkeys(said)))


def to_probe(judge: Judge) -> Probe:
    """The first tiny call to a judge's service and model."""
    return Probe(
        provider=judge.kind,
        model=judge.model,
        system="Answer in one word.",
        user="Are you there?",
        reminder="",
        max_tokens=16,
        base_url=judge.base_url,
        served_by=judge.provider,
        key_variable=judge.key_variable,
        address=PROVIDERS[judge.kind].address_of(judge.base_url),
    )
