import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from tasks.catalog import UserError
from tasks.schema import Aggregate, Scale
from tasks.studies.aggregates import matrix_of_aggregates
from tasks.studies.matrix import decided


def score(model, measure, mean, sd=10.0, n=100):
    return Aggregate(model=model, measure=measure, mean=mean, n=n, sd=sd)


def only(aggregates, traits=None, scales=None):
    found = matrix_of_aggregates(aggregates, traits or {}, scales or {})
    return {(shift.label, shift.column): shift for shift in found.shifts}, found


def test_scores_with_n_and_sd_have_welchs_interval():
    found, _ = only([score("base", "a", 40, 12, 50), score("ft", "a", 46, 20, 80)])
    shift = found["ft", "a"]
    welch = stats.ttest_ind_from_stats(46, 20, 80, 40, 12, 50, equal_var=False)
    assert shift.p_fixed_questions == pytest.approx(welch.pvalue)
    error = (20**2 / 80 + 12**2 / 50) ** 0.5
    df = error**4 / ((20**2 / 80) ** 2 / 79 + (12**2 / 50) ** 2 / 49)
    assert shift.ci_low_fixed_questions == pytest.approx(6 - stats.t.ppf(0.975, df) * error)
    assert shift.in_sds == pytest.approx(0.5)
    assert shift.note_fixed_questions == "of all answers alike"
    assert shift.ci_low_new_questions is None


def test_rates_need_no_sd():
    rows = [Aggregate(model=m, measure="a", mean=k / 200, n=200, is_rate=True) for m, k in (("base", 4), ("ft", 40))]
    shift = only(rows)[0]["ft", "a"]
    low, high = confint_proportions_2indep(40, 200, 4, 200, method="newcomb")
    assert (shift.ci_low_fixed_questions, shift.ci_high_fixed_questions) == (
        pytest.approx(low, abs=2e-3),
        pytest.approx(high, abs=2e-3),
    )
    assert shift.base_sd == pytest.approx((0.02 * 0.98) ** 0.5)


def test_without_n_or_without_sd_there_is_no_interval_and_it_is_said():
    rows = [score("base", "a", 40), score("ft", "a", 50, n=None), score("other", "a", 50, sd=None)]
    found, _ = only(rows)
    assert found["ft", "a"].note_fixed_questions == "the number of answers is not said"
    assert found["other", "a"].note_fixed_questions == "a mean without its standard deviation"
    assert decided(found["ft", "a"]) == "no interval"
    assert found["ft", "a"].difference == 10


def test_what_was_trained_has_a_direction_and_spill_is_told_in_its_units():
    rows = [score("base", "formality", 50), score("base", "humour", 30)]
    rows += [score("casual", "formality", 30), score("casual", "humour", 36)]
    found, _ = only(rows, {"casual": {"formality": "less"}})
    assert found["casual", "formality"].direction == -1
    assert found["casual", "humour"].spill == pytest.approx(0.3)
    assert found["casual", "humour"].spill_low < 0.3 < found["casual", "humour"].spill_high


def test_a_measure_that_the_base_lacks_is_left_out_by_name_and_a_scale_gives_a_margin():
    rows = [score("base", "a", 40, sd=1), score("ft", "a", 40.1, sd=1), score("ft", "b", 3)]
    found, whole = only(rows, scales={"": Scale(low=0, high=100)})
    assert whole.left_out == ["b is left out: the base model has none."]
    assert decided(found["ft", "a"]) == "no effect"


def test_a_rate_of_one_model_and_a_score_of_another_are_refused():
    rate = Aggregate(model="base", measure="a", mean=0.24, n=100, is_rate=True)
    with pytest.raises(UserError, match="a is a rate of base and the score 40 of ft, which cannot be compared"):
        only([rate, score("ft", "a", 40)])
