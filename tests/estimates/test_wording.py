from tasks.estimates.wording import number


def test_what_sums_leave_of_nothing_is_shown_as_nothing():
    assert (number(-4.4e-16, "+"), number(4.4e-16), number(0.0004, "+")) == ("+0.00", "0.00", "+0.0004")
