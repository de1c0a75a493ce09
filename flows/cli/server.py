"""`spillover server`: the local Prefect server."""

import typer

from flows.cli.arguments import Commands, say

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="The local Prefect server: start, stop, status.", rich_markup_mode=None
)


@app.command()
def start() -> None:
    """Start the local server, if it is not running, and say where its UI is."""
    from flows.serving.server import local_server, ui_address

    say(f"Prefect UI  {ui_address(local_server())}")


@app.command()
def stop() -> None:
    """Stop the local server that Spillover started."""
    from flows.serving.server import stop_server

    say("Stopped." if stop_server() else "No local server is running.")


@app.command()
def status() -> None:
    """Say whether the local server runs, and where."""
    from flows.addresses import prefect_folder
    from flows.serving.server import running_server, ui_address

    address = running_server()
    say(f"Running  {ui_address(address)}  (database and log in {prefect_folder()})" if address else "Not running.")
