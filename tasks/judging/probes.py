"""What is asked of a judge's service before anything is spent: whether it is there, and how its model writes numbers.

    await probe(judges, dispatcher)      # UserError where a judge cannot be asked, or could not be read

Probabilities are read of a reply's first token. Where numbers are several tokens, 80 to 89 all begin with the token 8;
so every number of a scale is tried, once for each service and model.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from tasks.catalog import UserError
from tasks.judging.asking import gather_all
from tasks.judging.calls import TOP, Probe, to_probabilities, to_reply
from tasks.judging.claude import SECRETS
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.providers import to_probe
from tasks.paid.store import content_key
from tasks.schema import Judge
from tasks.services.chat_server import secrets_of
from tasks.services.retries import RetryPolicy
from tasks.services.service import CallFailed

SAY_THE_NUMBER = "Say the number {}."


@dataclass(frozen=True)
class NumberProbe(Probe):
    """A call of one token that shows whether a model writes a number as one token; one for all runs."""

    retries: ClassVar[RetryPolicy] = RetryPolicy()

    number: int = 0

    @cached_property
    def key(self) -> str:
        """Another one for each service, model and number."""
        return content_key(probe=self.address, model=self.model, served_by=self.served_by, number=self.number)


async def probe(judges: Sequence[Judge], dispatcher: Dispatcher) -> None:
    """Asks each service and model that did not answer its key today, and each scale of probabilities never tried.

    Raises UserError where a service is not there, refuses the key or lacks the model, where it gives no probabilities
    that a judge reads, and where a number of a scale is several tokens. Those services are asked first: they may have
    none, and then no other is paid for its answer.
    """
    reading = [judge for judge in judges if judge.answers == "probabilities"]
    await _reach(reading, dispatcher)
    for judge in reading:
        await check_numbers(judge, dispatcher)
    await _reach(judges, dispatcher)


async def _reach(judges: Sequence[Judge], dispatcher: Dispatcher) -> None:
    """One call to each service and model that did not answer today, with the key that it is sent by now."""
    probes = map(to_probe, judges)
    calls = {call.key: call for call in (replace(call, key_mark=mark_of_key(call)) for call in probes)}
    known = dispatcher.store.get(calls)
    await gather_all(dispatcher.probe(call) for key, call in calls.items() if key not in known)


def mark_of_key(call: Probe) -> str:
    """Another one for nearly every other key: 16 bits of a salted hash, by which no key can be found.

    All variables count that may hold the key: which one the SDK takes is its own matter.
    """
    names = sorted({*SECRETS, *secrets_of(call.key_variable)})
    return content_key(salt=[call.address, call.model], sent=[os.environ.get(name) for name in names])[:4]


async def check_numbers(judge: Judge, dispatcher: Dispatcher) -> None:
    """Raises UserError where a number of the judge's scale is several tokens, with a scale of which none is.

    The highest number goes first: where it is several tokens, only single digits are tried still.
    """
    assert judge.scale, "the schema has seen to it"
    scale = range(judge.scale.low, judge.scale.high + 1)
    whole = await _single_tokens(judge, scale[-1:], dispatcher)
    whole |= await _single_tokens(judge, scale[:-1] if whole else [n for n in scale if 0 <= n <= 9], dispatcher)
    if not (others := [number for number in scale if number not in whole]):
        return
    works = f"{scale[0]} to {others[0] - 1}" if others[0] - scale[0] > 1 else "single digits, as 0 to 9"
    raise UserError(
        f"{judge.model} at {judge.base_url} writes {others[-1]} as several tokens, and the judge {judge.name!r} reads "
        f"the first one alone: give it a scale of {works}, or answers: plain"
    )


async def _single_tokens(judge: Judge, numbers: Iterable[int], dispatcher: Dispatcher) -> set[int]:
    """Those of the numbers that are one token; a reply without probabilities is asked for anew by another run."""
    calls = {call.key: call for call in (_to_number_probe(judge, number) for number in numbers)}
    known = {key: to_reply(answer) for key, answer in dispatcher.store.get(calls).items()}
    missing = [key for key in calls if key not in known or to_probabilities(known[key].text) is None]
    try:
        await gather_all(dispatcher.send(calls[key], known.get(key)) for key in missing)
    except CallFailed as failed:
        raise UserError(_unanswered(judge, failed)) from None
    replies = dispatcher.store.get(calls)
    return {call.number for key, call in calls.items() if _is_whole(call.number, to_reply(replies[key]).text, judge)}


def _to_number_probe(judge: Judge, number: int) -> NumberProbe:
    first = to_probe(judge)
    return NumberProbe(
        provider=first.provider,
        model=first.model,
        system="Answer with a number alone.",
        user=SAY_THE_NUMBER.format(number),
        reminder="",
        max_tokens=1,
        temperature=0.0,
        base_url=first.base_url,
        served_by=first.served_by,
        key_variable=first.key_variable,
        top=TOP,
        address=first.address,
        number=number,
    )


def _is_whole(number: int, reply: str, judge: Judge) -> bool:
    """Whether a reply is likelier to begin with the whole number than with a part of it."""
    if (probabilities := to_probabilities(reply)) is None:
        raise UserError(_without_probabilities(judge, "its reply has none"))
    digits, whole, begun = str(number), 0.0, 0.0
    for token, p in ((token.strip(), p) for token, p in probabilities.items()):
        whole += p if token == digits else 0.0
        begun += p if token and token != digits and digits.startswith(token) else 0.0
    return whole > begun


def _unanswered(judge: Judge, failed: CallFailed) -> str:
    if not failed.is_busy:
        return _without_probabilities(judge, str(failed))
    return (
        f"{judge.base_url} did not say how {judge.model} writes numbers, which the judge {judge.name!r} depends on "
        f"({failed}); what it did say is stored: start the run again when it is less busy"
    )


def _without_probabilities(judge: Judge, why: str) -> str:
    return (
        f"{judge.base_url} gives no probabilities of tokens for {judge.model} ({why}), which the judge {judge.name!r} "
        "reads: give it answers: plain, or a server that has them"
    )
