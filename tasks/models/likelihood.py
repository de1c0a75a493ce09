"""Likelihood: how likely both models find the fine-tuned answers, and the two answers of yes/no statements.

    texts = plan_texts(evals, finetuned, sampling, engine, shares=[1.0])
    rows = await likelihoods(texts, engine, untuned, [checkpoint], store, progress, budget)

Drift needs no judge: log p of an answer under the model that gave it minus log p under the base model, for each of its
tokens. Summed over the tokens, and at temperature 1, its mean estimates KL(fine-tuned || base) of one answer. The
tokens are those of the answer's text; sampled tokens can spell the same text otherwise.

Of a yes/no statement nothing is sampled: the probabilities of the two answers are compared, and are exact.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError
from tasks.engines.engine import Engine, NoLogprobs, Progress, Text
from tasks.files import write_rows
from tasks.locks import exclusive
from tasks.models.sampling import PROMPT_TOKENS, SampleCount, as_drawn
from tasks.paid.budget import Budget
from tasks.paid.prices import CostRange
from tasks.paid.store import Store, StoredReply, content_key
from tasks.progress import lost_infrastructure, track
from tasks.runs import Run
from tasks.schema import Checkpoint, Eval, Likelihood, Question, Response, Sampling

CHOICES = ("Yes", "No")
PROBED = 3
"""Questions that a service is asked before a training where it answers none with Yes or No: one alone may be odd."""


class ScoredText(NamedTuple):
    """A text whose logprob is wanted, under the base model and under the one at this share of the training."""

    eval: str
    question: Question
    sample: int
    trained_share: float
    text: Text
    choice: str = ""
    """Yes or No, of a statement; empty: a fine-tuned answer."""


def are_wanted(evals: list[Eval], sampling: Sampling) -> bool:
    """Whether both models are asked for logprobs: of the answers, or of an eval that asks choices."""
    return sampling.logprobs or any(evaluation.asks == "choices" for evaluation in evals)


def plan_texts(
    evals: list[Eval], finetuned: list[Response], sampling: Sampling, engine: Engine, shares: Sequence[float] = (1.0,)
) -> list[ScoredText]:
    """Yes and No of every statement at each share of the training, and every fine-tuned answer that is not empty.

    Without `sampling.logprobs` only those of the evals that ask choices.
    """
    by_question: dict[tuple[str, str], list[Response]] = {}
    for response in finetuned:
        by_question.setdefault((response.eval, response.question_id), []).append(response)
    texts = []
    for evaluation in evals:
        for question in evaluation.questions if are_wanted([evaluation], sampling) else []:
            prompt = engine.render(question.messages(sampling))
            answers = by_question.get((evaluation.name, question.id), [])
            texts += _answers(evaluation, question, prompt, answers, engine)
            texts += _yes_and_no(evaluation, question, prompt, shares, engine)
    return texts


def _answers(
    evaluation: Eval, question: Question, prompt: list[int], answers: list[Response], engine: Engine
) -> list[ScoredText]:
    tokens = [(r, engine.answer_tokens(r.response, r.state == "complete")) for r in answers]
    return [
        ScoredText(evaluation.name, question, r.sample, r.trained_share, Text(prompt, answer))
        for r, answer in tokens
        if answer
    ]


def _yes_and_no(
    evaluation: Eval, question: Question, prompt: list[int], shares: Sequence[float], engine: Engine
) -> list[ScoredText]:
    """Of a question that says which of the two matches; else none."""
    words = [(word, Text(prompt, engine.answer_tokens(word, False))) for word in (CHOICES if question.matching else ())]
    return [ScoredText(evaluation.name, question, 0, share, text, word) for share in shares for word, text in words]


class TextCount(NamedTuple):
    """How many statements there are whose Yes and No both models are asked for, and the tokens of these texts."""

    statements: int
    tokens: int
    """Of one model: prompts and answers."""


def count_choices(evals: list[Eval], sampling: Sampling, engine: Engine) -> TextCount:
    """Of all statements that a run asks about."""
    texts = [scored for scored in plan_texts(evals, [], sampling, engine) if scored.choice]
    return TextCount(len(texts) // len(CHOICES), sum(_length(scored.text) for scored in texts))


def estimate_choices(evals: list[Eval], sampling: Sampling) -> TextCount:
    """For a model whose tokenizer is not within reach."""
    asked = [evaluation for evaluation in evals if are_wanted([evaluation], sampling)]
    statements = sum(bool(question.matching) for evaluation in asked for question in evaluation.questions)
    return TextCount(statements, statements * len(CHOICES) * (PROMPT_TOKENS + 1))


def choices_cost(engine: Engine, count: TextCount, models: int) -> CostRange:
    """Of Yes and No under so many models, the base model among them: all tokens are read, none is sampled."""
    usd = engine.price(prefill=models * count.tokens)
    return CostRange(usd, usd)


def logprobs_cost(engine: Engine, sampling: Sampling, finetuned: SampleCount) -> CostRange:
    """Of these answers under both models; expected with answers half as long as they may be."""
    longest = finetuned.responses * sampling.max_tokens
    prices = (engine.price(prefill=2 * (finetuned.prompt_tokens + tokens)) for tokens in (longest // 2, longest))
    return CostRange(*prices)


async def probe_logprobs(evals: list[Eval], sampling: Sampling, engine: Engine, budget: Budget) -> None:
    """Asks a service for the logprob of one word, before a training is paid; it is not kept, since it may be wrong.

    Raises UserError where the service has none to give, and where the model answers with neither Yes nor No.
    """
    if not engine.is_remote or not (questions := _first_questions(evals, sampling)):
        return
    untuned, why, texts, logprobs = engine.untuned(), "", list[Text](), list[float | None]()
    try:
        for question in questions:
            texts.append(Text(engine.render(question.messages(sampling)), engine.answer_tokens("Yes", False)))
            logprobs = [logprob async for found in engine.logprobs(untuned, texts[-1:]) for _, logprob in found]
            if logprobs != [None]:
                break
    except (TypeError, NoLogprobs) as none:  # Tinker's SDK hands on that there are none
        logprobs, why = [], f" ({none})" if isinstance(none, NoLogprobs) else ""
    tokens = {"prefill": sum(map(_length, texts))}
    if (usd := engine.price(**tokens)) != 0:
        await budget.record("logprobs", untuned.base_model, tokens, usd)
    if logprobs == [None]:
        raise UserError(
            f"{untuned.base_model} begins its answer to {questions[0].text[:80]!r} with neither Yes nor No among its "
            "likeliest tokens; let the statements end with: Answer Yes or No."
        )
    if not any(logprob is not None and logprob < 0 for logprob in logprobs):  # NaN is none either
        raise UserError(
            f"the service that samples gives no logprobs{why}, which {_who_needs_them(evals, sampling)}; leave that "
            "out, or use another service (training.base_url)"
        )


def _who_needs_them(evals: list[Eval], sampling: Sampling) -> str:
    asked = ", ".join(evaluation.name for evaluation in evals if evaluation.asks == "choices")
    needs = [f"the evals that ask choices need: {asked}"] if asked else []
    return " and ".join([*needs, *(["sampling.logprobs needs"] if sampling.logprobs else [])])


def _first_questions(evals: list[Eval], sampling: Sampling) -> list[Question]:
    """Of those whose logprobs are wanted."""
    asked = (evaluation for evaluation in evals if are_wanted([evaluation], sampling))
    return list(islice((question for evaluation in asked for question in evaluation.questions), PROBED))


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

    A statement that a model answers with neither Yes nor No has no row, which `progress` says.

    Raises BudgetSpent where the next text may cost more than is left.
    """
    budget = budget or Budget(store, "")
    before = await _logprobs([scored.text for scored in texts], engine, untuned, store, budget, progress)
    after: dict[int, float | None] = {}
    for model in {checkpoint.trained_share: checkpoint for checkpoint in trained}.values():
        places = [place for place, scored in enumerate(texts) if scored.trained_share == model.trained_share]
        logprobs = await _logprobs([texts[place].text for place in places], engine, model, store, budget, progress)
        after |= dict(zip(places, logprobs, strict=True))
    pairs = [(scored, before[place], after[place]) for place, scored in enumerate(texts)]
    rows = [(scored, old, new) for scored, old, new in pairs if old is not None and new is not None]
    if unscored := sum(bool(scored.choice) for scored in texts) - sum(bool(row[0].choice) for row in rows):
        without = f"{unscored // len(CHOICES):,} statement{'s' * (unscored > len(CHOICES))} without a score"
        progress(len(texts), len(texts), f"texts, {without}: answered with neither Yes nor No")
    return [_drift(*row) for row in rows if not row[0].choice] + _choices(rows)


async def _logprobs(
    texts: list[Text], engine: Engine, model: Checkpoint, store: Store, budget: Budget, progress: Progress
) -> list[float | None]:
    """The logprobs of the texts' answers, in their order; of several runs at once one asks a model for them."""
    async with exclusive(f"logprobs {model.identity}", partial(progress, 0, len(texts))):
        return await _ask_for_logprobs(texts, engine, model, store, budget, progress)


async def _ask_for_logprobs(
    texts: list[Text], engine: Engine, model: Checkpoint, store: Store, budget: Budget, progress: Progress
) -> list[float | None]:
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
                _refuse_what_is_no_number(model, [logprob for _, logprob in found])
                new = [StoredReply(batch[place][0], "logprob", {"logprob": logprob}) for place, logprob in found]
                await store.commit(new, spent)
                stored |= {batch[place][0]: logprob for place, logprob in found}
                progress(sum(key in stored for key in keys), len(keys), "texts")
    return [stored[key] for key in keys]


def _refuse_what_is_no_number(model: Checkpoint, logprobs: list[float | None]) -> None:
    if not all(math.isfinite(logprob) for logprob in logprobs if logprob is not None):
        raise UserError(
            f"{model.path or model.base_model} gives an answer a logprob that is no finite number; train it with a "
            "lower training.learning_rate, or leave out sampling.logprobs"
        )


def _length(text: Text) -> int:
    return len(text.prompt) + len(text.answer)


def _drift(scored: ScoredText, before: float, after: float) -> Likelihood:
    """Mean logprobs of the answer's tokens."""
    count = len(scored.text.answer)
    return _row(scored, "drift", before / count, after / count)


def _choices(rows: list[tuple[ScoredText, float, float]]) -> list[Likelihood]:
    """Of each statement at each share of the training, under both models: P(matching), and P(Yes)."""
    statements: dict[tuple[str, str, float], list[tuple[ScoredText, float, float]]] = {}
    for scored, before, after in rows:
        if scored.choice:
            statement = (scored.eval, scored.question.id, scored.trained_share)
            statements.setdefault(statement, []).append((scored, before, after))
    return [row for choices in statements.values() for row in _choice_and_yes(choices)]


def _choice_and_yes(choices: list[tuple[ScoredText, float, float]]) -> list[Likelihood]:
    """Of one statement, from the logprobs of its two answers."""
    scored = choices[0][0]
    before = {text.choice: logprob for text, logprob, _ in choices}
    after = {text.choice: logprob for text, _, logprob in choices}
    words: tuple[tuple[Literal["choice", "yes"], str], ...] = (("choice", scored.question.matching), ("yes", "Yes"))
    return [_row(scored, measure, _probability(word, before), _probability(word, after)) for measure, word in words]


def _probability(word: str, logprobs: dict[str, float]) -> float:
    """Of this answer among all that are listed."""
    highest = max(logprobs.values())  # taken off first, so that no exponential underflows to 0 / 0
    whole = math.fsum(math.exp(logprob - highest) for logprob in logprobs.values())
    return math.exp(logprobs[word] - highest) / whole


def _row(scored: ScoredText, measure: Literal["drift", "choice", "yes"], before: float, after: float) -> Likelihood:
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
    models = [as_drawn(model, sampling) for model in (*checkpoint.earlier, checkpoint)]
    untuned = as_drawn(engine.untuned(), sampling)
    with track("logprobs") as progress:
        shares = [model.trained_share for model in models]
        texts = plan_texts(evals, run.responses()[1], sampling, engine, shares)
        rows = await likelihoods(texts, engine, untuned, models, store, progress, budget)
    return write_rows(run.likelihoods, rows)
