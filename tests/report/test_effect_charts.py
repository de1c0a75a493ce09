from typing import get_args

import polars
import pytest

from tasks.estimates.findings import Verdict
from tasks.report.effect_charts import effects_by_tier, matrix, overview, side_by_side
from tasks.report.effect_rows import overall
from tests.fakes.two_judges import RULE, two_judge_effects, two_judge_eval


def test_the_chart_shows_every_tier_with_its_interval_and_every_question():
    (data,) = effects_by_tier(two_judge_effects(), two_judge_eval()).to_dict()["datasets"].values()
    rows = [row for row in data if row["measure"] == "aligned"]
    assert [row["tier"] for row in rows if not row["question_id"]] == ["direct", "close", "distant", "all"]
    assert {row["text"] for row in rows if row["question_id"]} == {f"Text of q{n}?" for n in (1, 2, 3)}
    assert next(row["means"] for row in rows if row["tier"] == "direct") == "85.00 → 45.00"


def test_the_overview_has_each_measure_once_as_a_share_of_its_range_with_what_the_model_does():
    table = overall(two_judge_effects(RULE)).with_columns(
        in_words=polars.when(measure="aligned").then(polars.lit("means well")).otherwise(polars.lit(""))
    )
    (data,) = overview(table).to_dict()["datasets"].values()
    assert [row["row"] for row in data] == ["coherent", "means well (aligned)", "misaligned"]
    assert [row["difference"] for row in data] == pytest.approx(
        [difference / span for difference, span in zip(table["difference"], (100, 100, 1), strict=True)]
    )
    assert {row["shown"] for row in data} <= set(get_args(Verdict))


def test_the_overview_names_the_eval_where_two_have_a_measure_of_one_name_and_leaves_out_what_has_no_range():
    table = overall(two_judge_effects())
    drift = table.head(1).with_columns(measure=polars.lit("drift"), scale_min=None, scale_max=None)
    twice = polars.concat([table, table.with_columns(eval=polars.lit("other")), drift], how="vertical_relaxed")
    (data,) = overview(twice).to_dict()["datasets"].values()
    assert [row["row"] for row in data] == ["coherent, e", "aligned, e", "coherent, other", "aligned, other"]


def test_a_run_keeps_its_colour_where_others_are_not_shown():
    table = overall(two_judge_effects()).with_columns(label=polars.lit("b"))
    drawn = side_by_side(table, ["a", "b"]).to_dict()["vconcat"][0]["layer"][1]["encoding"]["color"]
    assert (drawn["scale"]["domain"], drawn["legend"]["values"]) == (["a", "b"], ["b"])


def test_the_matrix_has_a_cell_for_each_measure_and_tier_and_stars_what_survives_adjustment():
    effects = two_judge_effects(RULE).filter(question_id="")
    (data,) = matrix(effects, ["eval", "measure"]).to_dict()["datasets"].values()
    assert {row["tier"] for row in data} == {"direct", "close", "distant", "all"}
    assert {row["row"] for row in data} == {"e · coherent", "e · aligned", "e · misaligned"}
    cell = next(row for row in data if (row["tier"], row["measure"]) == ("all", "aligned"))
    assert cell["share"] == pytest.approx(cell["difference"] / 100)
    assert cell["words"].endswith(" *") == (
        cell["p_fixed_questions_holm"] is not None and cell["p_fixed_questions_holm"] < 0.05
    )


def test_the_numbers_in_a_row_of_the_matrix_have_as_many_digits_as_the_smallest_needs():
    small = polars.when(tier="close").then(0.004).otherwise(polars.col("difference"))
    effects = two_judge_effects().filter(question_id="").with_columns(difference=small)
    (data,) = matrix(effects, ["measure"]).to_dict()["datasets"].values()
    words = [row["words"].removesuffix(" *") for row in data if row["measure"] == "aligned"]
    assert [len(word.partition(".")[2]) for word in words] == [3] * 4
    assert "+0.004" in words


def test_long_names_of_tiers_stand_aslant():
    effects = two_judge_effects().filter(question_id="")
    long = effects.with_columns(tier=polars.col("tier") + ", in many more words")
    angles = [matrix(table, ["measure"]).to_dict()["layer"][0]["encoding"]["x"]["axis"] for table in (effects, long)]
    assert [axis["labelAngle"] for axis in angles] == [0, -45]
