"""One local Prefect server in the background, with the settings under which it records every task run.

    url = ensure_server()        # PREFECT_API_URL, or a server that is found, or one that is started

Prefect's ephemeral API forgets most of a run.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpcore  # noqa: F401 - else by the first request, and Python 3.11 ends with -2 where a signal meets an import
import httpx
import psutil
from filelock import FileLock

from flows.addresses import NotedServer, address_in, checked_address, prefect_folder, read_note, write_note
from tasks.catalog import UserError

FIRST_PORT = 4200
START_SECONDS = 120.0
"""That a server has to answer after its start."""
END_SECONDS = 20.0
"""That a server has to end before it is killed."""
LOOK_EVERY = 5.0
"""Seconds between two looks at the local server."""
PROGRAM = "flows.serving.prefect_server"
RECORDING = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
"""Without these a burst of task runs is left Running for ever in the database, and a server that is started again never
frees the places in a limit that were taken before."""


def client_settings(api_url: str) -> dict[str, str]:
    """What a process that runs flows needs in its environment, before it imports prefect."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(prefect_folder() / "results"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # minutes, in which a server can be started again
        "DO_NOT_TRACK": "1",
    }


def use_server() -> str:
    """Has a server, and makes this process use it; called before prefect is imported, which reads its settings then."""
    for variable in ("PREFECT_UI_URL", "SPILLOVER_REPORTS"):
        address_in(variable)
    address = ensure_server()
    os.environ.update(client_settings(address))
    # Prefect's log goes to the server and its UI; the terminal shows the stages, and errors as one line.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    _refuse_without_login()
    return address


def _refuse_without_login() -> None:
    """By asking as Prefect's own client does, which knows what its user has set."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            client.api_version()
    except PrefectHTTPStatusError as refusal:
        if refusal.response.status_code != 401:
            raise
        raise UserError(
            f"the Prefect server at {address_in('PREFECT_API_URL')} wants a login;"
            " set PREFECT_API_AUTH_STRING to its user:password"
        ) from None


def ensure_server() -> str:
    """The API's address: PREFECT_API_URL where it is set, else the local server, started when there is none."""
    if shown := address_in("PREFECT_API_URL"):
        url = os.environ["PREFECT_API_URL"]
        if problem := _problem_of(url):
            raise UserError(
                f"PREFECT_API_URL: no server answers at {shown} ({problem});"
                " start it, or unset the variable to use a local one"
            )
        return url
    return local_server()


def local_server() -> str:
    """The address of the local server, which is started when there is none; one that is starting is waited for.

    Raises UserError where it does not start within START_SECONDS.
    """
    with _lock():
        noted = read_note(_note_file())
        if noted and _is_ours(noted):
            _wait_until_healthy(noted)
            return noted.url
        return start_server()


def running_server() -> str | None:
    """The address of the local server, if it is the one that was started here and it answers."""
    noted = read_note(_note_file())
    return noted.url if noted and _is_ours(noted) and is_healthy(noted.url) else None


def start_server(port: int = 0) -> str:
    """Starts the local server on loopback and returns when it answers; port 0: the first that is free.

    It is given a socket that listens already: who starts another one meanwhile gets another port.
    """
    _close_to_others(prefect_folder())
    with _listen_again(port) if port else listen_from(FIRST_PORT) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        process = _start_process(listening, url)
    with _ended_unless_it_starts(process):
        noted = NotedServer(url, process.pid, str(prefect_folder()))
        write_note(_note_file(), noted)
        _wait_until_healthy(noted)
    return url


def _close_to_others(place: Path) -> None:
    """Of a folder that an earlier version left open to everybody; one that its user opened to a group stays so."""
    mode = place.stat().st_mode
    if mode & 0o007:
        closed = 0o007 if mode & 0o020 else 0o077
        for path in [place, *(file for file in place.iterdir() if file.is_file() and not file.is_symlink())]:
            if path.stat().st_uid == os.geteuid():
                path.chmod(path.stat().st_mode & 0o7777 & ~closed)


def _start_process(listening: socket.socket, url: str) -> psutil.Popen:
    names = {"PREFECT_API_URL": url, "PREFECT_SERVER_UI_API_URL": url}
    settings = {**RECORDING, **names, "PREFECT_HOME": str(prefect_folder()), "DO_NOT_TRACK": "1"}
    with open(_log_file(), "ab", opener=lambda file, flags: os.open(file, flags, 0o600)) as log:
        return psutil.Popen(
            [sys.executable, "-m", PROGRAM, "--fd", str(listening.fileno())],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )


@contextmanager
def _ended_unless_it_starts(process: psutil.Popen) -> Iterator[None]:
    """A failed start, Ctrl-C and SIGTERM leave no server behind."""
    try:
        with _sigterm_interrupts():
            yield
    except BaseException as problem:
        _end(process)
        if isinstance(problem, KeyboardInterrupt):
            raise UserError(
                "interrupted while the local Prefect server was starting, which is stopped; start again"
            ) from None
        raise


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """As Ctrl-C does; Python delivers signals to the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_server() -> bool:
    """Stops the local server that was started here; False where there is none."""
    noted = read_note(_note_file())
    _note_file().unlink(missing_ok=True)  # first: what serves would start one again that died
    if not noted or not _is_ours(noted):
        return False
    _end(psutil.Process(noted.pid))
    return True


def _end(process: psutil.Process) -> None:
    """Ends a server, which leads a group of its own, and waits until it has ended."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except psutil.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_ours(noted: NotedServer) -> bool:
    """Whether the noted process is a Prefect server that was started here, and not another program."""
    try:
        return PROGRAM in psutil.Process(noted.pid).cmdline() and noted.is_there()
    except psutil.Error:
        return False


def is_healthy(url: str) -> bool:
    """Whether the API at this address answers, within 5 seconds, that it is well."""
    return not _problem_of(url)


def _problem_of(url: str) -> str:
    """Why a server cannot be used; empty where it answers that it is well."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.reason_phrase}"


def ui_address(api_url: str) -> str:
    """Where people find the server of this API: PREFECT_UI_URL, or the API's own address without its login."""
    return address_in("PREFECT_UI_URL") or checked_address(api_url, "PREFECT_API_URL").removesuffix("/api")


def _wait_until_healthy(noted: NotedServer) -> None:
    until = time.monotonic() + START_SECONDS
    while not is_healthy(noted.url):
        if not _is_ours(noted):
            raise UserError(
                f"the local Prefect server stopped while it was starting; the end of {_log_file()} says why"
            )
        if time.monotonic() > until:
            raise UserError(
                f"the local Prefect server did not answer within {START_SECONDS:.0f} s (its log is {_log_file()});"
                " end it with: spillover server stop"
            )
        time.sleep(0.3)


def restart_server_that_died() -> str:
    """Starts the local server again where it was, if it died and was not stopped; its address, or nothing."""
    with _lock():
        noted = read_note(_note_file())
        if not noted or noted.url != os.environ.get("PREFECT_API_URL") or _is_ours(noted):
            return ""  # another machine's, stopped on purpose, or alive
        return start_server(noted.port)


@asynccontextmanager
async def local_server_is_kept(say: Callable[[str], object]) -> AsyncIterator[None]:
    """Has the local server started again where it was, whenever it dies meanwhile: what runs waits for it."""
    keeping = asyncio.create_task(_keep_local_server(say))
    try:
        yield
    finally:
        keeping.cancel()


async def _keep_local_server(say: Callable[[str], object]) -> None:
    told = ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        words = await asyncio.to_thread(_kept)
        if words and words != told:
            say(words)
        told = words


def _kept() -> str:
    """What there is to tell of the local server: that it was started again, or why it could not be; else nothing."""
    try:
        return "The local Prefect server had stopped and was started again." if restart_server_that_died() else ""
    except UserError as problem:
        return str(problem)
    except Exception as problem:  # what runs goes on, and the next look may go well
        return f"The local Prefect server could not be looked at ({type(problem).__name__}: {problem})."


def listen_from(first: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket that listens, at the first port from this one on that is free: no other program can take it then."""
    for port in range(first, first + 100):
        with suppress(OSError):
            return socket.create_server((host, port))
    raise UserError(f"no free port from {first} to {first + 99} for a server; stop what holds them (ss -ltnp shows it)")


def _listen_again(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        raise UserError(
            f"the local Prefect server cannot be started again on port {port} ({reason});"
            " stop what holds it (ss -ltnp shows it)"
        ) from None


def _lock() -> FileLock:
    """One process at a time looks for the server and starts it."""
    return FileLock(prefect_folder() / "server.lock", mode=0o600)


def _note_file() -> Path:
    return prefect_folder() / "server.json"


def _log_file() -> Path:
    return prefect_folder() / "server.log"
