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


def test_the_verdict_is_a_list_behind_what_is_compared(reported_run):
    groups = grouped([[reported_run]], ["<i>one</i>"])
    page = render(Comparison("x"), groups, compare(groups))
    lines = re.findall(r'<div class="headline">\s*<p>&lt;i&gt;one&lt;/i&gt;:</p><ul><li>(.*?)</li></ul>', page)
    assert len(lines) == 1
    assert page.index('class="headline"') < page.index("<nav>")


def test_an_interval_that_is_approximate_is_called_so_in_each_table_of_the_page(reported_run):
    groups = grouped([[reported_run]], [])
    limits = {"ci_low_new_questions": -0.1, "ci_high_new_questions": 0.4, "note_new_questions": "approximate: few"}
    rows = [row.model_copy(update=limits) for row in compare(groups)]
    page = render(Comparison("x"), groups, rows)
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert [table.count("+0.40") > 0 for table in tables if "new questions" in table] == [True, True]
    assert all(table.count("approximate: few") == table.count("+0.40") for table in tables)
