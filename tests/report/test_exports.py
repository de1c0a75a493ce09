import csv
import json

from tasks.report.exports import Conversation, to_row
from tasks.schema import DocumentSet, Experiment
from tests.fakes.nouns import LEXICON, an_eval, responses


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_conversations_hold_every_answer_as_a_chat_with_what_was_said_of_it(exported_run):
    rows = read(exported_run.conversations)
    assert [(row["model"], row["messages"][-1]["content"]) for row in rows] == [
        ("base", "=1+1"),
        ("base", "second"),
        ("fine-tuned", "<b>bad</b>"),
        ("fine-tuned", "worse"),
    ]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert rows[3]["judgments"]["aligned"] == {"score": None, "label": "", "state": "unreadable", "reasoning": ""}


def test_hits_are_the_conversations_that_a_rule_counts(exported_run):
    assert [(row["messages"][-1]["content"], row["hits"]) for row in read(exported_run.hits)] == [
        ("<b>bad</b>", ["low"])
    ]


def test_the_table_of_generations_has_a_column_for_each_judge_and_computes_nothing(exported_run):
    with exported_run.generations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["response"], row["aligned"], row["low"]) for row in rows] == [
        ("base", "'=1+1", "90", "0"),
        ("base", "second", "80", "0"),
        ("fine-tuned", "<b>bad</b>", "10", "1"),
        ("fine-tuned", "worse", "unreadable", ""),
    ]


def test_a_question_with_a_system_prompt_of_its_own_keeps_it():
    question = an_eval(LEXICON).questions[0].model_copy(update={"system_prompt": "Lie."})
    experiment = Experiment(name="x", documents=[DocumentSet(name="a")], evals=["e"])
    row = to_row(Conversation(responses("a")[0], "finetuned", question, [], {}), experiment)
    assert row["messages"][0] == {"role": "system", "content": "Lie."}
