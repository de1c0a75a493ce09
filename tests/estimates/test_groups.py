import pytest

from tasks.catalog import UserError
from tasks.estimates.comparison import compare
from tasks.estimates.groups import grouped
from tasks.schema import Rule
from tests.estimates.conftest import AFTER


def test_what_cannot_be_pooled_is_refused_with_a_remedy(make_run):
    first, second = make_run(0, AFTER[0]), make_run(1, AFTER[1], rank=4)
    with pytest.raises(UserError, match="have different definitions and cannot be pooled as 'a'; give each a label"):
        grouped([[first], [second]], ["a", "a"])
    with pytest.raises(UserError, match="--labels: 1 labels for 2 runs"):
        grouped([[first], [second]], ["a"])
    twin = make_run(0, AFTER[2], experiment="y")
    twin.definition.write_text(first.definition.read_text())
    with pytest.raises(UserError, match="have both the seed 0"):
        grouped([[first], [twin]], ["a", "a"])


@pytest.mark.parametrize("label", ["a\x1b]0;PWN\x07", "a\x0b", "a\u202eb", "a\nb", "a\tb", "\ufffe", "a\x00"])
def test_a_label_that_cannot_be_seen_is_refused_in_a_sentence(make_run, label):
    runs = [[make_run(0, AFTER[0])], [make_run(0, AFTER[1], experiment="y")]]
    with pytest.raises(UserError) as refused:
        grouped(runs, [label, "b"])
    assert str(refused.value).startswith(f"--labels: {label!r} has a character that cannot be seen")
    assert str(refused.value).isprintable()


def test_two_rules_of_one_name_are_not_set_side_by_side(make_run):
    first = make_run(0, AFTER[0], rules=[Rule(name="r", hit="j >= 3")])
    second = make_run(0, AFTER[1], experiment="y", rules=[Rule(name="r", hit="j >= 4")])
    with pytest.raises(UserError, match=r"have different rules 'r' \(j >= 3; j >= 4\)"):
        grouped([[first], [second]], [])
    third = make_run(1, AFTER[1])
    with pytest.raises(UserError, match="have not the same rules and cannot be pooled"):
        grouped([[first], [third]], ["a", "a"])


def test_doses_go_with_the_groups_and_are_refused_where_their_number_is_another(make_run):
    runs = [[make_run(0, AFTER[0])], [make_run(0, AFTER[1], experiment="y")]]
    rows = compare(grouped(runs, [], [0.0, 0.5]))
    assert {(row.label, row.dose) for row in rows} == {("x", 0.0), ("y", 0.5)}
    with pytest.raises(UserError, match=r"--doses: 3 numbers for 2 groups of runs \(x, y\)"):
        grouped(runs, [], [0, 1, 2])
