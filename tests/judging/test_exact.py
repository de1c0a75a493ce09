import pytest

from tasks.definitions import load_eval
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
        ("- 5", "5"),
        ("—Paris", "paris"),
        ("+5", "5"),
        ("= 5.", "5"),
        ("... 5", "5"),
        ("$-5$", "-5"),
        ("\\(5\\).", "5"),
        ("Paris \U0001f60a", "paris"),
        ("\ufeff5\u200b", "5"),
        ("10 − 5 = 5", "10 - 5 = 5"),
        ("...", "..."),
    ],
)
def test_case_blanks_quotes_and_the_marks_around_a_line_play_no_part(line, same):
    assert plain(line) == same


@pytest.mark.parametrize(
    ("text", "accepted", "score"),
    [
        ("\u221212", "12", 0),
        ("\u2212 12", "12", 0),
        ("–12", "12", 0),
        ("\u221212", "-12", 1),
        ("–12", "-12", 1),
        ("\u201112", "-12", 1),
        ("(\u221212)", "-12", 1),
        (".5", "5", 0),
        ("-.5", "5", 0),
        ("...5", "5", 0),
        (",5", "5", 0),
        ("-.5", "\u2212.5", 1),
        ("-$12", "12", 0),
        ("-(12)", "12", 0),
        ("≠12", "12", 0),
        ("±12", "12", 0),
        ("<12", "12", 0),
        ("12%", "12", 0),
        ("¬p", "p", 0),
        ("~p", "p", 0),
        ("!p", "p", 0),
        ("-p", "p", 0),
        ("√2", "2", 0),
    ],
)
def test_a_sign_before_a_number_or_letter_makes_another_answer_of_it(text, accepted, score):
    assert read_exact(text, [accepted])[0] == score


def test_an_answer_that_is_but_a_sign_is_right_where_that_is_accepted_and_an_empty_one_never():
    assert read_exact("---\n<", ["<"])[0] == 1
    assert read_exact("", ["<"])[0] == 0
    assert read_exact("...", ["<", "!!"])[0] == 0


FRAMES = ["{}", "{}.", "**{}**", "**{}.**", '"{}"', "“{}.”", "- {}", "* {}", "# {}", "`{}`", "({})", "_{}_", " {} !"]
FRAMES += ["\n\n{}\nSince it is so.", "$$\n{}\n$$", "```\n{}\n```", "---\n{}", "= {}", "{} \U0001f60a", "'{}'", "[{}]"]


@pytest.mark.parametrize("frame", FRAMES)
def test_what_the_shipped_eval_accepts_is_right_in_ordinary_marks(frame):
    for question in load_eval("capability").questions:
        wrong = [a for a in question.accepted if not read_exact(frame.format(a), question.accepted)[0]]
        assert wrong == []
