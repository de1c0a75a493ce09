"""Which models that judges ask are announced to end, or have: `judges` of data/models/served.yaml, with its sources.

announced_end(judge, said=date(2027, 1, 14))     # a sentence; `said` is what the judge's service says, and comes first

Nothing is refused because of it: the service has the last word.
"""

from datetime import UTC, date, datetime

from pydantic import Field

from tasks.catalog import UserError, data_folder, read_fields, validate
from tasks.schema import Judge, Noun


class Ending(Noun):
    """A model that a service takes out of its lineup."""

    service: str
    """As in data/prices.yaml: claude, or the address of a server."""
    model: str
    until: date
    """The day on which it goes."""
    successor: str = ""
    """The model that the service recommends in its place; empty where it names none."""
    source: str
    """One of the file's `sources`."""


class Endings(Noun):
    """What data/models/served.yaml says of judges."""

    judges: list[Ending] = Field([])


def announced_end(judge: Judge, said: date | None = None) -> str:
    """That the judge's model ends, or has, and when; nothing where no end is known. Of a wrong file, what is wrong."""
    try:
        known = next((ending for ending in _endings() if _is_of(ending, judge)), None)
    except UserError as problem:
        known, wrong = None, f"{problem}; mend the file, or remove it: it only says which models are gone"
    else:
        wrong = ""
    day = said or (known.until if known else None)
    if day is None:
        return wrong
    ends = "ends" if day > datetime.now(UTC).date() else "ended"
    successor = f", and {known.successor} is recommended in its place" if known and known.successor else ""
    return (
        f"the judge {judge.name!r} asks {judge.model}, which {ends} on {day}{successor}: compare only what one and the "
        "same model has judged"
    )


def _is_of(ending: Ending, judge: Judge) -> bool:
    return (ending.service, ending.model) == (judge.base_url or judge.kind, judge.model)


def _endings() -> list[Ending]:
    file = data_folder() / "models" / "served.yaml"
    fields = read_fields(file) if file.is_file() else {}
    return validate(Endings, {"judges": fields.get("judges", [])}, str(file)).judges
