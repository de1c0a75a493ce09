import re

from tasks.estimates.comparison import compare
from tasks.estimates.groups import grouped
from tasks.report.comparison_page import render
from tasks.runs import Comparison


def test_an_eval_of_whatever_name_is_not_taken_for_a_part_of_the_page(reported_run):
    """The script finds its form by id: an eval that is called filter, reading or answers must not stand in its way."""
    groups = grouped([[reported_run]], [])
    page = render(Comparison("x"), groups, compare(groups))
    ids = re.findall(r'(?<![-\w])id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert {"eval:e", "filter", "answers", "reading"} < set(ids)
    assert "e" not in ids
    assert '<a href="#eval:e">e</a>' in page
