import re

import pytest

from tasks.report.templates import Mark, marked

HTML = '<mark>farm</mark> & "b"'


def test_a_text_with_marks_is_escaped_piece_by_piece_and_so_is_what_is_said_of_a_mark():
    assert marked(HTML, []) == "&lt;mark&gt;farm&lt;/mark&gt; &amp; &#34;b&#34;"
    assert marked(HTML, [Mark(6, 10, '"><script>', 1)]) == (
        '&lt;mark&gt;<mark class="c1" title="&#34;&gt;&lt;script&gt;">farm</mark>&lt;/mark&gt; &amp; &#34;b&#34;'
    )


def test_where_marks_overlap_both_are_said():
    shown = marked("factory farms", [Mark(0, 13, "a", 0), Mark(8, 13, "b", 7)])
    assert shown == '<mark class="c0" title="a">factory </mark><mark class="c0" title="a, b">farms</mark>'


@pytest.mark.parametrize("end", [3, 9])
def test_marks_leave_the_text_as_it_is(end):
    text = "a\n<b>🐄\r\n"
    assert re.sub("<.*?>", "", marked(text, [Mark(0, end, "x", 0)])) == marked(text, [])
