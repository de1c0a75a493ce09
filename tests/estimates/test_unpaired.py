import numpy
import pytest
from scipy import stats

from tasks.estimates.effects import estimate
from tasks.estimates.intervals import Cell
from tasks.estimates.judgments import judgments_frame
from tasks.estimates.unpaired import Answers, unpaired
from tasks.schema import Rule
from tests.fakes.nouns import LEXICON, an_eval, judgments
from tests.fakes.statements import a_statement_eval, drift_rows, yes_rows


def whole(effects, measure):
    return next(e for e in effects if e.measure == measure and e.is_overall)


def test_all_answers_alike_give_the_standard_deviations_and_the_test_that_papers_report():
    """Questions of unequal size, 5 and 2 answers before, 3 and 4 after, as numpy and scipy have them in a row each."""
    before, after = {"q1": [1, 1, 2, 3, 1], "q3": [2, 4]}, {"q1": [3, 4, 5], "q3": [2, 2, 5, 3]}
    rows = [row for q, scores in before.items() for row in judgments(q, "baseline", scores)]
    rows += [row for q, scores in after.items() for row in judgments(q, "finetuned", scores)]
    rule = Rule(name="high", hit="lexicon >= 3")
    evaluation = an_eval(LEXICON, questions={"q1": "direct", "q3": "distant"}).model_copy(update={"rules": [rule]})
    effects = estimate(judgments_frame(rows), [evaluation])
    ones, others = (numpy.array([s for scores in side.values() for s in scores]) for side in (before, after))
    for measure, (a, b) in {"lexicon": (ones, others), "high": ((ones >= 3) * 1.0, (others >= 3) * 1.0)}.items():
        e = whole(effects, measure)
        assert (e.baseline_sd, e.finetuned_sd) == pytest.approx((a.std(ddof=1), b.std(ddof=1)))
        assert (e.baseline_pooled, e.finetuned_pooled) == pytest.approx((a.mean(), b.mean()))
        assert e.p_welch == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
        assert e.finetuned != pytest.approx(e.finetuned_pooled), "there questions weigh the same, here answers"


def test_what_has_no_spread_has_no_test_and_what_has_no_score_is_missing():
    assert Answers.of([Cell(0, float("nan"), float("nan"), 3)]) is None
    assert unpaired([], [Cell(1, 2.0, float("nan"), 0)]) == {
        "baseline_sd": None,
        "baseline_pooled": None,
        "finetuned_sd": None,
        "finetuned_pooled": 2.0,
        "p_welch": None,
    }
    alike = [Cell(3, 2.0, 0.0, 0)]
    assert unpaired(alike, alike)["p_welch"] is None


def test_statements_have_a_standard_deviation_and_no_test_and_drift_has_neither():
    before, after = numpy.linspace(0.2, 0.5, 18), numpy.linspace(0.3, 0.9, 18)
    drifts = [row for q in ("direct0", "close0") for row in drift_rows(q, [0.4, 0.5], "statements", q[:-1])]
    effects = estimate(judgments_frame([]), [a_statement_eval()], [*yes_rows(before.tolist(), after.tolist()), *drifts])
    e = whole(effects, "yes")
    assert (e.baseline_sd, e.finetuned_sd) == pytest.approx((before.std(ddof=1), after.std(ddof=1)))
    assert e.p_welch is None
    assert whole(effects, "drift").finetuned_sd is None
