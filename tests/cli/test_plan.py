import pytest

from flows.cli.plan import show_needed, show_plan_of
from tasks.catalog import UserError
from tasks.definitions import load_experiment
from tasks.estimates.power import Spread
from tasks.files import write_rows
from tasks.runs import Run
from tests.fakes.nouns import LEXICON, TIERS, an_eval, judgments


@pytest.fixture
def run(data):
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(LEXICON)], "one")
    rows = [row for q in TIERS for row in judgments(q, "baseline", [1, 2, 1, 3])]
    rows += [row for n, q in enumerate(TIERS) for row in judgments(q, "finetuned", [1 + n, 2, 3, 1 + n])]
    write_rows(run.judged, rows)
    return run


def test_a_run_tells_how_many_questions_and_samples_an_effect_takes(run, capsys):
    show_plan_of(run, 0.3, 0.8)
    said = capsys.readouterr().out
    assert "lexicon (e): a difference of 0.30, found in 80% of all such runs" in said
    rows = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "5", "10", "20", "40", "80"]
    assert rows[0][1] == "–"
    needed = [int(row[1].replace(",", "")) for row in rows[1:]]
    assert needed == sorted(needed, reverse=True)


def test_without_a_size_what_matters_by_the_eval_is_planned_for(run, capsys):
    show_plan_of(run, 0, 0.8)
    assert "a difference of 0.20" in capsys.readouterr().out


def test_a_pilot_that_varies_in_nothing_or_has_too_few_answers_says_so(run, capsys):
    write_rows(run.judged, [row for q in TIERS for s in ("baseline", "finetuned") for row in judgments(q, s, [1, 1])])
    show_plan_of(run, 0.3, 0.8)
    assert "all answers of the run scored alike" in capsys.readouterr().out
    write_rows(run.judged, judgments("q1", "baseline", [1, 2]))
    show_plan_of(run, 0.3, 0.8)
    assert "no two questions with two scores of each model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("effect", "power", "words"), [(0.3, 80, "--power: 80 is no share"), (-1, 0.8, "--effect must be above 0")]
)
def test_what_is_no_size_or_no_share_is_refused(run, effect, power, words):
    with pytest.raises(UserError, match=words):
        show_plan_of(run, effect, power)


def test_without_a_run_a_size_must_be_given():
    with pytest.raises(UserError, match="--effect must be above 0"):
        show_needed("Any measure", Spread(0.8, 0.3), 0.0)
