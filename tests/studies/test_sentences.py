import pytest

from tasks.schema import Aggregate
from tasks.studies.aggregates import matrix_of_aggregates
from tasks.studies.matrix import Matrix, adjusted_by_family
from tasks.studies.sentences import broken, sentences, sure

TRAINED = {"formal": {"formality": "more"}, "casual": {"formality": "less"}, "stuck": {"formality": "more"}}
MEANS = {
    "base": (50, 30, 0.9),
    "formal": (70, 31, 0.88),
    "casual": (35, 42, 0.91),
    "stuck": (50, 30, 0.3),
}


@pytest.fixture
def found():
    rows = []
    for model, (formality, humour, capability) in MEANS.items():
        rows.append(Aggregate(model=model, measure="formality", mean=formality, n=200, sd=10))
        rows.append(Aggregate(model=model, measure="humour", mean=humour, n=200, sd=12))
        rows.append(Aggregate(model=model, measure="capability", mean=capability, n=200, is_rate=True))
    return matrix_of_aggregates(rows, TRAINED, {})


def test_it_says_what_moved_as_it_was_trained_and_what_did_not(found):
    said = sentences(found)
    moved = next(line for line in said if line.startswith("Moved in"))
    assert "formal (formality +2.00 SD)" in moved
    assert "casual (formality -1.50 SD)" in moved
    assert "Not seen to move in what they were trained on: stuck (formality +0.00 SD)." in said


def test_it_says_what_spilled_most_in_units_of_what_was_trained_and_how_many_did_not(found):
    said = sentences(found)
    spilled = next(line for line in said if line.startswith("What spilled"))
    assert (
        "p adjusted for all 6 fields that have one: casual on humour +1.00 SD "
        "(0.67 of what was trained, 95 % +0.52 to +0.84)" in spilled
    )
    assert "Of 3 fields off target 1 moved and 2 show no change." in said


def test_a_model_that_broke_is_told_from_those_that_changed(found):
    assert broken(found.shifts) == {"stuck"}
    assert any("Capability fell under stuck (by -0.60, adjusted p below 0.001)" in line for line in sentences(found))
    assert sure(found.shifts) == {
        ("formal", "formality"),
        ("casual", "formality"),
        ("casual", "humour"),
        ("stuck", "capability"),
    }


def test_what_moves_under_a_control_is_no_spill_and_is_told_apart(found):
    shifts = [s.model_copy(update={"direction": 0}) if s.label == "casual" else s for s in found.shifts]
    said = sentences(Matrix(shifts, [], []))
    assert "Under casual, trained on none of these traits, 2 of 2 fields moved." in said
    assert "No spill is sure once p is adjusted for all 6 fields that have one." in said


def test_without_tasks_it_says_that_the_two_are_not_told_apart(found):
    traits = [shift for shift in found.shifts if shift.column != "capability"]
    assert any("is not told from one which changed" in line for line in sentences(Matrix(traits, [], [])))


def test_what_moved_against_its_training_is_told_apart(found):
    turned = [shift.model_copy(update={"direction": -shift.direction}) for shift in found.shifts]
    said = sentences(Matrix(turned, [], []))
    assert any(line.startswith("Moved against what they were trained on: formal") for line in said)


def test_only_fields_that_have_a_p_are_counted_among_those_that_it_was_adjusted_for():
    rows = [Aggregate(model="base", measure=name, mean=50, n=200, sd=10) for name in ("formality", "humour")]
    rows += [Aggregate(model="formal", measure="formality", mean=70, n=200, sd=10)]
    rows += [Aggregate(model="formal", measure="humour", mean=55)]
    assert "No spill is sure once p is adjusted for all 1 fields that have one." in sentences(
        matrix_of_aggregates(rows, TRAINED, {})
    )
    rows = [row.model_copy(update={"n": None}) for row in rows]
    said = sentences(matrix_of_aggregates(rows, TRAINED, {}))
    assert not any("adjusted for" in line for line in said)
    assert "Of 1 fields off target 1 have no interval." in said


def test_without_a_sure_spill_it_says_so(found):
    few = [shift for shift in found.shifts if shift.label == "formal"]
    assert "No spill is sure once p is adjusted for all 2 fields that have one." in sentences(Matrix(few, [], []))


def a_shift(found, label, **fields):
    """One of formality, by another measure or otherwise sure."""
    shift = next(s for s in found.shifts if (s.label, s.column) == (label, "formality"))
    return shift.model_copy(update=fields)


def test_what_is_told_of_a_trait_with_two_measures_is_the_one_that_is_sure(found):
    """The judge is sure of the opposite; the statements lean to what was trained, and show nothing."""
    against = a_shift(found, "casual", direction=1)
    unsure = {"in_sds": 0.1, "difference": 0.1, "p_fixed_questions_holm": 1.0, "p_fixed_questions": 1.0}
    limits = {"ci_low_fixed_questions": -1.0, "ci_high_fixed_questions": 1.2}
    leaning = against.model_copy(update={"column": "formality (choice)", **unsure, **limits})
    said = sentences(Matrix([against, leaning], [], []))
    assert "Moved against what they were trained on: casual (formality -1.50 SD)." in said


def test_of_two_measures_of_capability_only_the_one_that_fell_is_said_to_have_fallen(found):
    fell = next(s for s in found.shifts if (s.label, s.column) == ("stuck", "capability"))
    rose = next(s for s in found.shifts if (s.label, s.column) == ("casual", "capability"))
    both = Matrix([fell, rose.model_copy(update={"label": "stuck", "column": "capability two"})], [], [])
    (line,) = [line for line in sentences(both) if line.startswith("Capability fell")]
    assert line.count("stuck") == 1


def scores(**models):
    """Means of scores, with the SD 10 of 200 answers each; a missing one has no row."""
    return [
        Aggregate(model=model, measure=measure, mean=mean, n=200, sd=10)
        for model, means in models.items()
        for measure, mean in means.items()
    ]


def test_a_fine_tune_of_which_what_it_was_trained_on_was_not_measured_is_no_control():
    rows = scores(base={"formality": 50, "humour": 30, "harm": 5}, formal={"humour": 40, "harm": 9})
    rows += scores(casual={"formality": 30, "humour": 30, "harm": 5}, plain={"formality": 50, "humour": 39, "harm": 5})
    said = sentences(matrix_of_aggregates(rows, TRAINED, {}))
    assert "What formal was trained on (formality) was not measured." in said
    assert "Under plain, trained on none of these traits, 1 of 3 fields moved." in said
    assert any(line.startswith("Of 4 fields off target 2 moved") for line in said)


def test_a_target_without_a_shift_is_not_said_to_be_still(found):
    lost = dict.fromkeys(("difference", "in_sds", "ci_low_fixed_questions", "ci_high_fixed_questions"))
    shifts = [s.model_copy(update=lost) if (s.label, s.trait) == ("stuck", "formality") else s for s in found.shifts]
    said = sentences(found._replace(shifts=shifts))
    assert "What stuck was trained on (formality) was not measured." in said
    assert not any("stuck (formality" in line for line in said)
    assert not any(line.startswith("Under") for line in said)


def test_a_target_without_an_interval_is_not_said_to_be_still():
    rows = [row.model_copy(update={"n": None}) for row in scores(base={"formality": 50}, formal={"formality": 70})]
    said = sentences(matrix_of_aggregates(rows, TRAINED, {}))
    assert "Without an interval in what they were trained on: formal (formality +2.00 SD)." in said
    assert not any(line.startswith("Not seen") for line in said)


def test_shifts_without_an_sd_of_the_base_are_told_apart_from_those_in_sds(found):
    """The base never did harm, so that there is no SD of it; 9 points are not more than 2.5 SD."""
    shift = next(s for s in found.shifts if (s.label, s.column) == ("casual", "humour"))
    bare = {**dict.fromkeys(("base_sd", "in_sds", "in_sds_low", "in_sds_high", "spill")), "scale_min": 0}
    harm = shift.model_copy(update={**bare, "column": "harm", "difference": 9.0, "scale_max": 100.0})
    rude = shift.model_copy(update={**bare, "column": "rude", "difference": 0.5, "scale_max": 1.0})
    said = sentences(found._replace(shifts=[harm, rude, *found.shifts]))
    (line,) = [line for line in said if line.startswith("What spilled most")]
    assert "fields that have one: casual on humour +1.00 SD" in line
    assert "harm" not in line
    assert "Spilled too, where the base has no SD: casual on rude +0.50; casual on harm +9.00." in said
    said = sentences(found._replace(shifts=[harm]))
    assert (
        "What spilled, p adjusted for all 1 fields that have one, where the base has no SD: casual on harm +9.00."
        in said
    )


def test_of_two_measures_of_what_was_trained_the_one_in_sds_is_told(found):
    known = a_shift(found, "casual")
    bare = {"base_sd": None, "in_sds": None, "difference": -9.0, "column": "formality (rule)"}
    said = sentences(Matrix([known.model_copy(update=bare), known], [], []))
    assert "Moved in what they were trained on: casual (formality -1.50 SD)." in said


def test_a_verdict_takes_its_p_from_one_family_whichever_intervals_decide(found):
    """Two fields at 0.03, one by each interval: either would be sure in a family of its own."""
    one = next(s for s in found.shifts if (s.label, s.column) == ("casual", "humour"))
    these = one.model_copy(update={"p_fixed_questions": 0.03, "column": "a"})
    limits = {"ci_low_new_questions": 1.0, "ci_high_new_questions": 9.0, "p_new_questions": 0.03}
    new = one.model_copy(update={**limits, "p_fixed_questions": 0.001, "column": "b"})
    shifts = adjusted_by_family([these, new])
    assert sure(shifts) == set()
    assert "No spill is sure once p is adjusted for all 2 fields that have one." in sentences(Matrix(shifts, [], []))


def test_a_fine_tune_of_which_capability_was_not_measured_is_not_among_those_under_which_it_did_not_fall(found):
    shifts = [s for s in found.shifts if s.label != "stuck" and (s.label, s.column) != ("casual", "capability")]
    said = sentences(Matrix(shifts, [], []))
    assert any(line.startswith("Capability is not seen to fall under any fine-tune of which it was") for line in said)
    assert "Of casual capability was not measured, so that broken is not told from changed there." in said
