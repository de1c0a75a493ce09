"""What judging will take: calls, and US dollars by data/prices.yaml, before anything is asked.

calls = count_calls(judge, evaluation, sampling, n_samples=10, models=1)
cost = judging_cost(judge, evaluation, calls, answer_tokens=512)
"""

from tasks.judging.rubrics import to_call
from tasks.paid.prices import LETTERS_A_TOKEN, CostRange, batch_prices, cost
from tasks.schema import Eval, Judge, Sampling

JSON_TOKENS = 80
"""Of a judge's JSON object, as expected: a score and a sentence or two."""
PLAIN_TOKENS = 5
"""Of a word or a number alone."""


def count_calls(judge: Judge, evaluation: Eval, sampling: Sampling, n_samples: int, models: int) -> int:
    """Where all answers differ and all are judged: those of the baseline and of so many fine-tuned models.

    A judge of pairs compares the baseline with itself too, except where it has one answer to each question.
    """
    has_no_floor = judge.reads == "pair" and sampling.temperature == 0
    return (models + (0 if has_no_floor else 1)) * n_samples * len(evaluation.questions)


def judging_cost(judge: Judge, evaluation: Eval, calls: int, answer_tokens: int, in_batches: bool = False) -> CostRange:
    """Of all calls of a judge that is asked, the store taken as empty.

    Expected with answers half as long as they may be (`answer_tokens`) and short replies; at most with both as long as
    they may be. Every question is taken to be as long as the longest.
    """
    longest = max((question.text for question in evaluation.questions), key=len)
    call = to_call(judge, longest, "", "" if judge.reads == "pair" else None)
    rubric = len(call.system + call.user) // LETTERS_A_TOKEN
    answers = answer_tokens * (2 if judge.reads == "pair" else 1)
    reply = min(call.max_tokens, JSON_TOKENS if judge.answers == "json" else PLAIN_TOKENS)
    prices = batch_prices(call.prices()) if in_batches else call.prices()
    return CostRange(
        expected=cost(prices, {"input": calls * (rubric + answers // 2), "output": calls * reply}),
        most=cost(prices, {"input": calls * (rubric + answers), "output": calls * call.max_tokens}),
    )
