"""How long the store takes to look up 10,000 keys among 100,000, beside the bare sqlite3 module, in one run.

uv run python -m tests.benchmarks.store
"""

import sqlite3
import tempfile
import time
from pathlib import Path

from tasks.paid.store import Store, StoredReply, content_key

HELD, WANTED = 100_000, 10_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.db"
        store = Store(f"sqlite:///{file}")
        keys = [content_key(i=i) for i in range(HELD)]
        store.put(
            StoredReply(key, "response", {"text": "word " * 200, "tokens": 200, "state": "complete"}) for key in keys
        )
        wanted = keys[:: HELD // WANTED]
        for _ in range(3):
            started = time.perf_counter()
            assert len(store.get(wanted)) == WANTED
            ours = time.perf_counter() - started
            bare = _bare(file, wanted)
            print(
                f"{WANTED:,} of {HELD:,} keys: store {ours:.3f} s, bare sqlite3 {bare:.3f} s, ratio {ours / bare:.1f}"
            )
        store.close()


def _bare(file: Path, keys: list[str]) -> float:
    with sqlite3.connect(file) as connection:
        started = time.perf_counter()
        found = 0
        for start in range(0, len(keys), 5_000):
            some = keys[start : start + 5_000]
            marks = ",".join("?" * len(some))
            found += len(connection.execute(f"select * from answers where key in ({marks})", some).fetchall())
        assert found == len(keys)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
