"""A chart as files: its table as CSV, and the picture as SVG, HTML, PNG and PDF.

with saving() as save:
    save(matrix(effects, ["measure"]), run.charts / "matrix", effects)
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Timer
from typing import IO, Any, NamedTuple, cast

import altair
import polars
import pypdf
from markupsafe import escape

from tasks.catalog import data_folder
from tasks.files import write_bytes, write_text
from tasks.report import pictures
from tasks.report.chart_style import CONFIG
from tasks.report.templates import Script, fill, script_text
from tasks.tables import write_table
from tasks.visible import visible

NUMBERED = "https://field.invalid/"
"""Before the number of an address in a channel `href`."""
LONGEST_DRAWING = 300.0
"""Seconds that a picture may take; a map of 45 x 20 fields takes two."""
VEGA_LITE = altair.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]

Save = Callable[[Any, Path, polars.DataFrame], object]
"""Takes a chart, the path of its files without a suffix, and the table beside it."""


class Helper:
    """A program of pictures.py that runs beside: begun with the first request, and anew where it has ended."""

    def __init__(self, program: list[str]):
        self.at_work = ThreadPoolExecutor(1)
        """Whose thread asks: one request after the other."""
        self._program = program
        self._process: Popen[bytes] | None = None

    def ask(self, request: bytes, missing: str) -> list[bytes]:
        """What it makes of a request.

        RuntimeError, which begins with the words `missing`, where it ends before it has said all, or says nothing for
        LONGEST_DRAWING seconds: then it is ended. Whoever asks next begins it anew.
        """
        process, made = self._running(), None
        late = Timer(LONGEST_DRAWING, process.kill)
        late.start()
        try:
            made = _answer(process, request)
        finally:
            late.cancel()
            status = 0 if made else self._end()
        if not made:
            raise RuntimeError(f"{missing}, since the process that makes them ended with {status}")
        return made

    def close(self) -> None:
        """Ends it, after what it is at."""
        self.at_work.shutdown()
        self._end()

    def _running(self) -> Popen[bytes]:
        if self._process and self._process.poll() is not None:
            self._end()
        self._process = self._process or Popen(self._program, stdin=PIPE, stdout=PIPE)
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(BrokenPipeError), process:  # of a request that it has not read
            pass
        return process.returncode


def _answer(process: Popen[bytes], request: bytes) -> list[bytes] | None:
    """All that it says to a request; None where it ends before."""
    wanted, made = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    with suppress(BrokenPipeError):  # of one that has ended: that it says nothing tells
        wanted.write(b"%d\n" % len(request) + request)
        wanted.flush()
    sizes = [int(size) for size in made.readline().split()]
    parts = [made.read(size) for size in sizes]
    return parts if parts and [len(part) for part in parts] == sizes else None


class Helpers(NamedTuple):
    """The two that make pictures: a chart as SVG, and of that PNG and PDF."""

    drawing: Helper
    printing: Helper


_helpers: ContextVar[Helpers | None] = ContextVar("helpers", default=None)


@contextmanager
def same_helpers() -> Iterator[Helpers]:
    """Within it all charts are made by the same two, which many runs need not start anew."""
    if there := _helpers.get():
        yield there
        return
    with ExitStack() as stack:
        drawing, printing = Helper(pictures.DRAWING), Helper(pictures.PRINTING)
        stack.callback(printing.close)
        stack.callback(drawing.close)
        before = _helpers.set(Helpers(drawing, printing))
        stack.callback(_helpers.reset, before)
        yield Helpers(drawing, printing)


@contextmanager
def saving(only_svg: bool = False) -> Iterator[Save]:
    """Gives what writes path.csv, .svg, .html, .png and .pdf: at the end of the block all are there, each whole.

    A chart is drawn once, as SVG, and printed as PNG and PDF, in two processes beside, one chart after the other in
    each; `only_svg` draws it here and leaves the others out. The HTML asks the network for nothing.
    """
    if only_svg:
        yield _save_svg
        return
    made: list[Future[None]] = []
    with same_helpers() as (drawing, printing):

        def print_one(svg: bytes, path: Path) -> None:
            printed = printing.ask(svg, f"{path}: no PNG and no PDF")
            for ending, picture in zip(("png", "pdf"), printed, strict=True):
                write_bytes(path.with_name(f"{path.name}.{ending}"), picture)

        def draw_one(spec: dict[str, Any], path: Path) -> None:
            (svg,) = drawing.ask(json.dumps((spec, VEGA_LITE)).encode(), f"{path}: no SVG")
            write_bytes(path.with_name(f"{path.name}.svg"), svg)
            made.append(printing.at_work.submit(print_one, svg, path))

        def save(chart: Any, path: Path, table: polars.DataFrame) -> None:
            spec = as_vega_lite(chart)
            made.append(drawing.at_work.submit(draw_one, spec, path))
            write_table(path.with_name(f"{path.name}.csv"), table)
            html = fill("chart.html.j2", title=path.name, spec=spec, drawing=_drawing_script())
            write_text(path.with_name(f"{path.name}.html"), html)

        try:
            yield save
        finally:
            for one in made:  # a drawing adds its printing, before it has ended
                one.exception()
    for done in made:
        done.result()


def as_vega_lite(chart: Any) -> dict[str, Any]:
    """The chart's spec, every string of it visible: an SVG is XML, which can hold no control character."""
    with altair.data_transformers.disable_max_rows():
        spec = chart.to_dict(validate=False)  # each part was validated as it was made
    return dict(_all_visible(spec | {"config": CONFIG}))


def linked_svg(chart: Any, addresses: Sequence[str]) -> str:
    """The picture for a page that it stands in, each field of its channel `href` being the number of an address.

    An address may be relative to the page: what draws the picture would set one of its own before it.
    """
    svg = pictures.to_svg(as_vega_lite(chart), VEGA_LITE)
    found = re.compile(rf'<a xlink:href="{re.escape(NUMBERED)}(\d+)"[^>]*>')
    return found.sub(lambda link: f'<a href="{escape(addresses[int(link[1])])}">', svg)


def join_pdfs(files: Iterable[Path], target: Path) -> None:
    """Writes one PDF with the pages of all of them, in their order."""
    pages, content = pypdf.PdfWriter(), io.BytesIO()
    for file in files:
        pages.append(file)
    pages.write(content)
    write_bytes(target, content.getvalue())


def _save_svg(chart: Any, path: Path, table: polars.DataFrame) -> None:
    write_table(path.with_name(f"{path.name}.csv"), table)
    write_text(path.with_name(f"{path.name}.svg"), pictures.to_svg(as_vega_lite(chart), VEGA_LITE))


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
        write_text(kept, pictures.bundled(text, VEGA_LITE))
    return Script.of(kept.read_bytes().decode("utf-8"))
