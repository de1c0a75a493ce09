from tasks.paid.prices import batch_prices, dollars, prices
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
    models = [known for service in table.values() for known in service.values()]
    assert models
    assert all(known["as_of"].year >= 2026 for known in models)


def test_the_models_that_people_judge_with_have_every_price_that_a_limit_on_the_cost_needs():
    import yaml

    from tasks.judging.chat import TOKEN_KINDS as CHAT
    from tasks.judging.claude import TOKEN_KINDS as CLAUDE

    table = yaml.safe_load((PROJECT / "data" / "prices.yaml").read_text())
    for service, kinds in (("claude", CLAUDE), ("https://api.openai.com/v1", CHAT)):
        assert len(table[service]) >= 8
        for model, known in table[service].items():
            assert {*kinds, "batch_input", "batch_output"} <= known.keys(), model
            assert known["batch_input"] == known["input"] / 2
            assert known["batch_output"] == known["output"] / 2
            assert known["cache_read"] < known["input"] < known["output"]


def test_a_server_of_ones_own_has_its_prices_with_and_without_a_slash(data):
    (data / "prices.yaml").write_text("http://h:8000/:\n  m: {input: 1, output: 2.5, as_of: 2026-05-01}\n")
    assert prices("claude", "m", "http://h:8000") == {"input": 1, "output": 2.5}
    assert prices("claude", "m") == {}


def test_batches_cost_what_is_listed_and_tokens_of_a_cache_the_same_share():
    listed = {"input": 4.0, "output": 20.0, "cache_read": 0.4, "batch_input": 2.0, "batch_output": 8.0}
    assert batch_prices(listed) == {"input": 2.0, "output": 8.0, "cache_read": 0.2}


def test_a_batch_without_a_listed_price_has_none_unless_all_is_free():
    assert batch_prices({"input": 4.0, "output": 20.0, "batch_input": 2.0}) == {}
    assert batch_prices({"input": 0, "output": 0}) == {"input": 0, "output": 0}
