"""Runs a flow from the terminal: progress as it goes, then the table, the report and the run's page."""

import asyncio
import errno
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect import tags
from prefect.exceptions import TerminationSignal

from flows.artifacts import mark_cancelled
from flows.audit import repeat_judgments
from flows.cli.terminal import live_progress, show_agreement, show_effects
from flows.compare import compare_runs, judged
from flows.console import console
from flows.experiment import run_experiment
from flows.judge_again import Rejudging, judge_again
from flows.preflight import check_before_start
from flows.serving.automations import TAG
from flows.serving.server import local_server_is_kept, ui_address
from tasks.catalog import UserError, data_folder, read_text
from tasks.estimates.comparison import left_out
from tasks.estimates.contrasts import verdicts
from tasks.estimates.findings import headline_lines
from tasks.estimates.groups import grouped
from tasks.estimates.missing import missing_in_words
from tasks.estimates.noise import in_words
from tasks.paid.store import StoreFailed
from tasks.report.report import STANDIN_NOTE, cost, is_standin
from tasks.runs import Comparison, Run, default_name
from tasks.schema import Agreement, Experiment, JudgeNoise, Until


def run_in_terminal(
    experiment: Experiment, seed: int | None, name: str, until: Until, address: str, command: str
) -> None:
    """Runs an experiment; a run without a name gets one, so that the command that resumes it can be shown at once."""
    name = name or new_name()
    here = Run.at(experiment.name, name)
    resume = f"{command} {name}"

    async def run() -> str:
        await check_before_start(experiment, name, seed)
        introduce(f"{experiment.name}  run {name}", resume, address)
        return await run_experiment(experiment, seed, name, until)

    run_and_watch(run, here, resume)
    if until == "report":
        _show(here)
    else:
        console.print(f"\nStopped after {until}; go on with: {resume}")
    _point_to_page(here, address)


def judge_in_terminal(place: str, given: dict[str, Any], rubric: str, failed: bool, name: str, address: str) -> None:
    """Judges a run again under a new name, or asks again for what has no score."""
    parent = Run.find(place)
    name = parent.name if failed else name or new_name()
    here = parent if failed else Run.at(parent.experiment().name, name)
    prompt = read_text(rubric, "--rubric") if rubric else ""
    cap = f" --max-cost-usd {given['max_cost_usd']:g}" if given["max_cost_usd"] else ""
    resume = f"spillover judge {shlex.quote(str(here.folder))} --failed{cap}"
    Rejudging.of(str(parent.folder), failed=failed, prompt=prompt, name=name, **given)
    introduce(f"{parent.experiment().name}  run {name}, judged again", resume, address)
    run_and_watch(
        lambda: judge_again(str(parent.folder), prompt=prompt, failed=failed, name=name, **given), here, resume
    )
    _show(here)
    _point_to_page(here, address)


def repeat_in_terminal(
    place: str, share: float, judges: list[str], seed: int, max_cost_usd: float, address: str
) -> None:
    """Asks judges again and shows how far they agree with themselves."""
    here = Run.find(place)
    command = f"spillover audit repeat {shlex.quote(str(here.folder))} --share {share:g} --seed {seed}"
    command += f" --judges {','.join(judges)}" if judges else ""
    command += f" --max-cost-usd {max_cost_usd:g}" if max_cost_usd else ""
    introduce(f"{here.experiment().name}  run {here.name}, a share of its calls asked again", command, address)
    run_and_watch(lambda: repeat_judgments(str(here.folder), share, judges, seed, max_cost_usd), None, command)
    show_agreement(here.audit("repeat", Agreement))
    for row in here.audit("noise", JudgeNoise):
        console.print(f"\n{in_words(row)}", soft_wrap=False)


def compare_in_terminal(places: list[str], labels: list[str], doses: list[float], name: str, address: str) -> None:
    """Compares runs and shows the table; what cannot be compared is refused before a flow is started."""
    groups = grouped([judged(place) for place in places], labels, doses)
    options = {"--labels": ",".join(labels), "--doses": ",".join(f"{dose:g}" for dose in doses)}
    chosen = [part for pair in options.items() if pair[1] for part in pair]
    given = shlex.join(["spillover", "compare", *places, *chosen])
    introduce(f"compare {', '.join(labels or places)}", f"{given} --name {name}" if name else given, address)
    folders: list[str] = []

    async def flow() -> str:
        folders.append(await compare_runs(places, labels, name, doses))
        return folders[0]

    run_and_watch(flow, None, given)
    place = Comparison(Path(folders[0]).name)
    console.print()
    rows = [row for row in place.rows() if row.trained_share == 1]
    for said in (*verdicts(groups, rows), *left_out(groups)):
        console.print(f"{said}\n", soft_wrap=False)
    show_effects([row for row in rows if not row.against])
    if between := [row for row in rows if row.against]:
        console.print(f"\nFine-tune against fine-tune: everything against {between[0].against}", style="bold")
        show_effects(between)
    console.print(f"\nComparison  {place.page}\nPDF         {place.pdf}")


def new_name() -> str:
    """For a run that nobody names: when it was made, and eight letters of its own."""
    return default_name(datetime.now(UTC), uuid4().hex)


def is_disk_full(error: BaseException) -> bool:
    """Libraries in other languages say it in words: safetensors the system's, SQLite its own."""
    known = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return known or any(words in str(error) for words in ("No space left on device", "disk is full"))


def introduce(title: str, resume: str, address: str) -> None:
    """What goes on, where its page is, and the command that goes on with it."""
    """What begins, where it can be watched, and what goes on with it after a stop."""
    console.print(title, style="bold")
    console.print(f"Prefect UI  {ui_address(address)}/runs")
    console.print(f"Resume with  {resume}\n")


def run_and_watch(
    start: Callable[[], Awaitable[str]],
    here: Run | None,
    resume: str,
    shown: Callable[[], AbstractContextManager[None]] = live_progress,
) -> None:
    """Shows the flow's progress; a user's mistake, an interruption and a full disk end in one sentence."""

    async def flow() -> None:
        async with local_server_is_kept(console.print):
            with tags(TAG):
                await start()

    try:
        with shown():
            asyncio.run(flow())
    except StoreFailed as error:
        raise UserError(f"{error}; go on with: {resume}") from None
    except UserError:
        # A run can fail after its report is written: too many answers without a score.
        if here and here.report.is_file():
            _show(here)
        raise
    except KeyboardInterrupt:
        asyncio.run(mark_cancelled(here, "its user pressed Ctrl-C"))
        raise UserError(f"interrupted; go on with: {resume}") from None
    except SystemExit:  # Rich's, where nobody reads the output any more
        asyncio.run(mark_cancelled(here, "nobody read its output any more"))
        raise
    except TerminationSignal:
        asyncio.run(mark_cancelled(here, "it was told to end (SIGTERM)"))
        raise UserError(f"ended by SIGTERM; go on with: {resume}") from None
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise UserError(f"no space left on the disk of {data_folder()}; free some and go on with: {resume}") from None


def _show(run: Run) -> None:
    effects = run.estimates()
    console.print()
    show_effects(effects)
    lines = headline_lines(effects)
    console.print("\n" + "\n".join(f"- {line}" if len(lines) > 1 else line for line in lines), soft_wrap=False)
    if words := missing_in_words(run.judgments()):
        console.print(words)
    if is_standin(run.experiment()):
        console.print(STANDIN_NOTE, style="dim")
    _show_what_it_took(run)
    console.print(f"\nReport      {run.report}")


def _show_what_it_took(run: Run) -> None:
    """Calls and cost, and what got no score; nothing where all was free and scored."""
    if words := cost(run):
        console.print(f"\n{words}")
    if failed := run.failed_calls():
        console.print(
            f"Judge calls without a score: {len(failed):,}; see  spillover failures {shlex.quote(str(run.folder))}"
        )


def _point_to_page(run: Run, address: str) -> None:
    console.print(f"Prefect UI  {ui_address(address)}/runs/flow-run/{run.record()['prefect_run']}")
