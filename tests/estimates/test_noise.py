"""The judge's noise, against numbers worked out with numpy and scipy alone."""

import numpy
import pytest
from scipy import stats

from tasks.estimates.judgments import judgments_frame
from tasks.estimates.noise import _missing, in_words, judge_noise
from tasks.schema import SIDES, Judge, Rule, Scale
from tests.estimates.conftest import known
from tests.fakes.nouns import an_eval, judgments

QUESTIONS, SAMPLES = 6, 8
JUDGE = Judge(name="j", kind="claude", prompt="?", scale=Scale(low=0, high=100))


def judged(scores):
    """Judgments of scores by side, question and sample."""
    return [
        row.model_copy(update={"question_id": f"q{q}"})
        for side, of_side in zip(SIDES, scores, strict=True)
        for q, of_question in enumerate(of_side)
        for row in judgments("q1", side, [int(score) for score in of_question], "j")
    ]


def an_evaluation(*rules):
    questions = {f"q{n}": "direct" for n in range(QUESTIONS)}
    return an_eval(JUDGE, questions=questions).model_copy(update={"rules": list(rules)})


def calls_of(rows, text=lambda key: f"{key.question_id} {key.side} {key.sample}"):
    return {"j": {row.answer_key: text(row.answer_key) for row in rows}}


@pytest.fixture
def twice():
    """Scores of each answer by two calls: the answers' own vary by 10, the judge by 6."""
    dice = numpy.random.default_rng(7)
    own = dice.normal([[[50.0]], [[65.0]]], 10, (2, QUESTIONS, SAMPLES))
    return [numpy.clip(numpy.rint(own + dice.normal(0, 6, own.shape)), 0, 100) for _ in range(2)]


def test_calls_that_were_made_twice_split_the_variance_into_answers_and_judge(twice):
    rows, again = map(judged, twice)
    (row,) = judge_noise(an_evaluation(), judgments_frame(rows), judgments_frame(again), calls_of(rows))
    within = twice[0].var(axis=2, ddof=1).mean()
    judge = ((twice[0] - twice[1]) ** 2).mean() / 2
    assert (row.calls, row.answers, row.shared) == (96, 96, 0)
    assert (row.variance_within, row.variance_judge, row.judge_share) == pytest.approx((within, judge, judge / within))
    assert 0.15 < known(row.judge_share) < 0.4, "36 of 136 are its part"
    assert row.width_judged_twice == pytest.approx((1 - judge / within / 2) ** 0.5)
    assert row.width_twice_the_answers == pytest.approx(0.5**0.5)
    means = twice[0].mean(axis=2)
    noise = 2 * within / SAMPLES
    between = max(0.0, (means[1] - means[0]).var(ddof=1) - noise)
    assert row.width_judged_twice_new_questions == pytest.approx(
        ((between + noise * (1 - judge / within / 2)) / (between + noise)) ** 0.5
    )
    said = in_words(row)
    assert said.startswith(f"j: {judge / within:.0%} of the variance of answers to one question is the judge's own")
    assert "twice as many answers 29%" in said


def test_averaged_repeats_narrow_the_interval(twice):
    rows, again = map(judged, twice)
    (row,) = judge_noise(an_evaluation(), judgments_frame(rows), judgments_frame(again), calls_of(rows))
    for scores, found in [
        (twice[0], (row.difference, row.ci_low_fixed_questions, row.ci_high_fixed_questions)),
        (sum(twice) / 2, (row.averaged, row.averaged_low_fixed_questions, row.averaged_high_fixed_questions)),
    ]:
        difference = scores[1].mean() - scores[0].mean()
        parts = scores.var(axis=2, ddof=1).ravel() / SAMPLES / QUESTIONS**2
        df = parts.sum() ** 2 / (parts**2 / (SAMPLES - 1)).sum()
        half = stats.t.ppf(0.975, df) * parts.sum() ** 0.5
        assert found == pytest.approx((difference, difference - half, difference + half))
    width, averaged = (
        known(high) - known(low)
        for low, high in (
            (row.ci_low_fixed_questions, row.ci_high_fixed_questions),
            (row.averaged_low_fixed_questions, row.averaged_high_fixed_questions),
        )
    )
    assert averaged / width == pytest.approx(known(row.width_judged_twice), abs=0.05)


def test_a_share_that_was_asked_again_is_enough_and_few_calls_are_not(twice):
    rows, again = map(judged, twice)
    half = [row for row in again if row.sample < 4]
    (row,) = judge_noise(an_evaluation(), judgments_frame(rows), judgments_frame(half), calls_of(rows))
    assert (row.calls, row.answers) == (48, 96)
    assert row.variance_judge == pytest.approx(((twice[0] - twice[1])[:, :, :4] ** 2).mean() / 2)
    mixed = numpy.where(numpy.arange(SAMPLES) < 4, sum(twice) / 2, twice[0])
    assert row.averaged == pytest.approx(mixed[1].mean() - mixed[0].mean())
    (few,) = judge_noise(an_evaluation(), judgments_frame(rows), judgments_frame(again[:4]), calls_of(rows))
    assert (few.judge_share, few.averaged) == (None, None)
    assert in_words(few) == (
        "j: the judge's noise is not told from the answers' own (4 calls were made twice, at least 10 are needed)."
    )


def test_a_rule_flips_where_its_judge_does(twice):
    rows, again = map(judged, twice)
    rule = Rule(name="high", hit="j >= 55", among="j >= 0")
    found = judge_noise(an_evaluation(rule), judgments_frame(rows), judgments_frame(again), calls_of(rows))
    hits = [scores >= 55 for scores in twice]
    assert [row.measure for row in found] == ["j", "high"]
    assert found[1].variance_judge == pytest.approx((hits[0] != hits[1]).mean() / 2)
    assert found[1].averaged == pytest.approx(((hits[0] + hits[1] * 1.0) / 2).mean(axis=(1, 2)) @ [-1, 1])


def test_answers_of_one_text_count_their_judge_once(twice):
    """All answers to a question of one model are one text: what its call got wrong is in all of them."""
    rows, again = map(judged, [scores[:, :, :1].repeat(SAMPLES, axis=2) for scores in twice])
    calls = calls_of(rows, lambda key: f"{key.question_id} {key.side}")
    (row,) = judge_noise(an_evaluation(), judgments_frame(rows), judgments_frame(again), calls)
    judge = ((twice[0] - twice[1])[:, :, 0] ** 2).mean() / 2
    assert (row.calls, row.shared) == (12, 84)
    assert row.variance_judge == pytest.approx(judge)
    assert row.note == "one model's answers to one question do not vary"


def test_what_shared_calls_hide_of_the_noise_is_what_a_simulation_finds():
    """Texts a, a, a, b, c before and a, c, d, d, d after: the variance of the difference of means, with J = 4."""
    dice = numpy.random.default_rng(11)
    before, after = [0, 0, 0, 1, 2], [0, 2, 3, 3, 3]
    noise = dice.normal(0, 2, (200_000, 4))
    first, second = noise[:, before], noise[:, after]
    shown = first.var(axis=1, ddof=1).mean() / 5 + second.var(axis=1, ddof=1).mean() / 5
    true = (second.mean(axis=1) - first.mean(axis=1)).var()
    shares = [{"abcd"[k]: some.count(k) / 5 for k in set(some)} for some in (before, after)]
    variances = dict.fromkeys("abcd", 4.0)
    missing = _missing(shares[0], shares[1], variances, 5) + _missing(shares[1], shares[0], variances, 5)
    assert shown + missing == pytest.approx(true, rel=0.02)
    assert abs(missing) > 0.3
    alone = {str(k): 0.2 for k in range(5)}
    assert _missing(alone, {}, dict.fromkeys(alone, 4.0), 5) == pytest.approx(0), "each with a call of its own"
