import pytest
from scipy import stats

from tasks.estimates.distributions import distributions
from tasks.estimates.effects import estimate
from tasks.estimates.intervals import wilson
from tasks.estimates.judgments import judgments_frame
from tasks.schema import Judge, Scale
from tests.estimates.conftest import known
from tests.fakes.nouns import LEXICON, an_eval, judgments

WIDE = Judge(name="wide", kind="claude", prompt="?", scale=Scale(low=0, high=100))


def test_every_score_of_a_short_scale_has_its_share_and_questions_weigh_the_same():
    rows = judgments("q1", "baseline", [1, 1, 2, None]) + judgments("q1", "finetuned", [5, 5, 5, 5])
    rows += judgments("q2", "baseline", [2]) + judgments("q2", "finetuned", [1, 5])
    found = [row for row in distributions(judgments_frame(rows), [an_eval(LEXICON)]) if row.tier == "direct"]
    assert [row.score for row in found] == [1, 2, 3, 4, 5]
    assert [row.baseline for row in found] == pytest.approx([1 / 3, 2 / 3, 0, 0, 0])
    assert [row.finetuned for row in found] == pytest.approx([0.25, 0, 0, 0, 0.75])
    assert (found[0].scored_baseline, found[0].scored_finetuned) == (4, 6)
    assert all(known(row.baseline_low) <= known(row.baseline) <= known(row.baseline_high) for row in found)


def test_a_share_of_one_question_has_wilsons_limits():
    rows = judgments("q1", "finetuned", [1, 1, 1, 4, 4, 2, 2, 2, 2, 2])
    first = distributions(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "direct"})])[0]
    assert (first.finetuned_low, first.finetuned_high) == pytest.approx(wilson(0.3, 10))
    assert (first.baseline, first.baseline_low) == (None, None)


def test_a_long_scale_is_cut_into_ten_classes_whose_ends_are_counted_once():
    rows = judgments("q1", "finetuned", [0, 9, 10, 99, 100], "wide")
    found = distributions(judgments_frame(rows), [an_eval(WIDE, questions={"q1": "direct"})])
    assert [(row.score, row.upto) for row in found] == [(10 * n, 10 * n + 10) for n in range(10)]
    assert [row.finetuned for row in found] == pytest.approx([0.4, 0.2, 0, 0, 0, 0, 0, 0, 0, 0.4])


def test_a_judge_without_a_scale_or_a_score_has_no_distribution():
    yes = Judge(name="yes", kind="claude", prompt="?", labels={"YES": 1, "NO": 0})
    assert distributions(judgments_frame(judgments("q1", "finetuned", [1, 0], "yes")), [an_eval(yes)]) == []
    assert distributions(judgments_frame([]), [an_eval(LEXICON)]) == []


def test_superiority_is_the_mann_whitney_statistic_with_the_brunner_munzel_test():
    before, after = [1, 2, 2, 3, 1, 4, 2, 1], [2, 3, 5, 4, 4, 1, 3]
    rows = judgments("q1", "baseline", before) + judgments("q1", "finetuned", after)
    effect = estimate(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "direct"})])[0]
    u = stats.mannwhitneyu(after, before).statistic / len(before) / len(after)
    superiority, low = known(effect.superiority), known(effect.superiority_low)
    assert superiority == pytest.approx(u)
    test = stats.brunnermunzel(before, after)
    df = _df(before, after)
    error = (superiority - low) / stats.t.ppf(0.975, df)
    assert effect.superiority_high == min(1, 2 * superiority - low)
    assert (superiority - 0.5) / error == pytest.approx(test.statistic)
    assert 2 * stats.t.sf(abs(test.statistic), df) == pytest.approx(test.pvalue)


def _df(before, after):
    """Satterthwaite's, of the placements."""
    placed = [
        [sum(other < x for other in others) + sum(other == x for other in others) / 2 for x in mine]
        for mine, others in ((before, after), (after, before))
    ]
    parts = [
        (stats.tvar(some) / len(some) / len(others) ** 2, len(some) - 1)
        for some, others in zip(placed, (after, before), strict=True)
    ]
    return sum(v for v, _ in parts) ** 2 / sum(v**2 / free for v, free in parts)


@pytest.mark.parametrize(("before", "after", "superiority"), [([1, 1, 1], [5, 5, 5], 1.0), ([2, 2], [2, 2], 0.5)])
def test_scores_that_do_not_overlap_have_a_superiority_without_an_interval(before, after, superiority):
    rows = judgments("q1", "baseline", before) + judgments("q1", "finetuned", after)
    effect = estimate(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "direct"})])[0]
    assert effect.superiority == superiority
    assert (effect.superiority_low, effect.superiority_high) == (None, None)
