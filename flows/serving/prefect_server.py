"""Prefect's server, guarded, in the foreground: `prefect server start` answers every web page that asks.

    python -m flows.serving.prefect_server --port 4200                     # on loopback
    python -m flows.serving.prefect_server --host 0.0.0.0 --port 4200      # in a container
    python -m flows.serving.prefect_server --fd 3                          # on a socket that listens already

It answers as 127.0.0.1, localhost and [::1], and under the names in PREFECT_API_URL and PREFECT_SERVER_UI_API_URL.
"""

import argparse
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from prefect.server.api.server import create_app
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, get_current_settings

from flows.addresses import checked_address
from flows.serving.guard import Guard
from tasks.catalog import UserError


class WritersInTurn(AioSqliteConfiguration):
    """SQLite in which a transaction waits for the one that writes, where Prefect's own would fail.

    Prefect lets most transactions begin by reading. One that then writes, while another does, is refused at once
    ("database is locked", 503), and whoever asked waits for seconds, then twice as long, before it asks again.
    """

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: Any,
        with_for_update: bool = False,  # noqa: ARG002 - nearly all that ask for a transaction write
    ) -> AsyncGenerator[Any, None]:
        """A transaction that has begun, and may write. A session that is opened within it reads, and waits for none."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            await session.connection()
            before = SQLITE_BEGIN_MODE.set("DEFERRED")
            try:
                yield transaction
            finally:
                SQLITE_BEGIN_MODE.reset(before)


def main() -> None:
    """Serves until it is stopped; ends with a sentence where an address in the settings is none."""
    listening = _listening()
    settings = get_current_settings()
    api = settings.server.api
    given = {"PREFECT_API_URL": settings.api.url, "PREFECT_SERVER_UI_API_URL": settings.server.ui.api_url}
    try:
        addresses = [checked_address(address or "", variable) for variable, address in given.items()]
    except UserError as mistake:
        raise SystemExit(f"prefect_server: {mistake}") from None
    app = create_app(final=True)  # unpacks the UI beside Prefect, for every user of that
    os.umask(0o077)  # the database is for its user alone
    config = uvicorn.Config(
        Guard(app, filter(None, addresses)),
        timeout_keep_alive=api.keepalive_timeout,
        ws_ping_interval=api.websocket_ping_interval,
        ws_ping_timeout=api.websocket_ping_timeout,
        log_level=settings.server.logging_level.lower(),
        timeout_graceful_shutdown=5,  # a page that is open does not keep it
    )
    database = PREFECT_API_DATABASE_CONNECTION_URL.value()
    with temporary_database_config(WritersInTurn(database) if database.startswith("sqlite") else None):
        uvicorn.Server(config).run(sockets=[listening])


def _listening() -> socket.socket:
    parser = argparse.ArgumentParser(prog="python -m flows.serving.prefect_server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--fd", type=int, default=0, help="a file descriptor of a socket that listens already")
    given = parser.parse_args()
    try:
        return socket.socket(fileno=given.fd) if given.fd else socket.create_server((given.host, given.port))
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        parser.error(f"{given.host}:{given.port} cannot be used ({reason}); give another --host or --port")


if __name__ == "__main__":
    main()
