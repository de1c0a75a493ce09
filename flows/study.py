"""The flow of a study: every cell a child flow run, in this process or on a work pool, and what all of them show.

await run_study(load_study("traits_on_standin"))

What is finished is not run again, so that the same call does what failed, or was added to the definition.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.context import SyncClientContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.addresses import reports_address
from flows.artifacts import show_markdown
from flows.cell import CELLS_AT_JUDGES, Sharing, run_cell, stores, turns
from flows.judging import part_of
from flows.preflight import (
    asked_judges,
    check_before_start,
    engine_of,
    engines,
    refuse_unknown_prices,
    refuse_unlimited,
    unwritten_sets,
)
from flows.study_matrix import matrix_of_study
from flows.study_pool import on_pool
from flows.turns import Turns
from tasks.catalog import UserError
from tasks.definitions import load_evals
from tasks.files import write_text
from tasks.locks import exclusive_now
from tasks.paid.budget import BudgetSpent, CostUnknown
from tasks.paid.store import Store, StoreFailed
from tasks.report.rendering import same_helpers
from tasks.report.templates import fill
from tasks.runs import Comparison
from tasks.schema import Eval, Study
from tasks.studies.definition import Cell, account_of, cells, folder_of
from tasks.studies.grid import (
    CellState,
    Grid,
    as_markdown,
    column_title,
    grid,
    is_finished,
    is_outdated,
    state_of,
    write_grid,
)
from tasks.visible import in_markdown

HOSTED_AT_ONCE = 4
"""Trainings at once where other machines train, unless the study says how many."""
LOOK_EVERY = 2.0
"""Seconds between two looks at how far the cells are."""
PUBLISH_EVERY = 15.0
"""Seconds between two versions of the grid in the Prefect UI."""
GRID = "The grid:"
STOPPING = (BudgetSpent, CostUnknown, StoreFailed)
"""What no further cell can do anything about. Of a cell on a pool its name in the state's message tells."""
Run = Callable[[Cell], Awaitable[State]]
watcher: ContextVar[Callable[[Grid], None] | None] = ContextVar("watcher", default=None)
"""Called with the grid whenever it changes; the terminal sets it to draw it."""

command: ContextVar[str] = ContextVar("command", default="")
"""What it was started with in a terminal, path and overrides included."""


class CellsLeft(UserError):
    """Some cells of a study are not finished."""


def _title() -> str:
    return Study.model_validate(flow_run.parameters["study"]).name


@flow(name="study", flow_run_name=_title)
async def run_study(study: Study) -> str:
    """Run many fine-tunes, each with several seeds, ask all of them the same evals, and set side by side what changed.

    Args:
        study: The fine-tunes, what they have in common, and what they are asked. What is finished is not run again.
    """
    wanted, place = cells(study), folder_of(study)
    with exclusive_now(f"study {study.name}", f"study {study.name!r} is being run by another process; wait for it"):
        engines.set({})
        so_far = SoFar(study, wanted)
        check_prices(study, so_far.missing)
        sharing = Sharing(
            account=account_of(study),
            max_cost_usd=study.max_cost_usd,
            resume=f"{resume_command(study)} max_cost_usd=...",
            pool=study.pool,
        )
        with SyncClientContext.get_or_create():  # of which every cell would make its own
            async with so_far.shown(), _runner(study, so_far.missing, sharing) as run:
                await run_all(so_far, run, places(study, so_far.missing) + CELLS_AT_JUDGES)
        try:
            found = await asyncio.to_thread(matrix_of_study, study, wanted)
            await asyncio.to_thread(write_page, so_far.grid(), place)  # which leads to the matrix now
            said = [f"- {in_markdown(sentence)}" for sentence in (found.sentences if found else [])]
            await show_markdown("\n".join([*said, "", links(study)]), "What was found")
        finally:  # why cells failed is told whatever becomes of the matrix
            so_far.refuse_what_is_left()
    return str(place)


def links(study: Study) -> str:
    """To the pages of the study, where they are served, and where they lie."""
    base, place = reports_address(), Comparison(study.name)
    pages = {"The matrix": place.page, "The grid": folder_of(study) / "grid.html"}
    served = [f"[{title}]({base}/comparisons/{quote(study.name)}/{page.name})" for title, page in pages.items() if base]
    return "\n\n".join([*served, *(f"`{page}`" for page in pages.values())]) + "\n"


def resume_command(study: Study) -> str:
    """What goes on with it from the terminal."""
    return command.get() or f"spillover study {study.name}"


def places(study: Study, wanted: list[Cell]) -> int:
    """How many trainings go on at once."""
    is_here = not study.pool and any(cell.experiment.training.engine == "local" for cell in wanted)
    return study.concurrency or (1 if is_here else HOSTED_AT_ONCE)


def check_prices(study: Study, wanted: list[Cell]) -> None:
    """Raises UserError for a limit on the cost of what has no known price, or of a set that may cost any sum."""
    if study.max_cost_usd:
        for experiment in (cell.experiment for cell in different(wanted)):
            judges = asked_judges(load_evals(experiment))
            engine = engine_of(experiment)
            refuse_unknown_prices(judges, experiment.training, engine, experiment.judging.batch)
            for unwritten in unwritten_sets(experiment):
                refuse_unlimited(unwritten)


def different(wanted: list[Cell]) -> list[Cell]:
    """One cell of each experiment."""
    return list({cell.experiment.model_dump_json(): cell for cell in wanted}.values())


# ---- running -------------------------------------------------------------------------------------


@asynccontextmanager
async def _runner(study: Study, wanted: list[Cell], sharing: Sharing) -> AsyncIterator[Run]:
    """What runs a cell and returns its state; what these cells need is there, whatever those that are done needed."""
    at_once = places(study, wanted)
    if study.pool:
        in_flight = max((cell.experiment.judging.in_flight for cell in wanted), default=1)
        yield await on_pool(study.pool, sharing, at_once, in_flight, is_set=bool(study.concurrency))
        return
    for cell in different(wanted):
        await check_before_start(cell.experiment, cell.run_name, cell.seed)
    part_of.set(flow_run.id or "")
    turns.set(Turns(asyncio.Semaphore(at_once), asyncio.Semaphore(CELLS_AT_JUDGES)))
    async with AsyncExitStack() as stack:
        store = Store()
        stack.callback(store.close)
        stores.set(store)
        stack.enter_context(same_helpers())
        yield partial(_run_here, sharing)


async def _run_here(sharing: Sharing, cell: Cell) -> State:
    return await run_cell(cell.experiment, cell.seed, cell.run_name, sharing, return_state=True)


async def run_all(so_far: "SoFar", run: Run, at_once: int) -> None:
    """Runs what is missing, so many cells beside each other; one that fails stops no other."""
    room = asyncio.Semaphore(at_once)

    async def one(cell: Cell) -> None:
        async with room:
            if not so_far.stopped:
                so_far.started.add(cell.run_name)
                so_far.note(cell, await _problem_of(run(cell)))

    await asyncio.gather(*(one(cell) for cell in so_far.missing))


async def _problem_of(running: Awaitable[State]) -> BaseException | str | None:
    """Why a cell failed; None where it did not."""
    try:
        state = await running
    except Exception as error:  # Prefect's own, as a server that does not answer: the next cell may be luckier
        return error
    if state.is_completed():
        return None
    with suppress(Exception):  # of a pool's the error itself may lie on another machine
        found = await state.aresult(raise_on_failure=False)
        if isinstance(found, BaseException):
            return found
    return state.message or state.name or "it did not end"


def _not_done(wanted: list[Cell]) -> list[Cell]:
    """Those that are not finished, or were reported by other rules than their evals have by now."""
    evals: dict[str, list[Eval]] = {}
    found = []
    for cell in wanted:
        asked = cell.experiment.model_dump_json(include={"evals": True, "judging": {"judges"}})
        if asked not in evals:
            evals[asked] = load_evals(cell.experiment)
        if not is_finished(cell) or is_outdated(cell, evals[asked]):
            found.append(cell)
    return found


class SoFar:
    """How far the cells of a study are while it runs, shown wherever somebody looks."""

    def __init__(self, study: Study, wanted: list[Cell]):
        self.study, self.wanted, self.folder = study, wanted, folder_of(study)
        self.missing = _not_done(wanted)
        self.started: set[str] = set()
        """The runs that were begun by it, whether or not they have ended."""
        self.problems: dict[str, str] = {}
        self.stopped: BaseException | str | None = None
        """Why no further cell is begun."""
        self._done, self._began = 0, time.monotonic()
        self._known: dict[str, CellState] = {}
        self._published = -math.inf
        self._trouble = ""

    def note(self, cell: Cell, problem: BaseException | str | None) -> None:
        """A cell has ended."""
        self._done += problem is None
        if problem and any(isinstance(problem, kind) or f"{kind.__name__}: " in str(problem) for kind in STOPPING):
            self.stopped = self.stopped or problem
        if problem:
            self.problems[cell.run_name] = str(problem) or type(problem).__name__

    def grid(self) -> Grid:
        """How far they are now; of a thousand cells those that go on are read again."""
        for cell in self.wanted:
            known = self._known.get(cell.run_name)
            if known is None or (cell.run_name in self.started and known.state in ("waiting", "running")):
                self._known[cell.run_name] = state_of(cell, self.started, self.problems)
        pace = (time.monotonic() - self._began) / self._done if self._done else None
        return grid(self.study.name, list(self._known.values()), pace)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Shows them meanwhile, and at the end."""
        showing = asyncio.create_task(self._show_on())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            if not self.study.pool:
                self.started.clear()  # what was ended in the middle runs no more; on a pool it goes on by itself
            self._known.clear()
            self._published = -math.inf
            await self._look(None)

    async def _show_on(self) -> None:
        shown = None
        while True:
            shown = await self._look(shown)
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, before: Grid | None) -> Grid | None:
        """What is shown now. Why it could not be is told once: the cells go on, and the next look may go well."""
        try:
            found = await self._show(before)
        except Exception as error:
            words = f"The grid could not be shown ({type(error).__name__}: {error})"
            if words != self._trouble:
                get_run_logger().warning(words)
            self._trouble = words
            return before
        self._trouble = ""
        return found

    async def _show(self, before: Grid | None) -> Grid:
        found = await asyncio.to_thread(self.grid)
        if watch := watcher.get():
            watch(found)
        is_due = time.monotonic() - self._published > PUBLISH_EVERY
        if is_due or before is None or before.cells != found.cells:
            await asyncio.to_thread(write_grid, found, self.folder)
            await asyncio.to_thread(write_page, found, self.folder)
        if is_due:
            self._published = time.monotonic()
            with suppress(httpx.HTTPError, PrefectException):  # of a server that is away: the next look shows it
                await show_markdown(as_markdown(found), GRID)
        return found

    def refuse_what_is_left(self) -> None:
        """Raises CellsLeft where not all cells are finished, with the first reason and the command that goes on."""
        if self.stopped:
            raise CellsLeft(f"{self.grid().words}: {self.stopped}")
        if self.problems:
            name, problem = next(iter(self.problems.items()))
            raise CellsLeft(
                f"{len(self.problems):,} of {len(self.wanted):,} cells failed, {name} with: {problem}; "
                f"`{resume_command(self.study)}` does what is missing"
            )


def write_page(found: Grid, folder: Path) -> Path:
    """grid.html, which renews itself in a browser until all cells have ended; of a killed study its time tells."""
    matrix = page.name if (page := Comparison(found.study).page).is_file() else ""
    given = {"grid": found, "matrix": matrix, "title": column_title, "at": datetime.now(UTC)}
    return write_text(folder / "grid.html", fill("grid.html.j2", **given))
