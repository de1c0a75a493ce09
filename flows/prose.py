"""Prose for people: it breaks between words where a terminal is too narrow, and what is copied from it stays whole."""

import re

from rich.cells import cell_len

COMMAND = re.compile(r"`[^`]+`|(?:(?<=: )|(?<=  ))spillover [a-z].*")
"""In backquotes, or at the end of a line behind a colon or two blanks."""
BLANK = "\0"
"""Instead of a blank within a command: `visible` leaves no such character in any text."""
WORD = re.compile(r"( *)([^ ]+)")
LEAD = re.compile(r" *([-–✓✗] |\S.{0,30}?\s{2,}|)")
"""What the rest of a line stands behind: its indent, with a mark or a first column."""


def in_width(text: str, width: int) -> str:
    """The text, in which nothing is hidden (tasks.visible), in lines of at most `width` columns of a terminal.

    A path or a command that is longer stays whole.
    A line that fits stays as it is; of one that does not the rest stands beneath its words, not beneath its mark.
    """
    return "\n".join(_in_width(line, width) for line in text.split("\n"))


def _in_width(line: str, width: int) -> str:
    whole = COMMAND.sub(lambda command: command[0].replace(" ", BLANK), line)
    lead = LEAD.match(whole)
    indent = len(lead[0]) if lead else 0
    if cell_len(line) <= width or " " not in whole[indent:].strip():
        return line
    lines, beneath = [whole[:indent]], " " * (indent if indent <= width / 2 else 0)
    for blanks, word in WORD.findall(whole, indent):
        if not lines[-1].strip() or cell_len(lines[-1] + blanks + word) <= width:
            lines[-1] += blanks + word
        else:
            lines.append(beneath + word)
    return "\n".join(line.rstrip(" ") for line in lines).replace(BLANK, " ")
