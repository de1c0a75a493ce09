"""Lets only a server's own pages, and programs without a page, ask: what comes from any other page gets 403.

    app = Guard(app, ["https://lab.example"])        # 127.0.0.1, localhost, [::1] and lab.example

A page of any origin may send plain requests to any address and open any WebSocket, whatever CORS says, and the name
that it was loaded from can be bound to loopback later. But its browser tells of both, in `Origin` and `Host`.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ADDED = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"}
"""What a server says of all that it serves: it is what it is called, and no other page may show it as its own."""
WORDS = (
    "Refused: this server does not know the name that it was called by, or the page that asks is not its own;"
    " deployments/README.md says how to give it another name.\n"
)
REFUSALS: dict[str, ASGIApp] = {"http": PlainTextResponse(WORDS, 403), "websocket": WebSocketClose()}
"""A handshake that is closed before it is accepted is answered with 403 too."""


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: ASGIApp, addresses: Iterable[str] = ()) -> None:
        """`addresses`: the URLs under which others find it, by a proxy or in a network of containers.

        Raises ValueError for one without a scheme or a host, of which no name could be learned.
        """
        self.app = app
        known = [urlsplit(address.lower()) for address in addresses]
        hosts = [address.netloc.rpartition("@")[2] for address in known]
        if not all(address.scheme and _name(host) for address, host in zip(known, hosts, strict=True)):
            raise ValueError("an address without http:// or https:// and a host says no name")
        self.names = {*LOOPBACK, *map(_name, hosts)}
        self.origins = {_origin(address.scheme, host) for address, host in zip(known, hosts, strict=True)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers 403; every answer gets the headers of ADDED."""

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ADDED)
            await send(message)

        welcome = scope["type"] == "lifespan" or self._is_welcome(Headers(scope=scope), scope["server"][1])
        await (self.app if welcome else REFUSALS[scope["type"]])(scope, receive, send_more)

    def _is_welcome(self, headers: Headers, port: int) -> bool:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or _name(hosts[0].lower()) not in self.names:
            return False
        own = self.origins | {_origin("http", f"{name}:{port}") for name in LOOPBACK}
        return own.issuperset(origins) if origins else _opens_a_page(headers)


def _opens_a_page(headers: Headers) -> bool:
    """Without an Origin: no browser, a page of its own, or a followed link; no script or frame of another page."""
    here = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return here or headers.get("sec-fetch-dest") == "document"


def _name(host: str) -> str:
    return re.sub(r":\d*$", "", host)


def _origin(scheme: str, host: str) -> str:
    """As a browser writes it: the port that the scheme has by itself is left out."""
    return f"{scheme}://{host.removesuffix({'http': ':80', 'https': ':443'}.get(scheme, ''))}"
