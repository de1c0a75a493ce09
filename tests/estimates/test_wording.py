from tasks.estimates.wording import alike, beside, number, span


def test_what_sums_leave_of_nothing_is_shown_as_nothing():
    assert (number(-4.4e-16, "+"), number(4.4e-16), number(0.0004, "+")) == ("+0.00", "0.00", "+0.0004")


def test_numbers_beside_each_other_have_as_many_digits_as_the_smallest_needs():
    assert alike(0.25, 0.1, sign="+") == ["+0.25", "+0.10"]
    assert alike(0.0048, 0.1, None) == ["0.005", "0.100", ""]
    assert alike(1.5, 0.0002, 0) == ["1.5000", "0.0002", "0.0000"]
    assert alike(-4.4e-16, 2) == ["0.00", "2.00"]


def test_an_interval_is_not_written_as_of_width_zero():
    assert span(0.0051, 0.0149) == "+0.005 to +0.015"
    assert span(0.006, 0.0098) == "+0.006 to +0.010"
    assert span(0.0048, 0.0052) == "+0.0048 to +0.0052"
    assert span(0.012, 0.012) == "+0.01 to +0.01", "of width zero"
    assert span(0.01, 0.3) == "+0.01 to +0.30"


def test_an_estimate_has_the_digits_of_the_limits_beside_it_where_these_need_more():
    assert beside(0.0102, 0.0051, 0.0149) == "+0.010"
    assert beside(0.0102, 0.0, 0.02) == "+0.01"
    assert beside(0.0032, -0.02, 0.03) == "+0.0032", "as without limits"
    assert (beside(None, 0.1, 0.2), beside(0.1, None, None)) == ("", "+0.10")


def test_means_that_differ_are_not_written_alike():
    assert alike(0.0121, 0.0089) == ["0.012", "0.009"]
    assert alike(0.0012, 0.0089) == ["0.001", "0.009"]
    assert alike(0.01, 0.01) == ["0.01", "0.01"]
    assert alike(0.0, 0.01) == ["0.00", "0.01"]
    assert alike(0.012, 0.008, 0.3) == ["0.01", "0.01", "0.30"]
    assert alike(None, None) == ["", ""]
