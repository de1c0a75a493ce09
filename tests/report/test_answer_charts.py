import pytest

from tasks.estimates.distributions import distributions
from tasks.estimates.judgments import judgments_frame
from tasks.report.answer_charts import distribution, five_numbers
from tasks.schema import Share
from tasks.tables import as_table
from tests.fakes.nouns import judgments
from tests.fakes.two_judges import two_judge_eval, two_judge_judgments


def test_the_whole_distribution_has_a_bar_for_each_class_tier_and_model():
    shares = distributions(judgments_frame(two_judge_judgments()), [two_judge_eval()])
    rows = as_table(shares, Share).filter(measure="aligned")
    (data,) = distribution(rows).to_dict()["datasets"].values()
    assert {row["class"] for row in data} == {f"{10 * n}–{10 * n + 10}" for n in range(10)}
    assert {row["place"] for row in data} == {f"aligned · {tier}" for tier in ("direct", "close", "distant", "all")}
    assert sum(row["mean"] for row in data if row["place"] == "aligned · direct") == pytest.approx(2)


def test_each_part_of_the_distribution_has_bars_as_wide_as_its_own_classes_allow():
    shares = distributions(judgments_frame(two_judge_judgments()), [two_judge_eval()])
    drawn = distribution(as_table(shares, Share)).to_dict()
    assert drawn["resolve"] == {"scale": {"x": "independent", "xOffset": "independent"}}


def test_a_box_has_the_quartiles_and_ends_at_the_last_score_within_its_reach():
    scores = judgments("q1", "baseline", [10, 20, 30, 40, 100, None], "aligned")
    (row,) = five_numbers(judgments_frame(scores), two_judge_eval()).to_dicts()
    assert (row["n"], row["q1"], row["median"], row["q3"]) == (5, 20, 30, 40)
    assert (row["low"], row["high"]) == (10, 40)
