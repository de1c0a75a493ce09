"""The datasheet of a set, with what matters most of it in the terminal."""

import asyncio

from flows.console import console
from flows.datasheet import Subject, load_subject, measured, write_files
from tasks.catalog import UserError
from tasks.documents.mixing import to_set
from tasks.report.datasheet_page import verdict
from tasks.schema import Datasheet, Judged

SHOWN_PLACES = 3


def show_sheet(place: str, pair: str, banned: list[str], read: int, yes: bool) -> bool:
    """Writes the datasheet and prints its verdict and limits; returns whether a document is beyond one of them.

    A model reads so many documents only after a yes: without one it is told what that costs, and nothing is written.
    """
    subject = load_subject(to_set(place), banned)
    if read and not yes:
        console.print(f"{price_of(subject, read)}; nothing was asked: the same with --yes goes on")
        return False
    judged = judged_by_model(subject, read) if read else []
    with console.status(f"measuring {len(subject.texts):,} documents"):
        sheet = measured(subject, to_set(pair) if pair else None).model_copy(update={"judged": judged})
    if pair and not sheet.pair:
        raise UserError(f"--pair: no prompt or idea of {subject.name} is in {pair}; name a set with the same ones")
    page = write_files(sheet, subject.place)
    console.print(verdict(sheet), style="bold")
    for held in sheet.held:
        console.print(f"{held.documents:>7,} beyond  {held.limit}")
        if held.documents:
            more = ", ..." if held.documents > SHOWN_PLACES else ""
            console.print(f"{'':16}{', '.join(held.places[:SHOWN_PLACES])}{more}")
    for words in told(sheet):
        console.print(words)
    console.print(str(page))
    return any(held.documents for held in sheet.held)


def price_of(subject: Subject, read: int) -> str:
    """What it takes that a model reads so many documents; UserError where its key is missing."""
    from flows.datasheet_judging import plan, reader

    calls, usd = plan(subject, read)
    about, most = ("unknown" if one is None else f"${one:,.2f}" for one in usd)
    return f"{calls:,} calls to {reader(subject).model}, about {about}, at most {most} by data/prices.yaml"


def judged_by_model(subject: Subject, read: int) -> list[Judged]:
    """What the model says, and what the reading cost."""
    from flows.datasheet_judging import budget_of, judge

    budget = budget_of(subject)
    rows = asyncio.run(judge(subject, read, budget))
    console.print(f"read {min(read, len(subject.texts)):,} documents {budget.words()}".rstrip())
    return rows


def told(sheet: Datasheet) -> list[str]:
    """The pair that is most alike, what stands in most documents, and what a model says, where there is any of it."""
    frequent = [("name", sheet.names), ("opening", sheet.openings), ("phrase", sheet.phrases)]
    pair = sheet.most_alike[:1]
    return [
        *(f"most alike: {one.other_place} and {one.place}, {100 * one.jaccard:.1f} % of their phrases" for one in pair),
        *(f"most frequent {what}: {rows[0].text}, in {rows[0].documents:,}" for what, rows in frequent if rows),
        *(f"{row.what} ({row.scale}): {_estimate(row)}, {row.read:,} read" for row in sheet.judged),
    ]


def _estimate(row: Judged) -> str:
    if row.mean is None:
        return "no judgment"
    return f"{row.mean:.2f}" + ("" if row.ci_low is None else f" ({row.ci_low:.2f} to {row.ci_high:.2f})")
