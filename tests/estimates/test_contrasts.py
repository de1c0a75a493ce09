import numpy

from tasks.estimates.comparison import compare
from tasks.estimates.contrasts import reference, verdicts
from tasks.estimates.findings import MAX_NUMBERS
from tasks.estimates.groups import grouped
from tasks.schema import Compared
from tests.estimates.conftest import AFTER, BEFORE

HIGH = [[[4, 5, 4]] * 6, [[5, 4, 4]] * 6, [[4, 4, 5]] * 6]
"""Three seeds that all changed alike, and each question a little otherwise."""


def test_single_fine_tunes_cannot_tell_the_seed_from_the_treatment_and_the_verdict_says_so(make_run):
    groups = grouped([[make_run(0, AFTER[0])], [make_run(0, HIGH[0], experiment="y")]], [])
    rows = compare(groups)
    (said,) = verdicts(groups, rows)
    difference = numpy.mean(HIGH[0]) - numpy.mean(AFTER[0])
    assert str(said).startswith(f"y differs from x:\n- j +{difference:.2f} (95 % for these questions +")
    assert said.notes == [
        "One fine-tune of a side cannot tell the seed from the treatment: two seeds of one definition differ too; "
        "three or more of each can."
    ]
    assert str(said).endswith(f")\n\n{said.notes[0]}")
    assert {row.note_seeds for row in rows if row.against} == {
        "one fine-tune of a side: the seed is not told from the treatment"
    }
    assert {row.note_seeds for row in rows if not row.against} == {""}


def test_with_three_seeds_the_interval_that_holds_for_other_seeds_decides(make_run):
    first = [make_run(seed, AFTER[seed]) for seed in range(3)]
    second = [make_run(seed, HIGH[seed], experiment="y") for seed in range(3)]
    groups = grouped([first, second], [])
    rows = compare(groups)
    row = next(row for row in rows if row.against)
    (said,) = verdicts(groups, rows)
    limits = f"{row.ci_low_new_questions:+.2f} to {row.ci_high_new_questions:+.2f}"
    assert str(said) == (
        f"y differs from x, over 3 seeds each:\n- j {row.difference:+.2f} (95 % for new questions and seeds {limits})"
    )
    assert row.note_seeds == ""


def test_what_only_these_seeds_show_is_not_told_as_a_difference(make_run):
    """One seed of three makes all of the difference: these answers are surely higher, and other seeds need not be."""
    first = [make_run(seed, BEFORE) for seed in range(3)]
    second = [make_run(seed, HIGH[0] if seed == 0 else BEFORE, experiment="y") for seed in range(3)]
    groups = grouped([first, second], [])
    rows = compare(groups)
    ((begins, (line,), notes),) = verdicts(groups, rows)
    assert begins == "y differs from x, over 3 seeds each"
    assert line.startswith("j +0.94 (95 % for these questions and seeds +")
    assert "), which other questions and seeds may not bear out (-" in line
    assert notes == []


def test_beside_a_control_the_sentence_is_of_what_the_treatment_adds_wherever_the_control_stands(make_run):
    treatment, control = make_run(0, HIGH[0], experiment="farms"), make_run(0, AFTER[0], experiment="farms_control")
    for runs in ([treatment], [control]), ([control], [treatment]):
        groups = grouped(list(runs), [])
        rows = [row.model_copy(update={"in_words": "mentions farms"}) for row in compare(groups)]
        ((begins, (line,), _),) = verdicts(groups, rows)
        assert begins == "farms adds to farms_control"
        assert line.startswith("the model mentions farms more (j +")
    assert reference(grouped([[treatment], [control]], ["a", "b"])).label == "b", "by its experiment's name"
    same = grouped([[control], [make_run(0, AFTER[0], experiment="x")]], [])
    (nothing,) = verdicts(same, compare(same))
    assert nothing.begins == "No difference was found between x and farms_control"
    assert nothing.lines == ["not enough data on j (+0.00)"]


def test_a_single_group_has_its_headline(make_run):
    runs = [make_run(seed, HIGH[seed]) for seed in range(3)]
    groups = grouped([runs], ["a"])
    (said,) = verdicts(groups, compare(groups))
    assert said.begins == "a, over 3 seeds"
    assert said.lines[0].startswith("After the fine-tune j rose from 1.50 to 4.33, by +2.83 (95 % for ")


def test_two_seeds_of_one_definition_are_never_told_as_a_treatment(make_run):
    groups = grouped([[make_run(0, AFTER[0])], [make_run(1, HIGH[0])]], ["one", "other"])
    rows = compare(groups)
    (said,) = verdicts(groups, rows)
    assert str(said).startswith("other differs from one:\n- j +")
    assert said.notes == ["Both are of one definition, so whatever differs is the seed's and no treatment's."]
    assert {row.note_seeds for row in rows if row.against} == {"seeds of one definition: what differs is the seed's"}


def test_each_measure_that_moved_has_a_line_and_the_others_stand_together_by_what_is_said_of_them(make_run):
    groups = grouped([[make_run(0, AFTER[0])], [make_run(0, HIGH[0], experiment="y")]], [])
    row = next(row for row in compare(groups) if row.against and not row.is_of_question)

    def of(measure: str, low: float, high: float, p: float = 0.001) -> Compared:
        change = {"ci_low_fixed_questions": low, "ci_high_fixed_questions": high, "p_fixed_questions_holm": p}
        return row.model_copy(update={"measure": measure, "difference": (low + high) / 2, "tier": "all", **change})

    some = [of("unclear", -1, 1), of("maybe", 0.1, 0.9, 0.2), of("a", 0.3, 0.9), of("b", -0.9, -0.3), of("dim", -1, 1)]
    (said,) = verdicts(groups, some)
    a, b, maybe, unclear = said.lines
    assert (a, b) == (
        "a +0.60 (95 % for these questions +0.30 to +0.90)",
        "b -0.60 (95 % for these questions -0.90 to -0.30)",
    )
    assert maybe.startswith("perhaps maybe +0.50 (")
    assert unclear == "not enough data on unclear (+0.00) and dim (+0.00)"
    (many,) = verdicts(groups, [of(f"m{n}", 0.3, 0.9) for n in range(MAX_NUMBERS)] + [of("x", 0.1, 0.9, 0.2)])
    assert many.lines[MAX_NUMBERS:] == ["x (+0.50) too, or perhaps"]
