r"""Text from outside (a model, a judge, a file, a service) made harmless for a terminal, a log or a page in Markdown.

visible("\x1b]0;title\x07")             # \x1b]0;title\x07 spelled out, so that no terminal carries it out
in_markdown("![](http://somewhere)")    # !\[\](http://somewhere), so that no page loads it
"""

import re

HIDDEN = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls but for tab and line ends
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"  # order, width
    "\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""Control characters and invisible ones; not the joiners U+200C and U+200D, which Persian, Hindi and emoji need."""
MARKUP = re.compile(r"[\\`*\[\]<>|~&]|^#|(?<![^\W_])_|_(?![^\W_])")
"""Characters that mean something in Markdown; an underscore within a word means nothing."""


def visible(text: str) -> str:
    r"""The text with its control characters and its invisible ones spelled out, as \x1b or \u202e."""
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def in_markdown(text: str) -> str:
    """The text on one line, escaped so that Markdown shows it as it is."""
    return MARKUP.sub(r"\\\g<0>", " ".join(visible(text).split()))
