"""The documents of a run: its sets are read, mixed and written down, with what was rejected and where each came from.

write_documents(Run(folder), experiment, seed=0)
"""

import json
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import document_files
from tasks.documents.sets import LABELS, gather, refuse_unusable_rows, split
from tasks.files import write_rows, write_text
from tasks.progress import track
from tasks.runs import Run
from tasks.schema import DocumentSet, Experiment


def write_documents(run: Run, experiment: Experiment, seed: int) -> int:
    """How many documents are trained on. documents.jsonl is written last: where it is, the other files are too."""
    mixed, rejected, mixture = gather(experiment.documents, seed)
    trained, held_out = split(mixed, experiment.training.held_out)
    write_rows(run.rejected, rejected)
    write_rows(run.held_out, held_out)
    write_text(run.mixture, json.dumps({**mixture, "held_out": len(held_out)}, indent=1) + "\n")
    write_rows(run.documents, trained)
    return len(trained)


def not_trained_on(mixture: dict[str, Any]) -> str:
    """How many rows were rejected, which files and which fields of rows were not read; nothing where all was."""
    sets = mixture["sets"]
    rejected = sum(record["rejected"] for record in sets)
    left_out = [name for record in sets for name in record["left_out"]]
    unused = dict.fromkeys(key for record in sets for key in record["unused"] if key not in LABELS)
    rows = f"{rejected:,} rows rejected" if rejected else ""
    not_read = ", ".join([*left_out, *(f"the field {key}" for key in unused)])
    return "".join(f", {words}" for words in (rows, f"not read: {not_read}" if not_read else "") if words)


@task(name="documents", task_run_name="read the documents of {experiment.name}")
def documents_task(folder: Path, experiment: Experiment, seed: int) -> Path:
    """Writes the documents of the run in this folder; raises UserError as `gather` does."""
    run = Run(folder)
    with track("documents") as progress:
        count = write_documents(run, experiment, seed)
        progress(count, count, f"documents to train on{not_trained_on(json.loads(run.mixture.read_text()))}")
    return run.documents


@task(name="check documents", task_run_name="check the documents of {name}", cache_policy=NO_CACHE)
def check_documents_task(name: str, folder: Path, like: DocumentSet) -> int:  # noqa: ARG001 - it names the task run
    """How many documents a folder has, conditioned as `like` is; UserError where a single row cannot be used."""
    return refuse_unusable_rows(document_files("", str(folder))[0], like)
