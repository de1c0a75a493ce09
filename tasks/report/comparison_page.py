"""The page of a comparison: groups, tables and charts, from what tasks/estimates/comparison.py estimated."""

from pathlib import Path

from prefect import task

from tasks.estimates.comparison import Group
from tasks.files import write_text
from tasks.report.templates import image, page
from tasks.runs import Comparison
from tasks.schema import Compared

DESCRIPTIONS = {
    "comparison": "A point is the mean difference from the baseline, the line its 95 % interval for these questions",
    "between": "Fine-tuned answers against those of the first group, paired by question, with 95 % intervals",
    "matrix": "The same as numbers; the colour is their share of the measure's range; * where Holm's p is below 0.05",
    "doses": "The difference over the dose, with its 95 % interval for these questions",
    "checkpoints": "The difference over all questions along the training, with its 95 % interval for these questions",
}


def render(place: Comparison, groups: list[Group], rows: list[Compared]) -> str:
    return page(
        "comparison.html.j2",
        groups=[(group.label, [f"{run.folder.parent.name}/{run.name}" for run in group.runs]) for group in groups],
        seeds={group.label: [run.record().get("seed", "?") for run in group.runs] for group in groups},
        rows=_side_by_side([row for row in rows if not row.against and row.trained_share == 1]),
        between=_side_by_side([row for row in rows if row.against]),
        charts={name: _charts(place, name) for name in dict.fromkeys(row.eval for row in rows)},
        pools=any(len(group.runs) > 1 for group in groups),
        first=groups[0].label,
        doses=any(group.dose is not None for group in groups),
        unequal=[group.label for group in groups if len(group.runs) != len(groups[0].runs)],
    )


def _side_by_side(rows: list[Compared]) -> list[Compared]:
    """The rows without single questions, those of one measure and tier beneath each other."""
    places = list(dict.fromkeys((row.eval, row.measure) for row in rows))
    tiers = list(dict.fromkeys(row.tier for row in rows))
    chosen = [row for row in rows if not row.question]
    return sorted(chosen, key=lambda row: (places.index((row.eval, row.measure)), tiers.index(row.tier)))


def _charts(place: Comparison, name: str) -> list[tuple[str, str, str]]:
    """Kind, picture and description of each chart of an eval that is there."""
    files = [(kind, place.chart(kind, name), words) for kind, words in DESCRIPTIONS.items()]
    return [(kind, image(file), words) for kind, file, words in files if file.is_file()]


@task(name="page", task_run_name="write the comparison")
def page_task(place: Comparison, groups: list[Group], rows: list[Compared]) -> Path:
    return write_text(place.page, render(place, groups, rows))
