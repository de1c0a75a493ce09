"""A chart as files: its table as CSV, and the picture as SVG, HTML, PNG and PDF.

    save(matrix(effects, ["measure"]), run.charts / "matrix", effects)

The only module that turns a chart into pictures; it asks the network for nothing.
"""

import io
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair
import polars
import pypdf
import vl_convert

from tasks.catalog import data_folder
from tasks.files import write_bytes, write_text
from tasks.report.chart_style import CONFIG
from tasks.report.templates import Script, fill, script_text
from tasks.tables import write_table
from tasks.visible import visible

PIXELS_PER_INCH = 108
"""One and a half pixels a point: a chart as wide as a page has 1,650 of them."""
VEGA_LITE = altair.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]

Save = Callable[[Any, Path, polars.DataFrame], None]
"""Takes a chart, the path of its files without a suffix, and the table beside it."""


def save(chart: Any, path: Path, table: polars.DataFrame) -> None:
    """Writes path.csv, .svg, .html, .png and .pdf; each appears only when it is whole.

    The chart is drawn once, and the pictures are made of that. The HTML asks the network for nothing.
    """
    spec = as_vega_lite(chart)
    svg = _save_svg(spec, path, table)
    html = fill("chart.html.j2", title=path.name, spec=spec, drawing=_drawing_script())
    write_text(path.with_name(f"{path.name}.html"), html)
    write_bytes(path.with_name(f"{path.name}.png"), vl_convert.svg_to_png(svg, ppi=PIXELS_PER_INCH))
    write_bytes(path.with_name(f"{path.name}.pdf"), vl_convert.svg_to_pdf(svg))


def save_svg(chart: Any, path: Path, table: polars.DataFrame) -> None:
    """Writes path.csv and path.svg alone, of which the other formats are made."""
    _save_svg(as_vega_lite(chart), path, table)


def as_vega_lite(chart: Any) -> dict[str, Any]:
    """The chart's spec, every string of it visible: an SVG is XML, which can hold no control character."""
    with altair.data_transformers.disable_max_rows():
        spec = chart.to_dict(validate=False)  # each part was validated as it was made
    return dict(_all_visible(spec | {"config": CONFIG}))


def join_pdfs(files: Iterable[Path], target: Path) -> None:
    """Writes one PDF with the pages of all of them, in their order."""
    pages, content = pypdf.PdfWriter(), io.BytesIO()
    for file in files:
        pages.append(file)
    pages.write(content)
    write_bytes(target, content.getvalue())


def _save_svg(spec: dict[str, Any], path: Path, table: polars.DataFrame) -> str:
    svg = str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE))
    write_table(path.with_name(f"{path.name}.csv"), table)
    write_text(path.with_name(f"{path.name}.svg"), svg)
    return svg


def _all_visible(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _all_visible(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_all_visible(value) for value in part]
    return visible(part) if isinstance(part, str) else part


@cache
def _drawing_script() -> Script:
    """Vega and the few lines that draw what a page holds: the same for every chart, so it is bundled once (1 s).

    It is kept in the data folder, by what it is made of.
    """
    text = script_text("chart.js")
    made_of = sha256("\0".join((version("vl-convert-python"), VEGA_LITE, text)).encode()).hexdigest()[:12]
    kept = data_folder() / "cache" / f"vega-{made_of}.js"
    if not kept.is_file():
        write_text(kept, vl_convert.javascript_bundle(text, VEGA_LITE))
    return Script.of(kept.read_bytes().decode("utf-8"))
