"""What the stages' tasks share: telling how far they are, and knowing when to try again.

How far a stage is: told once by the stage, shown in the terminal and as a Prefect progress artifact.

    with track("train") as progress:
        progress(3, 60, "steps, loss 2.41")
"""

import logging
import threading
import time
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

Watcher = Callable[[str, int, int, str], None]
watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
"""Called with stage, done, total and note at every step: the terminal sets it."""

PUBLISH_EVERY = 2.0
LOG_EVERY = 15.0


class _Visible(logging.Filter):
    """Spells out what a terminal would obey in the lines and tracebacks of a run's log: others wrote parts of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = visible(record.getMessage()), None
        if record.exc_info:
            record.exc_text = visible(logging.Formatter().formatException(record.exc_info))
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_Visible())


class Progress:
    """Called by a stage with what is done, of how much, and a few words."""

    def __init__(self, stage: str):
        self.stage, self.done, self.total, self.note = stage, 0, 0, ""
        self.started = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.done, self.total, self.note = done, total, note
        if watch := watcher.get():
            watch(self.stage, done, total, note)

    def percent(self) -> float:
        return 100.0 * self.done / self.total if self.total else 0.0

    def sentence(self) -> str:
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done) if self.done else 0
        return f"{self.stage}: {self.done:,} of {self.total:,} {self.note}" + (
            f", {left:.0f} s left" if left >= 1 else ""
        )


@contextmanager
def track(stage: str) -> Iterator[Progress]:
    """A stage under way. Inside a Prefect run a thread publishes it every two seconds, and once more at the end."""
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
    """Makes or moves the progress artifact. `_sync` is Prefect's word for a call from a thread; its types lack it."""
    words: dict[str, Any] = {"description": in_markdown(progress.sentence()), "_sync": True}
    if artifact is None:
        return cast(UUID, create_progress_artifact(progress.percent(), **words))
    update_progress_artifact(artifact, progress.percent(), **words)
    return artifact


def _publish(progress: Progress, over: threading.Event) -> None:
    artifact = None
    logged = time.monotonic()
    finished = False
    while not finished:
        finished = over.wait(PUBLISH_EVERY)
        if not progress.total:
            continue
        try:
            artifact = _show(progress, artifact)
        except RuntimeError:  # httpx's: the run ended while the server took its time, and with it the client
            return
        except (httpx.HTTPError, PrefectException) as error:
            get_run_logger().warning("The progress of %s could not be shown: %s", progress.stage, error)
        if finished or time.monotonic() - logged > LOG_EVERY:
            get_run_logger().info(progress.sentence())
            logged = time.monotonic()


async def lost_infrastructure(task: Any, task_run: Any, state: Any) -> bool:
    """Whether a task is worth repeating: a connection or a disk may come back, a user's mistake or a bug does not."""
    error = await state.result(raise_on_failure=False)
    return isinstance(error, ConnectionError | TimeoutError | OSError) and not isinstance(
        error, FileNotFoundError | PermissionError
    )
