"""Prose for people: it breaks between words where a terminal is too narrow, and what is copied from it stays whole."""

import re
from textwrap import wrap

COMMAND = re.compile(r"`[^`]+`|(?:(?<=: )|(?<=  ))spillover [a-z].*")
"""In backquotes, or at the end of a line behind a colon or two blanks."""
BLANK = "\ue000"
"""Instead of a blank within a command: no word has this character."""
LEAD = re.compile(r" *([-–✓✗] |\S.{0,30}?\s{2,}|)")
"""What the rest of a line stands behind: its indent, with a mark or a first column."""


def in_width(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, but for a path or a command that is longer.

    A line that fits stays as it is; of one that does not the rest stands beneath its words, not beneath its mark.
    """
    return "\n".join(_in_width(line, width) for line in text.split("\n"))


def _in_width(line: str, width: int) -> str:
    whole = COMMAND.sub(lambda command: command[0].replace(" ", BLANK), line)
    lead = LEAD.match(whole)
    indent = len(lead[0]) if lead else 0
    if len(line) <= width or " " not in whole[indent:].strip():
        return line
    lines = wrap(
        whole,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "\n".join(lines).replace(BLANK, " ")
