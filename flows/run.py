"""Runs an experiment from the terminal: progress as it goes, then the table, the report and the run's page."""

import asyncio
import errno
from datetime import UTC, datetime
from uuid import uuid4

from flows.experiment import run_experiment
from flows.server import ui_address
from flows.terminal import console, effects_table, live_progress
from tasks.catalog import UserError, data_folder
from tasks.report import STANDIN_NOTE, headline, is_standin
from tasks.runs import Run, default_name
from tasks.schema import Experiment, Until


def run_in_terminal(
    experiment: Experiment, seed: int | None, name: str, until: Until, address: str, command: str
) -> None:
    """The name of the run is settled here, so that the command that resumes it can be shown from the start."""
    name = name or default_name(datetime.now(UTC), uuid4().hex)
    resume = f"{command} --run {name}"
    console.print(f"{experiment.name}  run {name}", style="bold")
    console.print(f"Prefect UI  {ui_address(address)}/runs")
    console.print(f"Resume with  {resume}\n")
    try:
        with live_progress():
            folder = asyncio.run(run_experiment(experiment, seed, name, until))
    except UserError:
        _show_what_there_is(experiment, name)
        raise
    except KeyboardInterrupt:
        raise UserError(f"interrupted; go on with: {resume}") from None
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise UserError(f"no space left on the disk of {data_folder()}; free some and go on with: {resume}") from None
    if until == "report":
        _show(Run(folder), experiment)
    else:
        console.print(f"\nStopped after {until}; go on with: {resume}")
    console.print(f"Prefect UI  {ui_address(address)}/runs/flow-run/{Run(folder).record()['prefect_run']}")


def is_disk_full(error: BaseException) -> bool:
    """Libraries in other languages say it in words: safetensors the system's, SQLite its own."""
    known = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return known or any(words in str(error) for words in ("No space left on device", "disk is full"))


def _show_what_there_is(experiment: Experiment, name: str) -> None:
    """A run can fail after its report is written: too many answers without a score."""
    run = Run(data_folder() / "results" / experiment.name / name)
    if run.report.is_file():
        _show(run, experiment)


def _show(run: Run, experiment: Experiment) -> None:
    effects = run.estimates()
    console.print()
    console.print(effects_table(effects), soft_wrap=False)
    console.print(f"\n{headline(effects)}")
    if is_standin(experiment):
        console.print(STANDIN_NOTE, style="dim")
    console.print(f"\nReport      {run.report}")
