import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.catalog import UserError
from tasks.store import Answer, Spending, Store, content_key
from tests.fakes.postgresql import serve_postgresql


def test_what_was_put_is_held_by_another_store_and_nothing_else_is(data):
    Store().put([Answer("k1", "response", {"text": "héllo\u2028"}), Answer("k2", "judgment", {"text": "x"})])
    assert Store().get(["k1", "k2", "k3"]) == {
        "k1": Answer("k1", "response", {"text": "héllo\u2028"}, 0),
        "k2": Answer("k2", "judgment", {"text": "x"}, 0),
    }


def test_the_last_attempt_counts_and_the_first_writer_of_an_attempt_wins():
    store = Store()
    store.put([Answer("k", "judgment", {"text": "first"})])
    store.put([Answer("k", "judgment", {"text": "second"}, 1)])
    store.put([Answer("k", "judgment", {"text": "too late"}, 1)])
    assert store.get(["k"])["k"] == Answer("k", "judgment", {"text": "second"}, 1)


def test_a_key_does_not_depend_on_order_or_process_and_changes_with_any_part():
    code = "from tasks.store import content_key; print(content_key(b=[1, 'ü'], a=None), end='')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other == content_key(a=None, b=[1, "ü"])
    assert len({content_key(a=1), content_key(a="1"), content_key(a=1.0), content_key(b=1), content_key(a=2)}) == 5


def test_ten_thousand_keys_are_looked_up_at_once():
    store = Store()
    keys = [content_key(i=i) for i in range(20_000)]
    store.put([Answer(key, "response", {"text": "x" * 400}) for key in keys[::2]])
    started = time.perf_counter()
    held = store.get(keys[:10_000])
    assert len(held) == 5_000
    assert time.perf_counter() - started < 10, "far beyond the second that the benchmark holds it to"


def test_several_processes_write_at_once_and_nothing_is_lost(data):
    code = (
        "import sys; from tasks.store import *; s = Store()\n"
        "for i in range(50): s.put([Answer(content_key(p=sys.argv[1], i=i), 'response', {})])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(p)]) for p in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(Store().get(content_key(p=str(p), i=i) for p in range(3) for i in range(50))) == 150


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_a_store_on_postgresql_keeps_what_one_on_sqlite_keeps():
    with serve_postgresql("answers") as url:
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(lambda _: Store(url("answers")), range(8)))
        one, other, *_ = stores
        text = "a\x00b 🦆 'quoted' %s"
        one.put([Answer("k", "response", {"text": text})], [Spending("run", "judging", "m", {"input": 9}, 0.5)])
        other.put([Answer("k", "response", {"text": "later"}), Answer("k", "response", {"text": "next"}, 1)])
        assert [a.body["text"] for a in other.attempts(["k", "unknown"])["k"]] == [text, "next"]
        assert other.spending("run") == [Spending("run", "judging", "m", {"input": 9}, 0.5)]
        many = [Answer(f"k{n}", "response", {"text": str(n)}) for n in range(12_000)]
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
    ],
)
def test_a_wrong_address_of_a_store_is_refused_without_its_password(url, words):
    with pytest.raises(UserError, match=words) as refused:
        Store(url)
    assert "secret" not in str(refused.value)
