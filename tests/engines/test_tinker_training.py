import json
from typing import Any

import httpx
import pytest
import tinker

from tasks.catalog import UserError
from tasks.engines.tinker_server import TinkerServer
from tasks.engines.tinker_training import Folder, LoraTraining, Pace
from tests.fakes.trainings import TRAINING, documents


def test_a_loss_that_is_no_number_ends_the_training_and_stays_out_of_the_curve(tmp_path):
    place = Folder(tmp_path)
    place.add_row({"step": 1, "loss": 2.0})
    for loss in (float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"at step 2 its loss is {loss}; lower training.learning_rate"):
            place.add_row({"step": 2, "loss": loss})
    assert place.curve() == [{"step": 1, "loss": 2.0}]


def test_after_a_kill_the_curve_ends_with_the_last_state_and_no_half_line_is_left(tmp_path):
    curve = [{"step": 0, "held_out_loss": 2.0}, *({"step": n, "loss": 1.0, "tokens": 10} for n in range(1, 24))]
    text = "".join(json.dumps(row) + "\n" for row in curve)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 24, "lo')
    records = '{"name": "at 0.5", "batch": 13, "trained_share": 0.5, "sampler_path": "tinker://r/sample-000013"}\n'
    records += '{"name": "step-000020", "batch": 20, "state_path": "tinker://r/step-000020"}\n{"name": "st'
    (tmp_path / "checkpoints.jsonl").write_text(records)
    place = Folder(tmp_path)
    assert [row["step"] for row in place.curve()] == list(range(21))
    assert (place.steps_done, place.last.state_path) == (20, "tinker://r/step-000020")
    assert place.samplers() == {0.5: "tinker://r/sample-000013"}


class Keeps:
    """A service that answers with this error when it is asked for a state."""

    def __init__(self, error):
        self.error = error

    async def create_training_client_from_state_with_optimizer(self, path):
        raise self.error


async def resumed(folder, error, **of_the_record):
    """A training that was killed after step 20, and begins again."""
    record = {"name": "step-000020", "batch": 20, "state_path": "tinker://r/step-000020", **of_the_record}
    (folder / "checkpoints.jsonl").write_text(json.dumps(record) + "\n")
    given: list[Any] = [Keeps(error), "m", TRAINING, None, documents(4), [], 0, Folder(folder), None, None]
    training = LoraTraining(*given)
    with TinkerServer("http://127.0.0.1:9").plain_errors("training"):
        await training.run()


GONE = tinker.NotFoundError(
    "no such state", response=httpx.Response(404, request=httpx.Request("POST", "/")), body=None
)
LOST = tinker.RequestFailedError("no such state", "r", tinker.types.RequestErrorCategory.User)
AWAY = tinker.RequestFailedError("it is busy", "r", tinker.types.RequestErrorCategory.Server)
LONG_AGO, FAR = {"expires": "2026-01-01T00:00+00:00"}, {"expires": "2999-01-01T00:00+00:00"}


@pytest.mark.parametrize(("error", "record"), [(GONE, {}), (LOST, FAR), (AWAY, LONG_AGO)])
async def test_a_training_whose_state_is_gone_says_what_to_remove_and_pays_nothing_anew(tmp_path, error, record):
    words = r"^the service does not give tinker://r/step-000020 \(.*\), from .* for 7 days: .* paid anew, remove "
    with pytest.raises(UserError, match=f"{words}{tmp_path}$"):
        await resumed(tmp_path, error, **record)


@pytest.mark.parametrize("record", [{}, FAR])
async def test_a_training_whose_state_may_be_there_yet_is_to_be_run_again(tmp_path, record):
    with pytest.raises(UserError, match=r"^training at .* stopped: it is busy; run it again, it goes on from there$"):
        await resumed(tmp_path, AWAY, **record)


def test_progress_tells_the_cost_of_all_tokens_where_the_price_is_known():
    pace = Pace(lambda tokens: tokens * 3e-6, 1_000_000)
    pace.tokens = 500_000
    assert pace.words().endswith(" tokens/s, $4.50")
    unknown = Pace(lambda tokens: None, 0)
    assert unknown.words() == "0 tokens/s"
