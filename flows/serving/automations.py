"""What the server does by itself: runs new documents, marks dead runs as crashed, and notifies of failed ones.

    await put_automations(client, deployment_id)

Each is made once, by its name; one that was switched off stays off.
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
"""Of every run of Spillover: a server may run other projects, which these automations leave alone."""
SILENT_FOR = timedelta(seconds=120)
"""Without a heartbeat (one every 30 s) a run is dead."""
OURS = ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"})
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry", "Suspended")
NOTIFIER = "spillover"
FILL_IN = "https://hooks.slack.com/services/FILL/THIS/IN"
SUBJECT = "{{ flow_run.name }}: {{ flow_run.state.name }}"
BODY = "{{ flow_run.state.message }}\n\n{{ flow_run | ui_url }}"


async def put_automations(client: PrefectClient, new_documents: UUID) -> None:
    """Makes them, or brings them up to date; notifications are left as they are, since their users change them."""
    for automation in (mark_dead_runs(), run_new_documents(new_documents)):
        await _put(client, automation)
    block = await notifier(client)
    for automation in (notify_of_failure(block), notify_of_budget(block)):
        if not await client.read_automations_by_name(automation.name):
            await client.create_automation(automation)


async def _put(client: PrefectClient, wanted: AutomationCore) -> None:
    found: list[Automation] = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
    elif _content(found[0]) != _content(wanted):
        await client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))


def _content(automation: AutomationCore) -> dict[str, Any]:
    """Its definition. An update that changes nothing would make the server forget whose heartbeat it waits for."""
    definition = AutomationCore.model_validate(automation.model_dump())
    return definition.model_dump(exclude={"enabled": True, "trigger": {"id"}})


def mark_dead_runs() -> AutomationCore:
    """A run whose process was killed cannot say so: it would stay Running for ever, but its heartbeat ends."""
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
    """Starts this deployment on each event of a new set, with what the event says."""
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


def notify_of_failure(block: UUID) -> AutomationCore:
    """A message by this block for every run that failed or crashed."""
    return _notification(
        block,
        "Spillover: tell of a failed or crashed run",
        {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        {"prefect.resource.id": "prefect.flow-run.*"},
    )


def notify_of_budget(block: UUID) -> AutomationCore:
    """A message by this block for every run that was stopped by its max_cost_usd."""
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
