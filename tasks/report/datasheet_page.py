"""The page of a datasheet: what is to be known of a set of documents before anything is trained on it.

write_text(file, render(sheet))
"""

import altair
import polars

from tasks.report import pictures
from tasks.report.chart_style import BLUE, WIDTH, tooltips
from tasks.report.rendering import VEGA_LITE, as_vega_lite
from tasks.report.templates import fill, svg_url
from tasks.schema import Datasheet

HEIGHT = 200
"""Of a chart, in pixels."""


def render(sheet: Datasheet) -> str:
    """The page as HTML: every text in it is escaped, and the network is asked for nothing."""
    return fill("datasheet.html.j2", sheet=sheet, verdict=verdict(sheet), charts=_charts(sheet))


def verdict(sheet: Datasheet) -> str:
    """What a reader needs to know first, in a sentence."""
    beyond = [held for held in sheet.held if held.documents]
    if not beyond:
        return f"All {sheet.documents:,} documents are within all {len(sheet.held)} limits."
    return f"Some of the {sheet.documents:,} documents are beyond {len(beyond)} of the {len(sheet.held)} limits."


def _charts(sheet: Datasheet) -> dict[str, str]:
    """The addresses of the pictures."""
    charts = {"lengths": _lengths(sheet), "diversity": _diversity(sheet)}
    return {name: svg_url(pictures.to_svg(as_vega_lite(chart), VEGA_LITE)) for name, chart in charts.items()}


def _lengths(sheet: Datasheet) -> altair.Chart:
    rows = [{"low": low, "high": high, "documents": count} for low, high, count in sheet.lengths]
    return (
        altair.Chart(polars.DataFrame(rows))
        .mark_bar(color=BLUE)
        .encode(
            x=altair.X("low:Q", bin="binned", title="Words of a document", scale=altair.Scale(zero=False, nice=False)),
            x2=altair.X2("high:Q"),
            y=altair.Y("documents:Q", title="Documents", axis=altair.Axis(tickMinStep=1)),
            tooltip=tooltips(("low", "high", "documents"), ",d"),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def _diversity(sheet: Datasheet) -> altair.Chart:
    rows = [{"documents": 0, "phrases": 0}, *({"documents": n, "phrases": found} for n, found in sheet.diversity)]
    return (
        altair.Chart(polars.DataFrame(rows))
        .mark_line(point=True, strokeWidth=2.5, color=BLUE)
        .encode(
            x=altair.X("documents:Q", title="First documents of the set", axis=altair.Axis(format=",d")),
            y=altair.Y("phrases:Q", title="Distinct phrases", axis=altair.Axis(format=",d")),
            tooltip=tooltips(("documents", "phrases"), ",d"),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
