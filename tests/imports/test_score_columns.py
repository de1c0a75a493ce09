from pathlib import Path

import pytest

from tasks.catalog import UserError
from tasks.imports.choices import NO_CHOICES, Choices
from tasks.imports.model_rows import Row
from tasks.imports.score_columns import may_hold_scores, score_columns, set_aside
from tasks.schema import Scale

FILE = Path("judged.csv")


def found(*fields, choices=NO_CHOICES):
    rows = [Row("finetuned", f"judged.csv line {n}", {"question_id": "q", **more}) for n, more in enumerate(fields, 2)]
    return score_columns(rows, choices, FILE)


@pytest.mark.parametrize(
    ("column", "values", "option"),
    [
        ("model_variant", ("baseline", "finetuned"), "--columns side=model_variant"),
        ("condition", ("llama-3 base", "llama-3 insecure"), "side=condition and --base 'llama-3 base'"),
        ("stage", ("before", "after training"), "side=stage and --base 'before'"),
        ("side", ("baseline", "tuned"), "side=side"),
        ("model_name", ("gpt-4o", "insecure-0"), "side=model_name and --base NAME"),
    ],
)
def test_base_and_fine_tuned_in_a_column_that_is_not_used_are_refused_with_the_option(column, values, option):
    cells = [{"score": score, column: value} for value in values for score in (1, 5)]
    with pytest.raises(
        UserError, match=f"judged.csv: the column {column} has .* would be read as one model"
    ) as mistake:
        found(*cells)
    assert option in str(mistake.value)


@pytest.mark.parametrize(
    "cells",
    [
        [{"score": 1, "note": "base"}, {"score": 5, "note": "base"}],
        [{"score": 1, "model": "a", "kind": "base"}, {"score": 5, "model": "b", "kind": "tuned"}],
        [{"score": 1, "text": "on the base of what was said before"}, {"score": 5, "text": "no"}],
        [{"score": 1, "judge_model": "one"}, {"score": 5, "judge_model": "two"}],
        [{"score": 1, "model_answer": "yes"}, {"score": 5, "model_answer": "no"}],
        [{"score": 1, "model": "a", "model_name": "A"}, {"score": 5, "model": "b", "model_name": "B"}],
    ],
)
def test_a_column_that_merges_no_models_is_let_be(cells):
    assert found(*cells) == ["score"]


@pytest.mark.parametrize("column", ["metric", "measure", "judge", "trait", "metric_name", "Trait"])
def test_measures_below_each_other_are_refused_where_they_would_be_samples_of_one(column):
    cells = [{"score": score, column: name} for name, score in (("aligned", 90), ("toxic", 5))]
    with pytest.raises(
        UserError, match=f"column {column} has 'aligned' and 'toxic', whose .* column of scores for eac"
    ):
        found(*cells)
    assert found(*[fields | {"question_id": name} for name, fields in zip("ab", cells, strict=True)]) == ["score"]
    assert found(*cells, choices=Choices(group=column)) == ["score"]
    assert found(*[fields | {column: f"it is {fields[column]} in all it says"} for fields in cells]) == ["score"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": 3.2, "n": 10, "std": 1.1}, r"mean, n, std: .* as one score each \(--measures mean\)"),
        ({"aligned_mean": 3.2, "aligned_se": 0.1}, r"aligned_mean, aligned_se: numbers of several answers together"),
        (
            {"rate": 0.3, "n_misaligned": 3, "n_samples": 10},
            r"rate, n_samples: .* \(--columns misaligned=n_misaligned/n_samples\), .* \(--measures rate\)",
        ),
        ({"misaligned": 3, "n": 10}, r"n: .* counts \(--columns misaligned=misaligned/n\)"),
        (
            {"base.mean": 1, "base.n": 2, "ft.mean": 1, "ft.n": 2, "ft.std": 1},
            "base.mean, ft.mean, base.n, ft.n and 1",
        ),
    ],
)
def test_numbers_of_several_answers_together_are_refused_with_what_would_be_read(fields, words):
    with pytest.raises(UserError, match=f"judged.csv: {words}"):
        found(fields)
    mean = next(iter(fields))
    assert found(fields, choices=Choices(measures=(mean,))) == [mean]


def test_a_column_of_groups_is_no_score():
    cells = [{"score": 1, "kind": 1}, {"score": 5, "kind": 2}]
    assert found(*cells) == ["score", "kind"]
    assert found(*cells, choices=Choices(group="kind")) == ["score"]


@pytest.mark.parametrize(
    "columns", [("aligned_base", "aligned_ft"), ("baseline", "finetuned"), ("before.kind", "kind.tuned")]
)
def test_two_models_beside_each_other_in_a_row_are_refused_unless_both_are_measures(columns):
    fields = {"coherent": 3, **dict.fromkeys(columns, 1)}
    with pytest.raises(UserError, match=f"{columns[0]} and {columns[1]} look like one measure of two models"):
        found(fields)
    assert found(fields, choices=Choices(measures=columns)) == list(columns)


def test_a_measure_called_like_a_base_beside_others_is_one(data):
    assert found({"original": 3, "coherent": 4}) == ["original", "coherent"]


@pytest.mark.parametrize(
    "column",
    [
        "seed",
        "id",
        "index",
        "idx",
        "Unnamed:_0",
        "sample_id",
        "row_id",
        "questionId",
        "answer.idx",
        "meta.seed",
        "temperature",
        "sampling_temperature",
        "top_p",
        "params.top_k",
        "max_tokens",
        "lora_rank",
        "learning_rate",
        "epoch",
        "training_step",
        "run",
        "run_1",
        "dose",
        "batch_size",
    ],
)
def test_numbers_that_tell_rows_apart_or_that_somebody_chose_are_no_scores(column):
    assert not may_hold_scores(column)
    cells = [{"score": score, column: n} for n, score in enumerate((1, 5, 3))]
    assert found(*cells) == ["score"]


@pytest.mark.parametrize(
    "column",
    [
        "score",
        "aligned",
        "coherent",
        "rating",
        "kindness",
        "Q1",
        "judge_1",
        "tokens",
        "length",
        "logprob",
        "valid",
        "paid",
        "seed_score",
        "idea",
        "steps_named",
        "hits",
        "rate",
        "grade",
        "toxicity",
        "answers_id_like.value",
        "stepwise",
        "temperature_of_tone",
    ],
)
def test_any_other_name_may_be_that_of_scores(column):
    assert may_hold_scores(column)


def test_a_file_with_numbers_of_rows_alone_has_no_column_of_scores():
    with pytest.raises(UserError, match=r"no column of scores \(seed: by its name none\), such as aligned"):
        found({"seed": 1}, {"seed": 2})


def test_a_column_that_an_option_names_is_one_of_scores_whatever_its_name():
    cells = [{"score": 1, "seed": 2}, {"score": 5, "seed": 3}]
    rows = [Row("finetuned", "judged.csv line 2", {"question_id": "q", **more}) for more in cells]
    assert set_aside(rows, NO_CHOICES) == ["seed"]
    for choices in (Choices(columns={"seed": "seed"}), Choices(scales={"seed": Scale(low=0, high=10)})):
        assert found(*cells, choices=choices) == ["score", "seed"]
    assert found(*cells, choices=Choices(measures=("seed",))) == ["seed"]
    assert found(*cells, choices=Choices(columns={"rating": "other"})) == ["score"]
