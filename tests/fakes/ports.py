"""Ports for servers that must be told theirs."""

import os
import socket
from contextlib import suppress


def free_port() -> int:
    """A port whose neighbour is free too, below those that the system hands out to connections meanwhile."""
    for port in range(20_000 + os.getpid() % 5_000 * 2, 32_000, 2):
        with socket.socket() as one, socket.socket() as next_one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            next_one.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two free ports below 32000")
