from tasks.report.effect_rows import by_model, final, of_questions, of_tiers, overall, without_slope
from tests.fakes.two_judges import two_judge_effects


def test_a_slope_is_no_difference_and_has_no_place_among_them():
    effects = two_judge_effects()
    assert "slope" in set(effects["tier"])
    assert "slope" not in set(without_slope(effects)["tier"])


def test_the_effects_over_all_questions_are_those_of_the_tier_all_or_of_the_only_tier():
    effects = two_judge_effects()
    assert set(overall(effects)["tier"]) == {"all"}
    assert set(overall(effects.filter(tier="close"))["tier"]) == {"close"}


def test_each_model_has_a_row_of_its_own():
    rows = by_model(overall(two_judge_effects()))
    assert set(rows["model"]) == {"baseline", "fine-tuned"}
    assert rows.columns[-5:] == ["model", "mean", "low", "high", "scored"]


def test_every_effect_is_of_a_tier_or_of_a_question():
    effects = two_judge_effects()
    assert set(of_questions(effects)["question_id"]) == {"q1", "q2", "q3"}
    assert len(of_tiers(effects)) + len(of_questions(effects)) == len(effects) == len(final(effects))
