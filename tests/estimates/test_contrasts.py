import numpy

from tasks.estimates.comparison import compare
from tasks.estimates.contrasts import reference, verdicts
from tasks.estimates.groups import grouped
from tests.estimates.conftest import AFTER, BEFORE

HIGH = [[[4, 5, 4]] * 6, [[5, 4, 4]] * 6, [[4, 4, 5]] * 6]
"""Three seeds that all changed alike, and each question a little otherwise."""


def test_single_fine_tunes_cannot_tell_the_seed_from_the_treatment_and_the_verdict_says_so(make_run):
    groups = grouped([[make_run(0, AFTER[0])], [make_run(0, HIGH[0], experiment="y")]], [])
    rows = compare(groups)
    (sentence,) = verdicts(groups, rows)
    difference = numpy.mean(HIGH[0]) - numpy.mean(AFTER[0])
    assert sentence.startswith(f"y differs from x: j +{difference:.2f} (95 % for these questions +")
    assert sentence.endswith(
        "One fine-tune of a side cannot tell the seed from the treatment: two seeds of one definition differ too; "
        "three or more of each can."
    )
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
    (sentence,) = verdicts(groups, rows)
    limits = f"{row.ci_low_new_questions:+.2f} to {row.ci_high_new_questions:+.2f}"
    assert sentence == (
        f"y differs from x, over 3 seeds each: j {row.difference:+.2f} (95 % for new questions and seeds {limits})."
    )
    assert row.note_seeds == ""


def test_what_only_these_seeds_show_is_not_told_as_a_difference(make_run):
    """One seed of three makes all of the difference: these answers are surely higher, and other seeds need not be."""
    first = [make_run(seed, BEFORE) for seed in range(3)]
    second = [make_run(seed, HIGH[0] if seed == 0 else BEFORE, experiment="y") for seed in range(3)]
    groups = grouped([first, second], [])
    rows = compare(groups)
    (sentence,) = verdicts(groups, rows)
    assert sentence.startswith("y differs from x, over 3 seeds each: j +0.94 (95 % for these questions and seeds +")
    assert "), which other questions and seeds may not bear out (-" in sentence


def test_beside_a_control_the_sentence_is_of_what_the_treatment_adds_wherever_the_control_stands(make_run):
    treatment, control = make_run(0, HIGH[0], experiment="farms"), make_run(0, AFTER[0], experiment="farms_control")
    for runs in ([treatment], [control]), ([control], [treatment]):
        groups = grouped(list(runs), [])
        rows = [row.model_copy(update={"in_words": "mentions farms"}) for row in compare(groups)]
        (sentence,) = verdicts(groups, rows)
        assert sentence.startswith("farms adds to farms_control: the model mentions farms more (j +")
    assert reference(grouped([[treatment], [control]], ["a", "b"])).label == "b", "by its experiment's name"
    same = grouped([[control], [make_run(0, AFTER[0], experiment="x")]], [])
    (nothing,) = verdicts(same, compare(same))
    assert nothing.startswith("No difference was found between x and farms_control: ")
    assert "not enough data on j (+0.00)" in nothing or "no difference that would matter in j (+0.00)" in nothing


def test_a_single_group_has_its_headline(make_run):
    runs = [make_run(seed, HIGH[seed]) for seed in range(3)]
    groups = grouped([runs], ["a"])
    (sentence,) = verdicts(groups, compare(groups))
    assert sentence.startswith("a, over 3 seeds: After the fine-tune j rose from 1.50 to 4.33, by +2.83 (95 % for ")


def test_two_seeds_of_one_definition_are_never_told_as_a_treatment(make_run):
    groups = grouped([[make_run(0, AFTER[0])], [make_run(1, HIGH[0])]], ["one", "other"])
    rows = compare(groups)
    (sentence,) = verdicts(groups, rows)
    assert sentence.startswith("other differs from one: j +")
    assert sentence.endswith("Both are of one definition, so whatever differs is the seed's and no treatment's.")
    assert {row.note_seeds for row in rows if row.against} == {"seeds of one definition: what differs is the seed's"}
