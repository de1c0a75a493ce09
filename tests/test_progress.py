import logging
from typing import Any

import pytest
from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Failed

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

    loggers, heard = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")], Lines()
    for logger in loggers:
        logger.addHandler(heard)
    with pytest.raises(ValueError, match="cm0"):
        await hostile()
    for logger in loggers:
        logger.removeHandler(heard)
    told = "\n".join(heard.lines)
    assert HIDDEN.findall(told) == []
    spelled_out = r"\x1b]52;c;cm0=\x07 \u202egpj.exe"
    for words in (f"Attempt 2: {spelled_out}", f"judge call 1 ({spelled_out}", f"100 % {spelled_out}"):
        assert words in told, words
    assert f"ValueError: {spelled_out}" in told
