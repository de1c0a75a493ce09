"""A server of chat completions: which key it is sent, the client that asks it, and what its replies hold.

    async with ChatServer("http://127.0.0.1:8000/v1", "SPILLOVER_SAMPLING_KEY", who="training") as server:
        completion = await server.ask("/chat/completions", {"model": "qwen", "messages": [...]})

A key is sent to its own server alone: a definition of someone else's names a server, and must not be able to name a key
that is not meant for it. OPENAI_API_KEY goes to OpenAI; what a definition names in `key_variable` is the key of a
service in KEYS, or is named SPILLOVER_..._KEY; any other server is sent SPILLOVER_JUDGE_KEY or, where it samples,
SPILLOVER_SAMPLING_KEY. On this machine none is needed.
"""

import ipaddress
import json
import logging
import math
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.catalog import UserError
from tasks.services.retries import Fault
from tasks.services.service import CallFailed, Service, allow_open_files
from tasks.services.transport import (
    TIMEOUT,
    NoMessage,
    SdkClient,
    count,
    mistake_of,
    reason_of,
    settings,
    text_or_empty,
    to_fault,
    unsendable,
    without_secrets,
    writable,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PATH = "/chat/completions"
IN_FLIGHT = 64
"""Requests at once to a server that samples; fewer while it says that it is too many."""
FIRST_RETRY = 1.0
"""Seconds until a request that failed is sent again; twice as many after each further failure."""
LONGEST_SAMPLE = 1800.0
"""Seconds for a reply: no byte of it comes before its last token, and a small server has most requests wait in line."""
LONGEST_LIST = 20.0
"""Seconds for a server's list of its models."""
OPENROUTER = "openrouter.ai"
KEYS = {"OPENAI_API_KEY": "api.openai.com", "OPENROUTER_API_KEY": OPENROUTER, "TOGETHER_API_KEY": "api.together.xyz"}
"""Services whose keys have names that everyone knows: each goes to this host, and to no other."""
OURS = re.compile(r"SPILLOVER_(\w+_)?KEY")
"""How any other key is named that a definition may name: SPILLOVER_STORE holds a password, and is none."""


# ---- key and address -----------------------------------------------------------------------------


def objection(base_url: str, key_variable: str) -> str:
    """Why a server cannot be asked with the key in this variable; nothing where it can."""
    host, name = host_of(base_url), key_name(base_url, key_variable)
    if KEYS.get(name, host) != host:
        return f"would send {name} to {host}, and it is meant for {KEYS[name]} alone; name another key_variable"
    if name not in KEYS and not OURS.fullmatch(name):
        known = ", ".join(KEYS)
        return f"names {name} as its key, which may be meant for another service; name it SPILLOVER_..._KEY, or {known}"
    if name in KEYS and urlsplit(base_url).scheme.lower() != "https":
        return f"would send {name} to {base_url}, where all on the way can read it; write https://"
    if problem := unsendable(name):
        return problem
    if not os.environ.get(name) and not _is_here(host):
        return f"asks {base_url}, and {name} is not set: export it (any word, where that server wants no key)"
    return ""


def key_name(base_url: str, key_variable: str) -> str:
    """The environment variable whose key a server is sent."""
    return key_variable or _key_of(base_url, "SPILLOVER_JUDGE_KEY")


def key_of_sampler(base_url: str) -> str:
    """The variable whose key a server is sent that samples, where no other is named."""
    return _key_of(base_url, "SPILLOVER_SAMPLING_KEY")


def _key_of(base_url: str, other: str) -> str:
    return "OPENAI_API_KEY" if host_of(base_url) == KEYS["OPENAI_API_KEY"] else other


def host_of(base_url: str) -> str:
    """The server's name in lower case."""
    return (urlsplit(base_url).hostname or "").lower()


def _is_here(host: str) -> bool:
    """Whether it is this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def sdk_client(base_url: str, key_variable: str, connections: int, who: str = "a judge") -> "AsyncOpenAI":
    """A client; what it takes from the environment is between its user and OpenAI, and goes to no other server.

    Raises UserError, of `who`, for a key that is not meant for the server.
    """
    import openai

    if problem := objection(base_url, key_variable):
        raise UserError(f"{who} {problem}")
    key = os.environ.get(key_name(base_url, key_variable)) or "none"
    sdk = openai.AsyncOpenAI(base_url=base_url, api_key=key, **settings(openai, connections))
    if host_of(base_url) != KEYS["OPENAI_API_KEY"]:
        sdk.organization = sdk.project = None
        sdk._custom_headers = {}
    return sdk


# ---- reading -------------------------------------------------------------------------------------


def text_of(message: dict[str, Any], whole: str) -> tuple[str, str]:
    """What a message says, and its refusal; of one whose content is odd, or that only thought, the whole body."""
    text, refusal = message.get("content"), text_or_empty(message.get("refusal"))
    said = text_or_empty(text)
    if said.strip() or refusal:
        return said or refusal, refusal
    is_silent = "content" in message and isinstance(text, str | None)
    is_all = is_silent and not any(value for name, value in message.items() if name not in ("role", "content"))
    return said if is_all else whole or said, refusal


def first_token(logprobs: Any) -> dict[str, float]:
    """{token: p} of what the first token may be, the likeliest first; nothing where the service gives none."""
    match logprobs:
        case {"content": [{"top_logprobs": [*given]} as chosen, *_]}:
            found: dict[str, float] = {}
            for alternative in given or [chosen]:
                match alternative:
                    case {"token": str(token), "logprob": int() | float() as logprob} if not math.isnan(logprob):
                        # Several tokens may be written alike, as parts of a character that is no text.
                        found[token] = min(1.0, found.get(token, 0.0) + math.exp(min(logprob, 0.0)))
            return found
    return {}


def tokens_of(usage: Any) -> dict[str, int] | None:
    """Tokens by kind, or None where a count is missing or is no count; what a cache holds is part of the prompt."""
    given = usage if isinstance(usage, dict) else {}
    details = given.get("prompt_tokens_details")
    parts = details if isinstance(details, dict) else {}
    read, written = (
        count(parts.get(name), is_always_counted=False) for name in ("cached_tokens", "cache_write_tokens")
    )
    asked, said = (count(given.get(name), is_always_counted=True) for name in ("prompt_tokens", "completion_tokens"))
    if asked is None or said is None or read is None or written is None or read + written > asked:
        return None
    return {"input": asked - read - written, "output": said, "cache_read": read, "cache_write": written}


# ---- what goes wrong -----------------------------------------------------------------------------


def secrets_of(key_variable: str) -> tuple[str, ...]:
    """The variables of the environment whose keys a server of chat completions may have been sent."""
    return (*KEYS, "SPILLOVER_JUDGE_KEY", *filter(None, [key_variable]))


def fault_of(error: Exception, model: str, base_url: str, key_variable: str, owner: str = "the judge's") -> Fault:
    """What an error amounts to; `owner` has the settings that name the model and the place.

    Raises UserError for what its user must mend, and the error itself where it is none of the service's.
    """
    import openai

    status = getattr(error, "status_code", None)
    reason = reason_of(error, {"error": getattr(error, "body", None)}, secrets_of(key_variable))
    if status == 404:
        raise UserError(
            f"{base_url} has nothing for {model!r} ({reason[:200]}); mend {owner} model, provider or base_url, which "
            "mostly ends in /v1"
        ) from None
    is_moderation = status == 403 and host_of(base_url) == OPENROUTER  # a text was flagged, and only that one
    key = key_name(base_url, key_variable)
    if not is_moderation and (mistake := mistake_of(error, reason, model, base_url, key, owner)):
        raise UserError(mistake) from None
    return to_fault(openai, error, reason)


def status_error(status: int, body: Any) -> Exception:
    """What the SDK raises of a response of this status with this body."""
    import httpx2
    import openai

    said = body.get("error", body) if isinstance(body, dict) else body
    response = httpx2.Response(status, request=httpx2.Request("POST", PATH))
    return openai.APIStatusError(json.dumps(said)[:200], response=response, body=said)


# ---- a server that samples -----------------------------------------------------------------------


class Refused(UserError):
    """The server would refuse the same request again, for the reason that it gives."""


class ChatServer:
    """Asked within one limit, waited for while it is down, and asked again after faults; for a `with` statement."""

    def __init__(self, base_url: str, key_variable: str, who: str):
        """`who` names in the definition what asks, as "training". Raises UserError for a key not meant for it."""
        import httpx2

        allow_open_files(IN_FLIGHT)
        self.base_url, self._key_variable, self._who = base_url, key_variable, who
        self._sdk = sdk_client(base_url, key_variable, IN_FLIGHT, who)
        self._sdk.timeout = httpx2.Timeout(LONGEST_SAMPLE, connect=TIMEOUT)
        warn = logging.getLogger(__name__).warning
        self._service = Service(
            base_url, IN_FLIGHT, warn=warn, initial_backoff=FIRST_RETRY, longest_reply=LONGEST_SAMPLE
        )
        self._stopped: UserError | None = None

    async def __aenter__(self) -> "ChatServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sdk.close()

    async def models(self) -> list[dict[str, Any]] | None:
        """What GET /models lists; None of a server without such a list.

        Raises UserError where there is no server, or it refuses the key.
        """
        import httpx2
        import openai

        # A copy of the client, as with_options makes one, would read OpenAI's headers from the environment again.
        try:
            listed = await self._sdk.get("/models", cast_to=httpx2.Response, options={"timeout": LONGEST_LIST})
            found = json.loads(listed.content)["data"]
            return [model for model in found if isinstance(model.get("id"), str)]
        except openai.APIConnectionError as error:
            why = str(error.__cause__ or error)
            raise UserError(
                f"no server answers at {self.base_url} ({why[:200]}); start it, or mend {self._who}.base_url"
            ) from None
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                self._fault(error, "its list of models")
            return None
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The completion that it replies, with one answer or more, without keys that it may repeat.

        A reply without any, or with an error in its place, is asked for again. Raises Refused; UserError for what no
        later request would be spared, and then for every later one too.
        """
        client, secrets = SdkClient(self._sdk, path), secrets_of(self._key_variable)

        async def send() -> dict[str, Any]:
            text = without_secrets(writable((await client.send(body)).decode("utf-8-sig", "replace")), secrets)
            try:
                completion = json.loads(text)
            except (ValueError, RecursionError):
                completion = None
            if not _has_answers(completion):
                raise NoMessage(f"the reply is no answer: {text[:200]!r}")
            return dict(completion)

        try:
            return await self._service.ask(send, self._to_fault(body), _as_it_is, allowed=self._allowed)
        except CallFailed as failed:
            if failed.is_refused:
                raise Refused(f"{self.base_url} refuses what it is asked of {body.get('model')!r} ({failed})") from None
            self._stopped = self._stopped or UserError(
                f"{self.base_url} does not answer ({failed}); nothing is lost: resume the run when it does"
            )
            raise self._stopped from None
        except UserError as error:
            self._stopped = self._stopped or error
            raise

    async def reply_to(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Status and text of the reply, whatever they are, asked for once. Raises UserError where there is no reply."""
        import openai

        try:
            return 200, (await SdkClient(self._sdk, path).send(body)).decode("utf-8", "replace")
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                self._fault(error, path)
            return error.status_code, without_secrets(error.response.text, secrets_of(self._key_variable))
        except openai.APIConnectionError as error:
            raise UserError(f"{self.base_url} does not answer ({error.__cause__ or error}); resume the run") from None

    def _to_fault(self, body: dict[str, Any]) -> Callable[[Exception], Fault]:
        return lambda error: self._fault(error, str(body.get("model", "")))

    def _fault(self, error: Exception, model: str) -> Fault:
        return fault_of(error, model, self.base_url, self._key_variable, f"the {self._who}'s")

    @asynccontextmanager
    async def _allowed(self) -> AsyncIterator[None]:
        """Raises anew, for each request, what has ended all of them."""
        if self._stopped:
            raise type(self._stopped)(str(self._stopped)) from None
        yield


def _has_answers(completion: Any) -> bool:
    """Whether each choice is one: services put an error in the place of an answer, with the status of a success."""
    choices = completion.get("choices") if isinstance(completion, dict) and not completion.get("error") else None
    return isinstance(choices, list) and bool(choices) and all(map(_is_answer, choices))


def _is_answer(choice: Any) -> bool:
    return isinstance(choice, dict) and not choice.get("error") and choice.get("finish_reason") != "error"


async def _as_it_is(reply: dict[str, Any]) -> dict[str, Any]:
    return reply
