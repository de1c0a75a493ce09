import html
import random
import sys
import unicodedata

from markdown_it import MarkdownIt

from tasks.visible import in_markdown, visible

WRITING = {*map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, 0x200C, 0x200D])}
"""Signs that Unicode calls controls and that are written: Arabic and Kaithi marks, and joiners."""


def test_a_sequence_that_a_terminal_obeys_is_spelled_out():
    assert visible("\x1b]0;title\x07") == r"\x1b]0;title\x07"
    assert visible("\u202egpj.exe\u2066\x9b31m\u200f") == r"\u202egpj.exe\u2066\x9b31m\u200f"
    assert visible("safe\rforged") == r"safe\rforged"
    assert visible("none \ufffe\uffff") == r"none \ufffe\uffff"
    assert visible("half \ud83d, tag \U000e0041") == r"half \ud83d, tag \U000e0041"


def test_every_control_of_unicode_is_spelled_out_and_nothing_that_is_written():
    for character in map(chr, range(sys.maxunicode + 1)):
        is_control = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in WRITING
        if is_control and character not in "\t\n":
            assert visible(character).isascii(), hex(ord(character))
            assert visible(character).isprintable(), hex(ord(character))
        elif unicodedata.category(character) != "Cn":
            assert visible(character) == character, hex(ord(character))


def test_text_stays_as_it_is():
    for text in ("a\tb\nc\r\nd", "نمی‌خواهم", "👩‍👩‍👧 über 東京", r"a \x1b that was written so", ""):
        assert visible(text) == text
        assert visible(visible(text + "\x1b")) == visible(text + "\x1b")


def test_a_page_of_markdown_shows_a_text_as_it_is():
    """CommonMark's own reading of it, beside the text with nothing but HTML's signs escaped."""
    reader, dice = MarkdownIt("commonmark").enable(["table", "strikethrough"]), random.Random(0)
    texts = [
        "![x](http://127.0.0.1/t.png)",
        "<img src=x onerror=alert(1)>",
        "a | b",
        "# no title",
        "very_distant",
        "_a_",
    ]
    texts += ["".join(dice.choices("\\`*_[]()<>#!|~&;a1 :/\"'\x1b", k=dice.randint(1, 12))) for _ in range(2_000)]
    for text in texts:
        as_it_is = " ".join(visible(text).split())
        assert html.unescape(reader.renderInline(in_markdown(text))) == as_it_is
        assert "<" not in reader.renderInline(in_markdown(text))
    assert reader.render(in_markdown("# no title")) == "<p># no title</p>\n"
    assert "<td>a | b</td>" in reader.render(f"| x |\n|---|\n| {in_markdown('a | b')} |")
