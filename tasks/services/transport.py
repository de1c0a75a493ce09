"""What services have in common, whatever they speak: connections, odd bodies, and what an error amounts to.

The SDKs of Anthropic and OpenAI are alike: the names of their errors, how a client is set up, how it sends a request.
"""

import json
import os
import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from tasks.catalog import without_login
from tasks.services.retries import TOO_MANY_REQUESTS, Fault
from tasks.services.service import LONGEST_REPLY

TIMEOUT = 180.0
"""Seconds for a connection. A reply has LONGEST_REPLY: no byte of it comes before its last token."""
RETRIED = {408, 409, 429}
"""Statuses below 500 after which the same call may succeed."""
HERE = ("all://localhost", "all://127.0.0.1", "all://[::1]")
"""Addresses of this machine, as an HTTP client has them."""
MOST_TOKENS = 10**9
"""A count above this is a mistake."""
SHORTEST_SECRET = 16
"""A shorter key is a placeholder, such as "none": it may well be a word of an answer."""


class Received(NamedTuple):
    """What one try brought back, word for word."""

    text: str
    """What it says; of a call that asks for probabilities those of its first token, as a JSON object."""
    stop_reason: str
    model: str
    """The model that the service says it used; empty where it says none."""
    tokens: dict[str, int] | None
    """Tokens by kind, or None where the service gives a count that is none, or none at all."""


class NoMessage(Exception):
    """What came back is no message, such as the page of a proxy."""


class SdkClient:
    """Connections to one server, by an SDK's client."""

    def __init__(self, client: Any, path: str):
        """`path` is where calls are posted, below the client's address."""
        import httpx2

        self.sdk, self._path, self._raw_response = client, path, httpx2.Response

    async def send(self, body: dict[str, Any]) -> bytes:
        """The response as it came: the SDK's own models take a fourth of the time, and other servers differ."""
        response: Any = await self.sdk.post(self._path, body=body, cast_to=self._raw_response)
        return bytes(response.content)

    async def close(self) -> None:
        """Closes the connections."""
        await self.sdk.close()


def settings(sdk: Any, connections: int) -> dict[str, Any]:
    """Of an SDK's client for so many calls at once: no retries of its own, and no key to where a redirect leads.

    What is meant for this machine goes to no proxy of the environment.
    """
    import httpx2

    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    directly = dict.fromkeys(HERE)
    patience = httpx2.Timeout(LONGEST_REPLY, connect=TIMEOUT)
    own: dict[str, Any] = {"timeout": patience, "limits": limits, "verify": _certificates()}
    transport = sdk.DefaultAioHttpClient(follow_redirects=False, mounts=directly, **own)
    return {"max_retries": 0, "timeout": patience, "http_client": transport}


@cache
def _certificates() -> ssl.SSLContext:
    """Of those whom connections trust: read once, since that takes a tenth of a second of each client's beginning."""
    import httpx2

    return httpx2.create_ssl_context()


def unsendable(name: str) -> str:
    """Why no request can hold the key in this variable of the environment; nothing where one can."""
    key = os.environ.get(name, "")
    is_sendable = key.isascii() and key.isprintable()
    return "" if is_sendable else f"cannot send {name}: it holds a line break or a letter of no key; export it again"


# ---- reading a body ------------------------------------------------------------------------------


def read_body(content: bytes, to_received: Callable[[Any, str], Received], secrets: Sequence[str]) -> Received:
    """What `to_received` makes of a body's JSON and its text, without the keys in these variables of the environment.

    One that is nested too deep to be read is kept whole as its text. Raises NoMessage where `to_received` raises
    ValueError, and for what is no JSON.
    """
    whole = content.decode("utf-8-sig", "replace")
    try:
        received = to_received(json.loads(whole, parse_int=_to_number), whole)
    except RecursionError:
        return Received(without_secrets(whole, secrets), "", "", None)
    except ValueError:
        raise NoMessage(f"the reply is no message: {without_secrets(whole, secrets)[:200]!r}") from None
    return received._replace(
        text=without_secrets(writable(received.text), secrets),
        stop_reason=without_secrets(writable(received.stop_reason), secrets),
        model=without_secrets(writable(received.model), secrets),
    )


def writable(text: str) -> str:
    """Half of a surrogate pair (a cut emoji) cannot be written to a file: it becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def without_secrets(text: str, names: Iterable[str]) -> str:
    """A server may repeat the key that it was sent: the keys in these variables of the environment are taken out.

    So are they as JSON may write them, with \\/ or \\u002f for a slash.
    """
    for name in names:
        if len(secret := os.environ.get(name, "")) >= SHORTEST_SECRET:
            text = text.replace(secret, f"[{name}]")
            if "\\" in text:
                text = re.sub(_as_json_may_write(secret), f"[{name}]", text)
    return text


@cache
def _as_json_may_write(secret: str) -> str:
    """A pattern; a JSON text within a JSON text has more backslashes than one."""
    return "".join(rf"(?:\\{{0,3}}{re.escape(letter)}|\\{{1,3}}u(?i:{ord(letter):04x}))" for letter in secret)


def as_text(value: Any) -> str:
    """A text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def text_or_empty(value: Any) -> str:
    """A text as it is, and nothing for anything else."""
    return value if isinstance(value, str) else ""


def count(given: Any, is_always_counted: bool) -> int | None:
    """A number of tokens, 0 where a service may leave it out; None where it is missing or no count."""
    if given is None and not is_always_counted:
        return 0
    return given if type(given) is int and 0 <= given < MOST_TOKENS else None


def _to_number(digits: str) -> int | float:
    """Python refuses integers of more than some thousand digits, and with them the whole reply."""
    return int(digits) if len(digits) < 20 else float(digits)


# ---- what goes wrong -----------------------------------------------------------------------------


def to_fault(sdk: Any, error: Exception, reason: str) -> Fault:
    """What an error of this SDK amounts to, for this reason; raises the error itself where it is not the service's."""
    status = getattr(error, "status_code", None)
    if isinstance(error, sdk.APIStatusError):
        is_transient = status in RETRIED or (status or 0) >= 500
        return Fault(reason, is_transient, status, _retry_after(error))
    broken = (sdk.APIConnectionError, sdk.APIResponseValidationError, NoMessage)
    if not isinstance(error, (*broken, sdk.APIError)):
        raise error
    return Fault(reason, isinstance(error, broken), status)


def reason_of(error: Any, body: Any, secrets: Iterable[str]) -> str:
    """What an error with this body says, as `400 BadRequestError: prompt is too long`; the rest of it says little."""
    status, name = getattr(error, "status_code", None), type(error).__name__
    match body:
        case {"error": {"message": str(said)}} if said.strip():
            words = said
        case _:
            words = str(error)
    return without_secrets(f"{status} {name}: {words}" if status else f"{name}: {words}", secrets)


def mistake_of(error: Any, reason: str, model: str, place: str, key: str, owner: str = "the judge's") -> str:
    """What every call of this run would meet at this place, with its remedy; nothing where another call may succeed.

    `key` is the name of the variable whose key was sent; `owner` has the settings that name the model and the place.
    """
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return f"{key}: the service refused it for {model} ({status}); set a key that may use it"
    if status == 404:
        return f"{place} has no model {model!r} (404); mend {owner} model, or its base_url"
    if status == 402 or _is_out_of_credit(status, reason, error):
        return f"{place} wants to be paid first ({reason[:200]}); add credit there and resume the run"
    if status is not None and 300 <= status < 400:
        other = without_login(error.response.headers.get("location", "")) or "another address"
        return f"{place} sends calls on to {other} ({status}), where no key is sent; mend {owner} base_url"
    return ""


def _is_out_of_credit(status: int | None, reason: str, error: Any) -> bool:
    """Anthropic says so with a 400; OpenAI says 429, as if it were too many calls, with a code of its own."""
    is_said = status == 400 and "credit balance" in reason.lower()
    return is_said or (status == TOO_MANY_REQUESTS and getattr(error, "code", None) == "insufficient_quota")


def _retry_after(error: Exception) -> float | None:
    """Seconds, where the response gives them as a number."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    return float(value) if value and value.isascii() and value.replace(".", "", 1).isdigit() else None
