"""Where the servers of this machine are, as they were noted in data/prefect, and which addresses may be shown."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import psutil
from pydantic import Field, TypeAdapter

from tasks.catalog import UserError, data_folder
from tasks.schema import check_address


class NotedServer(NamedTuple):
    """Where a server of this machine is, the process that answers there, and whose folder it serves."""

    url: Annotated[str, Field(pattern=r"^http://127\.0\.0\.1:\d{1,5}(/api)?$")]
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    folder: str = ""
    """Empty: not noted, by an earlier version."""

    @property
    def port(self) -> int:
        """The port of its address."""
        return int(self.url.rsplit(":", 1)[1].removesuffix("/api"))

    def is_there(self) -> bool:
        """Whether its process listens there and serves this folder.

        A copied folder holds the note of another folder's server; after a crash another process may have the number.
        """
        if self.folder not in ("", str(prefect_folder())):
            return False
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return self.port in [found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN]


NOTE = TypeAdapter(NotedServer)


def prefect_folder() -> Path:
    """data/prefect, its user's alone: the server's database, log and address, and the results that Prefect keeps.

    Raises UserError where it cannot be made or written to.
    """
    place = data_folder() / "prefect"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        raise UserError(f"{place} cannot be made ({reason}); set SPILLOVER_DATA to a folder of your own") from None
    if not os.access(place, os.W_OK):
        raise UserError(f"{place} cannot be written to; set SPILLOVER_DATA to a folder of your own")
    return place


def address_in(variable: str) -> str:
    """The address in a variable of the environment, without its login; empty where there is none."""
    return checked_address(os.environ.get(variable, ""), variable)


def checked_address(address: str, variable: str) -> str:
    """The address without its login; raises UserError for what is none, which is not shown: it may be a password.

    Whatever stands before the last @ is cut, since passwords hold blanks, slashes and more @.
    """
    bare = re.sub(r"(?is)(https?://|^(?!.*https?://)).*@", r"\1", address)
    try:
        return check_address(bare, variable)
    except ValueError as problem:
        raise UserError(f"{problem}, or unset the variable") from None


def write_note(file: Path, server: NotedServer) -> None:
    """Notes a server for its user alone; the file is whole whenever it is there."""
    new = file.with_suffix(f".{os.getpid()}")
    new.touch(mode=0o600)
    new.write_text(json.dumps(server._asdict()))
    new.replace(file)


def read_note(file: Path) -> NotedServer | None:
    """The server that was noted; a file that holds anything else counts as none."""
    try:
        return NOTE.validate_json(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def reports_served_at(address: str) -> Iterator[None]:
    """Notes meanwhile where the reports of this machine's runs are, for those that link to them."""
    file = prefect_folder() / "reports.json"
    mine = NotedServer(address, os.getpid(), str(prefect_folder()))
    write_note(file, mine)
    try:
        yield
    finally:
        if read_note(file) == mine:
            file.unlink()


def reports_address() -> str:
    """SPILLOVER_REPORTS, or where `spillover serve` shows the reports; empty where nothing does."""
    if given := address_in("SPILLOVER_REPORTS"):
        return given
    server = read_note(prefect_folder() / "reports.json")
    return server.url if server and server.is_there() else ""
