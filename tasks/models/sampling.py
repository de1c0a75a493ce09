"""Sampling: every question is put to a model n times, and every answer is kept as soon as it is there.

requests = plan_samples(evals, sampling, engine, checkpoint, n_samples=10)
responses = await sample(requests, engine, checkpoint, sampling, store, progress)
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engines.engine import Engine, Progress, Reply, Request
from tasks.files import write_rows
from tasks.locks import exclusive
from tasks.paid.budget import Budget
from tasks.paid.prices import CostRange
from tasks.paid.store import Spending, Store, StoredReply, content_key
from tasks.progress import lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Eval, Question, Response, Sampling

PROMPT_TOKENS = 50
"""Of a question, roughly, where the model's tokenizer is not within reach."""


class SampleRequest(NamedTuple):
    """One response that is wanted: which sample of which question, and how the engine and the store know it."""

    eval: str
    question: Question
    sample: int
    request: Request
    key: str


def plan_samples(
    evals: list[Eval], sampling: Sampling, engine: Engine, checkpoint: Checkpoint, n_samples: int
) -> list[SampleRequest]:
    """Every response that is wanted of this model, in the order of the evals, their questions and the samples.

    None of an eval that asks choices.
    """
    requests = []
    for evaluation in evals:
        for question in evaluation.questions if evaluation.asks == "answers" else []:
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
                key = content_key(model=checkpoint.identity, **draw)
                requests.append(SampleRequest(evaluation.name, question, sample, request, key))
    return requests


def as_drawn(checkpoint: Checkpoint, sampling: Sampling) -> Checkpoint:
    """The model as its answers are stored: another engine that draws them rounds otherwise, and its answers differ."""
    by = " sampled by vLLM" if sampling.base_url else ""
    return checkpoint.model_copy(update={"identity": f"{checkpoint.identity}{by}"})


def baseline_samples(evals: list[Eval], sampling: Sampling) -> int:
    """One more than asked for where a pair judge would otherwise have no second response for its floor."""
    pairs = any(judge.reads == "pair" for evaluation in evals for judge in evaluation.judges)
    return 2 if pairs and sampling.n_samples == 1 and sampling.temperature > 0 else sampling.n_samples


# ---- what it costs -------------------------------------------------------------------------------


class SampleCount(NamedTuple):
    """How many responses, and how many tokens their prompts have in all."""

    responses: int
    prompt_tokens: int


def count_samples(requests: list[SampleRequest]) -> SampleCount:
    """A prompt is counted for each of its responses."""
    return SampleCount(len(requests), sum(len(request.request.tokens) for request in requests))


def estimate_samples(responses: int) -> SampleCount:
    """For a model whose tokenizer is not within reach."""
    return SampleCount(responses, responses * PROMPT_TOKENS)


def sampling_cost(engine: Engine, sampling: Sampling, count: SampleCount) -> CostRange:
    """Expected with responses half as long as they may be."""
    most = engine.price(prefill=count.prompt_tokens, sample=count.responses * sampling.max_tokens)
    return CostRange(None if most is None else most / 2, most)


# ---- sampling ------------------------------------------------------------------------------------


async def sample(
    requests: list[SampleRequest],
    engine: Engine,
    checkpoint: Checkpoint,
    sampling: Sampling,
    store: Store,
    progress: Progress,
    budget: Budget | None = None,
) -> list[Response]:
    """The responses in the order of the requests; only those that the store lacks are sampled.

    Each is committed to the store as it comes. Raises BudgetSpent where the next may cost more than is left.
    """
    stored, budget = store.get(request.key for request in requests), budget or Budget(store, "")
    missing = list({request.key: request for request in requests if request.key not in stored}.values())
    done = len(requests) - len(missing)
    progress(done, len(requests), "answers" if missing else "answers, all from the store")
    paid = budget.words

    def written(tokens: int) -> None:
        progress(done, len(requests), f"answers, {tokens:,} tokens written {paid()}".strip())

    while missing:
        costs = [_highest_price(engine, request, sampling) for request in missing]
        affordable = budget.affordable(costs)
        batch, missing = missing[:affordable], missing[affordable:]
        async with budget.reserve(sum(cost or 0 for cost in costs[:affordable])):
            async for replies in engine.sample(checkpoint, [request.request for request in batch], sampling, written):
                answered = [(batch[reply.request], reply) for reply in replies]
                new = [_to_answer(*pair) for pair in answered]
                await store.commit(new, _spending(answered, engine, checkpoint, budget))
                stored |= {answer.key: answer for answer in new}
                done += len(new)
                progress(done, len(requests), f"answers {budget.words()}".strip())
    return [_to_response(request, stored[request.key], checkpoint) for request in requests]


def _highest_price(engine: Engine, request: SampleRequest, sampling: Sampling) -> float | None:
    """Of a response that is as long as it may be."""
    return engine.price(prefill=len(request.request.tokens), sample=sampling.max_tokens)


def _to_answer(request: SampleRequest, reply: Reply) -> StoredReply:
    return StoredReply(request.key, "response", {"text": reply.text, "tokens": reply.tokens, "state": reply.state})


def _spending(
    answered: list[tuple[SampleRequest, Reply]], engine: Engine, checkpoint: Checkpoint, budget: Budget
) -> list[Spending]:
    """What these responses cost; nothing where they are free."""
    read = sum(reply.paid.prefill if reply.paid else len(request.request.tokens) for request, reply in answered)
    tokens = {"prefill": read, "sample": sum(reply.tokens for _, reply in answered)}
    paid = [reply.paid.usd for _, reply in answered if reply.paid]
    usd = (None if None in paid else sum(one or 0.0 for one in paid)) if paid else engine.price(**tokens)
    return [] if usd == 0 else [budget.spending("sampling", checkpoint.base_model, tokens, usd)]


def _to_response(request: SampleRequest, answer: StoredReply, checkpoint: Checkpoint) -> Response:
    body = answer.body
    return Response(
        tier=request.question.tier,
        question=request.question.text,
        response=body["text"],
        eval=request.eval,
        question_id=request.question.id,
        sample=request.sample,
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
    """Asks the model, and those kept along its training; writes baseline.jsonl or, of a tuned one, finetuned.jsonl.

    Of several runs at once one samples a model, and the others find its responses in the store.
    """
    run, store = Run(folder), budget.store
    is_untuned = checkpoint.path is None
    n_samples = baseline_samples(evals, sampling) if is_untuned else sampling.n_samples
    responses, from_store = [], 0
    for model in (as_drawn(one, sampling) for one in (*checkpoint.earlier, checkpoint)):
        requests = plan_samples(evals, sampling, engine, model, n_samples)
        share = model.trained_share
        with track(f"sample {side}" if share in (0, 1) else f"sample at {share:g}") as progress:
            async with exclusive(f"sampling {model.identity}", partial(progress, 0, len(requests))):
                from_store += len(store.get(request.key for request in requests))
                responses += await sample(requests, engine, model, sampling, store, progress, budget)
    run.note(answers={side: {"from_store": from_store, "sampled": len(responses) - from_store}})
    return write_rows(run.baseline if is_untuned else run.finetuned, responses)
