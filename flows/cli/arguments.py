"""What several commands take and say."""

import math
import os
import shutil
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.prose import in_width
from tasks.catalog import UserError
from tasks.visible import visible

Place = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, experiment/run, or an experiment for its latest run.")
]


class Commands(TyperGroup):
    """Commands whose descriptions stand whole in the help: Typer's own cuts them off where the line ends."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A command and its first sentence, on as many lines as it takes."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        described = [(name, command.get_short_help_str(limit=1_000)) for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(described)


def say(text: str, err: bool = False) -> None:
    """Prints text as it is, with what a terminal would obey in it spelled out; imports no more than that takes.

    A terminal gets prose that breaks between words, a file or a program the lines as they are.
    """
    is_terminal = (sys.stderr if err else sys.stdout).isatty()
    shown = visible(text)
    typer.echo(in_width(shown, shutil.get_terminal_size().columns) if is_terminal else shown, err=err)


def several(text: str) -> list[str]:
    """Names that are given as a,b."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str, option: str) -> list[float]:
    """Numbers that are given as 0,0.5; UserError, which names the option, for what is none."""
    try:
        found = [float(number) for number in text.split(",")] if text else []
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise UserError(f"{option}: {text!r} is not made of numbers; write them as 0,0.1,1")
    return found


def sizes(text: str, option: str) -> dict[str, float]:
    """Sizes of measures that are given as a=0.02,b=3; a number alone is that of all, under the name "".

    Raises UserError, which names the option, for what is none, or not above 0.
    """
    found = {}
    for part in several(text):
        name, _, size = part.rpartition("=")
        try:
            found[name.strip()] = float(size)
        except ValueError:
            found[name.strip()] = math.nan
    if not all(math.isfinite(size) and size > 0 for size in found.values()):
        raise UserError(f"{option}: {text!r} is not made of sizes above 0; write 0.3, or aligned=2,coherent=5")
    return found


def use_server() -> str:
    """The address of the Prefect server in use; the local one is started where none is named and none runs."""
    from flows.serving.server import running_server
    from flows.serving.server import use_server as use

    if not os.environ.get("PREFECT_API_URL") and not running_server():
        say("Starting the local Prefect server ...")
    return use()
