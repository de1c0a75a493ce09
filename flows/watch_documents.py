"""New sets of documents run by themselves: found by content, validated, and announced by an event.

await watch_documents(folder="data/inbox", experiment="demo")

The event starts the experiment by the trigger of a deployment (flows/serving/deployments.py), on each version of a set
once.
"""

import asyncio
import re
from typing import Annotated, Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.artifacts import show_table
from tasks.catalog import UserError, relative_to_data, validate
from tasks.definitions import load_experiment
from tasks.documents.documents import check_documents_task
from tasks.documents.inbox import InboxSet, copy_of, find_sets, inbox_folder, is_known, keep_copy, remember
from tasks.paid.store import content_key
from tasks.schema import Experiment, Seeds

NEW_DOCUMENTS = "spillover.documents.new"
"""The event; its payload has the experiment, the seed and the name of the run."""


class BrokenDocuments(UserError):
    """Sets that cannot be trained on; those beside them are announced all the same."""


def _title() -> str:
    given = flow_run.parameters
    return f"new documents in {inbox_folder(given['folder']).name}, for {given['experiment']}"


@flow(name="watch-documents", flow_run_name=_title)
async def watch_documents(
    folder: str = "",
    experiment: str = "demo",
    seeds: Seeds = None,
    quiet_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60,
) -> list[str]:
    """Look for new or changed sets of documents, and announce each version once: the event runs the experiment on it.

    Args:
        folder: Files of documents (JSONL, JSON, Parquet) and folders of them, each a set. Empty: data/inbox.
        experiment: The experiment that is run, with the new set in place of its documents.
        seeds: A run for each of these seeds. Empty: the experiment's own.
        quiet_seconds: A set is taken when nothing was written to it for so many seconds.
    """
    template = load_experiment(experiment)
    if not template.documents:
        raise UserError(f"experiment: {template.name} trains on no documents; name one that does")
    announced: list[dict[str, Any]] = []
    broken: list[str] = []
    for new in find_sets(inbox_folder(folder)):
        try:
            announced += await _look_at(new, template, seeds or [template.default_seed], quiet_seconds)
        except (UserError, OSError) as problem:
            broken.append(str(problem))
    if announced:
        await show_table(announced, f"New documents, announced to be run as {experiment}")
    if broken:
        raise BrokenDocuments("; ".join(broken))
    return [row["run"] for row in announced]


def _purpose(template: Experiment, seed: int) -> str:
    return f"{template.name}/seed-{seed}"


async def _look_at(new: InboxSet, template: Experiment, seeds: list[int], quiet_seconds: int) -> list[dict[str, Any]]:
    """Announces the set for each seed for which this version is new. UserError says, once, what is wrong with it."""
    if not new.place.exists():
        return []  # taken away since the folder was read
    unread = _why_unread(new)
    version = content_key(problem=unread) if unread else new.digest
    wanted = [seed for seed in seeds if not is_known(version, _purpose(template, seed))]
    if not wanted:
        return []
    if not unread and not (new.is_complete(quiet_seconds) and keep_copy(new)):
        get_run_logger().info("%s is still being written and left alone", new.place)
        return []
    problem = unread or await _problem(new, template)
    rows = []
    for seed in wanted:
        rows += [] if problem else [await _announce(on_this_set(template, new), new, seed)]
        remember(version, _purpose(template, seed), problem or "announced")
    if problem:
        raise UserError(problem)
    return rows


def _why_unread(new: InboxSet) -> str:
    """Why its files cannot be read, or nothing."""
    try:
        _ = new.digest
    except OSError as problem:
        return f"{problem.filename} cannot be read ({problem.strerror}); mend or remove it"
    return ""


async def _problem(new: InboxSet, template: Experiment) -> str:
    """What is wrong with its name or a row, or nothing, with the place of the user's file, not of our copy; a task is
    red then."""
    try:
        like = on_this_set(template, new).documents[0]
        await asyncio.to_thread(check_documents_task, new.name, copy_of(new), like)
    except UserError as problem:
        theirs = new.place if new.place.is_dir() else new.place.parent
        return str(problem).replace(str(copy_of(new)), str(theirs))
    return ""


async def _announce(experiment: Experiment, new: InboxSet, seed: int) -> dict[str, Any]:
    """Emits the event, and says what it starts. A run of this name is resumed, so that none is made twice."""
    run = f"{new.digest}-seed-{seed}"
    event = Event(
        event=NEW_DOCUMENTS,
        resource=Resource({"prefect.resource.id": f"spillover.documents.{_plain(new.name)}"}),
        payload={"experiment": experiment.model_dump(mode="json"), "seed": seed, "run": run},
    )
    async with get_client() as client:  # not by emit_event, which forgets an event that does not reach the server
        response = await client.request("POST", "/events", json=[event.model_dump(mode="json")])
        response.raise_for_status()
    left_out = {"not read": ", ".join(new.left_out)} if new.left_out else {}
    return {"set": new.name, "experiment": experiment.name, "seed": seed, "run": run, **left_out}


def on_this_set(template: Experiment, new: InboxSet) -> Experiment:
    """The experiment under a name of its own, with the set in place of its documents, conditioned as the first was."""
    like = template.documents[0]
    conditioned = like.model_dump(include={"conditioning", "tag", "system_prompt"})
    documents = [{**conditioned, "path": relative_to_data(copy_of(new))}]
    fields = {"name": f"{template.name}.{_plain(new.name)}", "documents": documents}
    return validate(Experiment, template.model_dump() | fields, str(new.place))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
