"""Pictures of charts, and the script that draws one in a page; the network is asked for nothing.

The only module that knows vl_convert. Started as a program of its own it makes SVGs of specs (DRAWING), or PNG and PDF
of SVGs (PRINTING): vl_convert lets no other thread of its process run meanwhile, so this is done in processes beside.
"""

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import vl_convert

PIXELS_PER_INCH = 108
"""One and a half pixels a point: a chart as wide as a page has 1,650 of them."""

PROGRAM = [sys.executable, "-P", __file__]
"""By its file, and with nothing of the current folder on its path: somebody's may have a `tasks` of its own."""
DRAWING, PRINTING = [*PROGRAM, "drawing"], [*PROGRAM, "printing"]


def to_svg(spec: dict[str, Any], vega_lite: str) -> str:
    """The SVG of a spec; `vega_lite` is the version that it is written for, as 6.1."""
    return str(vl_convert.vegalite_to_svg(spec, vl_version=vega_lite))


def bundled(script: str, vega_lite: str) -> str:
    """A script together with the parts of Vega that it calls."""
    return str(vl_convert.javascript_bundle(script, vega_lite))


def drawn(request: bytes) -> list[bytes]:
    """The SVG of a spec and its version, which are JSON."""
    return [to_svg(*json.loads(request)).encode()]


def printed(request: bytes) -> list[bytes]:
    """PNG and PDF of an SVG."""
    svg = request.decode()
    return [vl_convert.svg_to_png(svg, ppi=PIXELS_PER_INCH), vl_convert.svg_to_pdf(svg)]


def answer_requests(answer: Callable[[bytes], list[bytes]]) -> None:
    """Reads requests, each behind a line with its length in bytes, until its input ends.

    Writes for each a line with the lengths of what it makes, and all of it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends who asks, and with that this process
    with suppress(BrokenPipeError):
        while line := sys.stdin.buffer.readline():
            made = answer(sys.stdin.buffer.read(int(line)))
            sys.stdout.buffer.write(" ".join(str(len(part)) for part in made).encode() + b"\n" + b"".join(made))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    answer_requests({"drawing": drawn, "printing": printed}[sys.argv[1]])
