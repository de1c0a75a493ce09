from tasks.estimates.wording import alike, number


def test_what_sums_leave_of_nothing_is_shown_as_nothing():
    assert (number(-4.4e-16, "+"), number(4.4e-16), number(0.0004, "+")) == ("+0.00", "0.00", "+0.0004")


def test_numbers_beside_each_other_have_as_many_digits_as_the_smallest_needs():
    assert alike(0.25, 0.1, sign="+") == ["+0.25", "+0.10"]
    assert alike(0.0048, 0.1, None) == ["0.005", "0.100", ""]
    assert alike(1.5, 0.0002, 0) == ["1.5000", "0.0002", "0.0000"]
    assert alike(-4.4e-16, 2) == ["0.00", "2.00"]
