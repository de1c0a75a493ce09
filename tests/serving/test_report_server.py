import errno
import json
import os
import socket

import httpx
import pytest
from starlette.testclient import TestClient

from flows.addresses import prefect_folder, reports_address
from flows.artifacts import address_of
from flows.serving.report_server import pages, serve_reports
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.files import write_text
from tasks.runs import Run
from tests.fakes.nouns import LEXICON, an_eval

PLACES = ("/runs/standin", "/files", "/files/standin/one", "/comparisons")


@pytest.fixture
def run(data):
    experiment = load_experiment("standin").model_copy(update={"evals": ["e"]})
    run = Run.open(experiment, [an_eval(LEXICON)], "one")
    run.note(seed=3)
    return run


@pytest.fixture
def browser():
    with TestClient(pages(), base_url="http://127.0.0.1:4300") as client:
        yield client


def test_the_index_leads_to_every_run(run, browser):
    page = browser.get("/").text
    assert '<a href="/runs/standin/one">one</a>' in page
    assert "<td>3</td>" in page


def test_an_index_of_nothing_says_how_to_begin(data, browser):
    assert "spillover run demo" in browser.get("/").text


def test_a_finished_run_leads_to_its_report_and_one_that_goes_on_to_what_there_is(run, browser):
    page = browser.get("/runs/standin/one")
    assert "The run is not finished:</b> begun" in page.text
    assert 'http-equiv="refresh"' in page.text
    write_text(run.report, "<p>done</p>")
    page = browser.get("/runs/standin/one")
    assert str(page.url).endswith("/files/standin/one/report.html")
    assert page.text == "<p>done</p>"


def test_a_study_is_in_the_index_by_its_grid_whose_links_lead_to_reports(run, browser, data):
    write_text(run.report, "<p>done</p>")
    write_text(data / "comparisons" / "my study" / "grid.html", '<a href="../../results/standin/one/report.html">')
    assert '<a href="/comparisons/my%20study/grid.html">my study</a>' in browser.get("/").text
    assert "../../results" in browser.get("/comparisons/my%20study/grid.html").text
    assert browser.get("/comparisons/my%20study/../../results/standin/one/report.html").text == "<p>done</p>"


def test_a_name_with_signs_of_its_own_is_linked_as_a_whole(run, browser):
    odd = Run.open(run.experiment(), run.evals(), "my run (a)#1")
    write_text(odd.report, "<p>odd</p>")
    assert "/runs/standin/my%20run%20%28a%29%231" in browser.get("/").text
    assert browser.get("/runs/standin/my%20run%20%28a%29%231").text == "<p>odd</p>"


def test_a_port_that_is_taken_is_said_before_anything_is_served():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = rf"--reports-port: 127\.0\.0\.1:{port} cannot be used \(Address already in use\); give another"
        with pytest.raises(UserError, match=words), serve_reports(port=port):
            pass


def test_a_comparison_is_served_by_its_name(data, browser):
    write_text(data / "comparisons" / "a_vs_b" / "comparison.html", "<p>beside</p>")
    assert browser.get("/comparisons/a_vs_b").text == "<p>beside</p>"


@pytest.mark.parametrize(
    "path",
    [
        "/runs/standin/none",
        "/runs/%2e%2e/one",
        "/runs/~nobody/one",
        "/comparisons/%2e%2e",
        "/comparisons/a%5Cb",
        "/files/..%2F..%2Fprefect%2Fserver.json",
        "/files/%2Fetc%2Fpasswd",
        "/store",
        *[f"{place}/{name}" for place in PLACES for name in ("x" * 300, "a%00b", "%FF", "x/" * 3000)],
    ],
    ids=lambda path: path[:40],
)
def test_what_is_no_result_is_not_served(run, browser, path):
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("path", [*PLACES, "/files/standin/one/report.html", "/comparisons/a_vs_b/comparison.html"])
def test_before_the_first_run_nothing_is_there(data, browser, path):
    assert not (data / "results").exists()
    assert browser.get(path).status_code == 404
    write_text(data / "results" / "standin" / "one" / "report.html", "<p>done</p>")
    assert browser.get("/files/standin/one/report.html").text == "<p>done</p>"


def test_what_the_disk_itself_refuses_is_no_missing_page(run, browser, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("flows.serving.report_server.all_runs", broken)
    with pytest.raises(OSError, match="Input/output error"):
        browser.get("/")


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_another_page_and_another_name_for_this_machine_are_refused(run, browser, headers):
    assert browser.get("/", headers=headers).status_code == 403


def test_the_name_under_which_a_proxy_shows_the_reports_is_its_own(run, monkeypatch):
    monkeypatch.setenv("SPILLOVER_REPORTS", "https://lab.example/reports")
    with TestClient(pages(), base_url="http://127.0.0.1:4300") as browser:
        assert browser.get("/", headers={"host": "lab.example", "origin": "https://lab.example"}).status_code == 200
        assert browser.get("/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/runs/standin/one", "/files/standin/one/charts/effects.html", "/files/none", "/none"]
)
def test_nothing_that_is_served_is_taken_for_something_else(run, browser, path):
    write_text(run.charts / "effects.html", "<p>chart</p>")
    assert browser.get(path).headers["x-content-type-options"] == "nosniff"


def test_a_server_of_reports_that_crashed_is_linked_to_no_more(run):
    with serve_reports() as address:
        noted = (prefect_folder() / "reports.json").read_text()
    assert json.loads(noted) == {"url": address, "pid": os.getpid(), "folder": str(prefect_folder())}
    (prefect_folder() / "reports.json").write_text(noted)  # and its number is another process's by now
    assert reports_address() == ""


def test_two_servers_of_reports_have_a_port_and_the_links_of_the_later_one_each(run):
    with serve_reports() as later:
        with serve_reports() as address:
            assert address != later
            assert reports_address() == address
        assert reports_address() == ""
        assert httpx.get(later).status_code == 200


def test_a_run_links_to_the_server_of_reports_while_there_is_one(run, monkeypatch):
    assert address_of(run) == run.report.resolve().as_uri()
    with serve_reports() as address:
        assert address.startswith("http://127.0.0.1:")
        assert address_of(run) == f"{address}/runs/standin/one"
        assert "one" in httpx.get(address).text
    assert reports_address() == ""
    monkeypatch.setenv("SPILLOVER_REPORTS", "https://lab.example/reports/")
    assert address_of(run) == "https://lab.example/reports/runs/standin/one"
