import json
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from flows import server


class Healthy(BaseHTTPRequestHandler):
    """Answers every request as a healthy server does."""

    def do_GET(self):
        self.send_response(200)
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
    (server.folder() / "server.json").write_text(json.dumps({"url": somebody_elses, "pid": pid}))
    assert server.is_healthy(somebody_elses)
    assert server.running_server() is None
    assert server.stop_server() is False
    assert server.is_healthy(somebody_elses)


def test_an_address_that_does_not_answer_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(server.UserError, match=r"no server answers at http://127\.0\.0\.1:9/api; start it, or unset"):
        server.ensure_server()
