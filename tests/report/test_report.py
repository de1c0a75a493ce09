import re

import pytest

from tasks.definitions import load_experiment
from tasks.documents.documents import write_documents
from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.files import write_rows, write_text
from tasks.report.charts import draw
from tasks.report.report import render
from tasks.report.templates import script
from tasks.runs import Run
from tasks.schema import Effect
from tasks.tables import as_table, write_table
from tests.fakes.nouns import LEXICON, TIERS, an_eval, judgments, write_answers

HTML = '<script>alert(1)</script><img src=x onerror="alert(2)">{{ 7 * 7 }}'


@pytest.fixture
def run():
    """A judged run of four questions, one of which has no score, whose answers are HTML."""
    experiment, evals = load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(LEXICON)]
    run = Run.open(experiment, evals, "one")
    run.note(seed=0)
    write_documents(run, experiment, 0)
    write_answers(run, ("plain & simple", HTML), (HTML, "b"))
    scores: dict[str, list[int | None]] = {"q1": [3, 5], "q2": [2, 4], "q3": [1, 2], "q4": [None, None]}
    rows = [r for q in TIERS for r in judgments(q, "baseline", [1, 2]) + judgments(q, "finetuned", scores[q])]
    write_rows(run.judged, [r.model_copy(update={"reasoning": HTML, "raw": HTML}) for r in rows])
    write_table(run.effects, as_table(estimate(judgments_frame(rows), evals), Effect))
    write_text(run.metrics, '{"held_out_loss": 3.0, "step": 1, "loss": 2.5}\n{"step": 1, "held_out_loss": 2.0}\n')
    draw(run)
    return run


def test_what_a_model_or_a_judge_wrote_is_escaped(run):
    page = render(run)
    assert HTML not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 8 + 16
    assert page.count("<script") == 1, "the report's own"
    assert "{{ 7 * 7 }}" in page


def test_the_page_asks_the_network_for_nothing(run):
    page = render(run)
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", page) == []
    assert (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{script('answers.js').csp_source}'"
        in page
    )


def test_every_question_answer_score_and_state_is_on_the_page(run):
    page = render(run)
    for q in TIERS:
        assert f"Text of {q}?" in page
    assert page.count("plain &amp; simple") == 4
    assert page.count("lexicon unreadable") == 2
    assert "stand-in" in page
    assert "spillover run experiment.yaml --seed 0" in page


def test_what_kind_of_model_answered_is_said_of_those_that_come_with_spillover(run):
    definition = run.definition.read_text()
    assert "Made with the stand-in model" in render(run)
    write_text(run.definition, definition.replace("base_model: standin", "base_model: smollm2"))
    assert "a real chat model of 135 million parameters, which is small" in render(run)
    assert "Made with the stand-in" not in render(run)
    write_text(run.definition, definition.replace("base_model: standin", "base_model: somebody/else"))
    assert "Made with" not in render(run)


def test_the_verdict_the_chart_what_is_missing_and_the_cost_come_before_all_else(run):
    run.note(spent={"usd": 0, "judging": {"usd": 0, "calls": 16}})
    truncated = [r.model_copy(update={"state": "truncated"}) for r in run.responses()[0]]
    write_rows(run.baseline, truncated)
    first, _, rest = render(run).partition('<h2 id="changed">')
    assert [first.count(word) for word in ('class="headline"', "<img", "</nav>")] == [1, 1, 1]
    assert first.index('class="headline"') < first.index("<img") < first.index("<b>Missing</b>") < first.index("</nav>")
    assert "lexicon: 2 of 16 judgments are missing (2 unreadable)." in first
    assert "Cut off at the token limit: 8 of 8 baseline answers, 0 of 8 fine-tuned ones. Answers of unlike le" in first
    assert "<b>Cost</b> <span>nothing.</span>" in first
    assert "Does neutral text" not in first[: first.index("</nav>")], "the description stands behind"
    columns = rest[rest.index("<table") : rest.index("</tr>")]
    assert len(re.findall("<th[ >]", columns)) == 6


def test_how_the_documents_of_each_set_were_conditioned_is_said(run):
    write_text(run.mixture, run.mixture.read_text().replace('"conditioning": "chat"', '"conditioning": "first_third"'))
    page = render(run)
    assert "usable, with its first third masked, 0 rejected" in page
    assert ", as chats</span></summary>" in page, "of the documents that are shown"
    write_text(run.mixture, run.mixture.read_text().replace('"conditioning": "first_third",', ""))
    assert "usable, as chats, 0 rejected" in render(run), "a run of an earlier version"


@pytest.mark.parametrize(("calls", "words"), [(1, "1 judge call."), (2, "2 judge calls.")])
def test_one_call_is_said_as_one(run, calls, words):
    run.note(spent={"usd": 0.5, "judging": {"usd": 0.5, "calls": calls}})
    assert f", {words}</span>" in render(run)


def test_a_lexicons_words_and_what_a_tier_is_are_said(run):
    page = render(run)
    assert (
        "It adds up the weights of these words, and the score rises at 1, 2, 4, 8: farm*, animal welfare (2)." in page
    )
    assert "A <b>tier</b> is how far a question lies from what was trained on" in page


def test_charts_are_written_whole_in_every_format_with_their_table(run):
    for name in ("effects_e", "training_curve"):
        head = {kind: (run.charts / f"{name}.{kind}").read_bytes()[:5] for kind in ("svg", "png", "pdf")}
        assert head == {"svg": b"<svg ", "png": b"\x89PNG\r", "pdf": b"%PDF-"}
        assert "http" not in re.sub(
            r"https?://(?:www\.w3\.org|vega\.github\.io)[^\"' )]*", "", (run.charts / f"{name}.svg").read_text()
        )
    html = (run.charts / "effects_e.html").read_text()
    assert "<script src=" not in html
    assert not [file for file in run.charts.iterdir() if file.name.startswith(".")]
    assert (run.charts / "effects_e.csv").read_text() == run.effects.read_text()
