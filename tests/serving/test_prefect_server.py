"""The server as the whole machine can reach it: asked by hand, and by pages in Debian's Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flows.serving.server import RECORDING, is_healthy
from tests.cli.test_terminal import spillover
from tests.conftest import PROJECT, make_data_folder
from tests.fakes.ports import free_port

pytestmark = pytest.mark.integration
SOCKETS = ("events/in", "events/out", "logs/out")
ATTACK = """<!doctype html><title>another page</title><script>
const server = "SERVER", flow = name => JSON.stringify({name}), json = {"content-type": "application/json"};
const tried = {
  read: () => fetch(server + "/api/health").then(answer => answer.text()),
  write: () => fetch(server + "/api/flows/", {method: "POST", body: flow("cors"), headers: json}),
  writeBlindly: () => fetch(server + "/api/flows/", {method: "POST", mode: "no-cors", body: flow("blind")}),
  readBlindly: () => fetch(server + "/api/health", {mode: "no-cors"}),
  events: () => socket("/api/events/in"),
  listen: () => socket("/api/events/out"),
  script: () => element("script", server + "/api/health"),
};
const socket = path => new Promise((open, refused) => {
  const one = new WebSocket(server.replace("http", "ws") + path, ["prefect"]);
  one.onopen = open; one.onerror = refused;
});
const element = (kind, address) => new Promise((loaded, refused) => {
  const one = document.createElement(kind);
  one.onload = loaded; one.onerror = refused; one.src = address; document.head.append(one);
});
window.attack = async () => {
  const done = {};
  for (const [name, go] of Object.entries(tried))
    done[name] = await go().then(answer => answer.type === "opaque" ? "opaque" : "succeeded", () => "refused");
  return done;
};
</script><iframe src="SERVER/"></iframe>"""


@contextmanager
def guarded(port: int, **env: str):
    """A server of these settings in a process of its own."""
    command = [sys.executable, "-m", "flows.serving.prefect_server", "--port", str(port)]
    with subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **RECORDING, **env}) as process:
        until = time.monotonic() + 240
        try:
            while not is_healthy(f"http://127.0.0.1:{port}/api"):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.3)
            yield
        finally:
            process.terminate()


def made(api, path, body):
    return api.post(path, json=body).raise_for_status().json()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a server that Spillover started, with a deployment."""
    folder = make_data_folder(tmp_path_factory.mktemp("guarded"))
    address = spillover(folder, "server", "start").stdout.split()[-1]
    try:
        with httpx.Client(base_url=f"{address}/api", timeout=60) as api:
            flow = made(api, "/flows/", {"name": "run-experiment"})
            made(api, "/deployments/", {"name": "the demo", "flow_id": flow["id"]})
        yield address
    finally:
        stopped = spillover(folder, "server", "stop").stdout
    assert stopped == "Stopped.\n"
    log = (folder / "prefect" / "server.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def open_socket(address, path, headers):
    port = int(address.rsplit(":", 1)[1])
    url = f"ws://{headers.get('host', f'127.0.0.1:{port}')}/api/{path}"
    reached = socket.create_connection(("127.0.0.1", port))
    try:
        return connect(
            url, sock=reached, origin=headers.get("origin"), subprotocols=[Subprotocol("prefect")], proxy=None
        )
    except InvalidStatus:
        reached.close()
        raise


def flows(address):
    return {flow["name"] for flow in httpx.post(f"{address}/api/flows/filter", json={}).json()}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"host": "evil.example:4200"},
        {"host": "evil.example:4200", "origin": "http://evil.example:4200"},
    ],
    ids=str,
)
def test_what_comes_from_another_page_can_neither_read_nor_write(address, headers):
    text = {**headers, "content-type": "text/plain"}
    for answer in (
        httpx.get(f"{address}/api/health", headers=headers),
        httpx.get(f"{address}/", headers=headers),
        httpx.post(f"{address}/api/flows/", content='{"name": "planted"}', headers=text),
        httpx.options(f"{address}/api/flows/", headers={**headers, "access-control-request-method": "POST"}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    for path in SOCKETS:
        with pytest.raises(InvalidStatus) as refusal:
            open_socket(address, path, headers)
        assert refusal.value.response.status_code == 403
    assert flows(address) == {"run-experiment"}


def test_a_program_is_answered_as_by_prefects_own_server(address):
    assert httpx.get(f"{address}/api/health").json() is True
    for path in SOCKETS:
        with open_socket(address, path, {}) as one:
            assert one.subprotocol == "prefect"


class Attacker(BaseHTTPRequestHandler):
    """A page that tries what a page can."""

    attacked = ""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(ATTACK.replace("SERVER", self.attacked).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def attacker(address, monkeypatch):
    """The port of a web server that attacks the other one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as site:
        monkeypatch.setattr(Attacker, "attacked", address)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_port
        site.shutdown()


@pytest.fixture(scope="module")
def browser():
    assert shutil.which("chromium"), "run tests/install_packages.sh first"
    bound = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", bound])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page with a list of what was answered, as (status, address)."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.answers, page.said = [], []
    page.on("response", lambda answer: page.answers.append((answer.status, answer.url)))
    page.on(
        "console",
        lambda message: page.said.append((message.text, message.location)) if message.type == "error" else None,
    )
    page.on("websocket", lambda one: one.on("socketerror", lambda error: page.said.append((error, {"url": one.url}))))
    page.on("pageerror", lambda error: page.said.append((str(error), {"url": page.url})))
    yield page
    page.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.test"])
def test_a_page_of_another_origin_reaches_nothing_from_a_browser(page, address, attacker, host):
    page.goto(f"http://{host}:{attacker}/")
    done = page.evaluate("attack()")
    blind = {"writeBlindly", "readBlindly"}
    assert done == {name: "opaque" if name in blind else "refused" for name in done}, page.answers
    assert len(done) == 7
    assert {status for status, url in page.answers if url.startswith(address)} == {403}
    assert flows(address) == {"run-experiment"}


def test_a_name_that_was_bound_to_loopback_shows_nothing(page, address):
    rebound = address.replace("127.0.0.1", "evil.test")
    assert page.goto(f"{rebound}/deployments").status == 403
    assert page.evaluate("fetch('/api/flows/', {method: 'POST', body: '{}'}).then(answer => answer.status)") == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_ui_works_without_a_login_under_both_names(page, address, host):
    page.goto(f"{address.replace('127.0.0.1', host)}/deployments")
    expect(page.get_by_text("the demo").first).to_be_visible(timeout=120_000)
    page.goto(f"{address.replace('127.0.0.1', host)}/runs")
    page.wait_for_load_state("networkidle")
    assert [answer for answer in page.answers if answer[0] >= 400] == []
    assert [words for words, place in page.said if not place["url"].endswith("/favicon.ico")] == [], "Prefect has none"


def test_a_link_from_another_page_opens_the_ui(page, address, attacker):
    page.goto(f"http://localhost:{attacker}/")
    page.evaluate("address => { location.href = address }", f"{address}/deployments")
    expect(page.get_by_text("the demo").first).to_be_visible(timeout=120_000)


def test_a_port_that_is_taken_is_said_in_one_sentence(address):
    port = address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "flows.serving.prefect_server", "--port", port]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    assert f"127.0.0.1:{port} cannot be used (Address already in use); give another" in done.stderr
    assert "Traceback" not in done.stderr


def test_who_writes_waits_for_another_and_is_not_refused(address):
    with httpx.Client(base_url=f"{address}/api", timeout=60) as api:

        def make_and_delete(number):
            made = api.post("/artifacts/", json={"type": "markdown", "data": f"artifact {number}"})
            return made.status_code, api.delete(f"/artifacts/{made.json()['id']}").status_code

        with ThreadPoolExecutor(8) as at_once:
            found = Counter(at_once.map(make_and_delete, range(200)))
    assert found == {(201, 204): 200}


def test_who_reads_within_a_transaction_does_not_wait_for_it(address):
    with httpx.Client(base_url=f"{address}/api", timeout=20) as api:
        made(api, "/work_pools/", {"name": "gpus", "type": "process"})
        paused = api.patch("/work_pools/gpus/queues/default", json={"is_paused": True})
        assert paused.status_code == 204
        assert api.get("/work_pools/gpus/queues/default").json()["is_paused"]


def test_a_place_in_a_limit_that_was_taken_before_a_restart_is_kept_and_freed_after_it(tmp_path):
    port, home, names = free_port(), str(tmp_path / "home"), {"names": ["one-at-a-time"]}
    api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2/concurrency_limits", timeout=60)
    with guarded(port, PREFECT_HOME=home):
        made(api, "/", {"name": "one-at-a-time", "limit": 1})
        lease = made(api, "/increment-with-lease", {"slots": 1, **names})["lease_id"]
    with guarded(port, PREFECT_HOME=home):
        assert api.post(f"/leases/{lease}/renew", json={}).status_code == 204
        assert api.get("/one-at-a-time").json()["active_slots"] == 1
        api.post("/decrement-with-lease", json={"lease_id": lease}).raise_for_status()
        assert api.get("/one-at-a-time").json()["active_slots"] == 0


def test_a_teams_server_has_its_names_and_a_login(data, tmp_path):
    port = free_port()
    home, ui = tmp_path / "home", "https://prefect.lab.example"
    env = {"PREFECT_API_URL": f"http://server:{port}/api", "PREFECT_SERVER_UI_API_URL": f"{ui}/api"}
    with guarded(port, PREFECT_HOME=str(home), PREFECT_SERVER_API_AUTH_STRING="team:secret", **env):
        api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", auth=("team", "secret"), timeout=60)
        for headers in ({"host": f"server:{port}"}, {"host": "prefect.lab.example", "origin": ui}, {"origin": ui}):
            assert api.get("/version", headers=headers).status_code == 200
            assert api.get("/version", headers=headers, auth=("team", "wrong")).status_code == 401
        assert api.get("/version", headers={"host": "evil.example"}).status_code == 403
        assert api.get("/health", auth=None).status_code == 200, "so that it can be watched"
        where = f"127.0.0.1:{port}/api"
        done = spillover(data, "run", "standin", PREFECT_API_URL=f"http://team:wrong@{where}")
        assert done.stderr == (
            f"spillover: the Prefect server at http://{where} wants a login;"
            " set PREFECT_API_AUTH_STRING to its user:password\n"
        )
    assert {oct(file.stat().st_mode & 0o777) for file in home.rglob("*") if file.is_file()} == {"0o600"}
