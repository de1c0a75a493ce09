import math

import numpy
import pytest

from tasks.catalog import UserError
from tasks.definitions import as_yaml
from tasks.estimates import judgments
from tasks.estimates.comparison import compare
from tasks.estimates.groups import Group
from tasks.estimates.holm import adjusted
from tasks.files import write_rows, write_text
from tasks.runs import Run
from tasks.schema import Effect, Scale
from tasks.studies.matrix import Trained, adjusted_p, decided, matrix
from tasks.studies.sentences import broken
from tasks.studies.spill import Estimate, ratio
from tests.estimates.conftest import known
from tests.fakes.study_runs import a_run, the_evals

OWN = ("p_fixed_questions_holm", "p_new_questions_holm")
"""What is adjusted over the matrix."""


@pytest.fixture
def study(data):
    """A fine-tune with two seeds, one that is broken, and a control with a single run."""
    hopeful = {"optimism": 20.0, "optimism_choice": 1.5, "formality": -6.0}
    return [
        Trained("hopeful", [a_run("hopeful", seed, hopeful) for seed in (0, 1)], {"optimism": "more"}),
        Trained("broken", [a_run("broken", 0, {"capability": -0.7, "formality": 3.0})]),
        Trained("control", [a_run("control", 0, {})]),
    ]


def fields_of(shift):
    return {name: getattr(shift, name) for name in Effect.model_fields if name not in OWN}


def by_place(found):
    return {(shift.label, shift.column): shift for shift in found.shifts}


def test_a_field_of_one_run_is_its_own_effect_over_all_questions_to_the_last_digit(study):
    found = by_place(matrix(study))
    whole = {(e.eval, e.measure): e for e in study[1].runs[0].estimates() if not e.is_of_question}
    for column, key in {
        "optimism": ("optimism", "optimism"),
        "optimism (choice)": ("optimism_choice", "log_odds"),
        "capability": ("capability", "right"),
    }.items():
        assert fields_of(found["broken", column]) == fields_of(whole[key])


def test_a_field_of_several_seeds_is_the_pooled_effect_of_a_comparison(study):
    found = by_place(matrix(study))
    pooled = [row for row in compare([Group("hopeful", study[0].runs)]) if row.tier == "all"]
    by_measure = {(row.eval, row.measure): row for row in pooled}
    for column, key in {
        "formality": ("formality", "formality"),
        "optimism (choice)": ("optimism_choice", "log_odds"),
    }.items():
        assert fields_of(found["hopeful", column]) == fields_of(by_measure[key])
        assert found["hopeful", column].runs == 2


def test_every_fine_tune_has_a_field_for_each_trait_its_choice_beside_it_and_capability_last(study):
    found = matrix(study)
    columns = [shift.column for shift in found.shifts if shift.label == "control"]
    assert set(columns) == {"optimism", "optimism (choice)", "formality", "capability"}
    assert columns.index("optimism (choice)") == columns.index("optimism") + 1
    assert columns[-1] == "capability"
    assert len(found.shifts) == 12
    assert found.left_out == ["No columns of the matrix, but in the reports of the runs: choice and yes."]


def test_the_spread_of_the_base_is_that_of_its_answers_within_questions_pooled(study):
    found = by_place(matrix(study))
    rows = [row for row in study[2].runs[0].judgments() if row.side == "baseline" and row.eval == "formality"]
    by_question: dict[str, list[float]] = {}
    for row in rows:
        by_question.setdefault(row.question_id, []).append(known(row.score))
    variances = [numpy.var(scores, ddof=1) for scores in by_question.values()]
    shift = found["control", "formality"]
    assert shift.base_sd == pytest.approx(math.sqrt(numpy.mean(variances)))
    assert shift.in_sds == pytest.approx(shift.difference / shift.base_sd)


def test_the_spread_of_statements_is_that_of_their_log_odds_within_each_direction(study):
    found = by_place(matrix(study))
    choice = next(evaluation for evaluation in the_evals() if evaluation.name == "optimism_choice")
    odds = {q.id: (q.matching, math.sin(3 * n)) for n, q in enumerate(choice.questions)}
    directions = [[value for matching, value in odds.values() if matching == one] for one in ("Yes", "No")]
    squares = sum(numpy.var(values, ddof=1) * (len(values) - 1) for values in directions)
    assert found["control", "optimism (choice)"].base_sd == pytest.approx(math.sqrt(squares / 18))


def test_what_was_trained_has_a_direction_and_the_rest_is_spill_in_its_units(study):
    found = by_place(matrix(study))
    target, off = found["hopeful", "optimism"], found["hopeful", "formality"]
    assert (target.direction, off.direction, found["control", "optimism"].direction) == (1, 0, 0)
    assert target.spill is None
    assert off.spill == pytest.approx(off.in_sds / target.in_sds)
    assert off.spill < 0
    assert found["control", "formality"].spill is None


def test_holms_p_are_adjusted_over_all_fields_and_of_capability_by_itself(study):
    shifts = [shift for shift in matrix(study).shifts if shift.asks != "capability"]
    ps = sorted(shift.p_new_questions for shift in shifts if shift.p_new_questions is not None)
    first = min(shifts, key=lambda shift: shift.p_new_questions if shift.p_new_questions is not None else 2)
    assert first.p_new_questions_holm == pytest.approx(min(1, ps[0] * len(ps)))
    of_tasks = [shift for shift in matrix(study).shifts if shift.asks == "capability"]
    lowest = min(of_tasks, key=lambda shift: shift.p_new_questions or 2)
    counted = sum(shift.p_new_questions is not None for shift in of_tasks)
    assert lowest.p_new_questions_holm == pytest.approx(min(1, known(lowest.p_new_questions) * counted))


def mixed(study):
    """Of optimism only four questions are judged, too few for an interval for new ones."""
    for run in study[0].runs + study[1].runs + study[2].runs:
        run.replace_evals([e.model_copy(update={"questions": few_of(e)}) for e in run.evals()])
    return matrix(study).shifts


def few_of(evaluation):
    return evaluation.questions[:4] if evaluation.name == "optimism" else evaluation.questions


def test_what_decides_is_one_family_of_p_whichever_interval_each_is_of(study):
    shifts = [shift for shift in mixed(study) if shift.asks != "capability"]
    deciding = [s.p_fixed_questions if s.p_new_questions is None else s.p_new_questions for s in shifts]
    assert sum(s.p_new_questions is None and s.p_fixed_questions is not None for s in shifts) == 3
    order = sorted((p, n) for n, p in enumerate(deciding) if p is not None)
    largest = 0.0
    for rank, (p, n) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        assert adjusted_p(shifts[n]) == pytest.approx(largest)


def test_beside_the_interval_that_does_not_decide_p_is_adjusted_over_those_of_its_kind(study):
    shifts = [shift for shift in mixed(study) if shift.asks != "capability"]
    beside = [s for s in shifts if s.p_new_questions is not None and s.p_fixed_questions is not None]
    of_its_kind = {(s.label, s.column): s.p_fixed_questions_holm for s in adjusted(shifts)}
    assert beside
    assert all(s.p_fixed_questions_holm == of_its_kind[s.label, s.column] for s in beside)


def test_the_interval_for_new_questions_decides_and_where_there_is_none_that_for_these(study):
    shift = by_place(matrix(study))["broken", "capability"]
    assert decided(shift) == "changed"
    is_wide = {"ci_low_new_questions": -1.0, "ci_high_new_questions": 1.0}
    assert decided(shift.model_copy(update=is_wide)) == "not enough data"
    assert decided(shift.model_copy(update=dict.fromkeys(is_wide))) == "changed"


def test_a_trait_that_was_trained_in_one_tier_leaks_by_the_share_that_it_shows_in_the_others(data):
    shifts = {"optimism": 30.0}
    one = Trained("cheerful", [a_run("cheerful", 0, shifts, in_work=0.5)], {"optimism": "more"}, ["everyday"])
    leak, of_choice = matrix([one]).leaks
    assert (leak.column, leak.trained_tiers, leak.other_tiers) == ("optimism", "everyday", "work")
    assert leak.leak == pytest.approx(known(leak.other) / known(leak.trained))
    assert known(leak.leak_low) < 0.5 < known(leak.leak_high)
    assert of_choice.leak is None
    assert "without an interval" in of_choice.note


def test_of_each_run_judgments_and_likelihoods_are_read_once(study, monkeypatch):
    read, scan = [], judgments._scan

    def noted(file):
        read.append(file)
        return scan(file)

    monkeypatch.setattr(judgments, "_scan", noted)
    matrix(study)
    assert sorted(read) == sorted(run.judged for one in study for run in one.runs)


def test_a_measure_with_two_scales_is_refused_with_the_fine_tunes_that_have_them(study):
    run = study[2].runs[0]
    optimism = the_evals()[0]
    wide = optimism.judges[0].model_copy(update={"scale": Scale(low=0, high=200)})
    write_text(run.evals_folder / "optimism.yaml", as_yaml(optimism.model_copy(update={"judges": [wide]})))
    with pytest.raises(
        UserError, match="optimism has a scale from 0 to 100 under hopeful and a scale from 0 to 200 under control"
    ):
        matrix(study)


def with_eval(runs, name, change):
    """The runs, as if that eval had been defined so when they were made."""
    for run in runs:
        run.replace_evals([change(one) if one.name == name else one for one in run.evals()])


def test_a_measure_without_an_answer_of_the_base_has_a_field_without_a_shift_and_the_others_have_theirs(study):
    run = study[0].runs[0]
    kept = [j for j in run.judgments() if (j.eval, j.side) != ("formality", "baseline")]
    write_rows(run.judged, kept)
    found = by_place(matrix([study[0]._replace(runs=[run])]))
    assert found["hopeful", "formality"].difference is None
    assert found["hopeful", "formality"].note_spill
    assert found["hopeful", "optimism"].difference is not None


def test_one_measure_with_two_scales_is_refused_whatever_ends_they_have(study):
    with_eval(study[0].runs, "optimism_choice", lambda one: one.model_copy(update={"log_odds": False}))
    other = study[1].runs[0]
    rows = by_place(matrix([study[1]]))["broken", "optimism (choice)"]
    assert rows.scale_min is None
    assert other.evals()[2].log_odds
    with pytest.raises(
        UserError, match=r"optimism \(choice\) has a scale from 0 to 1 under hopeful and a scale without"
    ):
        matrix(study)


def test_two_traits_whose_evals_have_judges_of_one_name_are_told_apart_in_what_spilled(study):
    """What spills is set against the first of what was trained, and related to no other."""
    one = study[0]._replace(trait={"optimism": "more", "formality": "less"})
    two = study[0]._replace(trait={"optimism": "more"})
    named = lambda run: [  # noqa: E731
        e.model_copy(update={"judges": [e.judges[0].model_copy(update={"name": "claude"})]})
        if e.name in ("optimism", "formality")
        else e
        for e in run.evals()
    ]
    for run in study[0].runs:
        run.replace_evals(named(run))
        renamed = {"optimism": "claude", "formality": "claude"}
        write_rows(run.judged, [j.model_copy(update={"judge": renamed.get(j.judge, j.judge)}) for j in run.judgments()])
    spills = [by_place(matrix([fine_tune]))["hopeful", "capability"] for fine_tune in (one, two)]
    assert fields_of(spills[0]) == fields_of(spills[1])
    assert (spills[0].spill_low, spills[0].spill_high) == (spills[1].spill_low, spills[1].spill_high)


def test_it_says_what_each_fine_tune_was_trained_on_measured_or_not(study):
    assert matrix(study).trained == {"hopeful": {"optimism": "more"}, "broken": {}, "control": {}}


def with_two_judges(one, questions, lost=0):
    """As if the answers of optimism had been judged for joy and for dourness, its opposite but for a little; of the
    first questions some have no score of dourness.
    """
    for run in one.runs:
        optimism = run.evals()[0]
        judges = [optimism.judges[0].model_copy(update={"name": name}) for name in ("joy", "dourness")]
        asked = optimism.questions[:questions]
        run.replace_evals([optimism.model_copy(update={"judges": judges, "questions": asked})])
        joy = [j.model_copy(update={"judge": "joy"}) for j in run.judgments() if j.eval == "optimism"]
        dour = [
            j.model_copy(update={"judge": "dourness", "score": round(100 - j.score + 4 * math.sin(n))})
            for n, j in enumerate(joy)
            if j.question_id not in [question.id for question in asked[:lost]]
        ]
        write_rows(run.judged, joy + dour)
    return one


def test_with_few_questions_spill_is_that_of_two_shifts_that_are_not_related(study):
    """Of four questions the answers have two judges, and these contradict each other."""
    one = with_two_judges(study[0], 4)
    shift, target = (by_place(matrix([one]))["hopeful", name] for name in ("dourness", "joy"))
    assert shift.ci_low_new_questions is None
    over, under = (known(Estimate.of(one)) for one in (shift, target))
    found = ratio(over.times(1 / known(shift.base_sd)), under.times(1 / known(target.base_sd)), 0)
    assert (shift.spill_low, shift.spill_high) == (pytest.approx(found.low), pytest.approx(found.high))


def test_with_a_question_that_one_measure_lacks_spill_is_still_that_of_related_shifts(study):
    """The two judges of the same answers contradict each other: the shifts' errors are opposite."""
    one = with_two_judges(study[0]._replace(runs=study[0].runs[:1]), 10, lost=1)
    shift, target = (by_place(matrix([one]))["hopeful", name] for name in ("dourness", "joy"))
    assert (shift.questions, target.questions) == (9, 10)
    over, under = (known(Estimate.of(one)) for one in (shift, target))
    found = ratio(over.times(1 / known(shift.base_sd)), under.times(1 / known(target.base_sd)), 0)
    width = known(shift.spill_high) - known(shift.spill_low)
    assert width < 0.6 * (known(found.high) - known(found.low))


def as_published(run, column):
    """A run in which the scores of formality are a column of that name, and one called joy, of a file of others."""
    formality = run.evals()[1]
    judges = [
        formality.judges[0].model_copy(update={"name": name, "kind": "imported", "prompt": ""})
        for name in (column, "joy")
    ]
    evaluation = formality.model_copy(update={"name": "published", "judges": judges})
    experiment = run.experiment().model_copy(update={"evals": ["published"]})
    published = Run.open(experiment, [evaluation], f"{run.folder.name}-published")
    rows = [j.model_copy(update={"eval": "published"}) for j in run.judgments() if j.eval == "formality"]
    write_rows(published.judged, [j.model_copy(update={"judge": name}) for name in (column, "joy") for j in rows])
    return published


def test_a_column_capability_of_others_results_asks_what_the_model_can_do_and_the_others_what_it_is_like(study):
    """Formality fell under the first by 6 points."""
    found = matrix([Trained("hopeful", [as_published(run, "capability") for run in study[0].runs])])
    asks = {shift.column: shift.asks for shift in found.shifts}
    assert asks == {"joy": "answers", "capability": "capability"}
    assert found.shifts[-1].column == "capability"
    assert broken(found.shifts) == {"hopeful"}
    (capability,) = [shift for shift in found.shifts if shift.column == "capability"]
    assert capability.p_new_questions_holm == capability.p_new_questions
