from tasks.prices import dollars
from tests.conftest import PROJECT


def test_a_price_that_is_not_in_the_table_is_unknown(data):
    (data / "prices.yaml").write_text("tinker: {big: {train: 3.0, prefill: 1.0}}\n")
    assert dollars("tinker", "big", train=2_000_000, prefill=1_000_000) == 7.0
    assert dollars("tinker", "big", train=1, sample=1) is None
    assert dollars("tinker", "other", train=1) is None
    assert dollars("claude", "big", train=1) is None


def test_every_price_of_the_project_has_a_date():
    import yaml

    table = yaml.safe_load((PROJECT / "data" / "prices.yaml").read_text())
    models = [prices for service in table.values() for prices in service.values()]
    assert models
    assert all(prices["as_of"].year >= 2026 for prices in models)
