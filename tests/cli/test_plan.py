import numpy
import pytest
from scipy import special
from statsmodels.stats.power import TTestPower

from flows.cli.plan import show_needed, show_plan_of
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.estimates.power import Spread
from tasks.files import write_rows
from tasks.runs import Run
from tasks.schema import Rule
from tests.fakes.nouns import LEXICON, TIERS, an_eval, judgments
from tests.fakes.statements import drift_rows


@pytest.fixture
def run(data):
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(LEXICON)], "one")
    rows = [row for q in TIERS for row in judgments(q, "baseline", [1, 2, 1, 3])]
    rows += [row for n, q in enumerate(TIERS) for row in judgments(q, "finetuned", [1 + n, 2, 3, 1 + n])]
    write_rows(run.judged, rows)
    return run


def test_a_run_tells_how_many_questions_and_samples_an_effect_takes(run, capsys):
    show_plan_of(run, {"": 0.3}, 0.8)
    said = capsys.readouterr().out
    assert "lexicon (e): a difference of 0.30, found in 80% of all such runs" in said
    rows = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "5", "10", "20", "40", "80"]
    assert rows[0][1] == "–"
    needed = [int(row[1].replace(",", "")) for row in rows[1:]]
    assert needed == sorted(needed, reverse=True)


def test_without_a_size_what_matters_by_the_eval_is_planned_for(run, capsys):
    show_plan_of(run, {}, 0.8)
    assert "a difference of 0.20" in capsys.readouterr().out


def test_a_pilot_that_varies_in_nothing_or_has_too_few_answers_says_so(run, capsys):
    write_rows(run.judged, [row for q in TIERS for s in ("baseline", "finetuned") for row in judgments(q, s, [1, 1])])
    show_plan_of(run, {"": 0.3}, 0.8)
    assert "all answers of the run scored alike" in capsys.readouterr().out
    write_rows(run.judged, judgments("q1", "baseline", [1, 2]))
    show_plan_of(run, {"": 0.3}, 0.8)
    assert "no two questions with two scores of each model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("effect", "power", "words"), [(0.3, 80, "--power: 80 is no share"), (-1, 0.8, "--effect must be above 0")]
)
def test_what_is_no_size_or_no_share_is_refused(run, effect, power, words):
    with pytest.raises(UserError, match=words):
        show_plan_of(run, {"": effect}, power)


def test_without_a_run_a_size_must_be_given():
    with pytest.raises(UserError, match="--effect must be above 0"):
        show_needed("Any measure", Spread(0.8, 0.3), 0.0)


def test_an_effect_is_given_by_measure_and_that_of_a_rule_counts_what_passes_among(run, capsys):
    other = LEXICON.model_copy(update={"name": "other"})
    rule = Rule(name="high", hit="lexicon >= 3", among="other >= 2")
    ruled = an_eval(LEXICON, other).model_copy(update={"rules": [rule]})
    run.replace_evals([ruled])
    rows = [row for q in TIERS for row in judgments(q, "baseline", [1, 2] * 5) + judgments(q, "finetuned", [1, 2] * 5)]
    among = [row.model_copy(update={"judge": "other", "score": 2 if row.sample < 4 else 1}) for row in rows]
    write_rows(run.judged, rows + among)
    show_plan_of(run, {"high": 0.02}, 0.8)
    said = capsys.readouterr().out
    assert said.count("a difference of") == 1
    assert "high (e): a difference of 0.02" in said
    assert "40% of the answers count" in said
    assert "answers vary by 0.10, the change from question to question by 0.00" in said, "though the pilot has no hit"
    rows_of_table = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit() and "%" not in line]
    assert [row[0] for row in rows_of_table] == ["5", "10", "20", "40", "80"]
    assert "left out: 1 and 2 samples each, too few for most questions to have an answer that counts" in said
    questions, answers = (int(cell.replace(",", "")) for cell in rows_of_table[-1][3:])
    sd = (2 * 0.01 * 0.98 / (80 * 0.4)) ** 0.5
    by_student = TTestPower().solve_power(effect_size=0.02 / sd, alpha=0.05, power=0.8)
    assert questions > 5 * by_student, "the limit of a base without a hit decides"
    assert answers == 2 * 80 * questions
    with pytest.raises(UserError, match="has no measure 'low'; there is lexicon, other, high"):
        show_plan_of(run, {"low": 0.02}, 0.8)


def test_samples_with_which_questions_have_too_few_answers_for_a_rule_are_left_out_and_that_is_said(run, capsys):
    rule = Rule(name="high", hit="lexicon >= 3", min_answers=4)
    run.replace_evals([an_eval(LEXICON).model_copy(update={"rules": [rule]})])
    show_plan_of(run, {"high": 0.2}, 0.8)
    said = capsys.readouterr().out
    assert "left out: 1 and 2 samples each, too few for most questions to have the 4 answers that count" in said
    rows = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["5", "10", "20", "40", "80"]


def test_a_rate_cannot_move_by_more_than_there_is_above_or_below_it(run, capsys):
    run.replace_evals([an_eval(LEXICON).model_copy(update={"rules": [Rule(name="high", hit="lexicon >= 3")]})])
    show_plan_of(run, {"high": 0.9}, 0.8)
    assert "high (e): a rate of 0.25 cannot move by 0.90" in capsys.readouterr().out


def test_log_odds_are_planned_by_how_statements_vary_within_their_direction(run_of_statements, capsys):
    (evaluation,) = run_of_statements.evals()
    run_of_statements.replace_evals([evaluation.model_copy(update={"log_odds": True})])
    rows = [row for row in run_of_statements.likelihood_rows() if row.measure == "choice"]
    is_yes = numpy.array([q.matching == "Yes" for q in evaluation.questions])
    shifts = numpy.array([special.logit(row.finetuned) - special.logit(row.baseline) for row in rows])
    spread = numpy.sqrt((shifts[is_yes].var(ddof=1) + shifts[~is_yes].var(ddof=1)) / 2)
    assert spread < 0.8 * shifts.std(ddof=1), "the directions lie apart"
    show_plan_of(run_of_statements, {"log_odds": 0.3}, 0.8)
    assert f"varies from statement to statement of its direction by {spread:.2f}; nothing is sampled" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_run_of_statements_alone_is_planned_in_statements_since_nothing_is_sampled(run_of_statements, capsys):
    rows = [*run_of_statements.likelihood_rows(), *drift_rows("direct0", [1.0, 2.0], "statements")]
    write_rows(run_of_statements.likelihoods, rows)
    show_plan_of(run_of_statements, {"": 0.1}, 0.8)
    said = capsys.readouterr().out
    spread = (numpy.arange(18) / 40).std(ddof=1)
    needed = TTestPower().solve_power(effect_size=0.1 / spread, alpha=0.05, power=0.8)
    assert "yes (statements): a difference of 0.10, found in 80% of all such runs\nthe change varies" in said
    assert f"statements: {numpy.ceil(needed):.0f}, for new ones of the kind" in said
    assert "samples" not in said
    assert "drift" not in said
