import pytest

from tasks.imports.choices import Choices
from tasks.imports.statistic_columns import long_columns, wide_columns


def read(*names, **chosen):
    """By column its measure and its statistic, or nothing."""
    found = wide_columns(names, Choices(**chosen))
    return {name: (column.measure, column.statistic) if column.statistic else None for name, column in found.items()}


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        *((name, "mean") for name in ("formality", "formality_mean", "formality_mean_score", "formality score")),
        *((name, "sd") for name in ("formality_sd", "formality_std_dev", "formality.std", "formality (SD)")),
        *((name, "sd") for name in ("formalityStdDev", "formality_standard_deviation", "sd_formality")),
        *((name, "se") for name in ("formality_std_err", "formality_standard_error", "formality_sem", "se_formality")),
        *((name, "n") for name in ("formality_n", "formality_n_samples", "formality_sample_size", "n_formality")),
        *((name, "n") for name in ("formality_num_answers", "formality_number_of_samples", "formality_mean_n")),
    ],
)
def test_a_statistic_is_said_by_the_last_words_of_a_name_or_by_the_first(name, statistic):
    names = [name] if statistic == "mean" else ["formality", name]
    assert read(*names)[name] == ("formality", statistic)


@pytest.mark.parametrize("name", ["sd", "std_dev", "n", "n_samples", "Sample size", "standard_error", "num_responses"])
def test_a_statistic_without_a_measure_is_of_every_measure(name):
    measure, _ = read("formality", name)[name]
    assert measure == ""


@pytest.mark.parametrize(
    "name",
    [
        *("formality_ci_low", "formality_ci_high", "formality_ci95", "formality_95_ci", "formality.ci_95.lower"),
        *("formality_conf.low", "formality_upper_bound", "formality_low", "formality_lower_95", "ci_low_formality"),
        *("formality_p_value", "formality_pval", "formality_p", "p_value", "formality_z_score", "formality_t_stat"),
        *("formality_median", "median", "median_formality", "formality_var", "formality_max", "formality_effect_size"),
        *(
            "formality_delta",
            "n_questions",
            "n_tokens",
            "n_unscored",
            "25%",
            "formality_2.5%",
            "size",
            "total",
            "epochs",
            "seed",
            "run",
            "temperature",
            "lora_rank",
            "Unnamed: 0",
            "trained_share",
        ),
    ],
)
def test_what_is_no_mean_by_its_name_becomes_no_measure(name):
    assert read("formality", name) == {"formality": ("formality", "mean"), name: None}


@pytest.mark.parametrize(
    "name", ["self_confidence", "Corazón", "task_1", "score_1", "risk_low", "mean_spirits", "HumanEval"]
)
def test_a_name_that_only_looks_like_a_statistic_is_a_measure(name):
    assert read("formality", name)[name] == (name, "mean")


def test_a_measure_that_is_named_by_first_words_has_its_sd_beside_it():
    assert read("mean_humour", "sd_humour", "sd_score", "score") == {
        "mean_humour": ("humour", "mean"),
        "sd_humour": ("humour", "sd"),
        "sd_score": ("score", "sd"),
        "score": ("score", "mean"),
    }


def test_an_option_reads_what_is_no_measure_by_its_name():
    assert read("formality", "seed", "word_count") == {
        "formality": ("formality", "mean"),
        "seed": None,
        "word_count": None,
    }
    columns = {"seed": "seed", "word_count": "word_count"}
    assert read("formality", "seed", "word_count", columns=columns)["seed"] == ("seed", "mean")
    assert read("formality", "seed", "word_count", columns=columns)["word_count"] == ("word_count", "mean")
    assert read("formality", "word_count", measures=("word_count",)) == {
        "formality": None,
        "word_count": ("word_count", "mean"),
    }


def test_each_column_that_is_not_read_has_its_reason():
    found = wide_columns(["formality", "humour_sd", "kind", "seed"], Choices(), texts=["kind"])
    assert {name: column.why for name, column in found.items() if column.why} == {
        "humour_sd": "there is no mean of humour",
        "kind": "no number stands in it",
        "seed": "by its name it is no mean, n, SD or SE",
    }


def test_of_a_long_table_the_statistics_are_recognised_and_nothing_else_is_read():
    names = ["mean_score", "score_std", "std_dev", "n_samples", "ci_low", "human_mean", "seed", "sd_score"]
    found = {name: column.statistic for name, column in long_columns(names).items()}
    assert found == {
        "mean_score": "mean",
        "score_std": "sd",
        "std_dev": "sd",
        "n_samples": "n",
        "ci_low": "",
        "human_mean": "",
        "seed": "",
        "sd_score": "sd",
    }


def test_an_n_that_is_called_size_or_total_says_of_what_it_is():
    assert read("formality", "formality_total")["formality_total"] == ("formality", "n")
    assert read("formality", "model_size")["model_size"] is None
    assert {name: column.statistic for name, column in long_columns(["mean", "total", "size"]).items()} == {
        "mean": "mean",
        "total": "n",
        "size": "",
    }
