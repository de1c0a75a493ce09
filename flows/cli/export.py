"""A run's LoRA, or all of its rows, as files that others read."""

from pathlib import Path

from flows.console import console
from flows.report_again import write_parquet
from tasks.catalog import UserError
from tasks.engines import get_engine
from tasks.runs import Run


def export_adapter(run: Run, folder: str) -> None:
    """Writes the LoRA in PEFT layout, to the run's own adapter/ where no folder is named.

    Raises UserError for a run that is not trained, and for an adapter that its service no longer has.
    """
    if not run.checkpoint.is_file():
        raise UserError(f"{run.folder} has no checkpoint.json yet; finish its training with `{run.resume_command}`")
    place = Path(folder).expanduser() if folder else run.folder / "adapter"
    get_engine(run.experiment().training).export(run.model(), place)
    console.print(f"Adapter  {place}")


def export_table(run: Run, file: str) -> None:
    """Writes a Parquet file with a row for each answer and judge."""
    rows = write_parquet(run, Path(file).expanduser())
    console.print(f"Parquet  {file}  ({rows:,} rows: one for each answer and judge)")
