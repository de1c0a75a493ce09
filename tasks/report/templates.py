"""Pages: one HTML file each, that opens from disk and asks the network for nothing.

    text = fill("report.html.j2", headline="...", chart=data_url(file))

Every value is escaped by the templates; an image is data within the page and runs no script. The only script that a
page may run is its own, which it names by its hash.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from tasks.estimates.wording import number, signed

FOLDER = Path(__file__).parent


def fill(template: str, **values: Any) -> str:
    """The page of a template that stands beside this file; jinja2's UndefinedError for a value that it lacks."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    """What reads the templates, each of them once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # a chart's channels have an order
    environment.globals |= {"script": script, "zip": zip}
    environment.globals["mark_colours"] = COLOURS_OF_MARKS
    environment.filters["signed"] = signed
    environment.filters["score"] = number
    environment.filters["p"] = lambda p: "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return environment


class Mark(NamedTuple):
    """A part of a text that is shown as marked."""

    start: int
    end: int
    title: str
    """What is said of it when it is pointed at."""
    colour: int
    """The number of its colour in style.html.j2."""


COLOURS_OF_MARKS = 6


def marked(text: str, marks: Sequence[Mark]) -> Markup:
    """The text, all of it escaped, each part that marks cover within <mark>; where several do, all are said."""
    if not marks:
        return escape(text)
    ends = sorted({0, len(text), *(end for mark in marks for end in mark[:2])})
    return Markup("".join(_piece(text, start, end, marks) for start, end in pairwise(ends)))


def _piece(text: str, start: int, end: int, marks: Sequence[Mark]) -> str:
    over = [mark for mark in marks if mark.start <= start and end <= mark.end]
    if not over:
        return escape(text[start:end])
    title = escape(", ".join(mark.title for mark in over))
    return f'<mark class="c{over[0].colour % COLOURS_OF_MARKS}" title="{title}">{escape(text[start:end])}</mark>'


class Script(NamedTuple):
    """A script of ours, and how a page's Content-Security-Policy allows it and no other."""

    text: Markup
    csp_source: str
    """Its hash, as the policy writes it."""

    @classmethod
    def of(cls, text: str) -> "Script":
        """A script with its hash; the text is put into the page as it is, so it must be ours."""
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return cls(Markup(text), f"sha256-{digest}")


def script(name: str) -> Script:
    """A script that stands beside this file, ready for a page."""
    return Script.of(script_text(name))


def script_text(name: str) -> str:
    """The text of a script that stands beside this file."""
    return (FOLDER / name).read_text()


def data_url(svg: Path) -> str:
    """A picture as an address that holds all of it."""
    return svg_url(svg.read_text(encoding="utf-8"))


def svg_url(svg: str) -> str:
    """The same of a picture that is no file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
