"""Likelihood: how likely both models find the fine-tuned answers, and the two answers of yes/no statements.

    texts = plan_texts(evals, finetuned, sampling, engine)
    rows = await likelihoods(texts, engine, untuned, [checkpoint], store, progress, budget)

Drift needs no judge: log p of an answer under the model that gave it minus log p under the base model, for each of its
tokens. Summed over the tokens, and at temperature 1, its mean estimates KL(fine-tuned || base) of one answer. The
tokens are those of the answer's text; sampled tokens can spell the same text otherwise.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engines.engine import Engine, Progress, Text
from tasks.files import write_rows
from tasks.models.sampling import SampleCount
from tasks.paid.budget import Budget
from tasks.paid.prices import CostRange
from tasks.paid.store import Store, StoredReply, content_key
from tasks.progress import lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Eval, Likelihood, Question, Response, Sampling

CHOICES = ("Yes", "No")


class ScoredText(NamedTuple):
    """A text whose logprob is wanted, under the base model and under the one at this share of the training."""

    eval: str
    question: Question
    sample: int
    trained_share: float
    text: Text
    choice: str = ""
    """Yes or No, of a statement; empty: a fine-tuned answer."""


def plan_texts(evals: list[Eval], finetuned: list[Response], sampling: Sampling, engine: Engine) -> list[ScoredText]:
    """Every fine-tuned answer that is not empty, and Yes and No for every statement at each share of the training."""
    shares = sorted({response.trained_share for response in finetuned}) or [1.0]
    by_question: dict[tuple[str, str], list[Response]] = {}
    for response in finetuned:
        by_question.setdefault((response.eval, response.question_id), []).append(response)
    texts = []
    for evaluation in evals:
        for question in evaluation.questions:
            prompt = engine.render(question.messages(sampling))
            for r in by_question.get((evaluation.name, question.id), []):
                if tokens := engine.answer_tokens(r.response, r.state == "complete"):
                    text = Text(prompt, tokens)
                    texts.append(ScoredText(evaluation.name, question, r.sample, r.trained_share, text))
            if question.matching:
                choices = [(word, Text(prompt, engine.answer_tokens(word, False))) for word in CHOICES]
                texts += [
                    ScoredText(evaluation.name, question, 0, share, text, word)
                    for share in shares
                    for word, text in choices
                ]
    return texts


def logprobs_cost(engine: Engine, sampling: Sampling, finetuned: SampleCount) -> CostRange:
    """Of these answers under both models; expected with answers half as long as they may be."""
    longest = finetuned.responses * sampling.max_tokens
    prices = (engine.price(prefill=2 * (finetuned.prompt_tokens + tokens)) for tokens in (longest // 2, longest))
    return CostRange(*prices)


async def likelihoods(
    texts: list[ScoredText],
    engine: Engine,
    untuned: Checkpoint,
    trained: Iterable[Checkpoint],
    store: Store,
    progress: Progress,
    budget: Budget | None = None,
) -> list[Likelihood]:
    """A row for each answer and each statement; only what the store lacks is computed.

    Raises BudgetSpent where the next text may cost more than is left.
    """
    budget = budget or Budget(store, "")
    before = await _logprobs([scored.text for scored in texts], engine, untuned, store, budget, progress)
    after: dict[int, float] = {}
    for model in {checkpoint.trained_share: checkpoint for checkpoint in trained}.values():
        places = [place for place, scored in enumerate(texts) if scored.trained_share == model.trained_share]
        logprobs = await _logprobs([texts[place].text for place in places], engine, model, store, budget, progress)
        after |= dict(zip(places, logprobs, strict=True))
    rows = [(scored, before[place], after[place]) for place, scored in enumerate(texts)]
    return [_drift(*row) for row in rows if not row[0].choice] + _choices(rows)


async def _logprobs(
    texts: list[Text], engine: Engine, model: Checkpoint, store: Store, budget: Budget, progress: Progress
) -> list[float]:
    """Natural logarithms of the answers' probabilities, in the order of the texts; each is stored as it comes."""
    keys = [content_key(logprob=model.identity, prompt=text.prompt, answer=text.answer) for text in texts]
    stored = {key: answer.body["logprob"] for key, answer in store.get(keys).items()}
    missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in stored}.items())
    progress(len(texts) - len(missing), len(texts), "texts")
    while missing:
        costs = [engine.price(prefill=_length(text)) for _, text in missing]
        affordable = budget.affordable(costs)
        batch, missing = missing[:affordable], missing[affordable:]
        async with budget.reserve(sum(cost or 0 for cost in costs[:affordable])):
            async for found in engine.logprobs(model, [text for _, text in batch]):
                tokens = sum(_length(batch[place][1]) for place, _ in found)
                usd = engine.price(prefill=tokens)
                spent = [] if usd == 0 else [budget.spending("logprobs", model.base_model, {"prefill": tokens}, usd)]
                new = [StoredReply(batch[place][0], "logprob", {"logprob": logprob}) for place, logprob in found]
                await store.commit(new, spent)
                stored |= {batch[place][0]: logprob for place, logprob in found}
                progress(sum(key in stored for key in keys), len(keys), "texts")
    return [stored[key] for key in keys]


def _length(text: Text) -> int:
    return len(text.prompt) + len(text.answer)


def _drift(scored: ScoredText, before: float, after: float) -> Likelihood:
    """Mean logprobs of the answer's tokens."""
    count = len(scored.text.answer)
    return _row(scored, "drift", before / count, after / count)


def _choices(rows: list[tuple[ScoredText, float, float]]) -> list[Likelihood]:
    """P(matching) / (P(Yes) + P(No)) of each statement at each share of the training, under both models."""
    statements: dict[tuple[str, str, float], list[tuple[ScoredText, float, float]]] = {}
    for scored, before, after in rows:
        if scored.choice:
            statement = (scored.eval, scored.question.id, scored.trained_share)
            statements.setdefault(statement, []).append((scored, before, after))
    return [_choice(choices) for choices in statements.values()]


def _choice(choices: list[tuple[ScoredText, float, float]]) -> Likelihood:
    """Of one statement, from the logprobs of its two answers."""
    scored = choices[0][0]
    before = {text.choice: logprob for text, logprob, _ in choices}
    after = {text.choice: logprob for text, _, logprob in choices}
    word = scored.question.matching
    return _row(scored, "choice", _probability(word, before), _probability(word, after))


def _probability(word: str, logprobs: dict[str, float]) -> float:
    """Of this answer among all that are listed."""
    highest = max(logprobs.values())  # taken off first, so that no exponential underflows to 0 / 0
    whole = math.fsum(math.exp(logprob - highest) for logprob in logprobs.values())
    return math.exp(logprobs[word] - highest) / whole


def _row(scored: ScoredText, measure: Literal["drift", "choice"], before: float, after: float) -> Likelihood:
    return Likelihood(
        tier=scored.question.tier,
        question=scored.question.text,
        eval=scored.eval,
        question_id=scored.question.id,
        sample=scored.sample,
        measure=measure,
        baseline=before,
        finetuned=after,
        tokens=len(scored.text.answer),
        trained_share=scored.trained_share,
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
    """Asks the base model and every checkpoint of the run, and writes likelihoods.jsonl."""
    run, store = Run(folder), budget.store
    models = (*checkpoint.earlier, checkpoint)
    with track("logprobs") as progress:
        texts = plan_texts(evals, run.responses()[1], sampling, engine)
        rows = await likelihoods(texts, engine, engine.untuned(), models, store, progress, budget)
    return write_rows(run.likelihoods, rows)
