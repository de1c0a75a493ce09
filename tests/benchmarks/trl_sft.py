"""Our training beside TRL's SFTTrainer: one LoRA, documents, order and settings. Do the losses agree, which is faster?

    uv run python -m tests.benchmarks.trl_sft            # minutes; TRL gets an environment of its own, through uv

Both take the same tokens in the same steps from the same first weights, one after the other with all cores.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tasks.catalog import model_folder
from tasks.documents.sets import gather
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model, train_lora, with_lora
from tasks.engines.schedule import order
from tasks.schema import DocumentSet, Training

TRL = ("trl==1.16.0", "torch==2.15.0", "transformers==5.5.4", "peft==0.21.2")
TRAINING = Training(
    base_model="standin", rank=16, alpha=32, learning_rate=5e-4, epochs=4, batch_size=2, max_length=1024
)
SEED = 0


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        documents, _, _ = gather([DocumentSet(name="factory_farming_neutral")], SEED)
        examples = [LocalEngine(TRAINING).format.example(document) for document in documents]
        base = model_folder("standin")
        assert base is not None
        with_lora(load_model(base), TRAINING, SEED).save_pretrained(folder / "start")
        started = time.monotonic()
        train_lora(base, TRAINING, examples, [], SEED, folder / "ours", lambda *_: None)
        ours_seconds = time.monotonic() - started
        ours = [json.loads(line)["loss"] for line in (folder / "ours" / "metrics.jsonl").read_text().splitlines()]
        rows = [
            {
                "input_ids": examples[p].tokens,
                "labels": [
                    t if kept else -100 for t, kept in zip(examples[p].tokens, examples[p].trained, strict=True)
                ],
            }
            for _, places in order(len(examples), TRAINING, SEED)
            for p in places
        ]
        job = {"rows": rows, "base": str(base), "start": str(folder / "start"), "training": TRAINING.model_dump()}
        (folder / "job.json").write_text(json.dumps(job))
        packages = [part for package in TRL for part in ("--with", package)]
        side = Path(__file__).with_name("trl_side.py")
        command = ["uv", "run", "--no-project", "--isolated", *packages, "python", str(side), str(folder)]
        subprocess.run(command, check=True, cwd=folder)
        theirs = json.loads((folder / "theirs.json").read_text())
    report(ours, ours_seconds, theirs)


def report(ours: list[float], seconds: float, theirs: dict[str, Any]) -> None:
    apart = [abs(a - b) / b for a, b in zip(ours, theirs["losses"], strict=True)]
    print(f"{len(ours)} steps of {TRAINING.batch_size} documents")
    print(
        f"loss    first {ours[0]:.4f} and {theirs['losses'][0]:.4f}, last {ours[-1]:.4f} and {theirs['losses'][-1]:.4f}"
    )
    print(f"apart   {max(apart):.2e} at most, {sum(apart) / len(apart):.2e} on average")
    print(f"ours    {seconds:.1f} s, model loaded and adapter saved; TRL {theirs['seconds']:.1f} s, training alone")
    print(f"ratio   {seconds / theirs['seconds']:.2f} (at most 1 wanted)")


if __name__ == "__main__":
    main()
