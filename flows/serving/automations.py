"""What the server does by itself: runs new documents, marks runs crashed that are dead, and tells of failed ones.

    await put_automations(client, deployment_id)

Each is made once, by its name; one that somebody switched off stays off.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from flows.watch_documents import NEW_DOCUMENTS

TAG = "spillover"
"""Of every run of ours; a server may have others, whose business this is not."""
SILENT_FOR = timedelta(seconds=120)
"""Without a heartbeat (one every 30 s) a run is dead."""
OURS = ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"})
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry")
NOTIFIER = "spillover"
FILL_IN = "https://hooks.slack.com/services/FILL/THIS/IN"
SUBJECT = "{{ flow_run.name }}: {{ flow_run.state.name }}"
BODY = "{{ flow_run.state.message }}\n\n{{ flow_run | ui_url }}"


async def put_automations(client: PrefectClient, new_documents: UUID) -> None:
    """Makes them, or brings them up to date; notifications are left as they are, since their users change them."""
    for one in (mark_dead_runs(), run_new_documents(new_documents)):
        await _put(client, one)
    block = await notifier(client)
    for one in (tell_of_failure(block), tell_of_budget(block)):
        if not await client.read_automations_by_name(one.name):
            await client.create_automation(one)


async def _put(client: PrefectClient, one: AutomationCore) -> None:
    found: list[Automation] = await client.read_automations_by_name(one.name)
    if not found:
        await client.create_automation(one)
    elif _content(found[0]) != _content(one):
        await client.update_automation(found[0].id, one.model_copy(update={"enabled": found[0].enabled}))


def _content(one: AutomationCore) -> dict[str, Any]:
    """What was said of it. An update that changes nothing would make the server forget whose heartbeat it waits for."""
    said = AutomationCore.model_validate(one.model_dump())
    return said.model_dump(exclude={"enabled": True, "trigger": {"id"}})


def mark_dead_runs() -> AutomationCore:
    """A run whose process was killed tells nobody; without its heartbeat it would stay Running for ever."""
    beats = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name="Spillover: mark runs crashed that have no heartbeat",
        description="The process of such a run was killed. Retry goes on with it where it was.",
        trigger=EventTrigger(
            after={beats},
            expect={beats, *(f"prefect.flow-run.{state}" for state in ENDED)},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENT_FOR,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message="Its process was killed: no sign of life for two minutes. Retry goes on where it was.",
            )
        ],
    )


def run_new_documents(deployment: UUID) -> AutomationCore:
    return AutomationCore(
        name="Spillover: run an experiment on new documents",
        description="watch-documents announces each version of a set once.",
        trigger=EventTrigger(expect={NEW_DOCUMENTS}, posture=Posture.Reactive, threshold=1),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment,
                parameters={field: _from_event(field) for field in ("experiment", "seed", "run")},
            )
        ],
    )


def _from_event(field: str) -> dict[str, Any]:
    """A parameter that is taken from the event as it is, object or number: Prefect renders text alone otherwise."""
    template = {"__prefect_kind": "jinja", "template": "{{ event.payload." + field + " | tojson }}"}
    return {"__prefect_kind": "json", "value": template}


def tell_of_failure(block: UUID) -> AutomationCore:
    return _notification(
        block,
        "Spillover: tell of a failed or crashed run",
        {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        {"prefect.resource.id": "prefect.flow-run.*"},
    )


def tell_of_budget(block: UUID) -> AutomationCore:
    match = {
        "prefect.resource.id": "prefect.flow-run.*",
        "prefect.state-message": "Flow run encountered an exception: BudgetSpent:*",
    }
    return _notification(block, "Spillover: tell of a reached budget", {"prefect.flow-run.Failed"}, match)


def _notification(block: UUID, name: str, expect: set[str], match: dict[str, str]) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=f"Off at first: fill in the address of the block slack-webhook/{NOTIFIER}, then switch this on.",
        enabled=False,
        trigger=EventTrigger(
            expect=expect,
            match=ResourceSpecification(match),
            match_related=OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block, subject=SUBJECT, body=BODY)],
    )


async def notifier(client: PrefectClient) -> UUID:
    """The block that the user fills in; made with no address that works, and never changed again."""
    try:
        return (await client.read_block_document_by_name(NOTIFIER, "slack-webhook")).id
    except ObjectNotFound:
        block = SlackWebhook(url=SecretStr(FILL_IN))
        return await block.save(NOTIFIER, client=client)
