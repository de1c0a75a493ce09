import pytest
from prefect.states import Failed

from tasks.catalog import UserError
from tasks.stage import Tell, lost_infrastructure, progress, watcher


def test_what_a_stage_tells_reaches_the_watcher_and_reads_as_a_sentence():
    heard = []
    token = watcher.set(lambda *a: heard.append(a))
    with progress("train") as tell:
        tell(1, 4, "steps")
        tell(2, 4, "steps, loss 2.0")
    watcher.reset(token)
    assert heard == [("train", 1, 4, "steps"), ("train", 2, 4, "steps, loss 2.0")]
    assert tell.percent() == 50
    assert tell.sentence() == "train: 2 of 4 steps, loss 2.0"


def test_the_time_left_follows_the_pace_so_far():
    tell = Tell("sample")
    assert (tell.percent(), tell.sentence()) == (0, "sample: 0 of 0 ")
    tell(1_000, 3_000, "answers")
    tell.started -= 10
    assert tell.sentence() == "sample: 1,000 of 3,000 answers, 20 s left"


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
