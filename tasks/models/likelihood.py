"""Likelihood: how likely both models find the fine-tuned answers, and the two answers of yes/no statements.

    wanted = plan(evals, responses, sampling, engine)
    rows = await likelihoods(wanted, engine, untuned, [checkpoint], store, progress, budget)

Drift needs no judge: log p of an answer under the model that gave it minus log p under the base model, for each of its
tokens. Summed over the tokens, and at temperature 1, its mean estimates KL(fine-tuned || base) of one answer. The
tokens are those of the answer's text; sampled tokens can spell the same text otherwise.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engines.engine import Engine, Text
from tasks.files import write_rows
from tasks.paid.budget import Budget
from tasks.paid.store import Answer, Store, content_key
from tasks.progress import Progress, lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Eval, Likelihood, Question, Response, Sampling

CHOICES = ("Yes", "No")


class Wanted(NamedTuple):
    """A text whose logprob is wanted under the base model and under the one of a moment of the training."""

    eval: str
    question: Question
    sample: int
    trained_share: float
    text: Text
    choice: str = ""
    """Yes or No, of a statement."""


def plan(evals: list[Eval], finetuned: list[Response], sampling: Sampling, engine: Engine) -> list[Wanted]:
    """Every fine-tuned answer that is not empty, and Yes and No for every statement at each moment of the training."""
    moments = sorted({response.trained_share for response in finetuned}) or [1.0]
    answers: dict[tuple[str, str], list[Response]] = {}
    for response in finetuned:
        answers.setdefault((response.eval, response.question_id), []).append(response)
    wanted = []
    for one in evals:
        for question in one.questions:
            prompt = engine.render(question.messages(sampling))
            for r in answers.get((one.name, question.id), []):
                if tokens := engine.answer_tokens(r.response, r.state == "complete"):
                    wanted.append(Wanted(one.name, question, r.sample, r.trained_share, Text(prompt, tokens)))
            if question.matching:
                wanted += [
                    Wanted(one.name, question, 0, share, Text(prompt, engine.answer_tokens(word, False)), word)
                    for share in moments
                    for word in CHOICES
                ]
    return wanted


async def likelihoods(
    wanted: list[Wanted],
    engine: Engine,
    untuned: Checkpoint,
    trained: Iterable[Checkpoint],
    store: Store,
    progress: Progress,
    budget: Budget | None = None,
) -> list[Likelihood]:
    """A row for each answer and each statement; only what the store lacks is computed."""
    budget = budget or Budget(store, "")
    models = {checkpoint.trained_share: checkpoint for checkpoint in trained}
    before = await _logprobs([one.text for one in wanted], engine, untuned, store, budget, progress)
    after: dict[int, float] = {}
    for share, checkpoint in models.items():
        places = [place for place, one in enumerate(wanted) if one.trained_share == share]
        texts = [wanted[place].text for place in places]
        after |= dict(zip(places, await _logprobs(texts, engine, checkpoint, store, budget, progress), strict=True))
    pairs = [(one, before[place], after[place]) for place, one in enumerate(wanted)]
    return [_drift(*pair) for pair in pairs if not pair[0].choice] + _choices(pairs)


async def _logprobs(
    texts: list[Text], engine: Engine, model: Checkpoint, store: Store, budget: Budget, progress: Progress
) -> list[float]:
    keys = [content_key(logprob=model.identity, prompt=text.prompt, answer=text.answer) for text in texts]
    held = {key: answer.body["logprob"] for key, answer in store.get(keys).items()}
    missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in held}.items())
    progress(len(texts) - len(missing), len(texts), "texts")
    while missing:
        costs = [engine.price(prefill=len(text.prompt) + len(text.answer)) for _, text in missing]
        now = budget.affordable(costs)
        some, missing = missing[:now], missing[now:]
        async with budget.reserve(sum(cost or 0 for cost in costs[:now])):
            async for told in engine.logprobs(model, [text for _, text in some]):
                tokens = sum(len(some[place][1].prompt) + len(some[place][1].answer) for place, _ in told)
                usd = engine.price(prefill=tokens)
                spent = [] if usd == 0 else [budget.spending("logprobs", model.base_model, {"prefill": tokens}, usd)]
                new = [Answer(some[place][0], "logprob", {"logprob": value}) for place, value in told]
                await store.commit(new, spent)
                held |= {some[place][0]: value for place, value in told}
                progress(sum(key in held for key in keys), len(keys), "texts")
    return [held[key] for key in keys]


def _drift(one: Wanted, before: float, after: float) -> Likelihood:
    count = len(one.text.answer)
    return _row(one, "drift", before / count, after / count)


def _choices(pairs: list[tuple[Wanted, float, float]]) -> list[Likelihood]:
    """P(matching) / (P(Yes) + P(No)) of each statement and moment, under both models."""
    found: dict[tuple[str, str, float], list[tuple[Wanted, float, float]]] = {}
    for pair in pairs:
        if pair[0].choice:
            found.setdefault((pair[0].eval, pair[0].question.id, pair[0].trained_share), []).append(pair)
    rows = []
    for both in found.values():
        one = both[0][0]
        before = {wanted.choice: logprob for wanted, logprob, _ in both}
        after = {wanted.choice: logprob for wanted, _, logprob in both}
        rows.append(_row(one, "choice", _share(one.question.matching, before), _share(one.question.matching, after)))
    return rows


def _share(word: str, logprobs: dict[str, float]) -> float:
    most = max(logprobs.values())
    return math.exp(logprobs[word] - most) / math.fsum(math.exp(one - most) for one in logprobs.values())


def _row(one: Wanted, measure: str, before: float, after: float) -> Likelihood:
    return Likelihood(
        tier=one.question.tier,
        question=one.question.text,
        eval=one.eval,
        question_id=one.question.id,
        sample=one.sample,
        measure=measure,
        baseline=before,
        finetuned=after,
        tokens=len(one.text.answer),
        trained_share=one.trained_share,
    )


@task(
    name="logprobs",
    task_run_name="ask both models how likely the answers are",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=lost_infrastructure,
    cache_policy=NO_CACHE,
)
async def likelihood_task(
    folder: Path, engine: Engine, evals: list[Eval], sampling: Sampling, checkpoint: Checkpoint, budget: Budget
) -> Path:
    run, store = Run(folder), budget.store
    models = (*checkpoint.earlier, checkpoint)
    with track("logprobs") as progress:
        wanted = plan(evals, run.responses()[1], sampling, engine)
        rows = await likelihoods(wanted, engine, engine.untuned(), models, store, progress, budget)
    return write_rows(run.likelihoods, rows)
