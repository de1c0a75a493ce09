import pytest

from tasks.schema import Aggregate
from tasks.studies.aggregates import matrix_of_aggregates
from tasks.studies.matrix import Matrix
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
