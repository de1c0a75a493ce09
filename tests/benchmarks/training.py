"""Our training beside TRL's SFTTrainer: one LoRA, documents, order and settings. Do the losses agree, which is faster?

    uv run python -m tests.benchmarks.training               # minutes; TRL gets an environment of its own, through uv
    uv run python -m tests.benchmarks.training standin 320   # another model, and how many steps

Both take the same tokens in the same steps from the same first weights, one after the other with all cores, each in a
process of its own. A step's seconds are the median, the first step left out.
"""

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tasks.documents.sets import gather
from tasks.engines.examples import Example
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model, train_lora, with_lora
from tasks.engines.schedule import order
from tasks.schema import DocumentSet, Training
from tests.benchmarks.apart import apart

TRL = ("trl==1.16.0", "torch==2.15.0", "transformers==5.5.4", "peft==0.21.2")
BATCH, SEED = 4, 0


def main() -> None:
    model, steps = (sys.argv[1:] + ["smollm2", "10"][len(sys.argv) - 1 :])[:2]
    training = Training(base_model=model, rank=16, alpha=32, learning_rate=5e-4, batch_size=BATCH, max_length=1024)
    engine = LocalEngine(training)
    documents, _, _ = gather([DocumentSet(name="factory_farming_neutral")], SEED)
    examples = [engine.format.example(document) for document in documents]
    examples = (examples * (1 + int(steps) * BATCH // len(examples)))[: int(steps) * BATCH]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with_lora(load_model(engine.folder), training, SEED).save_pretrained(folder / "start")
        times, memory = apart(train, engine.folder, training, examples, folder / "ours")
        rows = [json.loads(line) for line in (folder / "ours" / "metrics.jsonl").read_text().splitlines()]
        theirs = train_with_trl(engine.folder, training, examples, folder)
    length = sum(len(example.tokens) for example in examples) / len(examples)
    print(f"{len(rows)} steps of {BATCH} documents, {length:.0f} tokens each")
    report([row["loss"] for row in rows], times, memory, theirs)


def train(base: Path, training: Training, examples: list[Example], folder: Path) -> list[float]:
    """When each step ended, in seconds."""
    times: list[float] = []
    train_lora(base, training, examples, [], SEED, folder, lambda *_: times.append(time.perf_counter()))
    return times


def train_with_trl(base: Path, training: Training, examples: list[Example], folder: Path) -> dict[str, Any]:
    """What trl_side.py left: losses, the steps' times and its peak of memory."""
    places = [place for _, some in order(len(examples), training, SEED) for place in some]
    rows = [{"input_ids": examples[place].tokens, "labels": labels(examples[place])} for place in places]
    job = {"rows": rows, "base": str(base), "start": str(folder / "start"), "training": training.model_dump()}
    (folder / "job.json").write_text(json.dumps(job))
    packages = [part for package in TRL for part in ("--with", package)]
    side = Path(__file__).with_name("trl_side.py")
    command = ["uv", "run", "--no-project", "--isolated", *packages, "python", str(side), str(folder)]
    subprocess.run(command, check=True, cwd=folder)
    return json.loads((folder / "theirs.json").read_text())


def labels(example: Example) -> list[int]:
    return [token if kept else -100 for token, kept in zip(example.tokens, example.trained, strict=True)]


def report(losses: list[float], times: list[float], memory: float, theirs: dict[str, Any]) -> None:
    apart = [abs(a - b) / b for a, b in zip(losses, theirs["losses"], strict=True)]
    print(f"loss    first {losses[0]:.4f} and {theirs['losses'][0]:.4f}, last {losses[-1]:.4f}", end=" ")
    print(f"and {theirs['losses'][-1]:.4f}; apart {max(apart):.2e} at most")
    mine, yours = (median(b - a for a, b in pairwise(ends)) for ends in (times, theirs["times"]))
    print(f"a step  ours {mine:.2f} s, TRL {yours:.2f} s: ours {yours / mine:.2f} times as fast (1.2 wanted)")
    print(f"memory  ours {memory:,.0f} MB at most, TRL {theirs['memory']:,.0f} MB")


if __name__ == "__main__":
    main()
