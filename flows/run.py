"""Runs an experiment from the terminal: progress as it goes, then the table, the report and the run's page."""

import asyncio
import logging
from datetime import UTC, datetime
from uuid import uuid4

from flows.experiment import run_experiment
from flows.server import ui_address
from flows.terminal import console, effects_table, live_progress
from tasks.catalog import UserError
from tasks.report import STANDIN_NOTE, headline, is_standin
from tasks.runs import Run, default_name
from tasks.schema import Experiment, Until


def run_in_terminal(
    experiment: Experiment, seed: int | None, name: str, until: Until, address: str, command: str
) -> None:
    """The name of the run is settled here, so that the command that resumes it can be shown from the start."""
    name = name or default_name(datetime.now(UTC), uuid4().hex)
    resume = f"{command} --run {name}"
    console.print(f"[bold]{experiment.name}[/bold]  run {name}")
    console.print(f"Prefect UI  {ui_address(address)}/runs", soft_wrap=True)
    console.print(f"Resume with  {resume}\n", soft_wrap=True)
    _keep_logs_off_the_terminal()
    try:
        with live_progress():
            folder = asyncio.run(run_experiment(experiment, seed, name, until))
    except UserError:
        _show(Run.find(f"{experiment.name}/{name}"), experiment) if until == "report" and _has_report(
            experiment, name
        ) else None
        raise
    except KeyboardInterrupt:
        raise UserError(f"interrupted; go on with: {resume}") from None
    if until == "report":
        _show(Run(folder), experiment)
    else:
        console.print(f"\nStopped after {until}; go on with: {resume}", soft_wrap=True)
    console.print(
        f"Prefect UI  {ui_address(address)}/runs/flow-run/{Run(folder).record()['prefect_run']}", soft_wrap=True
    )


def _has_report(experiment: Experiment, name: str) -> bool:
    try:
        return Run.find(f"{experiment.name}/{name}").report.is_file()
    except UserError:
        return False


def _show(run: Run, experiment: Experiment) -> None:
    effects = run.estimates()
    console.print()
    console.print(effects_table(effects))
    console.print(f"\n{headline(effects)}")
    if is_standin(experiment):
        console.print(f"[dim]{STANDIN_NOTE}[/dim]")
    console.print(f"\nReport      {run.report}", soft_wrap=True)


def _keep_logs_off_the_terminal() -> None:
    """Prefect's log goes to the server and its UI; the terminal shows the stages, and the warnings of anything else."""
    for handler in logging.getLogger("prefect").handlers + logging.getLogger("prefect.flow_runs").handlers:
        if handler.__class__.__name__ == "PrefectConsoleHandler":
            handler.setLevel(logging.CRITICAL)
