"""Where a run comes from: its name, when it was made, by which versions, commit and Prefect run."""

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from tasks.catalog import UserError
from tasks.runs import default_name

RECORDED = (
    "spillover",
    "prefect",
    "torch",
    "transformers",
    "peft",
    "tinker",
    "tinker-cookbook",
    "anthropic",
    "openai",
    "polars",
)


def default_run_name() -> str:
    """The same whenever this flow run is retried. Raises UserError outside of a flow run."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise UserError("run_experiment was not started as a flow, so it needs the name of a run: run='...'")
    current = context.flow_run
    return default_name(current.created or current.expected_start_time or datetime.now(UTC), str(current.id))


def origin() -> dict[str, object]:
    """For run.json: versions of what computes, the commit of this project, and the Prefect run."""
    return {
        "versions": _versions(),
        "git_commit": os.environ.get("SPILLOVER_COMMIT") or _commit(),
        "prefect_run": flow_run.id or "",
    }


@cache
def _versions() -> dict[str, str]:
    """Of what runs in this process: looked up once, a study has many runs."""
    return {name: version(name) for name in RECORDED}


@cache
def _commit() -> str:
    """Of this project's repository; nothing where there is none, or no git."""
    command = ["git", "rev-parse", "HEAD"]
    with suppress(FileNotFoundError):
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    return ""


def now() -> str:
    """In UTC, to the second (2026-07-31T12:00:00+00:00)."""
    return datetime.now(UTC).isoformat(timespec="seconds")
