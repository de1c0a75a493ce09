"""One local Prefect server in the background, with the settings under which it records every task run.

    url = ensure_server()        # PREFECT_API_URL, or a server that is found, or one that is started

Prefect's ephemeral API forgets most of a run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from tasks.catalog import UserError, data_folder
from tasks.runs import is_alive, write_text

FIRST_PORT = 4200
START_SECONDS = 120.0
RECORDING = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""Without these a burst of task runs is left Running for ever in the database."""


def folder() -> Path:
    """data/prefect: the server's database, log and address, and the results that Prefect keeps."""
    place = data_folder() / "prefect"
    place.mkdir(parents=True, exist_ok=True)
    return place


def client_settings(api_url: str) -> dict[str, str]:
    """What a process that runs flows needs in its environment, before it imports prefect."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder() / "results"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # minutes, in which a server can be started again
        "DO_NOT_TRACK": "1",
    }


def use_server() -> str:
    """Has a server, and makes this process use it; called before prefect is imported, which reads its settings then."""
    address = ensure_server()
    os.environ.update(client_settings(address))
    # Prefect's log goes to the server and its UI; the terminal shows the stages, and errors as one line.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    return address


def ensure_server() -> str:
    """The API's address: PREFECT_API_URL where it is set, else the local server, started when there is none."""
    if url := os.environ.get("PREFECT_API_URL"):
        if not is_healthy(url):
            raise UserError(
                f"PREFECT_API_URL: no server answers at {url}; start it, or unset the variable to use a local one"
            )
        return url
    with FileLock(folder() / "server.lock"):
        return running_server() or start_server()


def running_server() -> str | None:
    """The address of the local server, if it is the one that was started here and it answers."""
    record = _record()
    return str(record["url"]) if record and _is_ours(record) and is_healthy(str(record["url"])) else None


def start_server(port: int = 0) -> str:
    """Starts the local server on loopback and returns when it answers; port 0: the first that is free."""
    port = port or free_port(FIRST_PORT)
    url = f"http://127.0.0.1:{port}/api"
    settings = {**RECORDING, "PREFECT_HOME": str(folder()), "PREFECT_SERVER_UI_API_URL": url, "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "prefect", "server", "start", *_address(port).split()]
    log_file = folder() / "server.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _wait_until_healthy(url, process, log_file)
    _record_file().write_text(json.dumps({"url": url, "pid": process.pid}))
    return url


def stop_server() -> bool:
    """Stops the local server that was started here; False where there is none."""
    if not running_server():
        _record_file().unlink(missing_ok=True)
        return False
    record = _record()
    _record_file().unlink(missing_ok=True)  # first: what serves would start one again that died
    os.killpg(int(record["pid"]), signal.SIGTERM)
    for _ in range(100):
        if not is_healthy(str(record["url"])):
            break
        time.sleep(0.2)
    return True


def _is_ours(record: dict[str, str | int]) -> bool:
    """Whether the recorded process still is that server: after a crash its number and port may be somebody else's."""
    try:
        words = " ".join(psutil.Process(int(record["pid"])).cmdline())
        return words.endswith(f"server start {_address(_port(record))}")
    except psutil.Error:
        return False


def _port(record: dict[str, str | int]) -> int:
    return int(str(record["url"]).rsplit(":", 1)[1].removesuffix("/api"))


def _address(port: object) -> str:
    return f"--host 127.0.0.1 --port {port}"


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def ui_address(api_url: str) -> str:
    return os.environ.get("PREFECT_UI_URL") or api_url.removesuffix("/").removesuffix("/api")


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if is_healthy(url):
            return
        if process.poll() is not None:
            raise UserError(
                f"the Prefect server stopped while starting (exit {process.returncode}); its log is {log_file}"
            )
        time.sleep(0.3)
    os.killpg(process.pid, signal.SIGTERM)
    raise UserError(f"the Prefect server did not answer within {START_SECONDS:.0f} s; its log is {log_file}")


def restart_server_that_died() -> str:
    """Starts the local server again where it was, if it is gone and nobody stopped it; its address, or nothing."""
    with FileLock(folder() / "server.lock"):
        record = _record()
        if record.get("url") != os.environ.get("PREFECT_API_URL") or _is_ours(record):
            return ""  # another machine's, stopped on purpose, or alive
        return start_server(_port(record))


def free_port(first: int) -> int:
    """The first port of loopback from this one on where nothing answers."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise UserError(f"no free port from {first} to {first + 99} for a server; stop what holds them (ss -ltnp shows it)")


@contextmanager
def reports_are_served(address: str) -> Iterator[None]:
    """Notes where the reports of this machine's runs are, for those that link to them."""
    file = folder() / "reports.json"
    write_text(file, json.dumps({"url": address, "pid": os.getpid()}))
    try:
        yield
    finally:
        if json.loads(file.read_text())["pid"] == os.getpid():
            file.unlink()


def reports_address() -> str:
    """SPILLOVER_REPORTS, or where `spillover serve` shows the reports; empty where nothing does."""
    if given := os.environ.get("SPILLOVER_REPORTS"):
        return given.rstrip("/")
    file = folder() / "reports.json"
    record = json.loads(file.read_text()) if file.is_file() else {}
    return str(record["url"]) if record and is_alive(int(record["pid"])) else ""


def _record_file() -> Path:
    return folder() / "server.json"


def _record() -> dict[str, str | int]:
    return json.loads(_record_file().read_text()) if _record_file().is_file() else {}
