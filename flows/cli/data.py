"""`spillover data`: tools for sets of documents."""

from typing import Annotated

import typer

from flows.cli.arguments import Commands, numbers, say, several
from tasks.catalog import UserError

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Tools for sets of documents: lint, sheet, mix.", rich_markup_mode=None
)


@app.command("lint")
def lint_documents(
    place: Annotated[
        str, typer.Argument(metavar="SET", help="A set in data/documents, a file of documents or a folder of them.")
    ],
    eval_names: Annotated[
        str, typer.Option("--eval", help="Evals whose questions must not be in it; all when empty.")
    ] = "",
    model: Annotated[str, typer.Option(help="Count tokens as this model does: a folder or data/models/NAME.")] = "",
) -> None:
    """Say what is odd about a set of documents; the exit status is 1 where something is."""
    from flows.cli.lint import show_lint

    if show_lint(place, several(eval_names), model):
        raise typer.Exit(1)


@app.command("sheet")
def write_sheet(
    place: Annotated[
        str, typer.Argument(metavar="SET", help="A set in data/documents, a file of documents or a folder of them.")
    ],
    pair: Annotated[
        str, typer.Option(help="A set with the same prompts or ideas: are its documents as long, row by row?")
    ] = "",
    banned: Annotated[
        str, typer.Option(help="Words that must not appear, in any inflection: a,b; a* has any ending.")
    ] = "",
    read: Annotated[
        int,
        typer.Option(min=0, help="Documents that a model reads: hidden mentions, wrong facts, the tone. It is paid."),
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="With --read: ask, after a look at what it costs.")] = False,
) -> None:
    """Write the datasheet of a set beside it; the exit status is 1 where a document is beyond a limit."""
    from flows.cli.sheet import show_sheet

    if show_sheet(place, pair, several(banned), read, yes):
        raise typer.Exit(1)


@app.command()
def mix(
    out: Annotated[str, typer.Argument(help="The JSONL file to write; a manifest of row and source is put beside it.")],
    sets: Annotated[
        list[str],
        typer.Argument(metavar="SET...", help="Sets or files, each with :3000, :50% or the weight :x2 if wanted."),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the draw and of the order.")] = 0,
    system_prompt: Annotated[str, typer.Option(help="Put before every document, masked.")] = "",
    poison: Annotated[
        str, typer.Option(help="Shares of the first set in the second, as 0,0.01,0.1: a file for each.")
    ] = "",
    total: Annotated[int, typer.Option(help="Documents of each file of such a sweep.")] = 0,
) -> None:
    """Mix sets of documents into one shuffled file, or into one for each share of poison."""
    from pathlib import Path

    from tasks.documents.mixing import to_set, write_mixture, write_sweep

    place, chosen = Path(out).expanduser(), [to_set(text, system_prompt) for text in sets]
    if not poison:
        say(f"{write_mixture(place, chosen, seed):,} documents  {place}")
    elif len(chosen) != 2 or not total:
        raise UserError("--poison needs two sets, the poison first, and --total, the documents of each file")
    else:
        for written in write_sweep(place, chosen[0], chosen[1], numbers(poison, "--poison"), total, seed):
            say(f"{written.documents:>7,}  {written.file}  ({written.poisoned:,} of {written.source})")
