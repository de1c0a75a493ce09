"""The page of a comparison: groups, tables and charts, from what tasks/estimates/comparison.py estimated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task

from tasks.estimates.comparison import left_out
from tasks.estimates.contrasts import reference, verdicts
from tasks.estimates.groups import Group
from tasks.estimates.wording import alike
from tasks.files import write_text
from tasks.report.answers import of_groups
from tasks.report.charts import BETWEEN, DOSES, OF_COMPARISON, Chart
from tasks.report.templates import data_url, fill
from tasks.runs import Comparison
from tasks.schema import Compared


def render(place: Comparison, groups: list[Group], rows: list[Compared]) -> str:
    """The page as HTML, with those of the comparison's charts that were drawn."""
    evals = list(dict.fromkeys(row.eval for row in rows))
    against_baselines = [chart for chart in OF_COMPARISON if chart not in (BETWEEN, DOSES)]
    own = _side_by_side([row for row in rows if not row.against and row.is_final])
    between = _side_by_side([row for row in rows if row.against])
    return fill(
        "comparison.html.j2",
        groups=[(group.label, [f"{run.folder.parent.name}/{run.name}" for run in group.runs]) for group in groups],
        seeds={group.label: [run.record().get("seed", "?") for run in group.runs] for group in groups},
        evals=evals,
        alike=alike,
        rows=own,
        rows_whole=_over_all_questions(own),
        between=between,
        between_whole=_over_all_questions(between),
        charts={name: _pictures(place, name, against_baselines) for name in evals},
        dose_charts={name: _pictures(place, name, [DOSES]) for name in evals},
        between_charts={name: _pictures(place, name, [BETWEEN]) for name in evals},
        pools=any(len(group.runs) > 1 for group in groups),
        verdicts=verdicts(groups, rows),
        left_out=left_out(groups),
        first=reference(groups).label,
        doses=any(group.dose is not None for group in groups),
        reading=of_groups(groups, rows),
    )


def _side_by_side(rows: list[Compared]) -> list[Compared]:
    """The rows without single questions, those of one measure and tier beneath each other."""
    measures = list(dict.fromkeys((row.eval, row.measure) for row in rows))
    tiers = list(dict.fromkeys(row.tier for row in rows))
    chosen = [row for row in rows if not row.is_of_question]
    return sorted(chosen, key=lambda row: (measures.index((row.eval, row.measure)), tiers.index(row.tier)))


def _over_all_questions(rows: list[Compared]) -> list[Compared]:
    """Those of the tier `all`, and of a measure with one tier only, that of it."""
    several = {(row.eval, row.measure) for row in rows if row.is_overall}
    return [row for row in rows if row.is_overall or (not row.is_slope and (row.eval, row.measure) not in several)]


def _pictures(place: Comparison, evaluation: str, charts: Sequence[Chart[Any]]) -> list[tuple[str, str]]:
    """Address and caption of each of these charts that was drawn of the eval."""
    files = [(chart.svg(place.charts, evaluation), chart.caption) for chart in charts]
    return [(data_url(file), caption) for file, caption in files if file.is_file()]


@task(name="page", task_run_name="write the comparison")
def page_task(place: Comparison, groups: list[Group], rows: list[Compared]) -> Path:
    """Writes the page of a comparison and returns its path."""
    return write_text(place.page, render(place, groups, rows))
