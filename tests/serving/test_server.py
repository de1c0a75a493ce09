import asyncio
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import psutil
import pytest

from flows.addresses import NotedServer, prefect_folder, reports_address
from flows.serving import server
from tasks.catalog import UserError
from tests.cli.test_terminal import begin, spillover
from tests.conftest import PROJECT, make_data_folder
from tests.test_addresses import NO_NOTES

AS_ANY_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""Root may write anywhere."""


class Healthy(BaseHTTPRequestHandler):
    """Answers every request as a healthy server does."""

    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def somebody_elses():
    """The address of another program's server."""
    with socketserver.TCPServer(("127.0.0.1", 0), Healthy) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_address[1]}/api"
        other.shutdown()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["another process", "none"])
def test_a_server_that_took_the_port_of_one_that_crashed_is_neither_used_nor_stopped(somebody_elses, pid):
    (prefect_folder() / "server.json").write_text(json.dumps({"url": somebody_elses, "pid": pid}))
    assert server.is_healthy(somebody_elses)
    assert server.running_server() is None
    assert server.stop_server() is False
    assert server.is_healthy(somebody_elses)


@pytest.mark.parametrize("text", NO_NOTES)
def test_a_note_that_cannot_be_read_counts_as_none(text):
    (prefect_folder() / "server.json").write_text(text, encoding="latin-1")
    assert server.running_server() is None
    assert server.restart_server_that_died() == ""
    assert server.stop_server() is False


LISTENS = """import socket, time
with socket.create_server(("127.0.0.1", 0)) as one:
    print(one.getsockname()[1], flush=True)
    time.sleep(600)
"""


def test_a_copied_folder_does_not_take_the_server_of_the_other_for_its_own(data, tmp_path, monkeypatch):
    command = [sys.executable, "-c", LISTENS, server.PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        noted = NotedServer(f"{address}/api", process.pid, str(prefect_folder()))
        (prefect_folder() / "server.json").write_text(json.dumps(noted._asdict()))
        (prefect_folder() / "reports.json").write_text(json.dumps(noted._replace(url=address)._asdict()))
        shutil.copytree(data / "prefect", tmp_path / "copy" / "prefect")
        monkeypatch.setattr(server, "is_healthy", lambda url: True)
        assert (server.running_server(), reports_address()) == (noted.url, address)
        with monkeypatch.context() as copied:
            copied.setenv("SPILLOVER_DATA", str(tmp_path / "copy"))
            assert (server.running_server(), reports_address()) == (None, "")
            assert server.stop_server() is False
        assert process.poll() is None
        assert server.stop_server() is True


@pytest.mark.parametrize(
    ("before", "after"),
    [(0o755, (0o700, 0o600)), (0o775, (0o770, 0o660)), (0o750, (0o750, 0o664)), (0o2770, (0o2770, 0o664))],
    ids=lambda value: oct(value) if isinstance(value, int) else "",
)
def test_a_start_closes_a_folder_that_an_earlier_version_left_open_to_everybody(monkeypatch, tmp_path, before, after):
    file, linked = prefect_folder() / "prefect.db", tmp_path / "theirs"
    for one in (file, linked):
        one.touch()
        one.chmod(0o664)
    (prefect_folder() / "link").symlink_to(linked)
    prefect_folder().chmod(before)
    monkeypatch.setattr(server, "PROGRAM", "flows.no_such_server")
    with pytest.raises(UserError, match="stopped while it was starting"):
        server.start_server()
    assert (prefect_folder().stat().st_mode & 0o7777, file.stat().st_mode & 0o777) == after
    assert linked.stat().st_mode & 0o777 == 0o664


def test_a_server_that_died_takes_nobody_elses_port_and_says_so(somebody_elses, monkeypatch):
    (prefect_folder() / "server.json").write_text(json.dumps({"url": somebody_elses, "pid": 2**22 + 1}))
    monkeypatch.setenv("PREFECT_API_URL", somebody_elses)
    with pytest.raises(UserError, match=r"started again on port \d+ \(Address already in use\); stop what"):
        server.restart_server_that_died()
    monkeypatch.setenv("PREFECT_API_URL", "https://lab.example/api")
    assert server.restart_server_that_died() == "", "another machine's"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:9/api", "http://127.0.0.1:9/api (ConnectError)"),
        ("http://team:p@ss-word@127.0.0.1:9/api", "http://127.0.0.1:9/api (ConnectError)"),
        ("http://team:pass/word@127.0.0.1:9/api", "http://127.0.0.1:9/api (InvalidURL)"),
        ("http://team:se kret@127.0.0.1:9/api", "http://127.0.0.1:9/api (ConnectError)"),
    ],
)
def test_an_address_that_does_not_answer_is_refused_with_what_to_do_and_without_its_password(monkeypatch, url, shown):
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(UserError) as refusal:
        server.ensure_server()
    words = "start it, or unset the variable to use a local one"
    assert str(refusal.value) == f"PREFECT_API_URL: no server answers at {shown}; {words}"


@pytest.mark.parametrize(
    "address",
    [
        "localhost:9/api",
        "http://[::1/api",
        "team:sekret@127.0.0.1:9/api",
        "//team:sekret@127.0.0.1:9/api",
        "http:/team:sekret@127.0.0.1:9/api",
        "ftp://team:sek ret@127.0.0.1:9/api",
        "team:sek://ret@127.0.0.1:9/api",
        "http://team:sekret@",
        "/api",
    ],
)
@pytest.mark.parametrize("variable", ["PREFECT_API_URL", "PREFECT_UI_URL", "SPILLOVER_REPORTS"])
def test_what_is_no_address_is_refused_at_the_start_and_not_shown(monkeypatch, variable, address):
    monkeypatch.setenv(variable, address)
    with pytest.raises(UserError) as refusal:
        server.use_server()
    words = "write http:// or https:// and a host, as http://localhost:8000, or unset the variable"
    assert str(refusal.value) == f"{variable} is no address: {words}"


def test_what_answers_but_not_as_a_server_that_is_well_says_how(somebody_elses, monkeypatch):
    monkeypatch.setattr(Healthy, "status", 403)
    monkeypatch.setenv("PREFECT_API_URL", somebody_elses + "/")
    with pytest.raises(UserError, match=r"\(403 Forbidden\)"):
        server.ensure_server()


def test_no_link_holds_a_password(monkeypatch):
    assert server.ui_address("https://team:word@lab.example/api/") == "https://lab.example"
    monkeypatch.setenv("PREFECT_UI_URL", "https://team:word@ui.example/")
    assert server.ui_address("https://lab.example/api") == "https://ui.example"


def test_a_data_folder_that_cannot_be_written_is_said_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPILLOVER_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"prefect cannot be made \(Not a directory\); set SPILLOVER_DATA"):
        server.local_server()


@pytest.mark.parametrize(("locked", "problem"), [("prefect", "written to"), (".", "made")])
def test_a_data_folder_of_somebody_else_is_said_in_one_sentence(data, locked, problem):
    prefect_folder() if locked == "prefect" else None
    (data / locked).chmod(0o500)
    done = subprocess.run(
        [*AS_ANY_USER, sys.executable, "-m", "flows", "server", "start"], cwd=PROJECT, capture_output=True, text=True
    )
    (data / locked).chmod(0o700)
    assert done.returncode == 2
    assert f"{data / 'prefect'} cannot be {problem}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_two_that_look_for_a_port_at_once_find_two():
    with server.listen_from(42000) as one, server.listen_from(42000) as other:
        assert one.getsockname() != other.getsockname()


def test_a_range_of_ports_that_are_all_taken_is_said():
    with ExitStack() as taken:
        for port in range(42000, 42100):
            with suppress(OSError):  # somebody else has it
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
        with pytest.raises(UserError, match="no free port from 42000 to 42099"):
            server.listen_from(42000)


def test_a_server_that_dies_while_it_starts_is_said_in_one_sentence(data, monkeypatch):
    monkeypatch.setattr(server, "PROGRAM", "flows.no_such_server")
    with pytest.raises(UserError, match=r"stopped while it was starting; the end of .*server\.log says why"):
        server.start_server()
    assert "No module named flows.no_such_server" in (prefect_folder() / "server.log").read_text()
    assert servers_of(data) == []


def servers_of(folder: Path) -> list[int]:
    """The processes of every Prefect server of that data folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            home = process.environ().get("PREFECT_HOME")
            if home == str(folder / "prefect") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.fixture
def folder(tmp_path):
    folder = make_data_folder(tmp_path / "a folder")
    yield folder
    spillover(folder, "server", "stop")
    assert servers_of(folder) == []


def begin_and_wait(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """`spillover server start`, and the number of the server that is then starting."""
    process, file = begin(folder, "server", "start"), folder / "prefect" / "server.json"
    until = time.monotonic() + 240
    while not file.exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    return process, json.loads(file.read_text())["pid"]


@pytest.mark.integration
def test_two_checkouts_that_start_at_the_same_moment_get_a_server_each(tmp_path):
    folders = [make_data_folder(tmp_path / name) for name in ("one", "other")]
    started = [begin(folder, "server", "start") for folder in folders]
    try:
        addresses = [process.communicate(timeout=280)[0].split()[-1] for process in started]
        assert len(set(addresses)) == 2
        for folder, address in zip(folders, addresses, strict=True):
            noted = json.loads((folder / "prefect" / "server.json").read_text())
            assert noted["url"] == f"{address}/api"
            assert servers_of(folder) == [noted["pid"]]
            made = httpx.post(f"{address}/api/flows/", json={"name": folder.parent.name})
            assert made.status_code == 201
        found = [httpx.post(f"{address}/api/flows/filter", json={}).json() for address in addresses]
        assert [[flow["name"] for flow in flows] for flows in found] == [["one"], ["other"]]
    finally:
        assert [spillover(folder, "server", "stop").stdout for folder in folders] == ["Stopped.\n"] * 2


@pytest.mark.integration
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_is_one_sentence_and_leaves_no_server(folder, how):
    process, _ = begin_and_wait(folder)
    process.send_signal(how)
    said = process.communicate(timeout=240)[0]
    assert said.startswith("spillover: interrupted while the local Prefect server was starting")
    assert said.count("\n") == 1
    assert process.returncode == 2
    assert servers_of(folder) == []


@pytest.mark.integration
def test_a_server_whose_starter_was_killed_is_found_and_not_started_twice(folder):
    process, pid = begin_and_wait(folder)
    process.kill()
    process.communicate()
    started = [begin(folder, "server", "start") for _ in range(2)]
    said = [one.communicate(timeout=280)[0] for one in started]
    assert said[0] == said[1]
    assert servers_of(folder) == [pid]
    files = [file for file in (folder / "prefect").rglob("*") if file.is_file()]
    assert {"prefect.db", "server.json", "server.log"} <= {file.name for file in files}
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    assert (folder / "prefect").stat().st_mode & 0o777 == 0o700


@pytest.mark.integration
def test_a_start_that_fails_is_one_sentence_and_leaves_no_server(folder):
    done = spillover(folder, "server", "start", PREFECT_SERVER_API_KEEPALIVE_TIMEOUT="for ever")
    assert done.returncode == 2
    assert "spillover: the local Prefect server stopped while it was starting" in done.stderr
    assert done.stderr.count("\n") == 1
    assert servers_of(folder) == []


async def test_a_look_at_the_local_server_that_fails_is_told_and_is_not_the_last_one(monkeypatch):
    gone = psutil.NoSuchProcess(1, msg="gone meanwhile")
    looks = iter([gone, gone, "http://127.0.0.1:4200/api"])
    said: list[str] = []

    def look():
        if isinstance(found := next(looks, ""), Exception):
            raise found
        return found

    monkeypatch.setattr(server, "restart_server_that_died", look)
    monkeypatch.setattr(server, "LOOK_EVERY", 0.01)
    async with server.local_server_is_kept(said.append):
        while len(said) < 2:  # noqa: ASYNC110 - what it says is what is waited for
            await asyncio.sleep(0.01)
    assert said == [
        "The local Prefect server could not be looked at (NoSuchProcess: gone meanwhile (pid=1)).",
        "The local Prefect server had stopped and was started again.",
    ]
