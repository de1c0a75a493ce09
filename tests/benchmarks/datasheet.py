"""The datasheet of 100,000 documents with planted near-duplicates: are they found, in what time and memory?

uv run python -m tests.benchmarks.datasheet            # or with another number of documents
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tasks.generation.near_duplicates import jaccard
from tasks.schema import Datasheet, SetLimits
from tests.fakes.texts import made_texts

DOCUMENTS, WORDS, CHUNK = 100_000, 250, 1_000
PLANTED = 0.01
"""The share of documents that are an earlier one with other words here and there."""
MINUTES, GIGABYTES = 5, 2


def texts(documents: int) -> Iterator[tuple[str, float]]:
    """Each document, and the share of its phrases that it has in common with the one that it repeats.

    The first half of each thousand repeats nothing, and is repeated by the other half.
    """
    rng = random.Random(0)
    for chunk in range(0, documents, CHUNK):
        made = made_texts(min(CHUNK, documents - chunk), WORDS, seed=chunk)
        for row, text in enumerate(made):
            if row >= CHUNK // 2 and rng.random() < 2 * PLANTED:
                earlier = made[rng.randrange(CHUNK // 2)]
                text = _with_other_words(earlier, rng.uniform(0, 0.12), rng)
                yield text, jaccard(earlier, text)
            else:
                yield text, 0.0


def _with_other_words(text: str, share: float, rng: random.Random) -> str:
    said = text.split()
    for place in rng.sample(range(len(said)), int(share * len(said))):
        said[place] = f"{said[place]}{rng.randrange(1000)}"
    return " ".join(said)


def main(documents: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made" / "documents.jsonl"
        file.parent.mkdir()
        alike = []
        with file.open("w", encoding="utf-8") as lines:
            for number, (text, shared) in enumerate(texts(documents)):
                row = {"doc_idea": f"Idea {number}", "doc_type": f"Type {number % 60}", "content": text}
                lines.write(json.dumps(row) + "\n")
                alike.append(shared)
        begun = time.perf_counter()
        command = [sys.executable, "-m", "flows", "data", "sheet", str(file.parent), "--banned", "lighthouse,cage"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        minutes, gigabytes = (time.perf_counter() - begun) / 60, used.ru_maxrss / 2**20
        sheet = Datasheet.model_validate_json((file.parent / "datasheet.json").read_text())
        limit = SetLimits().similarity
        planted, found = sum(shared >= limit for shared in alike), sheet.held[0].documents
        print(f"{documents:,} documents, {file.stat().st_size / 2**20:,.0f} MB: {minutes:.2f} minutes of ", end="")
        print(f"{MINUTES} ({(used.ru_utime + used.ru_stime) / 60:.2f} of processor), {gigabytes:.2f} GB of {GIGABYTES}")
        print(f"{found:,} near-duplicates found of {planted:,} that share {limit:.0%} of their phrases or more")
        sys.exit(minutes > MINUTES or gigabytes > GIGABYTES or found != planted)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS)
