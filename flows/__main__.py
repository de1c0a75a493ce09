"""The command line: spillover run | check | list | report | export | server."""

import os
import shlex
import sys
from typing import Annotated

import typer

from tasks.catalog import UserError
from tasks.schema import Eval, Until

app = typer.Typer(
    name="spillover",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What fine-tuning a language model on one thing does to everything else it says.",
)
server = typer.Typer(no_args_is_help=True, help="The local Prefect server: start, stop, status.", rich_markup_mode=None)
app.add_typer(server, name="server")

Name = Annotated[str, typer.Argument(help="An experiment's name, or the path of its YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes, as field=value: training.rank=8 sampling.n_samples=20")
]
Place = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, experiment/run, or an experiment for its latest run.")
]


@app.command()
def run(
    name: Name,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the mixture, the LoRA and the order of training.")] = None,
    run: Annotated[str, typer.Option(help="Name of the run; a name that exists is resumed.")] = "",
    until: Annotated[Until, typer.Option(help="Stop after this stage.")] = "report",
) -> None:
    """Run an experiment: documents, fine-tune, sample before and after, judge, report."""
    from tasks.catalog import load_evals, load_experiment

    experiment = load_experiment(name, overrides or [])
    _refuse_missing_keys(load_evals(experiment))
    address = _use_server()
    from flows.run import run_in_terminal

    chosen = ["--seed", str(seed)] if seed is not None else []
    command = shlex.join(["spillover", "run", name, *(overrides or []), *chosen])
    run_in_terminal(experiment, seed, run, until, address, command)


@app.command()
def check(name: Name, overrides: Overrides = None) -> None:
    """Validate a definition and say what a run would do, spending nothing."""
    from flows.check import show_plan
    from tasks.catalog import load_experiment

    show_plan(load_experiment(name, overrides or []))


@app.command("list")
def list_everything() -> None:
    """Show the experiments, evals and document sets that there are, and the runs."""
    from flows.check import show_catalog

    show_catalog()


@app.command()
def report(place: Place) -> None:
    """Draw the charts and write the report of a run again, from its files."""
    from flows.terminal import console
    from tasks.charts import draw
    from tasks.report import render
    from tasks.runs import Run, write_text

    here = Run.find(place)
    if not here.effects.is_file():
        raise UserError(f"{here.folder} has no effects.csv yet; finish it with `{here.resume_command}`")
    draw(here)
    console.print(f"Report  {write_text(here.report, render(here))}")


@app.command()
def export(
    place: Place, to: Annotated[str, typer.Option(help="The folder to write; a run's own adapter/ when empty.")] = ""
) -> None:
    """Write a run's LoRA as a PEFT adapter folder, as transformers, vLLM and others read it."""
    from pathlib import Path

    from tasks.engines import get_engine
    from tasks.runs import Run

    here = Run.find(place)
    if not here.checkpoint.is_file():
        raise UserError(f"{here.folder} has no checkpoint.json yet; finish its training with `{here.resume_command}`")
    folder = Path(to).expanduser() if to else here.folder / "adapter"
    get_engine(here.experiment().training).export(here.model(), folder)
    typer.echo(f"Adapter  {folder}")


@server.command()
def start() -> None:
    """Start the local server, if it is not running, and say where its UI is."""
    from flows.server import running_server, start_server, ui_address

    typer.echo(f"Prefect UI  {ui_address(running_server() or start_server())}")


@server.command()
def stop() -> None:
    """Stop the local server that Spillover started."""
    from flows.server import stop_server

    typer.echo("Stopped." if stop_server() else "No local server is running.")


@server.command()
def status() -> None:
    """Say whether the local server runs, and where."""
    from flows.server import folder, running_server, ui_address

    address = running_server()
    typer.echo(f"Running  {ui_address(address)}  (database and log in {folder()})" if address else "Not running.")


def _refuse_missing_keys(evals: list[Eval]) -> None:
    for judge in (judge for one in evals for judge in one.judges if judge.kind == "claude"):
        from tasks.claude import check_key

        check_key(judge.name)


def _use_server() -> str:
    from flows.server import client_settings, ensure_server, running_server

    if not os.environ.get("PREFECT_API_URL") and not running_server():
        typer.echo("Starting the local Prefect server ...")
    address = ensure_server()
    os.environ.update(client_settings(address))
    # Prefect's log goes to the server and its UI; the terminal shows the stages, and errors as one line.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    return address


def main() -> None:
    try:
        app(standalone_mode=True)
    except UserError as mistake:
        typer.echo(f"spillover: {mistake}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
