"""`spillover audit`: how far a run's judges can be trusted."""

from typing import Annotated

import typer

from flows.cli.arguments import Commands, Place, say, several, use_server

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="How far a run's judges can be trusted: repeat, compare, sheet, read.",
    rich_markup_mode=None,
)


@app.command()
def repeat(
    place: Place,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of each judge's calls that are asked again.")] = 0.1,
    judges: Annotated[str, typer.Option(help="Judges, as a,b; all that ask a model when empty.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    max_cost_usd: Annotated[float, typer.Option(help="The most that the run may cost in US dollars.")] = 0.0,
) -> None:
    """Ask a judge a share of its calls again: does it agree with itself, and what would repeats buy?"""
    from tasks.runs import Run

    Run.find(place)
    address = use_server()
    from flows.cli.run import repeat_in_terminal

    repeat_in_terminal(place, share, several(judges), seed, max_cost_usd, address)


@app.command()
def compare(
    place: Place,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another run of the same answers, or the same run.")],
    judge: Annotated[str, typer.Option(help="The judge of RUN; those of the same name when empty.")] = "",
    against: Annotated[str, typer.Option(help="The judge of OTHER.")] = "",
) -> None:
    """Compare two judges on the answers that both judged."""
    from flows.audit import compare
    from flows.cli.terminal import show_agreement

    show_agreement(compare(place, other, judge, against)[1])


@app.command()
def sheet(
    place: Place,
    file: Annotated[str, typer.Argument(help="The CSV file to write.")],
    judge: Annotated[str, typer.Option(help="Whose answers; the first that asks a model when empty.")] = "",
    size: Annotated[int, typer.Option(min=2, help="Answers, half of each side.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Write a blind sheet for a person to score: no scores, no sides, in no order."""
    from pathlib import Path

    from flows.audit import export_sheet
    from tasks.runs import Run

    written, chosen = export_sheet(Run.find(place), Path(file).expanduser(), judge, size, seed)
    say(f"Sheet   {written}  (answers judged by {chosen.name})\nRubric  {written.with_suffix('.rubric.txt')}")


@app.command()
def read(place: Place, file: Annotated[str, typer.Argument(help="The sheet with its scores filled in.")]) -> None:
    """Read a sheet back: agreement with the person, the corrected means, and the corrected effect."""
    from pathlib import Path

    from flows.audit import import_sheet
    from flows.cli.terminal import show_agreement, show_corrected
    from tasks.runs import Run

    found = import_sheet(Run.find(place), Path(file).expanduser())
    show_agreement(found.agreement)
    show_corrected(found.corrected, found.effects)
