"""Pages: one HTML file each, that opens from disk and asks the network for nothing.

    text = page("report.html.j2", headline="...", chart=image(file))

Every value is escaped by the templates; an image is data within the page and runs no script. The only script that a
page may run is its own, which it names by its hash.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from tasks.estimates.wording import number, signed


def page(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # a chart's channels have an order
    environment.globals["script"] = script
    environment.filters["signed"] = signed
    environment.filters["score"] = number
    environment.filters["p"] = lambda p: "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return environment.get_template(template).render(**values)


class Script(NamedTuple):
    """A script of ours, and the hash by which a page's Content-Security-Policy allows it and no other."""

    text: Markup
    source: str


def script(name: str) -> Script:
    return hashed(source(name))


def source(name: str) -> str:
    """The text of a script that stands beside this file."""
    return (Path(__file__).parent / name).read_text()


def hashed(text: str) -> Script:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), f"sha256-{digest}")


def image(file: Path) -> str:
    """An SVG as a data address."""
    return "data:image/svg+xml;base64," + base64.b64encode(file.read_bytes()).decode()
