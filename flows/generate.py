"""A set of documents or chats that a model writes: priced, looked at, written in rounds, and kept with its record.

    await generate(load_set("farming"))

Everything that came back is in the store by its content: a set that was interrupted goes on, one that grows keeps what
it has, and of a changed one only what follows the change is asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

from prefect import flow
from prefect.flow_runs import asuspend_flow_run
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run

from flows.artifacts import show_table
from flows.console import console
from flows.datasheet import write_datasheet
from flows.judging import cancellation
from flows.origin import origin
from flows.preflight import check_set, trait_of, unwritten_sets
from tasks.catalog import relative_to_data
from tasks.generation.chats import ChatMaker, write_chats_task
from tasks.generation.documents import DocumentMaker, choose_types_task, write_round_task
from tasks.generation.scoring import scored_by
from tasks.generation.set_files import (
    is_made,
    is_written,
    keep_set,
    made_of,
    only_grows,
    set_folder,
    universe_of,
    version_folder,
)
from tasks.generation.universe_evals import keep_evals, universe_evals
from tasks.generation.writer import Writing
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.paid.store import Store, content_key
from tasks.progress import Progress, track
from tasks.schema import DocumentSet, Experiment, GeneratedChat, GeneratedSet, Judge, SyntheticDocument, Writer

PREVIEWED = 5
"""Documents that are looked at before the others are paid for."""
LONGEST_LOOK = 7 * 24 * 3600
"""Seconds for which a flow run waits for Resume."""
Upto = Literal["preview", "set"]
Maker = DocumentMaker | ChatMaker


def _title() -> str:
    wanted = GeneratedSet.model_validate(flow_run.parameters["definition"])
    return f"{wanted.name}, {wanted.documents:,} documents"


@flow(name="generate", flow_run_name=_title)
async def generate(definition: GeneratedSet, until: Upto = "set") -> str:
    """Have a model write a set of documents or chats, and keep it in data/documents.

    Args:
        definition: What is written, and by whom. Its JSON input takes all other fields of a set.yaml too.
        until: preview ends after the first five. set makes the set; with `preview` in the definition this run is
            suspended after the first five, which are among its artifacts, until Resume; not where the set only grows.
    """
    check_set(definition)
    budget = budget_of(definition)
    async with while_no_other_is_written(definition):
        if is_made(definition):
            await asyncio.to_thread(write_sheets, definition)
            return str(set_folder(definition.name))
        stops = definition.preview and not only_grows(definition)
        if stops or until == "preview":
            first = definition.model_copy(update={"documents": min(PREVIEWED, definition.documents)})
            await show_preview(await make(first, budget))
            if until == "preview":
                return str(set_folder(definition.name))
            if deployment.id:
                await asuspend_flow_run(key="preview", timeout=LONGEST_LOOK)
        return await make_and_keep(definition, budget)


@asynccontextmanager
async def while_no_other_is_written(wanted: GeneratedSet) -> AsyncIterator[None]:
    """While nobody else writes this set, nor another of the same ideas or prompts, which would be paid for twice."""
    shared = "prompts of chats" if wanted.trait else f"ideas of {universe_of(wanted).id}"
    async with exclusive(f"writing {wanted.name}", console.print), exclusive(f"writing {shared}", console.print):
        yield


def budget_of(wanted: GeneratedSet) -> Budget:
    """Of all that was ever spent on the set of this name."""
    identity = content_key(generated_set=wanted.name)
    return Budget(Store(), identity, wanted.max_cost_usd, f"spillover generate {wanted.name}")


async def write_missing_sets(experiment: Experiment) -> None:
    """Writes the sets of the experiment's documents that are defined and not written yet."""
    for wanted in unwritten_sets(experiment):
        check_set(wanted)
        console.print(f"documents: {wanted.name} is not written yet, and is written now")
        async with while_no_other_is_written(wanted):
            if not is_written(wanted):  # by a run that was a moment earlier
                await make_and_keep(wanted, budget_of(wanted))


async def make_and_keep(wanted: GeneratedSet, budget: Budget) -> str:
    """The folder of the set, written as it is defined now."""
    source = made_of(wanted)  # as it is now: an edit during the writing is one since
    maker = await make(wanted, budget)
    if wanted.evals and not wanted.trait:
        await make_evals(wanted, budget)
    record = {"counts": maker.counts, "spent": budget.summary(), "made_of": source, **origin()}
    await asyncio.to_thread(keep_set, wanted, maker.rows, maker.dropped, record)
    await asyncio.to_thread(write_sheets, wanted)
    await show_table([{"what": name, "how many": count} for name, count in maker.counts.items()], "What came of it:")
    return str(set_folder(wanted.name))


def write_sheets(wanted: GeneratedSet) -> None:
    """A datasheet beside the documents of each tone or direction, with the first of them as what it is paired with."""
    folders = [version_folder(wanted, version) for version in wanted.versions]
    first, *others = (DocumentSet(path=relative_to_data(folder)) for folder in folders)
    write_datasheet(first)
    for other in others:
        write_datasheet(other, pair=first)


# ---- writing -------------------------------------------------------------------------------------


class Shown:
    """Shows how many documents there are, what they have cost, and what troubles the service."""

    def __init__(self, progress: Progress, total: int, budget: Budget):
        self.progress, self.total, self.budget = progress, total, budget
        self.done, self.trouble, self.warn = 0, "", warner()

    def advance(self) -> None:
        """Another document is taken."""
        self.done += 1
        self.show()

    def tell(self, words: str) -> None:
        """What the service says of a batch."""
        self.trouble = words
        self.show()

    def show(self) -> None:
        """Draws the bar."""
        self.progress(self.done, self.total, f"documents {self.budget.words()} {self.trouble}".strip())


def warner() -> Callable[[str], None]:
    """Says in this run's log and in the terminal what its user should know while it goes on, from any thread."""
    log = get_run_logger()

    def warn(words: str) -> None:
        log.warning(words)
        console.print(words, style="yellow")

    return warn


async def make(wanted: GeneratedSet, budget: Budget) -> Maker:
    """Everything that the set is to hold, from the store and from the writer."""
    with track(f"write {wanted.name}") as progress:
        async with AsyncExitStack() as open_ones:
            maker = await _maker_of(wanted, budget, Shown(progress, wanted.documents, budget), open_ones)
            if isinstance(maker, DocumentMaker):
                await choose_types_task(maker)
            while not maker.is_done:
                await (write_round_task(maker) if isinstance(maker, DocumentMaker) else write_chats_task(maker))
        return maker


async def make_evals(wanted: GeneratedSet, budget: Budget) -> None:
    """Those of the set's universe; what somebody changed of them stays."""
    warn, tell = warner(), get_run_logger().info
    async with Writing(wanted.writer, budget, warn=warn, tell=tell, is_cancelled=cancellation()) as ask:
        evals = await universe_evals(universe_of(wanted), ask, warn)
    for file in keep_evals(evals, warn):
        console.print(f"Eval  {file}")


async def _maker_of(wanted: GeneratedSet, budget: Budget, shown: Shown, open_ones: AsyncExitStack) -> Maker:
    """With its writers, each found to be there."""

    async def opened(writer: Writer, *judges: Judge) -> Writing:
        writing = Writing(writer, budget, shown.show, shown.warn, shown.tell, cancellation())
        await open_ones.enter_async_context(writing)
        await writing.check(*judges)
        return writing

    if not wanted.trait:
        return DocumentMaker(wanted, universe_of(wanted), (await opened(wanted.writer)).ask, shown.advance)
    trait = trait_of(wanted)
    writing = await opened(wanted.writer, *([] if wanted.teacher else [trait.judge]))
    teach = (await opened(wanted.teacher)).ask if wanted.teacher else None
    return ChatMaker(wanted, trait, writing.ask, scored_by(trait.judge, writing), teach, shown.advance)


async def show_preview(maker: Maker) -> None:
    """The documents so far, on the run's page and in the terminal."""
    rows = [
        {"set": version, "what": _about(row), "text": _text(row)}
        for version, some in maker.rows.items()
        for row in some
    ]
    await show_table(rows, f"The first of {maker.wanted.name}, to be read:")
    for row in rows:
        console.print(f"\n{row['set']}: {row['what']}", style="bold")
        console.print(row["text"])


def _about(row: SyntheticDocument | GeneratedChat) -> str:
    return f"{row.doc_type}: {row.doc_idea}" if isinstance(row, SyntheticDocument) else row.messages[0].content


def _text(row: SyntheticDocument | GeneratedChat) -> str:
    return row.content if isinstance(row, SyntheticDocument) else row.messages[-1].content
