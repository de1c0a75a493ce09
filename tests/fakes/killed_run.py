"""The command line in a process that kills itself (SIGKILL) at one instant of a run.

    python -m tests.fakes.killed_run "mid-commit" 40 run standin judging.judges=[claude] --run killed

dies the 40th time that a commit of answers is under way. Instants: see MAKING, CALLING and WRITING.
"""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

MAKING = ("a step is trained", "a token is drawn", "a chart is drawn", "the report is made")
CALLING = (
    "a chunk starts",
    "a request leaves",
    "a reply is there",
    "before a commit",
    "mid-commit",
    "after a commit",
)
WRITING = ("before a file is renamed", "after a file is renamed")


def main() -> None:
    point, nth, *arguments = sys.argv[1:]
    numbers = count(1)

    def reached(here: str) -> None:
        if here == point and next(numbers) == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    from flows.__main__ import main as command_line
    from flows.serving.server import client_settings, ensure_server

    # Prefect reads its settings when it is imported, and the command line would set them later.
    os.environ.update(client_settings(ensure_server()))
    watch(reached)
    sys.argv = ["spillover", *arguments]
    command_line()


def watch(reached: Callable[[str], None]) -> None:
    """Calls `reached` at every instant; the real code runs between."""
    import tasks.engines.generation
    import tasks.engines.lora
    import tasks.judging.asking
    import tasks.report.rendering
    import tasks.report.report
    from tasks.paid.store import Store
    from tasks.services.transport import SdkClient

    made = (tasks.engines.lora, "take_step"), (tasks.engines.generation, "draw")
    written = (tasks.report.rendering, "as_vega_lite"), (tasks.report.report, "render")
    for point, (module, function) in zip(MAKING, (*made, *written), strict=True):
        setattr(module, function, _telling(getattr(module, function), point, reached))
    ask_chunk, send_once = tasks.judging.asking.ask_judges, SdkClient.send
    put, replace = Store.put, Path.replace

    async def chunk(*given: Any) -> Any:
        reached("a chunk starts")
        return await ask_chunk(*given)

    async def send(*given: Any) -> Any:
        reached("a request leaves")
        reply = await send_once(*given)
        reached("a reply is there")
        return reply

    def commit(store: Store, *given: Any) -> None:
        from sqlalchemy import event

        def under_way(_: Any) -> None:
            reached("mid-commit")

        reached("before a commit")
        event.listen(store.engine, "commit", under_way)
        put(store, *given)
        event.remove(store.engine, "commit", under_way)
        reached("after a commit")

    def rename(path: Path, target: Path) -> Path:
        reached("before a file is renamed")
        done = replace(path, target)
        reached("after a file is renamed")
        return done

    watched = (tasks.judging.asking, "ask_judges", chunk), (SdkClient, "send", send), (Store, "put", commit)
    for owner, name, call in (*watched, (Path, "replace", rename)):
        setattr(owner, name, call)


def _telling(call: Callable[..., Any], point: str, reached: Callable[[str], None]) -> Callable[..., Any]:
    def tell_and_call(*given: Any, **more: Any) -> Any:
        reached(point)
        return call(*given, **more)

    return tell_and_call


if __name__ == "__main__":
    main()
