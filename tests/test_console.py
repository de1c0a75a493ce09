import io

from flows.console import Terminal

PROSE = "It shows how Spillover works and says nothing about real language models, nor about anything else there is."


def shown(**options):
    out = io.StringIO()
    Terminal(file=out, width=80, **options).print(PROSE)
    return out.getvalue()


def test_a_terminal_gets_prose_that_breaks_between_words_and_a_file_its_lines_as_they_are():
    assert shown(force_terminal=True).splitlines() == [PROSE[:77], PROSE[78:]]
    assert shown() == f"{PROSE}\n"
