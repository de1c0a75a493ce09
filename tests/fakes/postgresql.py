"""A PostgreSQL of Debian's on loopback, in a folder of its own, for as long as a test wants it.

with serve_postgresql("prefect", "answers") as url:        # url("answers")
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.ports import free_port


def programs() -> Path:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert places, "run tests/install_packages.sh first"
    return places[-1].parent


@contextmanager
def serve_postgresql(*databases: str) -> Iterator[Callable[[str], str]]:
    """Gives a function from a database's name to its address.

    Not in pytest's folders: they are closed to the user that Debian's package made, and PostgreSQL refuses to be root.
    """
    is_root = os.getuid() == 0
    as_nobody = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if is_root else []
    with tempfile.TemporaryDirectory(prefix="spillover-postgresql-") as place:
        if is_root:
            shutil.chown(place, "postgres")
        cluster, port = f"{place}/cluster", free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c fsync=off"

        def do(program: str, *arguments: str) -> None:
            command = [*as_nobody, str(programs() / program), *arguments]
            done = subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 0, done.stderr

        do("initdb", "-D", cluster, "-U", "spillover", "--auth=trust", "--encoding=UTF8")
        do("pg_ctl", "-D", cluster, "-o", options, "-l", f"{place}/log", "-w", "start")
        try:
            for name in databases:
                do("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "spillover", name)
            yield lambda name: f"postgresql://spillover@127.0.0.1:{port}/{name}"
        finally:
            do("pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
