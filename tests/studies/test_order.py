from tasks.studies.order import by_similarity


def test_rows_that_are_alike_stand_side_by_side():
    rows = [[3.0, 0.1], [-3.0, 0.0], [2.9, 0.0], [-2.8, 0.1], [0.0, 0.0]]
    found = by_similarity(rows)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert abs(found.index(0) - found.index(2)) == 1
    assert abs(found.index(1) - found.index(3)) == 1
    assert found.index(4) == 2


def test_the_first_row_stands_in_the_first_half_so_that_the_order_has_one_direction():
    rows = [[float(n)] for n in range(6)]
    assert by_similarity(rows) == [0, 1, 2, 3, 4, 5]
    assert by_similarity(rows[::-1]) == [0, 1, 2, 3, 4, 5]


def test_fewer_than_three_rows_stay_as_they_are():
    assert by_similarity([[1.0], [0.0]]) == [0, 1]
    assert by_similarity([[]] * 4) == [0, 1, 2, 3]
