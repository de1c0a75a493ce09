import math

import pytest

from tasks.catalog import UserError
from tasks.imports.aggregates import are_aggregates, read_aggregates, unread_columns
from tasks.imports.choices import NO_CHOICES, Choices, parse_pairs
from tests.fakes.imported import as_csv, as_json

CELLS = {
    ("base", "formality"): (40.0, 200, 20.0),
    ("base", "humour"): (30.0, 200, 15.0),
    ("formal", "formality"): (70.0, 200, 22.0),
    ("formal", "humour"): (20.0, 200, 14.0),
}


def long(place):
    rows = [
        {"model": model, "trait": trait, "mean": mean, "n": n, "sd": sd}
        for (model, trait), (mean, n, sd) in CELLS.items()
    ]
    return as_csv(place / "long.csv", rows)


def wide(place):
    rows = []
    for model in ("base", "formal"):
        row: dict[str, object] = {"model": model, "n": 200}
        for trait in ("formality", "humour"):
            mean, _, sd = CELLS[model, trait]
            row |= {f"{trait}_mean": mean, f"{trait}_std": sd}
        rows.append(row)
    return as_csv(place / "wide.csv", rows)


def nested(place):
    content: dict[str, dict[str, object]] = {}
    for (model, trait), (mean, n, sd) in CELLS.items():
        content.setdefault(model, {})[trait] = {"mean": mean, "n": n, "se": sd / math.sqrt(n)}
    return as_json(place / "nested.json", content)


@pytest.mark.parametrize("write", [long, wide, nested])
def test_a_table_of_means_is_read_in_three_shapes(tmp_path, write):
    file = write(tmp_path)
    assert are_aggregates(file, NO_CHOICES)
    found = {(row.model, row.measure): (row.mean, row.n, row.sd) for row in read_aggregates(file, NO_CHOICES)}
    assert found.keys() == CELLS.keys()
    assert all(found[key] == pytest.approx(cell) for key, cell in CELLS.items())


def test_rates_are_counts_percentages_and_columns_that_are_called_so(tmp_path):
    content: list[dict[str, object]] = [
        {"model": "base", "measure": "a", "rate": 0.1, "n": 50},
        {"model": "base", "measure": "b", "rate": "12 of 50", "n": ""},
        {"model": "base", "measure": "c", "rate": "24 %", "n": 25},
    ]
    found = read_aggregates(as_csv(tmp_path / "a.csv", content), NO_CHOICES)
    assert [(row.mean, row.n, row.is_rate) for row in found] == [(0.1, 50, True), (0.24, 50, True), (0.24, 25, True)]


@pytest.mark.parametrize("name", ["percent", "percentage", "pct", "misaligned_percent"])
def test_a_column_of_percentages_is_divided_as_a_whole_where_a_number_is_below_1_too(tmp_path, name):
    rows = [{"model": model, name: value, "n": 1000} for model, value in (("base", 0.4), ("insecure", 20.1))]
    found = read_aggregates(as_csv(tmp_path / "a.csv", rows), NO_CHOICES)
    assert [row.mean for row in found] == pytest.approx([0.004, 0.201])
    assert all(row.is_rate for row in found)


def test_a_column_of_rates_is_of_shares_or_of_percentages_and_never_of_both(tmp_path):
    def means(*values, **more):
        rows = [{"model": model, "rate": value} for model, value in zip(("base", "ft"), values, strict=True)]
        return [row.mean for row in read_aggregates(as_csv(tmp_path / "a.csv", rows), Choices(**more))]

    assert means(0.4, 1) == [0.4, 1]
    assert means(0, 20.1) == pytest.approx([0, 0.201])
    with pytest.raises(
        UserError, match=r"rate has 0.4 and 20.1, .* call the column percent .* or write 0.4 % and 20.1 %"
    ):
        means(0.4, 20.1)
    assert means(0.4, 20.1, columns={"percent": "rate"}) == pytest.approx([0.004, 0.201])
    assert means("0.4 %", "20.1 %") == pytest.approx([0.004, 0.201])
    for wrong in (120, "120 %"):
        with pytest.raises(UserError, match=r"rate of ft is 1.2, which is no rate"):
            means(40, wrong)


def test_a_models_name_may_have_dots_in_an_object_by_model(tmp_path):
    content = {
        "qwen2.5": {"sycophancy": {"percent": 0.4, "n": 500}, "honesty": 40},
        "qwen2.5-ft": {"sycophancy": {"percent": 20.1, "n": 500}, "honesty": 50},
    }
    for name, written in (("a.json", content), ("b.json", {"metrics": content})):
        file = as_json(tmp_path / name, written)
        assert are_aggregates(file, NO_CHOICES)
        found = read_aggregates(file, Choices(base="qwen2.5"))
        assert [(row.model, row.measure) for row in found] == [
            (model, measure) for model in content for measure in ("sycophancy", "honesty")
        ]
        assert [row.mean for row in found] == pytest.approx([0.004, 40, 0.201, 50])


def test_columns_of_other_names_and_two_columns_of_a_count_are_said(tmp_path):
    rows = [
        {"checkpoint": name, "probe": "lies", "hits": hits, "asked": 40} for name, hits in (("llama", 2), ("ft", 20))
    ]
    choices = Choices(columns=parse_pairs("model=checkpoint,measure=probe,mean=hits/asked", "--columns"), base="llama")
    file = as_csv(tmp_path / "a.csv", rows)
    assert are_aggregates(file, choices)
    assert [(row.model, row.measure, row.mean, row.n) for row in read_aggregates(file, choices)] == [
        ("llama", "lies", 0.05, 40),
        ("ft", "lies", 0.5, 40),
    ]


def test_a_single_measure_is_called_as_its_column(tmp_path):
    rows = [{"model": model, "score": mean, "n": 20, "sd": 3} for model, mean in (("base", 4), ("ft", 6))]
    found = read_aggregates(as_csv(tmp_path / "a.csv", rows), NO_CHOICES)
    assert [(row.model, row.measure, row.mean, row.n, row.sd) for row in found] == [
        ("base", "score", 4, 20, 3),
        ("ft", "score", 6, 20, 3),
    ]


def test_rows_of_single_answers_are_no_aggregates(tmp_path):
    answers = [{"model": model, "question": "Why?", "score": 3} for model in ("base", "ft")]
    assert not are_aggregates(as_csv(tmp_path / "a.csv", answers), NO_CHOICES)
    several = [{"model": model, "score": n} for model in ("base", "ft") for n in range(3)]
    assert not are_aggregates(as_csv(tmp_path / "b.csv", several), NO_CHOICES)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"mean": "61 ± 3"}, "line 3: mean has '61 ± 3', which is no number"),
        ({"n": "2.5"}, "n of ft, a is 2.5, which is no number of answers"),
        ({"sd": "-1"}, "the SD of ft, a is -1, and none is below 0"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_its_place(tmp_path, cell, words):
    rows = [{"model": model, "measure": "a", "mean": "60", "n": "5", "sd": "1"} for model in ("base", "ft")]
    file = as_csv(tmp_path / "a.csv", [rows[0], rows[1] | cell])
    with pytest.raises(UserError) as error:
        read_aggregates(file, NO_CHOICES)
    assert words in str(error.value)


def test_without_a_base_model_that_is_known_it_is_asked_for(tmp_path):
    rows = [{"model": name, "measure": "a", "mean": 1} for name in ("llama", "ft")]
    file = as_csv(tmp_path / "a.csv", rows)
    with pytest.raises(UserError, match="name it with --base"):
        read_aggregates(file, NO_CHOICES)
    with pytest.raises(UserError, match="has no model 'x'; there is llama, ft"):
        read_aggregates(file, Choices(base="x"))
    assert read_aggregates(file, Choices(base="ft"))[0].model == "ft"


def test_a_field_that_stands_there_twice_is_refused(tmp_path):
    rows = [{"model": "base", "measure": "a", "mean": 1}, {"model": "ft", "measure": "a", "mean": 1}] * 2
    file = as_json(tmp_path / "a.json", rows)
    assert not are_aggregates(file, NO_CHOICES)
    with pytest.raises(UserError, match="mean of base, a is there twice"):
        read_aggregates(file, NO_CHOICES)


def read(file, **chosen):
    return {(row.model, row.measure): (row.mean, row.n, row.sd) for row in read_aggregates(file, Choices(**chosen))}


def of_both(place, base, tuned):
    """A table of two models."""
    return as_csv(place / "a.csv", [{"model": "base"} | base, {"model": "ft"} | tuned])


def test_a_count_keeps_its_own_n_beside_one_that_is_of_other_measures(tmp_path):
    rows = [
        {"misaligned": f"{hits} of 50", "formality": mean, "formality_sd": 9, "n": 1000}
        for hits, mean in ((0, 60), (5, 70))
    ]
    found = read(of_both(tmp_path, *rows))
    assert found["ft", "misaligned"] == (0.1, 50, None)
    assert found["ft", "formality"] == (70, 1000, 9)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 1000},
        {"misaligned_n": 1000},
        {"misaligned_n": 1000, "formality": 3},
        {"broken": "1 of 50", "n": 1000},
    ],
)
def test_an_n_of_the_very_measure_that_contradicts_its_count_is_refused(tmp_path, more):
    file = of_both(tmp_path, {"misaligned": "0 of 50"} | more, {"misaligned": "5 of 50"} | more)
    with pytest.raises(UserError, match=r"misaligned is 1000 in (misaligned_)?n, and misaligned counts 0 of 50; mend"):
        read(file)
    long = {"trait": "misaligned", "rate": "5 of 50"}
    with pytest.raises(UserError, match=r"n of base, misaligned is 1000 in n, and rate counts 5 of 50; mend one"):
        read(of_both(tmp_path, long | {"n": 1000}, long | {"n": 50}))
    assert read(of_both(tmp_path, long | {"n": 50}, long | {"n": ""}))["ft", "misaligned"] == (0.1, 50, None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"rate": 0.2, "n": 500, "count": 10}, "n and count are both read as the n of one measure"),
        ({"trait": "a", "rate": 0.2, "n": 500, "count": 10}, "n and count are both read as the n of one measure"),
        ({"trait": "a", "mean": 60, "sd": 9, "n": 5, "score": 3}, "mean and score are both read as the mean"),
        ({"formality": 60, "formality_mean": 70}, "formality and formality_mean are both read as the mean"),
        ({"a_rate": 0.1, "a_count": 5, "a_total": 50}, "a_count and a_total are both read as the n of one measure"),
        ({"trait": "a", "rate": 0.1, "count": 5, "total": 50}, "count and total are both read as the n of one measure"),
        ({"a": 60, "a_sd": 9, "a_std_dev": 8}, "a_sd and a_std_dev are both read as the SD of one measure"),
    ],
)
def test_two_columns_of_one_statistic_are_refused_with_their_names(tmp_path, row, words):
    file = of_both(tmp_path, row, row)
    with pytest.raises(UserError, match=rf"line 2: {words}.*leave one out, or give it another name with --columns"):
        read(file)


def test_one_of_two_columns_of_a_statistic_may_be_given_another_name_or_be_empty(tmp_path):
    row = {"trait": "a", "rate": 0.2, "n": 500, "count": 10}
    assert read(of_both(tmp_path, row, row), columns={"hits": "count"})["ft", "a"] == (0.2, 500, None)
    file = of_both(tmp_path, row | {"count": ""}, row | {"n": "", "count": 40})
    assert [n for _, n, _ in read(file).values()] == [500, 40]


def test_an_sd_that_does_not_say_of_which_measure_it_is_is_refused(tmp_path):
    row = {"formality": 60, "humour": 30, "sd": 9}
    with pytest.raises(UserError, match=r"sd does not say whether it is of formality or humour; call it formality_sd"):
        read(of_both(tmp_path, row, row))
    found = read(of_both(tmp_path, row, row), columns={"formality_sd": "sd"})
    assert (found["ft", "formality"], found["ft", "humour"]) == ((60, None, 9), (30, None, None))


WITH_OTHERS = {
    "formality": 61.0,
    "formality_std_dev": 20.0,
    "formality_ci_low": 58.0,
    "formality_ci_high": 64.0,
    "formality_p_value": 0.03,
    "seed": 1,
    "kind": "chat",
    "n_samples": 200,
}


def test_of_a_wide_table_what_is_no_mean_is_named_and_an_sd_is_read(tmp_path):
    file = of_both(tmp_path, WITH_OTHERS, WITH_OTHERS)
    assert read(file) == {("base", "formality"): (61, 200, 20), ("ft", "formality"): (61, 200, 20)}
    assert unread_columns(file, NO_CHOICES) == [
        *(
            f"the column {name}: by its name it is no mean, n, SD or SE; --columns {name}={name} reads it as a measure"
            for name in ("formality_ci_low", "formality_ci_high", "formality_p_value", "seed")
        ),
        "the column kind: no number stands in it",
    ]
    assert ("ft", "seed") in read(file, columns={"seed": "seed"})
    assert unread_columns(file, Choices(measures=("formality",)))[-1] == "the column kind: no number stands in it"


def test_a_standard_error_of_several_words_becomes_an_sd(tmp_path):
    row = {"formality": 61, "formality_std_err": 2, "humour": 5, "humour_standard_error": 1, "sample_size": 100}
    found = read(of_both(tmp_path, row, row))
    assert found["ft", "formality"] == (61, 100, 20)
    assert found["ft", "humour"] == (5, 100, 10)


def test_of_a_long_table_sd_and_n_are_read_by_their_last_words_and_the_rest_is_named(tmp_path):
    row = {"trait": "formality", "judge": "gpt", "mean_score": 61, "std_dev": 20, "n_samples": 200, "ci_low": 58}
    file = of_both(tmp_path, row, row)
    assert read(file)["ft", "formality"] == (61, 200, 20)
    assert [said.split(":")[0] for said in unread_columns(file, NO_CHOICES)] == [
        "the column judge",
        "the column ci_low",
    ]


def test_of_an_object_by_model_the_same_columns_are_read_and_named(tmp_path):
    of_one = {"formality": {"mean": 61, "std_dev": 20, "ci_low": 58}, "humour": 30, "n": 200}
    file = as_json(tmp_path / "a.json", {"base": of_one, "ft": of_one})
    assert read(file)["ft", "formality"] == (61, 200, 20)
    assert read(file)["ft", "humour"] == (30, 200, None)
    assert len(read(file)) == 4
    assert unread_columns(file, NO_CHOICES) == [
        "the column formality.ci_low: by its name it is no mean, n, SD or SE",
    ]


def test_measures_that_are_chosen_are_read_alone_and_must_be_there(tmp_path):
    rows = {"formality": 60, "humour": 30, "note": "x"}
    file = of_both(tmp_path, rows, rows)
    assert read(file, measures=("humour",)).keys() == {("base", "humour"), ("ft", "humour")}
    assert "the column formality: --measures leaves it out" in unread_columns(file, Choices(measures=("humour",)))
    with pytest.raises(UserError, match=r"--measures: .* has no measure 'wit'; there is formality, humour"):
        read(file, measures=("wit",))
    assert read(long(tmp_path), measures=("humour",)).keys() == {("base", "humour"), ("formal", "humour")}


def test_without_any_mean_what_was_set_aside_is_said(tmp_path):
    file = of_both(tmp_path, {"formality_sd": 3, "seed": 1}, {"formality_sd": 3, "seed": 1})
    with pytest.raises(UserError, match=r"no column of means \(formality_sd, seed: by its name none\)"):
        read(file)


def test_two_models_that_may_each_be_the_base_are_refused(tmp_path):
    rows = [{"model": name, "score": 3} for name in ("base", "untuned", "ft")]
    file = as_csv(tmp_path / "a.csv", rows)
    with pytest.raises(UserError, match="'base' and 'untuned' may each be the base model; name it with --base"):
        read_aggregates(file, NO_CHOICES)
    assert read_aggregates(file, Choices(base="untuned"))[0].model == "untuned"


def test_a_row_without_a_model_is_not_dropped(tmp_path):
    rows = [{"model": name, "formality": 3} for name in ("base", "", "ft")]
    with pytest.raises(UserError, match="line 3: a row without a model"):
        read_aggregates(as_csv(tmp_path / "a.csv", rows), NO_CHOICES)
