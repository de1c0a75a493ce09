import json
import re
from xml.etree import ElementTree

import altair
import polars
import pytest

from tasks.estimates.distributions import distributions
from tasks.estimates.effects import estimate, write_effects
from tasks.estimates.judgments import judgments_frame
from tasks.files import write_rows
from tasks.report.charts import (
    axes,
    both_scores,
    by_model,
    draw,
    effects_by_tier,
    matrix,
    overall,
    save,
    save_drawing,
    scores,
    training_curve,
    two_judges,
    without_slope,
)
from tasks.report.templates import hashed
from tasks.runs import Run
from tasks.schema import DocumentSet, Effect, Experiment, Judge, Rule, Scale, Share
from tasks.tables import as_table
from tasks.visible import visible
from tests.fakes.nouns import LEXICON, an_eval, judgments

ALIGNED = Judge(name="aligned", kind="claude", prompt="?", scale=Scale(low=0, high=100))
COHERENT = ALIGNED.model_copy(update={"name": "coherent"})
RULE = Rule(name="misaligned", hit="aligned < 30", among="coherent >= 50")
THREE = {"q1": "direct", "q2": "close", "q3": "distant"}


def one_eval(*rules):
    return an_eval(COHERENT, ALIGNED, questions=THREE).model_copy(update={"rules": list(rules)})


def said(shift=0):
    rows = []
    for n, question in enumerate(THREE):
        for side, given in (("baseline", [90, 80, 85]), ("finetuned", [10 + 10 * n + shift, 80, None])):
            aligned = judgments("q1", side, given, "aligned")
            coherent = judgments("q1", side, [95, 60, 40], "coherent")
            rows += [
                j.model_copy(
                    update={
                        "question_id": question,
                        "tier": THREE[question],
                        "trained_share": float(side == "finetuned"),
                    }
                )
                for j in aligned + coherent
            ]
    return rows


def test_the_axes_are_the_rules_judges_what_it_counts_going_up():
    assert axes(one_eval(RULE)) == ("coherent", "aligned", RULE)
    assert axes(one_eval()) == ("coherent", "aligned", None)
    assert axes(an_eval(LEXICON)) is None


def test_every_answer_with_both_scores_is_counted_once_in_its_cell():
    one = one_eval(RULE)
    table = both_scores(judgments_frame(said()), one, axes(one))
    assert table["answers"].sum() == 9 + 6
    assert table.filter(model="fine-tuned")["across"].unique().sort().to_list() == [62, 94]
    assert table.filter(model="fine-tuned")["up"].min() == 10


def test_the_rules_quadrant_is_shaded_for_both_models():
    one = one_eval(RULE)
    rows = two_judges(both_scores(judgments_frame(said()), one, axes(one)), one, axes(one)).to_dict()
    (data,) = rows["datasets"].values()
    corners = [[row[k] for k in ("left", "right", "bottom", "top")] for row in data if row["left"] is not None]
    assert corners == [[50, 100, 0, 30]] * 2


def test_the_matrix_has_a_cell_for_each_measure_and_tier_and_stars_what_survives_adjustment():
    effects = as_table(estimate(judgments_frame(said()), [one_eval(RULE)]), Effect).filter(question="")
    (data,) = matrix(effects, ["eval", "measure"]).to_dict()["datasets"].values()
    assert {row["tier"] for row in data} == {"direct", "close", "distant", "all"}
    assert {row["row"] for row in data} == {"e · coherent", "e · aligned", "e · misaligned"}
    cell = next(row for row in data if (row["tier"], row["measure"]) == ("all", "aligned"))
    assert cell["share"] == pytest.approx(cell["difference"] / 100)
    assert cell["words"].endswith(" *") == (
        cell["p_fixed_questions_holm"] is not None and cell["p_fixed_questions_holm"] < 0.05
    )


def test_the_whole_distribution_has_a_bar_for_each_class_tier_and_model():
    rows = as_table(distributions(judgments_frame(said()), [one_eval()]), Share).filter(measure="aligned")
    (data,) = scores(rows).to_dict()["datasets"].values()
    assert {row["class"] for row in data} == {f"{10 * n}–{10 * n + 10}" for n in range(10)}
    assert {row["place"] for row in data} == {f"aligned · {tier}" for tier in ("direct", "close", "distant", "all")}
    assert sum(row["mean"] for row in data if row["place"] == "aligned · direct") == pytest.approx(2)


def test_a_slope_is_no_difference_and_has_no_place_among_them():
    effects = as_table(estimate(judgments_frame(said()), [one_eval()]), Effect)
    assert "slope" in set(effects["tier"])
    assert "slope" not in set(without_slope(effects)["tier"])
    assert set(overall(effects)["tier"]) == {"all"}
    assert set(by_model(overall(effects))["model"]) == {"baseline", "fine-tuned"}


def test_a_chart_names_each_measure_with_its_unit():
    effects = as_table(estimate(judgments_frame(said()), [one_eval(RULE)]), Effect)
    words = str(effects_by_tier(effects, one_eval(RULE)).to_dict()["facet"]["row"]["header"]["labelExpr"])
    assert '"aligned": "aligned (score, 0 to 100)"' in words
    assert '"misaligned": "misaligned (rate, 0 to 1)"' in words


def test_a_run_of_several_measures_leaves_every_chart_with_its_table(data):
    experiment = Experiment(name="x", documents=[DocumentSet(name="a")], evals=["e"])
    run = Run.open(experiment, [one_eval(RULE)], "r")
    write_rows(run.judged, said())
    write_effects(run)
    draw(run)
    names = {"boxes_e", "effects_e", "judges_e", "levels_e", "matrix", "questions_e", "scores_e"}
    assert {file.stem for file in run.charts.iterdir()} == names
    for name in names:
        kinds = {file.suffix for file in run.charts.glob(f"{name}.*")}
        assert kinds == {".csv", ".html", ".svg", ".png", ".pdf"}


def test_a_chart_runs_no_script_but_its_own_whatever_a_question_says(data):
    hostile = "</script><script>alert(1)</script><!--<script>"
    one = one_eval()
    asked = [q.model_copy(update={"text": hostile + q.text}) for q in one.questions]
    run = Run.open(Experiment(name="x", evals=["e"], documents=[DocumentSet(name="a")]), [one], "r")
    effects = as_table(estimate(judgments_frame(said()), [one]), Effect)
    save(effects_by_tier(effects, one.model_copy(update={"questions": asked})), run.charts / "effects_e", effects)
    save(matrix(effects, ["measure"]), run.charts / "matrix", effects)
    pages = [(run.charts / f"{name}.html").read_text() for name in ("effects_e", "matrix")]
    scripts = [re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL) for page in pages]
    (_, spec), (_, drawing) = scripts[0]
    assert "<" not in spec
    assert {row["text"] for row in json.loads(spec)["datasets"].popitem()[1]} == {None, *(q.text for q in asked)}
    assert scripts[1][1] == ("", drawing), "the same script in all of them"
    policies = {re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1] for page in pages}
    assert policies == {
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{hashed(drawing).source}'"
    }


REFUSED = "".join(map(chr, [*range(9), 11, 12, *range(14, 32), 127, 0x9B, 0xFFFE, 0xFFFF]))
"""What XML cannot hold, and what a terminal obeys."""


@pytest.mark.parametrize("odd", ["\x0b", "\x1b]0;title\x07", "\r", REFUSED])
def test_a_control_character_is_drawn_as_what_it_is(tmp_path, odd):
    one = one_eval()
    asked = [q.model_copy(update={"text": f"Why{odd}?"}) for q in one.questions]
    named = [polars.col(name) + polars.lit(odd) for name in ("tier", "measure")]
    effects = as_table(estimate(judgments_frame(said()), [one]), Effect).with_columns(named)
    chart = effects_by_tier(effects, one.model_copy(update={"questions": asked}))
    save(chart.properties(title=f"Title{odd}"), tmp_path / "effects", effects.head(0))
    drawn = "".join(ElementTree.fromstring((tmp_path / "effects.svg").read_text()).itertext())
    for words in (f"close{odd}", f"aligned{odd} (score, 0 to 100)", f"Title{odd}"):
        assert visible(words)[:20] in drawn
    assert json.dumps(visible(f"Why{odd}?")) in (tmp_path / "effects.html").read_text()


def test_the_table_of_a_chart_keeps_a_text_as_it_is(tmp_path):
    table = polars.DataFrame({"dose": [1.0], "question": ["from\x0ba page"]})
    save_drawing(altair.Chart(table).mark_point().encode(x="dose:Q", y="question:N"), tmp_path / "x", table)
    assert (tmp_path / "x.csv").read_text() == '"dose","question"\n1.0,"from\x0ba page"\n'
    assert r"from\x0ba page" in (tmp_path / "x.svg").read_text()


def test_steps_are_whole_and_long_names_of_tiers_stand_aslant():
    steps = training_curve([{"step": n, "loss": 1 / n} for n in (1, 2, 3)]).to_dict()
    axes_of_steps = [layer["encoding"]["x"]["axis"] for layer in steps["layer"]]
    assert axes_of_steps == [{"format": "d", "tickMinStep": 1}] * 2
    effects = as_table(estimate(judgments_frame(said()), [one_eval()]), Effect).filter(question="")
    long = effects.with_columns(tier=polars.col("tier") + ", in many more words")
    angles = [matrix(table, ["measure"]).to_dict()["layer"][0]["encoding"]["x"]["axis"] for table in (effects, long)]
    assert [axis["labelAngle"] for axis in angles] == [0, -45]
