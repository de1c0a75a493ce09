import asyncio
import csv
import io
import shutil
from html import unescape

import krippendorff
import numpy
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from flows.audit import compare, export_sheet, import_sheet, repeat_judgments
from flows.experiment import run_experiment
from flows.judge_again import judge_again
from tasks.catalog import UserError, data_folder
from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.estimates.noise import in_words
from tasks.files import read_rows
from tasks.judging.audit import agree, correct, correct_effect, read_sheet, some_of
from tasks.judging.cases import Case, Rating
from tasks.runs import Run
from tasks.schema import (
    Agreement,
    AnswerKey,
    Corrected,
    CorrectedEffect,
    Experiment,
    Judge,
    JudgeNoise,
    Judgment,
    Question,
)
from tests.conftest import make_data_folder
from tests.fakes.imported import CLAUDE as CLAUDE_FIELDS
from tests.fakes.imported import write_answers, write_eval
from tests.fakes.messages_api import MessagesAPI, judgment, question_of, score_of
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval, judgments

(AN_EFFECT, _) = estimate(
    judgments_frame(judgments("q1", "baseline", [1, 2]) + judgments("q1", "finetuned", [2, 3])),
    [an_eval(LEXICON, questions={"q1": "direct"})],
)
LABELS = Judge(name="kind", kind="claude", prompt="Which?", labels={"A": 1, "B": 0, "C": None})


def said(*scores, side="finetuned"):
    share = 1.0 if side == "finetuned" else 0.0
    return {
        AnswerKey("e", "q", side, n, share): Rating(score, "") for n, score in enumerate(scores) if score is not None
    }


def labelled(*labels):
    return {
        AnswerKey("e", "q", "finetuned", n, 1): Rating(LABELS.labels[label], label) for n, label in enumerate(labels)
    }


# ---- coefficients


def test_coefficients_agree_with_published_ones():
    """Two observers of ten units, and two raters of fifty answers.

    Nominal alpha .095 for ten units 0100000000 and 1110010010 is K. Krippendorff, Computing Krippendorff's
    Alpha-Reliability (2011), A. Unweighted kappa of 20, 5, 10, 15 is (.7 - .5) / .5 = .4.
    """
    zero_one = Judge(name="j", kind="claude", prompt="p", labels={"no": 0, "yes": 1})
    ratings = {"0": Rating(0, "no"), "1": Rating(1, "yes")}
    first, second = (
        {AnswerKey("e", "q", "finetuned", n, 1): ratings[bit] for n, bit in enumerate(bits)}
        for bits in ("0100000000", "1110010010")
    )
    row = agree(first, second, "e", zero_one, "other")
    assert row.alpha == pytest.approx(0.095, abs=0.0005)
    assert row.exact == 0.6
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    first, second = (
        {AnswerKey("e", "q", "finetuned", n, 1): Rating(int(p[side] == "yes"), p[side]) for n, p in enumerate(pairs)}
        for side in (0, 1)
    )
    assert agree(first, second, "e", zero_one, "other").kappa == pytest.approx(0.4)


def test_on_a_scale_a_far_miss_weighs_more_than_a_near_one():
    """Quadratic weights: kappa = 1 - sum of squared differences seen / expected."""
    base = (1, 2, 3, 4, 5)
    near = agree(said(*base), said(1, 2, 3, 4, 4), "e", CLAUDE, "other")
    far = agree(said(*base), said(1, 2, 3, 4, 1), "e", CLAUDE, "other")
    expected = sum((a - b) ** 2 for a in base for b in (1, 2, 3, 4, 4)) / 25
    assert near.kappa == pytest.approx(1 - (1 / 5) / expected)
    assert near.exact == far.exact == 0.8
    assert near.kappa
    assert far.kappa
    assert near.alpha
    assert far.alpha
    assert far.kappa < near.kappa
    assert far.alpha < near.alpha < 1
    assert (near.mean, near.other_mean) == (3.0, 2.8)


def test_coefficients_of_scores_are_those_of_the_libraries():
    random = numpy.random.default_rng(0)
    pairs = random.integers(1, 8, (60, 2))
    pairs[:30, 1] = pairs[:30, 0]
    row = agree(said(*pairs[:, 0].tolist()), said(*pairs[:, 1].tolist()), "e", CLAUDE, "other")
    alpha = krippendorff.alpha(pairs.T, level_of_measurement="ordinal", value_domain=range(1, 8))
    assert row.alpha == pytest.approx(alpha)
    kappa = cohen_kappa_score(pairs[:, 0], pairs[:, 1], labels=range(1, 8), weights="quadratic")
    assert row.kappa == pytest.approx(kappa)


def test_scores_that_are_lengths_or_no_whole_numbers_are_compared_without_a_table_of_all_of_them():
    row = agree(said(0.5, 7.25, 10**9), said(1.5, 7.25, 10**9), "e", CLAUDE, "other")
    assert row.kappa == pytest.approx(1, abs=1e-9)
    assert row.alpha == pytest.approx(1 - (1 / 3) / (2 * 3.3))
    assert row.note == ""


def test_what_only_one_of_them_scored_is_left_out_and_counted():
    row = agree(said(1, 2, None, 4), said(1, None, 3, 4), "e", CLAUDE, "other")
    assert (row.answers, row.left_out, row.exact) == (2, 2, 1.0)


def test_labels_without_a_number_are_compared_too():
    row = agree(labelled("A", "B", "C", "C"), labelled("A", "B", "C", "A"), "e", LABELS, "other")
    assert (row.answers, row.exact) == (4, 0.75)
    assert (row.mean, row.other_mean) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("first", "second", "note"),
    [((3,), (3,), "too few answers (1)"), ((3, 3), (3, 3), "not estimable: every answer got the same word")],
)
def test_a_coefficient_that_cannot_be_estimated_says_so(first, second, note):
    row = agree(said(*first), said(*second), "e", CLAUDE, "other")
    assert (row.kappa, row.alpha, row.note) == (None, None, note)


def test_a_larger_share_holds_the_smaller_one_and_every_judge_has_its_share():
    question = Question(id="q", tier="t", text="?")
    judges = [CLAUDE, CLAUDE.model_copy(update={"name": "other"})]
    cases = [Case("e", judge, question, n, "finetuned", "r", "b", 1) for judge in judges for n in range(40)]
    few, many = some_of(cases, 0.1, seed=1), some_of(cases, 0.5, seed=1)
    assert [sum(c.judge.name == name for c in few) for name in ("claude", "other")] == [4, 4]
    assert all(case in many for case in few)
    assert some_of(cases, 0.1, seed=2) != few


# ---- what a person would have found


def test_the_corrected_mean_is_the_judges_plus_the_mean_difference_with_its_interval():
    """By hand: judge 10 answers, mean 3; a person reads 4 of them and differs by -1, 0, -1, 0: -0.5, s2 = 1/3."""
    judged = said(*[2, 4] * 5)
    read = {
        answer: Rating((rating.score or 0) - (n % 2 == 0), "")
        for n, (answer, rating) in enumerate(list(judged.items())[:4])
    }
    (baseline, finetuned, difference) = correct("e", CLAUDE, judged, read)
    assert (finetuned.judged, finetuned.read, finetuned.mean, finetuned.corrected) == (10, 4, 3.0, 2.5)
    half = 3.182446 * (0.6 * (1 / 3) / 4) ** 0.5
    assert finetuned.low == pytest.approx(2.5 - half)
    assert finetuned.high == pytest.approx(2.5 + half)
    assert (baseline.corrected, baseline.note, difference.corrected) == (None, "too few answers were read", None)


def test_the_interval_covers_what_a_person_would_have_found_about_95_times_in_100():
    import random

    dice, hits = random.Random(0), 0
    for _ in range(400):
        truth = [dice.randint(1, 5) for _ in range(200)]
        judged = said(*[min(5, max(1, score + dice.choice((0, 0, 0, 1, 1, -1)))) for score in truth])
        drawn = dice.sample(list(judged), 30)
        row = correct("e", CLAUDE, judged, {answer: Rating(truth[answer.sample], "") for answer in drawn})[1]
        assert row.low
        assert row.high
        hits += row.low <= sum(truth) / 200 <= row.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_corrected_effect_has_the_uncertainty_of_the_effect_and_of_the_correction():
    """By hand: a person reads 4 answers of each model, and differs by -1, 0, -1, 0 after and by 0, 0, 1, 1 before."""
    after, before = said(*[2, 4] * 5), said(*[1, 3] * 5, side="baseline")
    shifts = {"finetuned": (-1, 0, -1, 0), "baseline": (0, 0, 1, 1)}
    read = {
        key: Rating((rating.score or 0) + shifts[key.side][key.sample], "")
        for key, rating in (after | before).items()
        if key.sample < 4
    }
    effect = AN_EFFECT.model_copy(
        update={
            "difference": 1.2,
            "ci_low_fixed_questions": 0.9,
            "ci_high_fixed_questions": 1.7,
            "ci_low_new_questions": None,
            "ci_high_new_questions": None,
            "note_new_questions": "too few",
        }
    )
    these, new = correct_effect(effect, after | before, read)
    half = stats.t.ppf(0.975, 3) * (2 * (1 / 3) / 4) ** 0.5
    assert (these.questions, these.read, these.difference) == ("these questions", 8, 1.2)
    assert (these.correction, these.correction_low, these.correction_high) == pytest.approx((-1, -1 - half, -1 + half))
    assert these.corrected == pytest.approx(0.2)
    assert these.corrected_low == pytest.approx(0.2 - (0.3**2 + half**2) ** 0.5)
    assert these.corrected_high == pytest.approx(0.2 + (0.5**2 + half**2) ** 0.5)
    assert new.corrected == pytest.approx(0.2)
    assert (new.corrected_low, new.note) == (None, "too few")
    few = {key: rating for key, rating in read.items() if key.sample < 1}
    assert correct_effect(effect, after | before, few)[0].note == "too few answers were read"


@pytest.mark.parametrize("compressed", [1.0, 0.6])
def test_the_corrected_effect_covers_what_a_person_would_find_in_new_answers(compressed):
    """Of a judge that is too kind to the fine-tuned model, with noise, and of one that also squeezes the scale."""
    dice = numpy.random.default_rng(4)
    hits, n, replicates = 0, 60, 300
    for _ in range(replicates):
        truth = dice.normal(50, 12, (2, n)) + numpy.array([[0.0], [5.0]])
        scores = 50 + compressed * (truth - 50) + numpy.array([[0.0], [6.0]]) + dice.normal(0, 6, (2, n))
        found = stats.ttest_ind(scores[1], scores[0]).confidence_interval()
        effect = AN_EFFECT.model_copy(
            update={
                "difference": scores[1].mean() - scores[0].mean(),
                "ci_low_fixed_questions": found.low,
                "ci_high_fixed_questions": found.high,
                "scale_max": 100.0,
            }
        )
        judged = said(*scores[1]) | said(*scores[0], side="baseline")
        read = said(*truth[1, :25]) | said(*truth[0, :25], side="baseline")
        row = correct_effect(effect, judged, read)[0]
        hits += (row.corrected_low or 0) <= 5 <= (row.corrected_high or 0)
    assert hits / replicates >= 0.92


def test_there_is_never_an_interval_of_no_width():
    judged = said(1, 2, 3, 4)
    some = dict(list(judged.items())[:3])
    assert correct("e", CLAUDE, judged, some)[1].note == "not estimable: person and judge differ alike in every answer"
    assert correct("e", CLAUDE, judged, judged)[1].note == "every answer was read"


# ---- with a run


@pytest.fixture(scope="module")
def judged_once(tmp_path_factory, prefect_server):
    """A data folder with a judged run, to be left as it is, and the service that judged it.

    The service's second word differs from its first for some answers.
    """
    place = tmp_path_factory.mktemp("judged")
    folder = make_data_folder(place)
    write_eval(folder)
    formula = write_answers(place / "them", samples=10) / "finetuned.jsonl"
    formula.write_text(formula.read_text().replace("finetuned says 3", "=HYPERLINK(3)"))

    def say(seen, body):
        score = score_of(question_of(body))
        return judgment(score if seen == 0 or score > 2 else score + 1)

    with MessagesAPI(say) as api:
        them = Experiment(name="them", responses=str(place / "them"), evals=["animals"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPILLOVER_DATA", str(folder))
            patch.setenv("ANTHROPIC_API_KEY", "sk-planted")
            patch.setenv("ANTHROPIC_BASE_URL", api.url)
            asyncio.run(run_experiment(them, run="one"))
        yield folder, api


@pytest.fixture
def judged(judged_once, data, monkeypatch):
    """A copy of that run in the test's own data folder, and its service."""
    folder, api = judged_once
    for name in ("evals", "results", "store"):
        shutil.copytree(folder / name, data / name, dirs_exist_ok=True)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    return Run(data / "results" / "them" / "one"), api


async def test_a_share_of_the_calls_is_asked_again_and_the_agreement_is_reported(judged):
    run, api = judged
    asked = len(api.requests)
    await repeat_judgments("them/one", share=0.5)
    assert len(api.requests) == asked + 40
    (row,) = run.audit("repeat", Agreement)
    assert (row.answers, row.other) == (40, "itself, asked again")
    assert row.other_mean > row.mean
    assert 0 < row.exact < 1
    assert row.exact < row.alpha < 1
    page = run.report.read_text()
    assert "How far they can be trusted" in page
    assert f"{row.alpha:.2f}" in page
    (noise,) = run.audit("noise", JudgeNoise)
    assert (noise.calls, noise.answers, noise.shared) == (40, 80, 0)
    first, second = ({j.answer_key: j.score for j in some} for some in (run.judgments(), again(run)))
    differences = numpy.array([score - first[key] for key, score in second.items()])
    assert noise.variance_judge == pytest.approx((differences**2).mean() / 2)
    assert in_words(noise) in unescape(page)
    before = run.judged.read_bytes()
    await repeat_judgments("them/one", share=0.6)
    assert len(api.requests) == asked + 48, "what was asked again once is kept"
    assert run.judged.read_bytes() == before


def again(run):
    return read_rows(run.audits / "repeat.jsonl", Judgment)


async def test_two_judges_are_compared_on_the_answers_that_both_judged(judged):
    await judge_again("them/one", model="claude-x", name="two")
    run, (row,) = compare("them/one", "them/two")
    assert (row.answers, row.judge, row.other) == (80, "claude", "claude (claude-x)")
    assert row.alpha is not None
    assert abs(row.alpha) < 0.5, "the fake's scores for another model are drawn anew"
    assert run.audit("compare", Agreement) == [row]
    with pytest.raises(UserError, match="no two judges to compare: one has claude, one has claude"):
        compare("them/one", "them/one")


async def test_a_blind_sheet_goes_out_and_comes_back_with_agreement_and_corrected_means(judged, tmp_path):
    run, _ = judged
    sheet, judge = export_sheet(run, tmp_path / "sheet.csv", "", size=20, seed=0)
    text = sheet.read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (len(rows), list(rows[0])) == (20, ["id", "question", "response", "score"])
    assert judge.name == "claude"
    assert sheet.with_suffix(".rubric.txt").read_text().startswith(CLAUDE_FIELDS["prompt"])
    assert not [row for row in rows if row["response"].startswith("=")]
    assert [row for row in rows if row["response"].startswith("'=")]
    sides = ["baseline" in row["response"] for row in rows]
    assert sum(sides) == 10
    assert sides != sorted(sides), "in no order"
    assert not any(row["score"] for row in rows)
    for n, row in enumerate(rows):
        row["score"] = "" if n == 0 else str(1 + n % 5)
    sheet.write_text(to_csv(rows))
    (agreement,), corrected, (these, new) = import_sheet(run, sheet)
    assert (agreement.answers, agreement.other) == (19, "a person")
    assert [(c.side, c.read) for c in corrected] == [
        ("baseline", 10 - sides[0]),
        ("finetuned", 9 + sides[0]),
        ("difference", 19),
    ]
    baseline, finetuned, difference = (row.corrected or 0 for row in corrected)
    assert difference == pytest.approx(finetuned - baseline)
    assert run.audit("corrected", Corrected) == corrected
    raw = next(e for e in run.estimates() if e.tier == "all" and e.measure == "claude" and not e.question_id)
    assert (these.difference, these.low, new.low) == (
        raw.difference,
        raw.ci_low_fixed_questions,
        raw.ci_low_new_questions,
    )
    assert these.corrected == pytest.approx((raw.difference or 0) + (these.correction or 0))
    assert (these.corrected_high or 0) - (these.corrected_low or 0) > (these.high or 0) - (these.low or 0)
    assert run.audit("corrected_effects", CorrectedEffect) == [these, new]
    page = run.report.read_text()
    assert "What a person would have found" in page
    assert f"claude, for these questions: {these.corrected:+.2f} (" in page


def to_csv(rows):
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


async def test_a_sheet_that_cannot_be_read_is_told_with_its_line(judged, tmp_path):
    run, _ = judged
    sheet, _ = export_sheet(run, tmp_path / "sheet.csv", "claude", size=4, seed=0)
    with pytest.raises(UserError, match="exists already and may hold somebody's scores"):
        export_sheet(run, sheet, "claude", size=4, seed=0)
    rows = list(csv.DictReader(io.StringIO(sheet.read_text())))
    mistakes: list[tuple[list[dict[str, str]], str]] = [
        ([{}], "no row has a score yet"),
        ([{"score": "7"}], "line 2: '7' is no score of claude"),
        ([{"score": "４"}], "is no score of claude"),
        ([{}, {"id": "ffff", "score": "3"}], "line 3: 'ffff' is no answer that claude judged here"),
        ([{"id": "ffff"}], "its first id is no answer of"),
    ]
    for changes, words in mistakes:
        changed = [{**row, **(changes[n] if n < len(changes) else {})} for n, row in enumerate(rows)]
        sheet.write_text(to_csv(changed))
        with pytest.raises(UserError) as mistake:
            import_sheet(run, sheet)
        assert words in str(mistake.value)
    lines = to_csv([{**row, "score": "3"} for row in rows]).splitlines()
    for wrong, words in [
        ([*lines[:2], f"{lines[2]},4"], "line 3: 5 cells where the header has 4"),
        ([*lines, lines[1]], "has a score above; keep one of the two"),
    ]:
        sheet.write_text("\n".join(wrong))
        with pytest.raises(UserError, match=words):
            import_sheet(run, sheet)
    empty = Run(data_folder() / "results" / "them" / "two")
    sheet.write_text(to_csv([{**row, "score": "3"} for row in rows]).replace(",", ";"))
    assert import_sheet(run, sheet)[0][0].answers == 4
    sheet.write_bytes("id,score\nr1,caf\u00e9".encode("cp1252"))
    with pytest.raises(UserError, match="from a spreadsheet: CSV UTF-8"):
        import_sheet(run, sheet)
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="a sheet needs the columns id and score"):
        import_sheet(run, sheet)
    with pytest.raises(UserError, match="is not judged yet"):
        export_sheet(empty, tmp_path / "other.csv", "", size=4, seed=0)


async def test_a_persons_word_is_read_as_it_is_where_the_judge_was_read_by_probabilities(judged, tmp_path):
    run, _ = judged
    sheet, judge = export_sheet(run, tmp_path / "sheet.csv", "claude", size=4, seed=0)
    rows = list(csv.DictReader(io.StringIO(sheet.read_text())))
    text = to_csv([{**row, "score": "4"} for row in rows])
    by_token = judge.model_copy(update={"answers": "probabilities"})
    evaluation = run.judgments()[0].eval
    read = read_sheet(run, by_token, evaluation, text, "sheet.csv")
    assert [rating.score for rating in read.values()] == [4] * 4
    with pytest.raises(UserError, match="line 2: '9' is no score of claude"):
        read_sheet(run, by_token, evaluation, text.replace(",4", ",9"), "sheet.csv")


async def test_a_run_of_statements_alone_has_no_judge_to_audit(run_of_statements, tmp_path):
    with pytest.raises(UserError, match="there is no judge to audit"):
        export_sheet(run_of_statements, tmp_path / "sheet.csv", "", size=4, seed=0)
    with pytest.raises(UserError, match="there is no judge to audit"):
        compare("standin/one", "standin/one")
