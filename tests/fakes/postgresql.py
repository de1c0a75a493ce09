"""A PostgreSQL of Debian's on loopback, in a folder of its own, for as long as a test wants it.

with serve_postgresql(folder, "prefect", "answers") as url:        # url("answers")
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert places, "run tests/install_packages.sh first"
    return places[-1].parent


@contextmanager
def serve_postgresql(folder: Path, *databases: str) -> Iterator[Callable[[str], str]]:
    """Gives a function from a database's name to its address."""
    as_nobody = _not_as_root(folder)
    cluster, port = folder / "cluster", _free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"

    def do(program: str, *arguments: str) -> None:
        command = [*as_nobody, str(programs() / program), *arguments]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr

    do("initdb", "-D", str(cluster), "-U", "spillover", "--auth=trust", "--encoding=UTF8")
    do("pg_ctl", "-D", str(cluster), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        for name in databases:
            do("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "spillover", name)
        yield lambda name: f"postgresql://spillover@127.0.0.1:{port}/{name}"
    finally:
        do("pg_ctl", "-D", str(cluster), "-m", "immediate", "-w", "stop")


def _not_as_root(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: Debian's package made a user for it."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() != 0:
        return []
    shutil.chown(folder, "postgres")
    for parent in folder.parents:  # pytest's folders are closed to others
        if parent.owner() == "root" and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
