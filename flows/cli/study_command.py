"""`spillover study`: what it takes, for a study of ours and for one of results that others published."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import use_server
from tasks.catalog import UserError
from tasks.imports.choices import OF_RESULTS


def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A study's name or YAML file; or results of others: a file, or a pattern of files or imported runs.",
        ),
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, as field=value: seeds=0-3")] = None,
    called: Annotated[
        str, typer.Option("--name", help="Of results: name of the study; made of theirs when empty.")
    ] = "",
    trained: Annotated[
        str, typer.Option(help="Of results: what fine-tunes were trained on, as formal=formality,casual=-formality.")
    ] = "",
    columns: Annotated[str, typer.Option(help="Of results: which column is what, as for import.")] = "",
    base: Annotated[str, typer.Option(help="Of results: the untuned model's name.")] = "",
    baseline: Annotated[str, typer.Option(help="Of results: a file with the untuned model's.")] = "",
    group: Annotated[str, typer.Option(help="Of results: the column that says which models are seeds.")] = "",
    measures: Annotated[str, typer.Option(help="Of results: columns of scores, as a,b.")] = "",
    scale: Annotated[str, typer.Option(help="Of results: ends of the scores, as 0-100.")] = "",
) -> None:
    """Run many fine-tunes with several seeds, ask all of them the same evals, and set side by side what changed."""
    options = [called, trained, columns, base, baseline, group, measures, scale]
    if "*" in name or name.lower().endswith(OF_RESULTS):
        from flows.cli.imports import choices_of
        from flows.cli.published_study import study_of_results

        if overrides:
            raise UserError(f"{overrides[0]!r}: {name} are results, of which no field can be changed; leave it out")
        choices = choices_of(columns=columns, base=base, group=group, measures=measures, scale=scale)
        other = Path(baseline).expanduser() if baseline else None
        study_of_results(name, called, choices, other, trained, shlex.join(["spillover", *sys.argv[1:]]))
        return
    if any(options):
        raise UserError(f"{next(filter(None, options))!r} is said of results, and {name!r} is a study; leave it out")
    from tasks.studies.definition import cells, load_study

    chosen = load_study(name, overrides or [])
    cells(chosen)
    address = use_server()
    from flows.cli.study import study_in_terminal

    study_in_terminal(chosen, shlex.join(["spillover", "study", name, *(overrides or [])]), address)
