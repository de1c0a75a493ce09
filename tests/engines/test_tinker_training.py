import json

import pytest

from tasks.catalog import UserError
from tasks.engines.tinker_training import Folder, Pace


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


def test_progress_tells_the_cost_of_all_tokens_where_the_price_is_known():
    pace = Pace(lambda tokens: tokens * 3e-6, 1_000_000)
    pace.tokens = 500_000
    assert pace.words().endswith(" tokens/s, $4.50")
    unknown = Pace(lambda tokens: None, 0)
    assert unknown.words() == "0 tokens/s"
