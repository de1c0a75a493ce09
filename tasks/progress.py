"""How far a stage is, in the terminal and as a Prefect progress artifact; and when a task is worth retrying.

with track("train") as progress:
    progress(3, 60, "steps, loss 2.41")
"""

import logging
import re
import threading
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from tasks.visible import in_markdown, visible

Listener = Callable[[str, int, int, str], None]
listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Called with stage, done, total and note at every step; the terminal sets it to draw its bars."""

PUBLISH_EVERY = 2.0
LOG_EVERY = 15.0
"""Seconds between updates of the artifact, and between lines of the run's log."""


ENDED_WELL = re.compile(r"""Finished in state Completed\((['"].*['"])?\)""")
"""What Prefect logs at the end of what went well, with the words of its state, if it has any."""


class _Visible(logging.Filter):
    """Makes control characters visible in a run's log: services and models wrote parts of its lines and tracebacks.

    Of what ended well the log says what happened alone; where that has been said, nothing.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        said, record.args = record.getMessage(), None
        if end := ENDED_WELL.fullmatch(said):
            said = literal_eval(end[1]) if end[1] else ""
        record.msg = visible(said)
        if record.exc_info:
            record.exc_text = visible(logging.Formatter().formatException(record.exc_info))
        return bool(said)


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_Visible())


class Progress:
    """How far one stage is: the stage calls it with what is done, of how much, and a few words."""

    def __init__(self, stage: str):
        self.stage, self.done, self.total, self.note = stage, 0, 0, ""
        self.started = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Notes it and tells the listener; `done` and `total` are counts of what `note` names."""
        self.done, self.total, self.note = done, total, note
        if listen := listener.get():
            listen(self.stage, done, total, note)

    def percent(self) -> float:
        """From 0 to 100; 0 as long as the total is not known."""
        return 100.0 * self.done / self.total if self.total else 0.0

    def sentence(self) -> str:
        """The same in words, with the seconds that are left at the pace so far."""
        seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done) if self.done else 0
        left = f", {seconds:.0f} s left" if seconds >= 1 else ""
        return f"{self.stage}: {self.done:,} of {self.total:,} {self.note}{left}"


@contextmanager
def track(stage: str) -> Iterator[Progress]:
    """A stage's progress while it runs. In a Prefect run a thread publishes it every two seconds, and at the end."""
    progress = Progress(stage)
    if TaskRunContext.get() is None and FlowRunContext.get() is None:
        yield progress
        return
    over = threading.Event()
    thread = threading.Thread(target=copy_context().run, args=(_publish, progress, over), daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join(timeout=10)


def _show(progress: Progress, artifact: UUID | None) -> UUID:
    """Creates or updates the progress artifact. Prefect's `_sync`, for a call from a thread, is not in its types."""
    options: dict[str, Any] = {"description": in_markdown(progress.sentence()), "_sync": True}
    if artifact is None:
        return cast(UUID, create_progress_artifact(progress.percent(), **options))
    update_progress_artifact(artifact, progress.percent(), **options)
    return artifact


def _publish(progress: Progress, over: threading.Event) -> None:
    """Publishes and logs until the stage is over, and then what it ended with."""
    artifact = None
    logged = time.monotonic()
    finished = False
    while not finished:
        finished = over.wait(PUBLISH_EVERY)
        if not progress.total:
            continue
        try:
            artifact = _show(progress, artifact)
        except RuntimeError:  # the run ended before a slow server answered, and httpx's client was closed
            return
        except (httpx.HTTPError, PrefectException) as error:
            get_run_logger().warning("The progress of %s could not be shown: %s", progress.stage, error)
        if finished or time.monotonic() - logged > LOG_EVERY:
            get_run_logger().info(progress.sentence())
            logged = time.monotonic()


async def lost_infrastructure(_task: Any, _task_run: Any, state: Any) -> bool:
    """A task's `retry_condition_fn`: a lost connection or disk may come back, a mistake or a bug does not go away."""
    error = await state.result(raise_on_failure=False)
    return isinstance(error, ConnectionError | TimeoutError | OSError) and not isinstance(
        error, FileNotFoundError | PermissionError
    )
