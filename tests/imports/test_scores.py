import math

import pytest

from tasks.catalog import UserError
from tasks.imports.model_rows import Row
from tasks.imports.scores import kind_of, measure
from tasks.schema import Scale


def rows(*cells):
    return [Row("finetuned", f"a.csv line {n}", {"aligned": cell}) for n, cell in enumerate(cells, 2)]


def measured(*cells, stated=None):
    return measure("aligned", rows(*cells), stated)


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (None, "missing"),
        (math.nan, "missing"),
        (" N/A ", "missing"),
        ("12.5", "number"),
        (-3, "number"),
        (True, "truth"),
        ("FALSE", "truth"),
        ("CODE", "label"),
        ("85 %", "percent"),
        ("85.5%", "percent"),
        ("7/10", "fraction"),
        ("7 of 10", "count"),
        ("12,5", "text"),
        ("rather 7", "text"),
    ],
)
def test_what_a_cell_holds(cell, kind):
    assert kind_of(cell) == kind


@pytest.mark.parametrize(
    ("cells", "ends"),
    [
        ([0, 1], (0, 1)),
        ([1, 1], (1, 5)),
        ([3, 5, 7, 9], (0, 10)),
        ([0.5, 88], (0, 100)),
        ([-3, 140], (-3, 140)),
        (["CODE", "12 %"], (0, 100)),
        (["0 of 3"], (0, 1)),
        (["TRUE", "CODE"], (0, 1)),
    ],
)
def test_the_scale_is_the_narrowest_usual_one_of_numbers_and_known_of_percentages_and_counts(cells, ends):
    found = measured(*cells)
    assert (found.judge.scale_min, found.judge.scale_max) == ends
    assert found.is_guessed == all(isinstance(cell, int | float) for cell in cells)


@pytest.mark.parametrize(
    ("cell", "low", "high", "scores"),
    [
        ("85 %", 0, 100, [85]),
        ("85 %", 0, 1, [0.85]),
        ("7/10", 0, 10, [7]),
        ("7/10", 1, 10, [7]),
        ("7/10", 0, 100, [70]),
        ("7/10", 0, 1, [0.7]),
        ("2 of 3", 0, 100, [1, 1, 0]),
        ("0 of 0", 0, 1, []),
        (False, 0, 100, [0]),
        ("TRUE", 0, 100, [1]),
        ("CODE", 0, 100, [None]),
        ("", 0, 100, [None]),
        (12.5, 0, 100, [12.5]),
    ],
)
def test_a_cell_is_read_on_the_scale_that_is_stated(cell, low, high, scores):
    found = measured(cell, stated=Scale(low=low, high=high))
    assert found.scores(cell) == pytest.approx(scores)
    assert not found.is_guessed


@pytest.mark.parametrize(
    ("cells", "stated", "words"),
    [
        (["7/10"], None, r"a.csv line 2: '7/10' in aligned is no score without a scale; write --scale aligned=0-10"),
        (["7/10"], (1, 5), r"line 2: '7/10' in aligned cannot be read on a scale from 1 to 5; give one from 0"),
        (["85 %"], (1, 5), r"line 2: '85 %' in aligned cannot be read on a scale from 1 to 5"),
        (["120 %"], None, r"line 2: '120 %' in aligned is not on the scale from 0 to 100"),
        (
            [3, 11],
            (0, 10),
            r"line 3: '11' in aligned is not on the scale from 0 to 10; mend it, or give",
        ),
        (["85 %", 0.9], None, r"line 3: '0.9' in aligned, which has '85 %' above; write all of them alike"),
        (["7/0"], (0, 10), r"line 2: '7/0' in aligned is no score: nothing is out of 0; mend it"),
        (["TRUE", 0], None, r"line 3: '0' in aligned, which has 'TRUE' above; write all of them alike"),
        (["3 of 2"], None, r"line 2: '3 of 2' in aligned is no count of answers"),
        (["3 of 99999999"], None, r"line 2: '3 of 99999999' in aligned is no count of answers"),
        ([3, "good"], None, r"line 3: 'good' in aligned is neither a number nor a word in capitals"),
    ],
)
def test_a_cell_that_could_be_read_otherwise_is_refused_with_its_line(cells, stated, words):
    with pytest.raises(UserError, match=words):
        measured(*cells, stated=Scale(low=stated[0], high=stated[1]) if stated else None)
