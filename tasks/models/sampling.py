"""Sampling: every question is put to a model n times, and every answer is kept as soon as it is there.

asks = plan(evals, sampling, engine, checkpoint, n_samples=10)
responses = await sample(asks, engine, checkpoint, sampling, store, progress)
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engines.engine import Engine, Reply, Request
from tasks.files import write_rows
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.paid.store import Answer, Spending, Store, content_key
from tasks.progress import Progress, lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Eval, Question, Response, Sampling


class Ask(NamedTuple):
    """One answer wanted: the sample of a question, its rendered prompt, its key and its seed."""

    eval: str
    question: Question
    sample: int
    request: Request
    key: str


def plan(evals: list[Eval], sampling: Sampling, engine: Engine, checkpoint: Checkpoint, n_samples: int) -> list[Ask]:
    """Every answer that is wanted of this model, in the order of the evals, their questions and the samples."""
    asks = []
    for one in evals:
        for question in one.questions:
            tokens = engine.render(question.messages(sampling))
            for sample in range(n_samples):
                draw = {
                    "tokens": tokens,
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "max_tokens": sampling.max_tokens,
                    "stop": engine.stop(),
                    "sample": sample,
                }
                request = Request(tokens, int(content_key(**draw)[:15], 16))
                asks.append(Ask(one.name, question, sample, request, content_key(model=checkpoint.identity, **draw)))
    return asks


def baseline_samples(evals: list[Eval], sampling: Sampling) -> int:
    """One more than asked for where a pair judge would otherwise have no second answer for its floor."""
    pairs = any(judge.reads == "pair" for one in evals for judge in one.judges)
    return 2 if pairs and sampling.n_samples == 1 and sampling.temperature > 0 else sampling.n_samples


async def sample(
    asks: list[Ask],
    engine: Engine,
    checkpoint: Checkpoint,
    sampling: Sampling,
    store: Store,
    progress: Progress,
    budget: Budget | None = None,
) -> list[Response]:
    """The answers in the order of the asks; only those that the store lacks are sampled, as far as the budget goes."""
    held, budget = store.get(ask.key for ask in asks), budget or Budget(store, "")
    missing = list({ask.key: ask for ask in asks if ask.key not in held}.values())
    done = len(asks) - len(missing)
    progress(done, len(asks), "answers" if missing else "answers, all from the store")
    while missing:
        costs = [engine.price(prefill=len(ask.request.tokens), sample=sampling.max_tokens) for ask in missing]
        now = budget.affordable(costs)
        some, missing = missing[:now], missing[now:]
        async with budget.reserve(sum(cost or 0 for cost in costs[:now])):
            async for replies in engine.sample(checkpoint, [ask.request for ask in some], sampling):
                new = [_to_answer(some[r.request], r) for r in replies]
                await store.commit(new, _spending([(some[r.request], r) for r in replies], engine, checkpoint, budget))
                held |= {answer.key: answer for answer in new}
                done += len(new)
                progress(done, len(asks), f"answers {budget.words()}".strip())
    return [_to_response(ask, held[ask.key], checkpoint) for ask in asks]


def most_cost(asks: list[Ask], engine: Engine, sampling: Sampling) -> float | None:
    """US dollars for these answers if each were as long as it may be; None where the price is unknown."""
    prompts = sum(len(ask.request.tokens) for ask in asks)
    return engine.price(prefill=prompts, sample=len(asks) * sampling.max_tokens)


def _to_answer(ask: Ask, reply: Reply) -> Answer:
    return Answer(ask.key, "response", {"text": reply.text, "tokens": reply.tokens, "state": reply.state})


def _spending(
    answered: list[tuple[Ask, Reply]], engine: Engine, checkpoint: Checkpoint, budget: Budget
) -> list[Spending]:
    """What these answers cost, a prompt counted for each of its answers; nothing where they are free."""
    tokens = {
        "prefill": sum(len(ask.request.tokens) for ask, _ in answered),
        "sample": sum(reply.tokens for _, reply in answered),
    }
    usd = engine.price(**tokens)
    return [] if usd == 0 else [budget.spending("sampling", checkpoint.base_model, tokens, usd)]


def _to_response(ask: Ask, answer: Answer, checkpoint: Checkpoint) -> Response:
    body = answer.body
    return Response(
        tier=ask.question.tier,
        question=ask.question.text,
        response=body["text"],
        eval=ask.eval,
        question_id=ask.question.id,
        sample=ask.sample,
        state=body["state"],
        tokens=body["tokens"],
        model=checkpoint.identity,
        trained_share=checkpoint.trained_share,
    )


@task(
    name="sample",
    task_run_name="sample the {side} model",
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=lost_infrastructure,
    cache_policy=NO_CACHE,
)
async def sample_task(
    folder: Path,
    engine: Engine,
    evals: list[Eval],
    sampling: Sampling,
    checkpoint: Checkpoint,
    side: str,
    budget: Budget,
) -> Path:
    run, store = Run(folder), budget.store
    untuned = checkpoint.path is None
    n_samples = baseline_samples(evals, sampling) if untuned else sampling.n_samples
    responses, held = [], 0
    for model in (*checkpoint.earlier, checkpoint):
        asks = plan(evals, sampling, engine, model, n_samples)
        with track(
            f"sample {side}" if model.trained_share in (0, 1) else f"sample at {model.trained_share:g}"
        ) as progress:
            async with exclusive(f"sampling {model.identity}", partial(progress, 0, len(asks))):
                held += len(store.get(ask.key for ask in asks))
                responses += await sample(asks, engine, model, sampling, store, progress, budget)
    run.note(answers={side: {"from_store": held, "sampled": len(responses) - held}})
    return write_rows(run.baseline if untuned else run.finetuned, responses)
