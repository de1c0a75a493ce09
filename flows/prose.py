"""Prose for people: it breaks between words where a terminal is too narrow, and what is copied from it stays whole."""

import re
from textwrap import wrap

COMMAND = re.compile(r"`[^`]+`|(?:(?<=: )|(?<=  ))spillover [a-z].*")
"""In backquotes, or at the end of a line behind a colon or two blanks."""
BLANK = "\ue000"
"""Instead of a blank within a command: no word has this character."""


def in_width(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, but for a path or a command that is longer.

    A line that fits stays as it is; the rest of one that does not is indented as it is.
    """
    return "\n".join(_in_width(line, width) for line in text.split("\n"))


def _in_width(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    whole = COMMAND.sub(lambda command: command[0].replace(" ", BLANK), line)
    indent = line[: len(line) - len(line.lstrip(" "))]
    lines = wrap(
        whole,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "\n".join(lines).replace(BLANK, " ")
