"""Writing a set from the terminal: what it will take, the first five documents, a question, and then all of them."""

import shlex
import sys

from rich.table import Table

from flows.cli.run import introduce, run_and_watch
from flows.console import console
from flows.generate import PREVIEWED, budget_of, generate
from flows.preflight import check_set, trait_of
from tasks.catalog import UserError
from tasks.generation.costs import Step, plan_chats, plan_documents, whole_cost
from tasks.generation.set_files import (
    documents_of,
    is_made,
    only_grows,
    record_of,
    set_folder,
    universe_of,
    version_folder,
)
from tasks.runs import cost_words
from tasks.schema import GeneratedSet


def show_price(wanted: GeneratedSet) -> None:
    """Calls and cost of each stage; what the store holds is free. A set that cannot be written raises UserError."""
    steps = steps_of(wanted)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "calls", "about", "at most"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for step in steps:
        table.add_row(step.name, f"{step.calls:,}", *map(_dollars, step.cost))
    whole = whole_cost(steps)
    table.add_row("all", f"{sum(step.calls for step in steps):,}", *map(_dollars, whole), style="bold")
    versions = f" in each of {', '.join(wanted.versions)}" if len(wanted.versions) > 1 else ""
    way = f"{wanted.writer.model}{' in batches' if wanted.writer.batch else ''}"
    console.print(f"{wanted.name}: {wanted.documents:,} documents{versions}, by {way}", style="bold")
    console.print(table, soft_wrap=False)
    limit = f"max_cost_usd stops it at ${wanted.max_cost_usd:,.2f}" if wanted.max_cost_usd else "no max_cost_usd is set"
    console.print(f"US dollars by data/prices.yaml; what is stored already is free, and {limit}.")


def steps_of(wanted: GeneratedSet) -> list[Step]:
    """The stages of a set, priced."""
    return plan_chats(wanted, trait_of(wanted)) if wanted.trait else plan_documents(wanted, universe_of(wanted))


def generate_in_terminal(wanted: GeneratedSet, command: list[str], yes: bool, address: str) -> None:
    """Writes the set, after a look at its first five unless `yes`, or `preview: false` in its definition, says not to.

    Where nobody can be asked it ends after these five, with the command that goes on.
    """
    check_set(wanted)
    refuse_what_is_made(wanted)
    show_price(wanted)
    given = shlex.join(command)
    introduce(f"{wanted.name}  {wanted.documents:,} documents", given, address)
    if wanted.preview and not yes and not only_grows(wanted):
        run_and_watch(lambda: generate(wanted, "preview"), None, given)
        if not _goes_on(wanted, given):
            return
    run_and_watch(lambda: generate(wanted.model_copy(update={"preview": False})), None, given)
    _show(wanted)


def _goes_on(wanted: GeneratedSet, given: str) -> bool:
    said = f"\nThese are the first {min(PREVIEWED, wanted.documents)}, and are kept. Change {set_folder(wanted.name)}"
    if sys.stdin.isatty():
        console.print(f"{said}/set.yaml, or go on.")
        return input(f"Write all {wanted.documents:,}? [y/N] ").strip().casefold() in ("y", "yes")
    console.print(f"{said}/set.yaml, or go on with: {given} --yes")
    return False


def refuse_what_is_made(wanted: GeneratedSet) -> None:
    """Raises UserError where the set is there as its definition has it, or larger."""
    if is_made(wanted):
        has = documents_of(wanted.name)
        raise UserError(
            f"{set_folder(wanted.name)} has its {has:,} documents already; for more of them raise "
            f"documents in its set.yaml, or write documents={has + 500} behind the name"
        )


def show_check(wanted: GeneratedSet) -> None:
    """What it would take, what was spent on it so far, and why it could not be written yet. Nothing is asked."""
    show_price(wanted)
    if words := cost_words(budget_of(wanted).summary()):
        console.print(f"Spent on it so far: {words}")
    try:
        check_set(wanted)
    except UserError as problem:
        console.print(f"Before it can run: {problem}", style="yellow")


def _show(wanted: GeneratedSet) -> None:
    record = record_of(wanted.name)
    counts = ", ".join(f"{count:,} {name}" for name, count in record["counts"].items() if count)
    console.print(f"\n{counts}")
    if words := cost_words(record["spent"]):
        console.print(words)
    for version in wanted.versions:
        console.print(f"Documents  {version_folder(wanted, version)}")


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:,.2f}"
