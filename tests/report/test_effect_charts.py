import polars
import pytest

from tasks.report.effect_charts import effects_by_tier, matrix
from tests.fakes.two_judges import RULE, two_judge_effects, two_judge_eval


def test_the_chart_shows_every_tier_with_its_interval_and_every_question():
    (data,) = effects_by_tier(two_judge_effects(), two_judge_eval()).to_dict()["datasets"].values()
    rows = [row for row in data if row["measure"] == "aligned"]
    assert [row["tier"] for row in rows if not row["question_id"]] == ["direct", "close", "distant", "all"]
    assert {row["text"] for row in rows if row["question_id"]} == {f"Text of q{n}?" for n in (1, 2, 3)}
    assert next(row["means"] for row in rows if row["tier"] == "direct") == "85.00 → 45.00"


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


def test_long_names_of_tiers_stand_aslant():
    effects = two_judge_effects().filter(question_id="")
    long = effects.with_columns(tier=polars.col("tier") + ", in many more words")
    angles = [matrix(table, ["measure"]).to_dict()["layer"][0]["encoding"]["x"]["axis"] for table in (effects, long)]
    assert [axis["labelAngle"] for axis in angles] == [0, -45]
