import json
import re
import sys
from xml.etree import ElementTree

import altair
import polars
import psutil
import pypdf
import pytest

from tasks.report import pictures
from tasks.report.effect_charts import effects_by_tier, matrix
from tasks.report.rendering import Helper, join_pdfs, same_helpers, saving
from tasks.report.templates import Script
from tasks.visible import visible
from tests.fakes.two_judges import two_judge_effects, two_judge_eval


def with_texts(text):
    evaluation = two_judge_eval()
    asked = [question.model_copy(update={"text": text + question.text}) for question in evaluation.questions]
    return evaluation.model_copy(update={"questions": asked})


def test_a_chart_runs_no_script_but_its_own_whatever_a_question_says(tmp_path):
    evaluation, effects = with_texts("</script><script>alert(1)</script><!--<script>"), two_judge_effects()
    with saving() as save:
        save(effects_by_tier(effects, evaluation), tmp_path / "effects_e", effects)
        save(matrix(effects, ["measure"]), tmp_path / "matrix", effects)
    pages = [(tmp_path / f"{name}.html").read_text() for name in ("effects_e", "matrix")]
    scripts = [re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL) for page in pages]
    (_, spec), (_, drawing) = scripts[0]
    assert "<" not in spec
    texts = {row["text"] for row in json.loads(spec)["datasets"].popitem()[1]}
    assert texts == {None, *(question.text for question in evaluation.questions)}
    assert scripts[1][1] == ("", drawing), "the same script in all of them"
    policies = {re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[0] for page in pages}
    assert policies == {
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{Script.of(drawing).csp_source}'"
    }


REFUSED = "".join(map(chr, [*range(9), 11, 12, *range(14, 32), 127, 0x9B, 0xFFFE, 0xFFFF]))
"""What XML cannot hold, and what a terminal obeys."""


@pytest.mark.parametrize("odd", ["\x0b", "\x1b]0;title\x07", "\r", REFUSED])
def test_a_control_character_is_drawn_as_what_it_is(tmp_path, odd):
    named = [polars.col(name) + polars.lit(odd) for name in ("tier", "measure")]
    effects = two_judge_effects().with_columns(named)
    chart = effects_by_tier(effects, with_texts(f"Why{odd}?"))
    with saving() as save:
        save(chart.properties(title=f"Title{odd}"), tmp_path / "effects", effects.head(0))
    drawn = "".join(ElementTree.fromstring((tmp_path / "effects.svg").read_text()).itertext())
    for text in (f"close{odd}", f"aligned{odd} (score, 0 to 100)", f"Title{odd}"):
        assert visible(text)[:20] in drawn
    assert json.dumps(visible(f"Why{odd}?"))[1:-1] in (tmp_path / "effects.html").read_text()


def test_the_table_of_a_chart_keeps_a_text_as_it_is(tmp_path):
    table = polars.DataFrame({"dose": [1.0], "question": ["from\x0ba page"]})
    with saving(only_svg=True) as save:
        save(altair.Chart(table).mark_point().encode(x="dose:Q", y="question:N"), tmp_path / "x", table)
    assert (tmp_path / "x.csv").read_bytes() == b'"dose","question"\r\n1.0,"from\x0ba page"\r\n'
    assert r"from\x0ba page" in (tmp_path / "x.svg").read_text()


class NoChart:
    def to_dict(self, validate):
        return {"mark": "none of Vega-Lite's"}


def test_a_picture_that_cannot_be_made_is_named(tmp_path):
    def save_all(*names):
        with saving() as save:
            for name in names:
                save(NoChart(), tmp_path / name, polars.DataFrame({"dose": [1.0]}))

    with pytest.raises(RuntimeError, match=r"odd: no SVG, .* ended with 1"):
        save_all("odd", "next")


def test_what_cannot_be_printed_is_named_each_time(tmp_path):
    printing = Helper(pictures.PRINTING)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^odd: no PNG, since the process .* ended with 1$"):
            printing.ask(b"no picture", "odd: no PNG")
    assert printing.ask(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "")[1][:4] == b"%PDF"
    printing.close()


def helpers_of_this_process():
    """The processes that make pictures; others may run beside."""
    going = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in going if pictures.__file__ in child.cmdline()]


def test_a_helper_that_has_ended_meanwhile_is_begun_anew_and_one_that_hangs_is_ended(monkeypatch):
    drawing, one = Helper(pictures.PRINTING), b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    whole = drawing.ask(one, "one")
    (running,) = helpers_of_this_process()
    running.kill()
    running.wait(10)
    assert drawing.ask(one, "two") == whole
    monkeypatch.setattr("tasks.report.rendering.LONGEST_DRAWING", 0.5)
    (running,) = helpers_of_this_process()
    running.suspend()
    with pytest.raises(RuntimeError, match=r"^three, since the process .* ended with -9$"):
        drawing.ask(one, "three")
    drawing.close()


def test_half_an_answer_is_none_and_the_next_request_is_not_answered_with_its_rest():
    says = "import sys; sys.stdin.buffer.readline(); sys.stdout.write('1000 1000\\n' + 'x' * 300)"
    half = Helper([sys.executable, "-c", says])
    for name in ("one", "two"):
        with pytest.raises(RuntimeError, match=rf"^{name}, since the process that makes them ended with 0$"):
            half.ask(b"", name)
    half.close()


def test_charts_of_many_runs_are_made_by_the_same_two_processes(tmp_path):
    table = polars.DataFrame({"dose": [1.0]})
    chart, seen = altair.Chart(table).mark_point().encode(x="dose:Q"), set()
    with same_helpers():
        for name in ("one", "two"):
            with saving() as save:
                save(chart, tmp_path / name, table)
            assert (tmp_path / f"{name}.pdf").is_file(), "at the end of the inner block"
            seen |= {helper.pid for helper in helpers_of_this_process()}
    assert len(seen) == 2
    assert not helpers_of_this_process()


def test_a_chart_that_cannot_be_drawn_spoils_none_of_another_run(tmp_path):
    table = polars.DataFrame({"dose": [1.0]})
    with same_helpers():
        with pytest.raises(RuntimeError, match="odd: no SVG"), saving() as save:
            save(NoChart(), tmp_path / "odd", table)
        with saving() as save:
            save(altair.Chart(table).mark_point().encode(x="dose:Q"), tmp_path / "good", table)
    assert (tmp_path / "good.pdf").is_file()


def test_pages_are_joined_in_their_order(tmp_path):
    table = polars.DataFrame({"dose": [1.0]})
    with saving() as save:
        for width in (100, 200):
            chart = altair.Chart(table).mark_point().encode(x="dose:Q").properties(width=width)
            save(chart, tmp_path / f"{width}", table)
    join_pdfs([tmp_path / "200.pdf", tmp_path / "100.pdf"], tmp_path / "all.pdf")
    widths = [page.mediabox.width for page in pypdf.PdfReader(tmp_path / "all.pdf").pages]
    assert len(widths) == 2
    assert widths[0] > widths[1]
