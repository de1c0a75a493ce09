import os
import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from flows.serving.guard import Guard
from flows.serving.report_server import pages
from tasks.catalog import UserError
from tests.conftest import PROJECT

OURS = {
    "a program": {},
    "a program that calls it localhost": {"host": "localhost:4200"},
    "a program that calls it by IPv6": {"host": "[::1]:4200"},
    "a program that calls it in capitals": {"host": "LOCALHOST:4200"},
    "a program behind a tunnel of another port": {"host": "127.0.0.1:9000"},
    "its own page": {"origin": "http://127.0.0.1:4200", "sec-fetch-site": "same-origin"},
    "its own page under its other name": {"origin": "http://localhost:4200", "sec-fetch-site": "cross-site"},
    "its own page, fetching without an origin": {"sec-fetch-site": "same-origin", "sec-fetch-dest": "script"},
    "an address that was typed": {"sec-fetch-site": "none", "sec-fetch-dest": "document"},
    "a link that was followed": {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"},
    "a page behind the proxy": {"host": "lab.example", "origin": "https://lab.example"},
    "a page behind a proxy that hides the name": {"origin": "https://lab.example"},
    "a container": {"host": "server:4200"},
}
FOREIGN = {
    "another page": {"origin": "https://evil.example"},
    "another page at this port": {"origin": "http://evil.example:4200"},
    "a page of another port": {"origin": "http://127.0.0.1:4300"},
    "a page of another port of localhost": {"origin": "http://localhost"},
    "a page of another scheme": {"origin": "https://127.0.0.1:4200"},
    "a file, a sandbox or a redirect": {"origin": "null"},
    "a page without a name": {"origin": ""},
    "two origins": [("origin", "http://127.0.0.1:4200"), ("origin", "https://evil.example")],
    "a name that begins like ours": {"origin": "http://127.0.0.1:4200.evil.example"},
    "a name that was bound to loopback": {"host": "evil.example:4200", "origin": "http://evil.example:4200"},
    "the same, reading": {"host": "evil.example:4200"},
    "a host that ends like ours": {"host": "evil-localhost"},
    "a host with a user": {"host": "evil@127.0.0.1"},
    "no host": {"host": ""},
    "a port of the proxy that is not its own": {"origin": "https://lab.example:8443"},
    "the proxy's name without its TLS": {"origin": "http://lab.example"},
    "a script of another page": {"sec-fetch-site": "cross-site", "sec-fetch-dest": "script"},
    "an image of a page at another port": {"sec-fetch-site": "same-site", "sec-fetch-dest": "image"},
    "a frame in another page": {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"},
}


@pytest.fixture
def asked():
    """What has reached the application."""
    return []


@pytest.fixture
def browser(asked):
    async def page(request):
        asked.append(request.method)
        return PlainTextResponse("all secrets")

    async def socket(websocket):
        asked.append("WEBSOCKET")
        await websocket.accept()
        await websocket.send_text("all secrets")
        await websocket.close()

    site = Starlette(routes=[Route("/", page, methods=["GET", "POST", "OPTIONS"]), WebSocketRoute("/ws", socket)])
    guarded = Guard(site, ["https://user:word@Lab.example:443/api", "http://server:4200/api"])
    with TestClient(guarded, base_url="http://127.0.0.1:4200") as client:
        yield client


@pytest.mark.parametrize("headers", OURS.values(), ids=OURS)
def test_its_own_pages_and_programs_are_answered(browser, headers):
    assert browser.get("/", headers=headers).text == "all secrets"
    assert browser.post("/", headers=headers, content="{}").status_code == 200
    with browser.websocket_connect("ws://127.0.0.1:4200/ws", headers=headers) as socket:
        assert socket.receive_text() == "all secrets"


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_whatever_else_asks_gets_403_and_reaches_nothing(browser, headers, asked):
    text = [("content-type", "text/plain"), *(headers if isinstance(headers, list) else headers.items())]
    answers = [
        browser.get("/", headers=headers),
        browser.post("/", headers=text, content='{"name": "x"}'),
        browser.options("/", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert all("access-control-allow-origin" not in answer.headers for answer in answers)
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect("ws://127.0.0.1:4200/ws", headers=dict(headers)):
        pass
    assert asked == []


@pytest.mark.parametrize(
    "address", ["lab.example:4300", "lab.example", "//lab.example", "http://", "https://:443", "/"]
)
def test_an_address_that_says_no_name_is_refused(address):
    with pytest.raises(ValueError, match="says no name"):
        Guard(PlainTextResponse("all secrets"), [address])


def test_a_name_for_the_reports_without_a_scheme_is_one_sentence_before_anything_is_served(monkeypatch):
    monkeypatch.setenv("SPILLOVER_REPORTS", "lab.example:4300")
    with pytest.raises(UserError, match="SPILLOVER_REPORTS is no address: write http"):
        pages()


@pytest.mark.parametrize("variable", ["PREFECT_API_URL", "PREFECT_SERVER_UI_API_URL"])
@pytest.mark.integration
def test_a_name_for_the_server_without_a_scheme_is_one_sentence_before_anything_is_served(variable, tmp_path):
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), variable: "lab.example:4200/api"}
    command = [sys.executable, "-m", "flows.serving.prefect_server", "--port", "0"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stderr.startswith(f"prefect_server: {variable} is no address: write http")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("headers", [{}, {"origin": "null"}], ids=["answered", "refused"])
def test_what_is_served_is_what_it_is_called_and_stands_in_no_other_page(browser, headers):
    served = browser.get("/", headers=headers).headers
    assert served["x-content-type-options"] == "nosniff"
    assert served["x-frame-options"] == "SAMEORIGIN"
