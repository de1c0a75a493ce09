"""The comparison of several runs: fine-tunes, controls, or the seeds of one definition, which are pooled.

await compare_runs(["factory_farming_neutral/seed-*", "lighthouses/seed-*"], labels=["farming", "control"])
"""

import re
from typing import Annotated
from urllib.parse import quote

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.addresses import reports_address
from tasks.catalog import UserError
from tasks.estimates.comparison import compare_task, left_out
from tasks.estimates.contrasts import GroupVerdict, verdicts
from tasks.estimates.groups import Group, grouped
from tasks.estimates.wording import interval, number_or_dash
from tasks.report.charts import comparison_charts_task
from tasks.report.comparison_page import page_task
from tasks.runs import Comparison, Run
from tasks.schema import Compared, Numbers, Words
from tasks.visible import in_markdown

LONGEST_NAME = 80


def _title() -> str:
    return f"compare {', '.join(flow_run.parameters['labels'] or flow_run.parameters['runs'])}"


@flow(name="compare", flow_run_name=_title)
async def compare_runs(
    runs: Annotated[list[str], Field(min_length=1)], labels: Words = None, name: str = "", doses: Numbers = None
) -> str:
    """Put the effects of several runs side by side; runs of one definition with different seeds are pooled.

    Each is also set against the control, or else the first, fine-tune against fine-tune.

    Args:
        runs: Folders, experiment/run, experiments for their latest run, or patterns as demo/seed-*.
        labels: What each of them is called. Those of one label are pooled. Empty: by their experiments.
        name: Name of the comparison's folder. Empty: made of the labels.
        doses: How much of what is varied each group of runs got, for a chart of effect by dose.
    """
    groups = grouped([judged(place) for place in runs], labels or [], doses)
    place = Comparison(name or _name(groups))
    rows = compare_task(place, groups, len(groups))
    comparison_charts_task(place, rows)
    page_task(place, groups, rows)
    base = reports_address()
    link = f"[Open the comparison]({base}/comparisons/{quote(place.name)})\n\n" if base else ""
    said = "".join(f"{_escaped(verdict)}\n\n" for verdict in verdicts(groups, rows))
    said += "".join(f"{in_markdown(sentence)}\n\n" for sentence in left_out(groups))
    words = f"{link}{said}{_table(rows)}\n\n`{place.page}`\n"
    await acreate_markdown_artifact(words, description="Effects side by side")
    return str(place.folder)


def judged(place: str) -> list[Run]:
    """The runs that are meant; UserError for one without effects."""
    runs = Run.find_all(place)
    for run in runs:
        if not run.effects.is_file():
            raise UserError(f"{run.folder} has no effects yet; finish it with `{run.resume_command}`")
    return runs


def _escaped(verdict: GroupVerdict) -> GroupVerdict:
    return GroupVerdict(in_markdown(verdict.begins), *(list(map(in_markdown, part)) for part in verdict[1:]))


def _name(groups: list[Group]) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "_vs_".join(group.label for group in groups))[:LONGEST_NAME]


def _table(rows: list[Compared]) -> str:
    lines = [
        "| runs | judge | tier | difference | these questions | new questions and seeds |",
        "|---|---|---|---|---|---|",
    ]
    for row in (row for row in rows if not row.is_of_question and row.is_final):
        fixed_questions = interval(row.ci_low_fixed_questions, row.ci_high_fixed_questions, row.note_fixed_questions)
        new_questions = interval(row.ci_low_new_questions, row.ci_high_new_questions, row.note_new_questions)
        label = f"{row.label} − {row.against}" if row.against else row.label
        cells = (label, row.measure, row.tier, number_or_dash(row.difference, "+"), fixed_questions, new_questions)
        lines.append(f"| {' | '.join(map(in_markdown, cells))} |")
    return "\n".join(lines)
