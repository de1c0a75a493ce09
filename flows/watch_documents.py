"""New sets of documents run by themselves: found by content, validated, and announced by an event.

await watch_documents(folder="data/incoming", experiment="demo")

The event starts the experiment by the trigger of a deployment (flows/serving/deployments.py), on each version of a set
once.
"""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.artifacts import show_table
from tasks.catalog import UserError, data_folder, load_experiment, portable, validate
from tasks.documents.documents import check_documents_task
from tasks.documents.inbox import Incoming, find_sets, is_known, keep, kept, remember
from tasks.paid.store import content_key
from tasks.schema import Experiment, Seeds

NEW_DOCUMENTS = "spillover.documents.new"
"""The event; its payload has the experiment, the seed and the name of the run."""


class BrokenDocuments(UserError):
    """Sets that cannot be trained on; those beside them are announced all the same."""


def _title() -> str:
    given = flow_run.parameters
    return f"new documents in {watched_folder(given['folder']).name}, for {given['experiment']}"


@flow(name="watch-documents", flow_run_name=_title)
async def watch_documents(
    folder: str = "",
    experiment: str = "demo",
    seeds: Seeds = None,
    quiet_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60,
) -> list[str]:
    """Look for new or changed sets of documents, and announce each version once: the event runs the experiment on it.

    Args:
        folder: Files of documents (JSONL, JSON, Parquet) and folders of them, each a set. Empty: data/incoming.
        experiment: The experiment that is run, with the new set in place of its documents.
        seeds: A run for each of these seeds. Empty: the experiment's own.
        quiet_seconds: A set is taken when nothing was written to it for so many seconds.
    """
    template = load_experiment(experiment)
    if not template.documents:
        raise UserError(f"experiment: {template.name} trains on no documents; name one that does")
    announced: list[dict[str, Any]] = []
    broken: list[str] = []
    for one in find_sets(watched_folder(folder)):
        try:
            announced += await _look_at(one, template, seeds or [template.default_seed], quiet_seconds)
        except (UserError, OSError) as problem:
            broken.append(str(problem))
    if announced:
        await show_table(announced, f"New documents, announced to be run as {experiment}")
    if broken:
        raise BrokenDocuments("; ".join(broken))
    return [row["run"] for row in announced]


def watched_folder(folder: str) -> Path:
    """Empty: data/incoming, made when it is not there."""
    if folder:
        return Path(folder).expanduser()
    place = data_folder() / "incoming"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _purpose(template: Experiment, seed: int) -> str:
    return f"{template.name}/seed-{seed}"


async def _look_at(one: Incoming, template: Experiment, seeds: list[int], quiet_seconds: int) -> list[dict[str, Any]]:
    """Announces the set for each seed for which this version is new. UserError says, once, what is wrong with it."""
    if not one.place.exists():
        return []  # taken away since the folder was read
    unread = _why_unread(one)
    version = content_key(problem=unread) if unread else one.digest
    wanted = [seed for seed in seeds if not is_known(version, _purpose(template, seed))]
    if not wanted:
        return []
    if not unread and not (one.is_complete(quiet_seconds) and keep(one)):
        get_run_logger().info("%s is still being written and left alone", one.place)
        return []
    problem = unread or await _problem(one, template)
    rows = []
    for seed in wanted:
        rows += [] if problem else [await _announce(on_this_set(template, one), one, seed)]
        remember(version, _purpose(template, seed), problem or "announced")
    if problem:
        raise UserError(problem)
    return rows


def _why_unread(one: Incoming) -> str:
    """Why its files cannot be read, or nothing."""
    try:
        _ = one.digest
    except OSError as problem:
        return f"{problem.filename} cannot be read ({problem.strerror}); mend or remove it"
    return ""


async def _problem(one: Incoming, template: Experiment) -> str:
    """What is wrong with its name or a row, or nothing, with the place of the user's file, not of our copy; a task is
    red then."""
    try:
        like = on_this_set(template, one).documents[0]
        await asyncio.to_thread(check_documents_task, one.name, kept(one), like)
    except UserError as problem:
        theirs = one.place if one.place.is_dir() else one.place.parent
        return str(problem).replace(str(kept(one)), str(theirs))
    return ""


async def _announce(experiment: Experiment, one: Incoming, seed: int) -> dict[str, Any]:
    """Emits the event, and says what it starts. A run of this name is resumed, so that none is made twice."""
    run = f"{one.digest}-seed-{seed}"
    event = Event(
        event=NEW_DOCUMENTS,
        resource=Resource({"prefect.resource.id": f"spillover.documents.{_plain(one.name)}"}),
        payload={"experiment": experiment.model_dump(mode="json"), "seed": seed, "run": run},
    )
    async with get_client() as client:  # not by emit_event, which forgets an event that does not reach the server
        response = await client.request("POST", "/events", json=[event.model_dump(mode="json")])
        response.raise_for_status()
    left_out = {"not read": ", ".join(one.left_out)} if one.left_out else {}
    return {"set": one.name, "experiment": experiment.name, "seed": seed, "run": run, **left_out}


def on_this_set(template: Experiment, one: Incoming) -> Experiment:
    """The experiment under a name of its own, with the set in place of its documents, conditioned as the first was."""
    like = template.documents[0]
    documents = [{**like.model_dump(include={"conditioning", "system_prompt"}), "path": portable(kept(one))}]
    fields = {"name": f"{template.name}.{_plain(one.name)}", "documents": documents}
    return validate(Experiment, template.model_dump() | fields, str(one.place))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
