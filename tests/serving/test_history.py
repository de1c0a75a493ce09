"""On a database of Prefect's own making, which a server of another process has open."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from flows.addresses import prefect_folder
from flows.serving.history import OLD, old_records
from tasks.catalog import UserError

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = """
CREATE TABLE flow_run (id TEXT, end_time TEXT, state_type TEXT);
CREATE TABLE task_run (id TEXT, flow_run_id TEXT, name TEXT);
CREATE TABLE task_run_state (id TEXT, task_run_id TEXT, message TEXT);
CREATE TABLE artifact (id TEXT, flow_run_id TEXT, task_run_id TEXT, data TEXT);
CREATE TABLE log (id TEXT, flow_run_id TEXT, message TEXT);
CREATE TABLE events (id TEXT, occurred TEXT, payload TEXT);
CREATE TABLE event_resources (id TEXT, occurred TEXT, resource TEXT);
"""


@pytest.fixture
def database():
    """Three flow runs, old, recent and going on, each with a record in every table; columns as the server has them."""
    with closing(sqlite3.connect(prefect_folder() / "prefect.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(TABLES)
        for name, days, state in (("old", 31, "COMPLETED"), ("new", 29, "FAILED"), ("going", 40, "RUNNING")):
            ended = (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
            database.execute(
                "INSERT INTO flow_run VALUES (?, ?, ?)", (name, ended if state != "RUNNING" else None, state)
            )
            database.execute("INSERT INTO task_run VALUES (?, ?, 'train')", (f"t-{name}", name))
            database.execute("INSERT INTO task_run_state VALUES (?, ?, NULL)", (f"s-{name}", f"t-{name}"))
            database.execute("INSERT INTO artifact VALUES (?, ?, ?, '100 %')", (f"p-{name}", name, f"t-{name}"))
            database.execute("INSERT INTO artifact VALUES (?, ?, NULL, 'headline')", (f"a-{name}", name))
            database.execute("INSERT INTO log VALUES (?, ?, 'loss 2.0')", (f"l-{name}", name))
            if state != "RUNNING":
                database.execute("INSERT INTO events VALUES (?, ?, '{}')", (f"e-{name}", ended))
                database.execute("INSERT INTO event_resources VALUES (?, ?, '{}')", (f"r-{name}", ended))
        yield database


def ids(database):
    return {row[0] for table in (*OLD, "flow_run") for row in database.execute(f"SELECT id FROM {table}")}


def test_what_an_old_run_left_goes_but_for_the_run_itself_and_what_stands_on_its_page(database):
    before, old = ids(database), old_records(NOW - timedelta(days=30))
    assert old.number == len(OLD)
    assert old.size > len("loss 2.0")
    assert ids(database) == before, "looking changes nothing"
    old.remove()
    assert before - ids(database) == {"t-old", "s-old", "p-old", "l-old", "e-old", "r-old"}
    assert old_records(NOW - timedelta(days=30)).number == 0


def test_without_a_local_server_there_is_nothing(data):
    old = old_records(NOW)
    old.remove()
    assert (old.number, old.size) == (0, 0)


def test_a_database_that_cannot_be_read_is_one_sentence(data):
    (prefect_folder() / "prefect.db").write_text("no database")
    with pytest.raises(UserError, match=r"database .*prefect.db cannot be used \(file is not a database\); stop the"):
        old_records(NOW)
