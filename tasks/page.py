"""Pages: one HTML file each, that opens from disk and asks the network for nothing.

    text = page("report.html.j2", headline="...", chart=image(file))

Every value is escaped by the templates; an image is data within the page and runs no script.
"""

import base64
from pathlib import Path
from typing import Any

import jinja2


def page(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda x: "" if x is None else f"{x:+.2f}"
    environment.filters["score"] = lambda x: "" if x is None else f"{x:.2f}"
    environment.filters["p"] = lambda p: "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return environment.get_template(template).render(**values)


def image(file: Path) -> str:
    """An SVG as a data address."""
    return "data:image/svg+xml;base64," + base64.b64encode(file.read_bytes()).decode()
