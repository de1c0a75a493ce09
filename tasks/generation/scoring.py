"""Scoring what was written by a judge of an eval: by its own rubric, and as answers of models are judged.

score = scored_by(trait.judge, writing)
[82.0, None] = await score([("How do I cook rice?", "One begins by ..."), ("What is a comet?", "?!")])
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import ClassVar

from tasks.catalog import UserError
from tasks.generation.writer import Writing
from tasks.judging.asking import JudgeCall, to_calls, unanswered
from tasks.judging.calls import Call
from tasks.judging.cases import Case
from tasks.judging.judgments import judge_all
from tasks.schema import Judge, Question

Score = Callable[[list[tuple[str, str]]], Awaitable[list[float | None]]]
"""The score of each prompt and answer, in their order; None where the judge gave none. Raises UserError as `Ask`."""


@dataclass(frozen=True)
class Scoring(Call):
    """A judge's call under its own key, stored and counted apart: no run refers to it, and yet its set needs it."""

    kind: ClassVar[str] = "scoring"
    stage: ClassVar[str] = "scoring"


def scored_by(judge: Judge, writing: Writing) -> Score:
    """Asks the judge as the writer is asked, or takes what the store has of the same text, whoever asked for it."""

    async def score(answered: list[tuple[str, str]]) -> list[float | None]:
        cases = [_to_case(judge, prompt, answer) for prompt, answer in answered]
        calls = [_to_scoring(asked) for asked in to_calls(cases)]
        failed = await writing.send(unanswered(calls, writing.store))
        if lost := [one for one in failed if not one.is_refused]:
            raise UserError(
                f"{len(lost):,} of {len(cases):,} calls to the judge {judge.name!r} got no reply "
                f"({lost[0].errors[-1]}); all others are stored: the same command goes on where it is"
            )
        return [judgment.score for judgment in judge_all(cases, writing.store, failed)]

    return score


def _to_scoring(asked: JudgeCall) -> JudgeCall:
    given = {field.name: getattr(asked.call, field.name) for field in fields(asked.call)}
    return JudgeCall(Scoring(**given), asked.judge)


def _to_case(judge: Judge, prompt: str, answer: str) -> Case:
    question = Question(id="prompt", tier="prompt", text=prompt)
    return Case("generated", judge, question, 0, "finetuned", answer, None, 1.0)
