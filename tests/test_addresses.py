import json
import os

import pytest

from flows.addresses import NotedServer, checked_address, prefect_folder, reports_address, reports_served_at
from tasks.catalog import UserError

REPORTS = "http://127.0.0.1:4300"
NO_NOTES = ["", "{", "{}", "null", "[]", '"x"', "[[]]", b"\xff".decode("latin-1")] + [
    json.dumps({"url": "http://127.0.0.1:4200/api", "pid": 1} | changes)
    for changes in ({"pid": "abc"}, {"pid": -1}, {"pid": 10**30}, {"pid": None}, {"url": "x"}, {"unknown": 1})
]


@pytest.mark.parametrize("text", NO_NOTES)
def test_a_note_that_cannot_be_read_counts_as_none_and_is_replaced(text):
    file = prefect_folder() / "reports.json"
    file.write_text(text, encoding="latin-1")
    assert reports_address() == ""
    with reports_served_at(REPORTS):
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_what_is_noted_is_read_by_its_user_alone(data):
    before = os.umask(0)
    try:
        with reports_served_at(REPORTS):
            assert prefect_folder().stat().st_mode & 0o777 == 0o700
            assert (prefect_folder() / "reports.json").stat().st_mode & 0o777 == 0o600
            assert [file.name for file in prefect_folder().iterdir()] == ["reports.json"]
    finally:
        os.umask(before)


def test_a_process_that_does_not_listen_there_is_no_server():
    assert not NotedServer(REPORTS, os.getpid()).is_there()


def test_a_link_to_reports_holds_no_password(monkeypatch):
    monkeypatch.setenv("SPILLOVER_REPORTS", "https://team:word@lab.example/reports/")
    assert reports_address() == "https://lab.example/reports"


@pytest.mark.parametrize("login", ["team:sekret", "team:sek@ret", "a:sekret b", "a:sek/ret", "a:x@https://ret"])
def test_nothing_before_the_last_at_sign_is_left_of_an_address(login):
    assert checked_address(f"https://{login}@lab.example/api/", "V") == "https://lab.example/api"


@pytest.mark.parametrize("address", ["team:sekret@lab.example", "//team:sek@ret@lab.example"])
def test_what_is_no_address_is_refused_and_not_shown(address):
    with pytest.raises(UserError) as refusal:
        checked_address(address, "V")
    assert str(refusal.value).startswith("V is no address: write http:// or https://")
    assert "ret" not in str(refusal.value)
