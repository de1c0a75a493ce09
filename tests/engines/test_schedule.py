import pytest

from tasks.engines.schedule import learning_rate, order
from tasks.schema import Training
from tests.fakes.trainings import TRAINING


def test_the_order_depends_on_the_seed_and_on_the_epoch():
    assert list(order(20, TRAINING, 1)) == list(order(20, TRAINING, 1)) != list(order(20, TRAINING, 2))
    first, second = ([p for e, places in order(20, TRAINING, 1) if e == epoch for p in places] for epoch in (1, 2))
    assert first != second


def test_the_learning_rate_rises_and_falls_as_named():
    def rates(**fields):
        return [learning_rate(Training(learning_rate=0.1, **fields), step, 5) for step in range(5)]

    assert rates(schedule="constant") == [0.1] * 5
    assert rates(schedule="linear") == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    assert rates(schedule="cosine")[0] == 0.1 > rates(schedule="cosine")[-1] > 0
    assert rates(schedule="constant", warmup=4) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
