import csv
import json

import pytest

from tasks.estimates.effects import write_effects
from tasks.files import write_rows
from tasks.report.exports import results, targets, to_row, write_exports
from tasks.runs import Run
from tasks.schema import DocumentSet, Experiment, Judge, Rule, Sampling, Scale
from tests.fakes.nouns import an_eval, judgments, responses

ALIGNED = Judge(name="aligned", kind="claude", prompt="?", scale=Scale(low=0, high=100))
LOW = Rule(name="low", hit="aligned < 30")


@pytest.fixture
def run(data):
    one = an_eval(ALIGNED, questions={"q1": "direct"}).model_copy(update={"rules": [LOW]})
    experiment = Experiment(
        name="x",
        documents=[DocumentSet(name="a")],
        evals=["e"],
        sampling=Sampling(system_prompt="Be brief."),
        targets=["aligned < 75", "aligned > 70", "coherent > 50"],
    )
    run = Run.open(experiment, [one], "r")
    before, after = responses("=1+1", "second"), responses("<b>bad</b>", "worse")
    write_rows(run.baseline, [r.model_copy(update={"trained_share": 0}) for r in before])
    write_rows(run.finetuned, after)
    scores = judgments("q1", "finetuned", [10, None], "aligned") + judgments("q1", "baseline", [90, 80], "aligned")
    write_rows(run.judged, [j.model_copy(update={"trained_share": 0 if j.side == "baseline" else 1}) for j in scores])
    write_effects(run)
    write_exports(run)
    return run


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_conversations_hold_every_answer_as_a_chat_with_what_was_said_of_it(run):
    rows = read(run.conversations)
    assert [(row["model"], row["messages"][-1]["content"]) for row in rows] == [
        ("base", "=1+1"),
        ("base", "second"),
        ("fine-tuned", "<b>bad</b>"),
        ("fine-tuned", "worse"),
    ]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert rows[3]["judgments"]["aligned"] == {"score": None, "label": "", "state": "unreadable", "reasoning": ""}


def test_hits_are_the_conversations_that_a_rule_counts(run):
    assert [(row["messages"][-1]["content"], row["hits"]) for row in read(run.hits)] == [("<b>bad</b>", ["low"])]


def test_the_table_of_generations_has_a_column_for_each_judge_and_computes_nothing(run):
    with run.generations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["response"], row["aligned"], row["low"]) for row in rows] == [
        ("base", "'=1+1", "90", "0"),
        ("base", "second", "80", "0"),
        ("fine-tuned", "<b>bad</b>", "10", "1"),
        ("fine-tuned", "worse", "unreadable", ""),
    ]


def test_the_page_of_results_has_both_averages_and_says_whether_a_target_is_met(run):
    page = run.results.read_text()
    assert "| aligned | 85.00 | 21.47 to 148.53 | 10.00 | – | -75.00 | – | 2 / 1 |" in page
    assert "- aligned < 75 (e): met, the fine-tuned model's mean is 10.00 (base model 85.00)" in page
    assert "- aligned > 70 (e): not met" in page
    assert "- coherent > 50: not measured" in page


def test_a_target_without_a_score_is_neither_met_nor_missed(run):
    effects = [e.model_copy(update={"finetuned": None}) for e in run.estimates()]
    assert targets(run.experiment(), effects[:1])[0] == "aligned < 75 (e): without a score"


def test_a_question_with_a_system_prompt_of_its_own_keeps_it():
    from tasks.report.exports import Conversation

    question = an_eval(ALIGNED).questions[0].model_copy(update={"system_prompt": "Lie."})
    experiment = Experiment(name="x", documents=[DocumentSet(name="a")], evals=["e"])
    row = to_row(Conversation(responses("a")[0], "finetuned", question, [], {}), experiment)
    assert row["messages"][0] == {"role": "system", "content": "Lie."}


def test_a_name_in_the_page_of_results_is_text_and_neither_markup_nor_a_cell(run):
    hostile = "<img src=http://127.0.0.1/x> | ![](http://127.0.0.1/y)"
    fields = [{"measure": "a|b", "question": hostile if e.question else ""} for e in run.estimates()]
    effects = [e.model_copy(update=some) for e, some in zip(run.estimates(), fields, strict=True)]
    page = results(run.experiment(), effects, [])
    assert "\n| a\\|b | " in page
    assert "| \\<img src=http://127.0.0.1/x\\> \\| !\\[\\](http://127.0.0.1/y) | " in page
