"""The datasheet of a set, with what matters most of it in the terminal."""

from flows.console import console
from flows.datasheet import write_datasheet
from tasks.documents.mixing import to_set
from tasks.report.datasheet_page import verdict
from tasks.schema import Datasheet

SHOWN_PLACES = 3


def show_sheet(place: str, pair: str, banned: list[str]) -> bool:
    """Writes the datasheet and prints its verdict and limits; returns whether a document is beyond one of them."""
    sheet, page = write_datasheet(to_set(place), to_set(pair) if pair else None, banned)
    console.print(verdict(sheet), style="bold")
    for held in sheet.held:
        console.print(f"{held.documents:>7,} beyond  {held.limit}")
        if held.documents:
            more = ", ..." if held.documents > SHOWN_PLACES else ""
            console.print(f"{'':16}{', '.join(held.places[:SHOWN_PLACES])}{more}")
    for words in most_alike_and_frequent(sheet):
        console.print(words)
    console.print(str(page))
    return any(held.documents for held in sheet.held)


def most_alike_and_frequent(sheet: Datasheet) -> list[str]:
    """The pair that is most alike, and the name and the phrase that stand in most documents, where there are any."""
    frequent = [("name", sheet.names), ("opening", sheet.openings), ("phrase", sheet.phrases)]
    pair = sheet.most_alike[:1]
    return [
        *(f"most alike: {one.other_place} and {one.place}, {100 * one.jaccard:.1f} % of their phrases" for one in pair),
        *(f"most frequent {what}: {rows[0].text}, in {rows[0].documents:,}" for what, rows in frequent if rows),
    ]
