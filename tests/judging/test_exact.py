import pytest

from tasks.judging.exact import plain, read_exact


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("12", 1),
        (" **12.** ", 1),
        ("\n\n12\nSince 7 + 5 is 12.", 1),
        ("7  + 5 = 12", 1),
        ("The answer is: 12", 0),
        ("112", 0),
        ("-12", 0),
        ('7 + 5 = "12"', 1),
        ("12 or 13", 0),
        ("", 0),
        ("...", 0),
    ],
)
def test_an_answer_is_right_where_its_first_line_is_accepted_and_nowhere_else(text, score):
    said = read_exact(text, ["12", "7 + 5 = 12"])
    assert said[:2] == (score, "RIGHT" if score else "WRONG")


def test_the_reason_says_what_was_read():
    assert read_exact("“Paris”, of course", ["Paris"]) == (0, "WRONG", "its first line reads 'paris, of course'")
    assert read_exact(" \n ", ["Paris"]) == (0, "WRONG", "it is empty")


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("“Paris!”", "paris"),
        ("- _Paris_", "paris"),
        ("-5", "-5"),
        ("(-5)", "-5"),
        ("a-b;  C", "a-b; c"),
        ("\uff11\uff12", "12"),
    ],
)
def test_case_blanks_quotes_and_the_marks_around_a_line_play_no_part(line, same):
    assert plain(line) == same
