import asyncio
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from tasks.catalog import UserError
from tasks.paid.store import BatchRequest, OpenBatch, Spending, Store, StoredReply, StoreFailed, content_key
from tests.fakes.postgresql import serve_postgresql


def test_what_was_put_is_held_by_another_store_and_nothing_else_is(data):
    Store().put([StoredReply("k1", "response", {"text": "héllo\u2028"}), StoredReply("k2", "judgment", {"text": "x"})])
    assert Store().get(["k1", "k2", "k3"]) == {
        "k1": StoredReply("k1", "response", {"text": "héllo\u2028"}, 0),
        "k2": StoredReply("k2", "judgment", {"text": "x"}, 0),
    }


def test_the_last_attempt_counts_and_the_first_writer_of_an_attempt_wins():
    store = Store()
    store.put([StoredReply("k", "judgment", {"text": "first"})])
    store.put([StoredReply("k", "judgment", {"text": "second"}, 1)])
    store.put([StoredReply("k", "judgment", {"text": "too late"}, 1)])
    assert store.get(["k"])["k"] == StoredReply("k", "judgment", {"text": "second"}, 1)


def test_a_key_does_not_depend_on_order_or_process_and_changes_with_any_part():
    code = "from tasks.paid.store import content_key; print(content_key(b=[1, 'ü'], a=None), end='')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other == content_key(a=None, b=[1, "ü"])
    assert len({content_key(a=1), content_key(a="1"), content_key(a=1.0), content_key(b=1), content_key(a=2)}) == 5


def test_ten_thousand_keys_are_looked_up_at_once():
    store = Store()
    keys = [content_key(i=i) for i in range(20_000)]
    store.put([StoredReply(key, "response", {"text": "x" * 400}) for key in keys[::2]])
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    held = store.get(keys[:10_000])
    assert len(held) == 5_000
    assert len(statements) <= 2, "thousands a statement"


def test_several_processes_write_at_once_and_nothing_is_lost(data):
    code = (
        "import sys; from tasks.paid.store import *; s = Store()\n"
        "for i in range(50): s.put([StoredReply(content_key(p=sys.argv[1], i=i), 'response', {})])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(p)]) for p in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(Store().get(content_key(p=str(p), i=i) for p in range(3) for i in range(50))) == 150


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(data):
    (data / "store").mkdir()
    file = data / "store" / "answers.db"
    file.write_text("notes, not a database" * 100)
    with pytest.raises(UserError, match=r"answers\.db is no store of answers \(file is not a database\); move it away"):
        Store()
    assert file.read_text() == "notes, not a database" * 100


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update answers set body = 'no JSON'", r"could not be read \(Expecting value"),
        ("alter table answers rename column body to other", r"could not be read \(no such column"),
    ],
)
def test_a_store_that_cannot_be_read_is_one_sentence(data, statement, words):
    Store().put([StoredReply("k", "response", {})])
    with sqlite3.connect(data / "store" / "answers.db") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreFailed, match=words):
        Store().get(["k"])


def test_what_is_kept_can_be_read_by_its_user_alone(data):
    Store().put([StoredReply("k", "response", {})])
    assert (data / "store").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (data / "store").iterdir()} == {0o600}
    (data / "store").chmod(0o750)
    Store()
    assert (data / "store").stat().st_mode & 0o777 == 0o750, "a team may share what it made"
    (data / "store").chmod(0o755)
    (data / "store" / "answers.db").chmod(0o644)
    Store()
    assert [p.stat().st_mode & 0o777 for p in (data / "store", data / "store" / "answers.db")] == [0o700, 0o600]


async def test_replies_that_arrive_together_are_committed_together_and_a_caller_that_is_gone_loses_none(monkeypatch):
    store, put, sizes, may_go_on = Store(), Store.put, [], threading.Event()

    def slowly(self, new, spent=()):
        sizes.append(len(new))
        may_go_on.wait(120)
        put(self, new, spent)

    monkeypatch.setattr(Store, "put", slowly)
    waiting = [asyncio.create_task(store.commit([StoredReply(f"k{n}", "response", {})])) for n in range(100)]
    while not sizes:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for one in waiting[50:]:
        one.cancel()
    may_go_on.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    store.close()
    assert sum(one is None for one in done) == 50
    assert len(store.get(f"k{n}" for n in range(100))) == 100
    assert len(sizes) < 10


async def test_what_waits_for_a_lock_is_committed_though_nobody_listens_any_more(data, monkeypatch):
    monkeypatch.setattr("tasks.paid.database.BUSY_SECONDS", 0)
    store = Store()
    store.warn = lambda words: _closed()
    with sqlite3.connect(data / "store" / "answers.db", check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.commit([StoredReply("k", "judgment", {})]))
        await asyncio.sleep(0.3)
        waiting.cancel()
        other.rollback()
    other.close()
    store.close()
    assert list(Store().get(["k"])) == ["k"]


def _closed():
    raise RuntimeError("Event loop is closed")


async def test_a_store_that_failed_once_takes_nothing_more_and_says_why_each_time(monkeypatch):
    monkeypatch.setattr(Store, "put", lambda *_: 1 / 0)
    store = Store()
    for _ in range(2):
        with pytest.raises(StoreFailed, match=r"answers\.db could not be written \(division by zero\); no fu"):
            await store.commit([StoredReply("k", "response", {})])


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_a_store_on_postgresql_keeps_what_one_on_sqlite_keeps():
    with serve_postgresql("answers") as url:
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(lambda _: Store(url("answers")), range(8)))
        one, other, *_ = stores
        text = "a\x00b 🦆 'quoted' %s"
        one.put([StoredReply("k", "response", {"text": text})], [Spending("run", "judging", "m", {"input": 9}, 0.5)])
        other.put([StoredReply("k", "response", {"text": "later"}), StoredReply("k", "response", {"text": "next"}, 1)])
        assert [a.body["text"] for a in other.attempts(["k", "unknown"])["k"]] == [text, "next"]
        assert other.spending("run") == [Spending("run", "judging", "m", {"input": 9}, 0.5)]
        many = [StoredReply(f"k{n}", "response", {"text": str(n)}) for n in range(12_000)]
        one.put(many)
        assert len(other.get(a.key for a in many)) == 12_000
        for store in stores:
            store.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres//secret@x", r"SPILLOVER_STORE is no address; write it as postgresql://"),
        ("mysql://u:secret@x/y", r"SPILLOVER_STORE: mysql is not supported; use SQLite or postgresql://"),
        ("postgresql://u:secret@host:port/y", r"SPILLOVER_STORE is no address"),
        ("sqlite:////no/such/folder/x.db", r"SPILLOVER_STORE: no database answers at /no/such/folder"),
        ("postgresql://u:secret@127.0.0.1:9/y", r"SPILLOVER_STORE: no database answers at 127\.0\.0\.1: "),
        (
            "postgresql://u:secret@127.0.0.1:9/y?nonsense=x",
            r"127\.0\.0\.1 is no store .*nonsense.*write the address as post",
        ),
        ("sqlite://u:secret@h/x.db", r"SPILLOVER_STORE: no database answers at x\.db: "),
        ("sqlite:////proc/x.db", r"SPILLOVER_STORE: no database answers at /proc/x\.db: "),
    ],
)
def test_a_wrong_address_of_a_store_is_refused_without_its_password(url, words):
    with pytest.raises(UserError, match=words) as refused:
        Store(url)
    assert "secret" not in str(refused.value)


def test_what_stands_behind_an_at_sign_within_a_password_is_not_shown():
    with pytest.raises(UserError, match=r"^SPILLOVER_STORE: an @ in its user or password must be written as %40$"):
        Store("postgresql://me:half@planted@127.0.0.1:9/answers")


def test_a_store_that_cannot_be_made_smaller_is_one_sentence_and_keeps_its_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.paid.database.BUSY_SECONDS", 0)
    file = tmp_path / "answers.db"
    store = Store(f"sqlite:///{file}")
    store.put([StoredReply("k", "response", {})])
    with sqlite3.connect(file) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"answers\.db could not be made smaller \(database is locked\); mend that"):
            store.forget(["k"])
        other.rollback()
    assert store.get(["k"])
    store.close()


async def test_a_batch_is_open_until_all_that_it_brought_is_stored():
    store = Store()
    begun = OpenBatch("m1", "claude opus", {"k1": BatchRequest(0, 9), "k2": BatchRequest(1, 9, 2)}, newest="b0")
    await store.keep_batch(begun)
    await store.keep_batch(OpenBatch("m2", "another service", {"k3": BatchRequest(0, 9)}, newest=""))
    assert Store().open_batches("claude opus") == [begun]
    await store.keep_batch(begun._replace(id="b1"))
    assert Store().open_batches("claude opus") == [begun._replace(id="b1")]
    await store.end_batch("m1")
    assert Store().open_batches("claude opus") == []
    assert [batch.marker for batch in Store().open_batches("another service")] == ["m2"]
