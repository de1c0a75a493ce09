import pytest

from tasks.catalog import UserError
from tasks.imports.choices import Choices, parse_pairs, parse_scales
from tasks.schema import Scale


def test_columns_are_given_in_pairs():
    assert parse_pairs("side=variant, aligned = score 1,", "--columns") == {"side": "variant", "aligned": "score 1"}
    assert parse_pairs("", "--columns") == {}
    for text in ("side", "=a", "a=", "a=b,a=c"):
        with pytest.raises(UserError, match=r"--columns: .* is not NAME=COLUMN"):
            parse_pairs(text, "--columns")


@pytest.mark.parametrize(("text", "ends"), [("0-100", (0, 100)), ("-5-5", (-5, 5)), ("-9--1", (-9, -1))])
def test_one_scale_is_that_of_every_measure(text, ends):
    assert Choices(scales=parse_scales(text)).scale_of("any") == Scale(low=ends[0], high=ends[1])


def test_each_measure_can_have_a_scale_of_its_own():
    choices = Choices(scales=parse_scales("aligned=0-100,kind=1-5"))
    assert [choices.scale_of(name) for name in ("aligned", "kind", "other")] == [
        Scale(low=0, high=100),
        Scale(low=1, high=5),
        None,
    ]
