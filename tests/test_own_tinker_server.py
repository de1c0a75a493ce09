"""deployments/tinker_server/start.py, with a stand-in for SkyRL: what it starts ends with it, however it is ended."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.conftest import PROJECT
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
SKYRL = """#!{python}
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

signal.alarm(120)  # it ends by itself where a test fails

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()

HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""
SERVES, COMPILES = 200, 503


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def start(tmp_path, port):
    """Starts it before a SkyRL that answers so; what still runs at the end is killed."""
    started, log = [], (tmp_path / "log").open("w")

    def begin(status):
        uv = tmp_path / "uv"
        uv.write_text(SKYRL.format(python=sys.executable, status=status))
        uv.chmod(0o755)
        program = [sys.executable, str(PROJECT / "deployments" / "tinker_server" / "start.py"), "--base-model", "m"]
        program = ["env", "--default-signal=HUP", *program]  # else it is ignored where the tests run under nohup
        started.append(
            subprocess.Popen(
                [*program, "--port", str(port), "--data", str(tmp_path / "data")],
                env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
                stdout=log,
                stderr=log,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
    log.close()


def is_open(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def until(is_so):
    ends = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("status", [SERVES, COMPILES])
def test_skyrl_ends_with_what_started_it_however_that_is_ended(start, port, status, number):
    process = start(status)
    until(lambda: is_open(port if status == SERVES else port + 1))
    process.send_signal(number)
    process.wait(60)
    assert not is_open(port + 1)


def test_a_server_that_an_earlier_start_left_is_not_taken_for_its_own(start, port, tmp_path):
    with socket.create_server(("127.0.0.1", port + 1)):
        assert start(SERVES).wait(60) == 1
    words = f"port {port + 1} is in use, as by a SkyRL whose start.py was killed; end that, or give another --port\n"
    assert (tmp_path / "log").read_text() == words
