r"""Text of others - a model, a judge, a file, a service - made harmless for what shows it.

visible("\x1b]0;title\x07")             # \x1b]0;title\x07, spelled out: a terminal or a log obeys nothing in it
in_markdown("![](http://somewhere)")    # !\[\](http://somewhere): a page shows it and loads nothing
"""

import re

HIDDEN = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls but for tab and line ends
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"  # order, width
    "\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""What a terminal obeys or nobody sees. The joiners of Persian, Hindi and emoji (U+200C, U+200D) are writing."""
MARKUP = re.compile(r"[\\`*\[\]<>|~&]|^#|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads; an underscore within a word is one."""


def visible(text: str) -> str:
    r"""The text with its control characters and its invisible ones spelled out, as \x1b or \u202e."""
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def in_markdown(text: str) -> str:
    """The text on one line, to stand in Markdown as it is."""
    return MARKUP.sub(r"\\\g<0>", " ".join(visible(text).split()))
