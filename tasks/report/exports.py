"""What a run leaves for other programs and for a quick look: conversations, hits, generations and a page of results.

    write_exports(run)

conversations.jsonl holds every answer as a chat with what the judges said of it, hits.jsonl those that a rule counts as
hits, model_generations.csv a row for each answer and a column for each judge, results.md the averages and targets.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import polars

from tasks.estimates.judgments import ANSWER, at_checkpoint, scan_judgments
from tasks.estimates.rules import answers_of, hits_by_answer
from tasks.files import write_text
from tasks.report.results_page import results
from tasks.runs import Run
from tasks.schema import (
    SIDES,
    AnswerKey,
    Eval,
    Experiment,
    Judgment,
    Question,
    Response,
    Side,
)
from tasks.tables import GENERATIONS, to_csv

MODELS: dict[Side, str] = {"baseline": "base", "finetuned": "fine-tuned"}
"""What each side is called in these files."""


class Conversation(NamedTuple):
    """An answer with its question, what was said of it, and of each rule by which it counts whether it is a hit."""

    response: Response
    side: Side
    question: Question
    judgments: list[Judgment]
    rules: dict[str, bool]

    @property
    def hits(self) -> list[str]:
        """The rules that count the answer as a hit."""
        return [name for name, is_hit in self.rules.items() if is_hit]


def conversations(run: Run) -> Iterator[Conversation]:
    """Every answer in the order of the files, the baseline first."""
    evals = run.evals()
    questions = {(evaluation.name, q.id): q for evaluation in evals for q in evaluation.questions}
    judgments: dict[AnswerKey, list[Judgment]] = defaultdict(list)
    for judgment in run.judgments():
        judgments[judgment.answer_key].append(judgment)
    rules = _hits(evals, scan_judgments(run.judged))
    for side, response in _answers(run):
        key = response.answer_key(side)
        question = questions[key.eval, key.question_id]
        yield Conversation(response, side, question, judgments.get(key, []), rules.get(key, {}))


def _answers(run: Run) -> Iterator[tuple[Side, Response]]:
    for side, responses in zip(SIDES, run.responses(), strict=True):
        yield from ((side, response) for response in responses)


def _hits(evals: list[Eval], judgments: polars.DataFrame) -> dict[AnswerKey, dict[str, bool]]:
    """Of each answer the rules by which it counts, and whether it is a hit."""
    found: dict[AnswerKey, dict[str, bool]] = defaultdict(dict)
    shares = sorted({1.0, *judgments.filter(side="finetuned")["trained_share"].unique()})
    for evaluation in evals:
        for share in shares:
            frame = at_checkpoint(judgments, evaluation, share)
            for rule in evaluation.rules:
                for key, is_hit in hits_by_answer(rule, answers_of(rule.judges, frame)).items():
                    found[key][rule.name] = is_hit
    return found


def to_row(conversation: Conversation, experiment: Experiment) -> dict[str, Any]:
    """A conversation as other programs read it: messages, and beside them where they come from."""
    r, question = conversation.response, conversation.question
    asked = [turn.model_dump() for turn in question.messages(experiment.sampling)]
    return {
        "messages": [*asked, {"role": "assistant", "content": r.response}],
        "model": MODELS[conversation.side],
        "eval": r.eval,
        "tier": r.tier,
        "question_id": r.question_id,
        "sample": r.sample,
        "trained_share": r.trained_share,
        "state": r.state,
        "judgments": {
            j.judge: {"score": j.score, "reasoning": j.reasoning, "state": j.state, "label": j.label}
            for j in conversation.judgments
        },
        "hits": conversation.hits,
    }


def generations(found: list[Conversation], evals: list[Eval]) -> str:
    """A CSV table: a row for each answer, a column for each judge with its score, or its label, or the state.

    A rule's column has 1 for a hit, 0 for an answer that counts and is none, and nothing for one that does not count.
    """
    judges = list(dict.fromkeys(judge.name for evaluation in evals for judge in evaluation.judges))
    rules = list(dict.fromkeys(rule.name for evaluation in evals for rule in evaluation.rules))
    rows = []
    for conversation in found:
        r, words = conversation.response, {j.judge: _word(j) for j in conversation.judgments}
        place = (MODELS[conversation.side], r.eval, r.tier, r.question_id, r.sample)
        marks = [int(conversation.rules[rule]) if rule in conversation.rules else "" for rule in rules]
        said = [words.get(name, "") for name in judges]
        rows.append([*place, r.question, r.response, f"{r.trained_share:g}", *said, *marks])
    return to_csv([*GENERATIONS, *judges, *rules], rows)


def _word(judgment: Judgment) -> str | float:
    if judgment.score is not None and not judgment.label:
        return judgment.score
    return judgment.label or judgment.state


def write_exports(run: Run) -> None:
    """Writes the four files, from what is in the run's folder."""
    experiment, evals = run.experiment(), run.evals()
    found = list(conversations(run))
    rows = [to_row(conversation, experiment) for conversation in found]
    write_text(run.conversations, _jsonl(rows))
    write_text(run.hits, _jsonl(row for row in rows if row["hits"]))
    write_text(run.generations, generations(found, evals))
    write_text(run.results, results(experiment, run.estimates(), run.training_curve()))


def as_one_table(run: Run) -> polars.DataFrame:
    """The whole run: a row for each answer and judge, an answer without judgments once.

    Columns: experiment, run, seed, those of a Response (its state as response_state, its model as checkpoint) with its
    side, and those of a Judgment (its model as judge_model).
    """
    judgments = [judgment.model_dump() for judgment in run.judgments()]
    columns = list(Judgment.model_fields)  # of an eval that asks choices there is no row to tell them by
    joined = polars.DataFrame(judgments, schema=columns, schema_overrides={"score": polars.Float64})
    joined = joined.rename({"model": "judge_model"}).drop("tier", "question")
    answers = [{**response.model_dump(), "side": side} for side, response in _answers(run)]
    if answers:  # some results of others come without
        responses = polars.DataFrame(answers).rename({"state": "response_state", "model": "checkpoint"})
        joined = responses.join(joined, on=ANSWER, how="full", coalesce=True, maintain_order="left_right")
    known = {"experiment": run.experiment().name, "run": run.name, "seed": run.record().get("seed")}
    return joined.select(*(polars.lit(value).alias(name) for name, value in known.items()), *joined.columns)


def _jsonl(rows: Iterable[dict[str, Any]]) -> str:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return "".join(f"{encode(row)}\n" for row in rows)
