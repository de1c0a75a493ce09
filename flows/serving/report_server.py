"""The reports of all runs, finished or not, on a web server of this machine.

    with serve_reports() as address:         # http://127.0.0.1:4300
        ...                                  # http://127.0.0.1:4300/runs/demo/one

A browser follows no link from a page of the Prefect UI to a file, so what links to a report there needs an address.
"""

import errno
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from flows.addresses import address_in, reports_served_at
from flows.serving.guard import Guard
from flows.serving.server import listen_from
from flows.so_far import state_of, write_so_far
from tasks.catalog import UserError, data_folder
from tasks.report.templates import fill
from tasks.runs import Comparison, Run, all_comparisons, all_runs

FIRST_PORT = 4300
LOOPBACK = "127.0.0.1"


def pages() -> Guard:
    """An index, every run's report or what there is of it so far, and every comparison. Nothing is changed by it."""
    results, comparisons = data_folder() / "results", data_folder() / "comparisons"
    so_far = SoFar()

    def index(_: Request) -> Response:
        return HTMLResponse(fill("reports.html.j2", **_all_there_is(comparisons)))

    def run(request: Request) -> Response:
        here = Run.at(request.path_params["experiment"], request.path_params["run"])
        if here.report.is_file():
            so_far.forget(here)
            return RedirectResponse(f"/files/{quote(here.folder.parent.name)}/{quote(here.name)}/{here.report.name}")
        if not here.definition.is_file():
            raise UserError(f"no run {here.name!r} of {here.folder.parent.name!r}; / lists those that there are")
        return HTMLResponse(so_far.page(here))

    def comparison(request: Request) -> Response:
        here = Comparison(request.path_params["name"])
        return RedirectResponse(f"/comparisons/{quote(here.name)}/{here.page.name}")

    def wrong(_: Request, problem: Exception) -> Response:
        return PlainTextResponse(str(problem), status_code=404)

    def unreadable(_: Request, problem: Exception) -> Response:
        """A name that no file can have is not there either."""
        if getattr(problem, "errno", None) != errno.ENAMETOOLONG:
            raise problem
        return PlainTextResponse("no file has so long a name", status_code=404)

    site = Starlette(
        routes=[
            Route("/", index),
            Route("/runs/{experiment}/{run}", run),
            Mount("/files", Files(directory=results, check_dir=False)),
            Mount("/results", Files(directory=results, check_dir=False)),  # where a study's page finds reports on disk
            Route("/comparisons/{name}", comparison),
            Mount("/comparisons", Files(directory=comparisons, check_dir=False)),
        ],
        exception_handlers={UserError: wrong, OSError: unreadable},
    )
    return Guard(site, filter(None, [address_in("SPILLOVER_REPORTS")]))  # where a proxy shows them to others


class Files(StaticFiles):
    """A folder that the first run makes; until then nothing is in it."""

    async def check_config(self) -> None:
        """Does not ask for the folder to be there, as starlette's would."""


def _all_there_is(comparisons: Path) -> dict[str, Any]:
    """What the index shows: the newest runs and comparisons first, and the studies that have a grid."""
    runs = all_runs()[::-1]
    seeds = {run.folder: _seed_of(run) for run in runs}
    grids = sorted(page.parent.name for page in comparisons.glob("*/grid.html"))
    return {"runs": runs, "seeds": seeds, "grids": grids, "comparisons": all_comparisons()[::-1]}


def _seed_of(run: Run) -> str:
    """One run that cannot be read hides no other."""
    try:
        return str(run.record().get("seed", ""))
    except UserError:
        return "its run.json is damaged"


class SoFar:
    """Pages of unfinished runs, made anew only when there is more to show."""

    def __init__(self) -> None:
        self.known: dict[Path, tuple[tuple[object, ...], str]] = {}
        self.lock = threading.Lock()

    def page(self, run: Run) -> str:
        """The HTML of what there is so far."""
        with self.lock:
            state = state_of(run)
            if self.known.get(run.folder, ((), ""))[0] != state:
                with tempfile.TemporaryDirectory(prefix="spillover-view-") as place:
                    self.known[run.folder] = state, write_so_far(run, Path(place)).read_text()
            return self.known[run.folder][1]

    def forget(self, run: Run) -> None:
        """Of a run that has its report now."""
        self.known.pop(run.folder, None)


@contextmanager
def serve_reports(host: str = LOOPBACK, port: int = 0) -> Iterator[str]:
    """Serves them beside what else the process does, and yields the address; port 0: the first free one from 4300 on.

    Raises UserError for a port that cannot be used.
    """
    try:
        listening = socket.create_server((host, port)) if port else listen_from(FIRST_PORT, host)
    except OSError as problem:
        raise UserError(
            f"--reports-port: {host}:{port} cannot be used ({os.strerror(problem.errno or 0)}); give another"
        ) from None
    server = uvicorn.Server(uvicorn.Config(pages(), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    address = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
    try:
        with reports_served_at(address):
            yield address
    finally:
        server.should_exit = True
        thread.join(timeout=5)
