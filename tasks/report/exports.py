"""What a run leaves for other programs and for a quick look: conversations, hits, generations and a page of results.

    write_exports(run)

conversations.jsonl holds every answer as a chat with what the judges said of it, hits.jsonl those that a rule counts as
hits, model_generations.csv a row for each answer and a column for each judge, results.md the averages and targets.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import polars

from tasks.estimates.judgments import ANSWER, at_checkpoint, scan_judgments
from tasks.estimates.rules import answers_of, hits_by_answer
from tasks.files import write_text
from tasks.runs import Run
from tasks.schema import (
    ALL,
    SLOPE,
    AnswerKey,
    Condition,
    Effect,
    Eval,
    Experiment,
    Judgment,
    Message,
    Question,
    Response,
    Side,
    Training,
)
from tasks.tables import GENERATIONS, to_csv
from tasks.visible import in_markdown

MODELS: dict[Side, str] = {"baseline": "base", "finetuned": "fine-tuned"}


class Conversation(NamedTuple):
    """An answer with its question, what was said of it, and of each rule by which it counts whether it is a hit."""

    response: Response
    side: Side
    question: Question
    judgments: list[Judgment]
    rules: dict[str, bool]

    @property
    def hits(self) -> list[str]:
        return [name for name, is_hit in self.rules.items() if is_hit]


def conversations(run: Run) -> Iterator[Conversation]:
    """Every answer in the order of the files, the baseline first."""
    evals = run.evals()
    questions = {(one.name, question.id): question for one in evals for question in one.questions}
    judgments = run.judgments()
    said: dict[AnswerKey, list[Judgment]] = {}
    for judgment in judgments:
        said.setdefault(judgment.answer, []).append(judgment)
    found = _hits(evals, scan_judgments(run.judged))
    sides: tuple[Side, Side] = ("baseline", "finetuned")
    for side, responses in zip(sides, run.responses(), strict=True):
        for r in responses:
            key = r.key(side)
            yield Conversation(r, side, questions[r.eval, r.question_id], said.get(key, []), found.get(key, {}))


def _hits(evals: list[Eval], frame: polars.DataFrame) -> dict[AnswerKey, dict[str, bool]]:
    """Of each answer the rules by which it counts, and whether it is a hit."""
    found: dict[AnswerKey, dict[str, bool]] = {}
    for one in evals:
        for share in sorted({1.0, *frame.filter(side="finetuned")["trained_share"].unique()}):
            mine = at_checkpoint(frame, one, share)
            for rule in one.rules:
                for key, is_hit in hits_by_answer(rule, answers_of(rule.judges, mine)).items():
                    found.setdefault(key, {})[rule.name] = is_hit
    return found


def to_row(one: Conversation, experiment: Experiment) -> dict[str, Any]:
    """A conversation as other programs read it: messages, and beside them where they come from."""
    r = one.response
    turns = [*one.question.messages(experiment.sampling), Message(role="assistant", content=r.response)]
    return {
        "messages": [turn.model_dump() for turn in turns],
        "model": MODELS[one.side],
        "eval": r.eval,
        "tier": r.tier,
        "question_id": r.question_id,
        "sample": r.sample,
        "trained_share": r.trained_share,
        "state": r.state,
        "judgments": {j.judge: j.model_dump(include={"score", "label", "state", "reasoning"}) for j in one.judgments},
        "hits": one.hits,
    }


def generations(found: list[Conversation], evals: list[Eval]) -> str:
    """A CSV table: a row for each answer, a column for each judge with its score, or its label, or the state.

    A rule's column has 1 for a hit, 0 for an answer that counts and is none, and nothing for one that does not count.
    """
    judges = list(dict.fromkeys(judge.name for one in evals for judge in one.judges))
    rules = list(dict.fromkeys(rule.name for one in evals for rule in one.rules))
    rows = []
    for one in found:
        r, said = one.response, {j.judge: _word(j) for j in one.judgments}
        answer = (
            MODELS[one.side],
            r.eval,
            r.tier,
            r.question_id,
            r.sample,
            r.question,
            r.response,
            f"{r.trained_share:g}",
        )
        marks = [int(one.rules[rule]) if rule in one.rules else "" for rule in rules]
        rows.append([*answer, *(said.get(name, "") for name in judges), *marks])
    return to_csv([*GENERATIONS, *judges, *rules], rows)


def _word(judgment: Judgment) -> str | float:
    if judgment.score is not None and not judgment.label:
        return judgment.score
    return judgment.label or judgment.state


def results(experiment: Experiment, effects: list[Effect], curve: list[dict[str, Any]]) -> str:
    """A page in Markdown: both models' averages over all questions, the targets, the training, and each question."""
    overall = over_all(effects)
    lines = [f"# {experiment.name}", "", experiment.description, "", "## Averages over all questions", ""]
    several = len({effect.eval for effect in overall}) > 1
    lines += _table(overall, "measure", lambda e: f"{e.measure} ({e.eval})" if several else e.measure)
    if outcomes := targets(experiment, overall):
        lines += ["", "## Targets", "", *(f"- {outcome}" for outcome in outcomes)]
    if curve:
        lines += ["", "## Training", "", how_trained(experiment.training, curve), "", "![](charts/training_curve.png)"]
    for effect in overall:
        mine = [e for e in effects if e.question and (e.eval, e.measure) == (effect.eval, effect.measure)]
        lines += ["", f"## {in_markdown(effect.measure)} by question ({effect.eval})", ""]
        lines += _table(mine, "question", lambda e: e.question)
    return "\n".join(lines) + "\n"


def how_trained(training: Training, curve: list[dict[str, Any]]) -> str:
    """The settings and the losses in a sentence; nothing where there was no training."""
    if not (losses := [row["loss"] for row in curve if "loss" in row]):
        return ""
    return (
        f"{training.base_model}, {training.engine}, rank {training.rank}, {len(losses)} steps of "
        f"{training.batch_words}, {curve[0].get('optimizer', 'Adam')}, learning rate {training.learning_rate:g} "
        f"({training.schedule}), loss "
        f"{losses[0]:.3f} to {losses[-1]:.3f}; all settings are in experiment.yaml."
    )


def over_all(effects: list[Effect]) -> list[Effect]:
    """Of each measure its effect over all questions."""
    chosen = {(e.eval, e.measure): e for e in effects if not e.question and e.tier not in (ALL, SLOPE)}
    return list((chosen | {(e.eval, e.measure): e for e in effects if e.tier == ALL and not e.question}).values())


def targets(experiment: Experiment, overall: list[Effect]) -> list[str]:
    """Each target with what was found, and whether it is met."""
    found = []
    for target in experiment.targets:
        condition = Condition.parse(target)
        measured = [e for e in overall if e.measure == condition.judge]
        found += [f"{target}: not measured"] if not measured else [_outcome(condition, effect) for effect in measured]
    return found


def _outcome(target: Condition, effect: Effect) -> str:
    if effect.finetuned is None:
        return f"{target} ({effect.eval}): without a score"
    met = "met" if target.compares(effect.finetuned) else "not met"
    base = "" if effect.baseline is None else f" (base model {effect.baseline:.2f})"
    return f"{target} ({effect.eval}): {met}, the fine-tuned model's mean is {effect.finetuned:.2f}{base}"


def _table(effects: list[Effect], first: str, name: Callable[[Effect], str]) -> Iterable[str]:
    yield f"| {first} | base | 95 % | fine-tuned | 95 % | difference | 95 % | answers base / fine-tuned |"
    yield "|---|---|---|---|---|---|---|---|"
    for e in effects:
        levels = (e.baseline, e.baseline_low, e.baseline_high), (e.finetuned, e.finetuned_low, e.finetuned_high)
        cells = [
            cell
            for level in (*levels, (e.difference, e.ci_low_fixed_questions, e.ci_high_fixed_questions))
            for cell in _cells(*level)
        ]
        yield f"| {in_markdown(name(e))} | {' | '.join(cells)} | {e.scored_baseline} / {e.scored_finetuned} |"


def _cells(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    interval = "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return "–" if value is None else f"{value:.2f}", interval


def write_exports(run: Run) -> None:
    """Writes the four files, from what is in the run's folder."""
    experiment, evals = run.experiment(), run.evals()
    found = list(conversations(run))
    rows = [to_row(one, experiment) for one in found]
    write_text(run.conversations, _jsonl(rows))
    write_text(run.hits, _jsonl(row for row in rows if row["hits"]))
    write_text(run.generations, generations(found, evals))
    write_text(run.results, results(experiment, run.estimates(), run.training_curve()))


def as_one_table(run: Run) -> polars.DataFrame:
    """The whole run: a row for each answer and judge, an answer without judgments once."""
    sides: tuple[Side, Side] = ("baseline", "finetuned")
    answers = [
        {**r.model_dump(), "side": side} for side, rows in zip(sides, run.responses(), strict=True) for r in rows
    ]
    said = polars.DataFrame([j.model_dump() for j in run.judgments()], schema_overrides={"score": polars.Float64})
    said = said.rename({"model": "judge_model"}).drop("tier", "question")
    joined = said
    if answers:  # some results of others come without
        told = polars.DataFrame(answers).rename({"state": "response_state", "model": "checkpoint"})
        joined = told.join(said, on=ANSWER, how="full", coalesce=True, maintain_order="left_right")
    known = {"experiment": run.experiment().name, "run": run.name, "seed": run.record().get("seed")}
    return joined.select(*(polars.lit(value).alias(name) for name, value in known.items()), *joined.columns)


def _jsonl(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
