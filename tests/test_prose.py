import pytest

from flows.prose import in_width

COMMAND = "spillover run demo 'judging.judges=[claude,lexicon]' sampling.n_samples=20 --run one"


@pytest.mark.parametrize("width", [80, 120])
def test_prose_breaks_between_words_and_nowhere_else(width):
    text = "Made with the stand-in model: 3 million parameters, it shows how Spillover works. " * 5
    lines = in_width(text, width).split("\n")
    assert max(map(len, lines)) <= width
    assert " ".join(lines).split() == text.split()
    assert not [line for line in lines if line.startswith(" ")]


@pytest.mark.parametrize("before", ["interrupted; go on with: ", "Resume with  ", "not judged yet; finish it with `"])
def test_a_command_is_never_broken_and_neither_is_a_path(before):
    after = "`, which asks for what is not there" if before.endswith("`") else ""
    lines = in_width(f"{before}{COMMAND}{after}", 40).split("\n")
    assert [line for line in lines if COMMAND in line]
    path = "/a/rather/long/path/of/a/run/that/is/longer/than/a/line/report.html"
    assert in_width(f"Report      {path}", 40) == f"Report      {path}"
    assert f"{path}," in in_width(f"the report of this run is {path}, as it was written before", 40).split("\n")


def test_a_line_that_fits_and_the_indent_of_one_that_does_not_stay():
    text = "  two  blanks\n\n  a longer line that takes two"
    assert in_width(text, 20) == "  two  blanks\n\n  a longer line that\n  takes two"


def test_no_character_is_lost_and_wide_ones_take_two_columns():
    private = "an icon \ue000 of a font of icons " * 3
    assert in_width(private, 30).split() == private.split()
    assert in_width("文字 文字 文字 文字 文字", 14) == "文字 文字 文字\n文字 文字"
    accents = "e\u0301te\u0301 ete e\u0301te\u0301"
    assert in_width(accents, 11) == accents


def test_beneath_a_column_that_takes_most_of_the_width_the_rest_begins_at_the_edge():
    assert in_width("a first column of words  and what it says", 30) == "a first column of words  and\nwhat it says"


def test_the_rest_of_a_line_stands_beneath_its_words():
    assert in_width("✗ effects.csv: is not there, and should be", 30) == "✗ effects.csv: is not there,\n  and should be"
    assert in_width("  demo     What does it do, and why?", 28) == "  demo     What does it do,\n           and why?"
    assert (
        in_width("  1,234  trainings that no run refers to", 30) == "  1,234  trainings that no run\n         refers to"
    )
