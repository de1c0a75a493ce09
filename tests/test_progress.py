import logging
from contextlib import contextmanager
from typing import Any

import pytest
from prefect import flow, task
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from tasks.catalog import UserError
from tasks.judging.judgments import failed_call_task
from tasks.progress import Progress, listener, lost_infrastructure, track
from tasks.schema import Failure
from tasks.visible import HIDDEN


def test_what_a_stage_tells_reaches_the_watcher_and_reads_as_a_sentence():
    heard = []
    token = listener.set(lambda *a: heard.append(a))
    with track("train") as progress:
        progress(1, 4, "steps")
        progress(2, 4, "steps, loss 2.0")
    listener.reset(token)
    assert heard == [("train", 1, 4, "steps"), ("train", 2, 4, "steps, loss 2.0")]
    assert progress.percent() == 50
    assert progress.sentence() == "train: 2 of 4 steps, loss 2.0"


def test_the_time_left_follows_the_pace_so_far():
    progress = Progress("sample")
    assert (progress.percent(), progress.sentence()) == (0, "sample: 0 of 0 ")
    progress(1_000, 3_000, "answers")
    progress.started -= 10
    assert progress.sentence() == "sample: 1,000 of 3,000 answers, 20 s left"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionResetError("gone"), True),
        (TimeoutError(), True),
        (OSError(5, "input/output error"), True),
        (UserError("a mistake"), False),
        (FileNotFoundError("x"), False),
        (ValueError("a bug"), False),
    ],
)
async def test_only_lost_infrastructure_is_tried_again(error, again):
    assert await lost_infrastructure(None, None, Failed(data=error)) is again


PLANTED = "\x1b]52;c;cm0=\x07 \u202egpj.exe"


class Lines(logging.Handler):
    """A log's lines with their tracebacks, as a console or Prefect's server gets them."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@contextmanager
def log_of_runs():
    """What the log of flow runs and task runs holds."""
    loggers, heard = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")], Lines()
    for logger in loggers:
        logger.addHandler(heard)
    try:
        yield heard.lines
    finally:
        for logger in loggers:
            logger.removeHandler(heard)


async def test_at_the_end_of_what_went_well_the_log_says_what_happened_and_else_nothing(prefect_server):
    @task
    async def silent():
        return 1

    @flow
    async def telling():
        await silent()
        return Completed(message=f'it\'s "done" {PLANTED}', data=2)

    with log_of_runs() as told:
        assert await telling() == 2
    assert told[-1] == 'it\'s "done" ' + r"\x1b]52;c;cm0=\x07 \u202egpj.exe"
    assert not [line for line in told if "Finished in state" in line]


async def test_what_others_wrote_is_spelled_out_in_every_line_of_a_runs_log_and_in_its_tracebacks(prefect_server):
    failure = Failure(
        eval="e",
        judge=PLANTED,
        question_id="q",
        side="finetuned",
        sample=0,
        trained_share=1,
        question=PLANTED,
        response=PLANTED,
        against=PLANTED,
        attempts=[PLANTED, PLANTED],
        state="unreadable",
        answers=1,
    )

    @flow
    async def hostile():
        begun: Any = failed_call_task(1, failure, return_state=True)
        await begun
        get_run_logger().warning(f"the service said 100 % {PLANTED}")
        raise ValueError(PLANTED)

    with log_of_runs() as lines, pytest.raises(ValueError, match="cm0"):
        await hostile()
    told = "\n".join(lines)
    assert HIDDEN.findall(told) == []
    spelled_out = r"\x1b]52;c;cm0=\x07 \u202egpj.exe"
    for words in (f"Attempt 2: {spelled_out}", f"judge call 1 ({spelled_out}", f"100 % {spelled_out}"):
        assert words in told, words
    assert f"ValueError: {spelled_out}" in told
