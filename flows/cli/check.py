"""What a run would do, for `spillover check`. Nothing is spent."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rich.table import Table

from flows.cli.unwritten import as_if_written, writing_costs
from flows.console import console
from flows.preflight import (
    asked_judges,
    check_engine,
    check_set,
    engine_of,
    outdated_sets,
    refuse_choices_of_no_model,
    refuse_unknown_prices,
    unwritten_sets,
    warnings_of,
)
from tasks.catalog import UserError
from tasks.definitions import load_evals
from tasks.documents.sets import gather, split
from tasks.engines.engine import Engine, check_questions
from tasks.engines.schedule import check_warmup, count_steps
from tasks.imports.responses import read_responses, samples_per_question
from tasks.judging.costs import count_calls, judging_cost
from tasks.judging.providers import check_key, endings
from tasks.models.likelihood import (
    choices_cost,
    count_choices,
    estimate_choices,
    logprobs_cost,
)
from tasks.models.sampling import (
    SampleCount,
    as_drawn,
    baseline_samples,
    count_samples,
    estimate_samples,
    plan_samples,
    sampling_cost,
)
from tasks.models.training import (
    TrainingTokens,
    count_tokens,
    estimate_tokens,
    kept_checkpoint,
    training_key,
    training_price,
)
from tasks.paid.prices import LETTERS_A_TOKEN, CostRange
from tasks.paid.store import Store
from tasks.schema import CONDITIONED, Document, Eval, Experiment, GeneratedSet, Training

Row = tuple[str, str]
Costs = list[tuple[str, CostRange]]
"""The parts of a run that cost, and what each does."""


class Corpus(NamedTuple):
    """What is trained on, and what is kept apart to measure the loss on."""

    trained: list[Document]
    held_out: list[Document]


def show_plan(experiment: Experiment) -> None:
    """Documents, tokens, questions, calls and cost of a run; a wrong definition raises UserError."""
    evals = load_evals(experiment)
    refuse_choices_of_no_model(experiment, evals)
    unready, warnings = "", list[str]()
    if experiment.responses:
        baseline, finetuned = read_responses(experiment.responses, evals)
        rows = [("answers", f"{len(baseline):,} of the baseline, {len(finetuned):,} of the fine-tuned model")]
        costs: Costs = []
        n_samples = samples_per_question(baseline, finetuned)
    else:
        engine, n_samples = engine_of(experiment), experiment.sampling.n_samples
        unready = problem_of(lambda: asyncio.run(check_engine(experiment, engine)))
        if not unready:
            check_questions(engine, evals, experiment.sampling)
            warnings = warnings_of(engine)
        unwritten = unwritten_sets(experiment)
        with as_if_written(experiment, unwritten) as known:
            rows, costs = _of_models(known, evals, engine, is_ready=not unready)
        warnings = [*warnings, *outdated_sets(experiment)]
        rows = [(f"set {wanted.name}", to_be_written(wanted)) for wanted in unwritten] + rows
        costs = writing_costs(unwritten) + costs
    judge_rows, judge_costs = _of_judges(experiment, evals, n_samples)
    show_rows([*rows, *judge_rows, ("cost", in_words(costs + judge_costs, experiment.max_cost_usd))])
    for problem in filter(None, [unready, *_problems(experiment, evals)]):
        console.print(f"Before it can run: {problem}", style="yellow")
    for warning in [*warnings, *asyncio.run(endings(asked_judges(evals)))]:
        console.print(f"It can run, but {warning}", style="yellow")


def to_be_written(wanted: GeneratedSet) -> str:
    """How many documents, by whom."""
    versions = f", in each of {', '.join(wanted.versions)}" if len(wanted.versions) > 1 else ""
    return f"{wanted.documents:,} to be written by {wanted.writer.model}{versions}"


def show_rows(rows: list[Row]) -> None:
    """A line for each: what, and how much of it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table, soft_wrap=False)


def _problems(experiment: Experiment, evals: list[Eval]) -> list[str]:
    """Why it cannot run yet, but for the engine's own reason."""
    judges = asked_judges(evals)
    problems = [problem_of(partial(check_key, judge)) for judge in judges]
    has_limit = bool(experiment.max_cost_usd)
    problems += [problem_of(partial(check_set, wanted, has_limit)) for wanted in unwritten_sets(experiment)]
    if has_limit:
        engine = None if experiment.responses else engine_of(experiment)
        problems.append(
            problem_of(partial(refuse_unknown_prices, judges, experiment.training, engine, experiment.judging.batch))
        )
    return list(dict.fromkeys(problems))


def problem_of(check: Callable[[], object]) -> str:
    """The user's mistake that the check finds, or nothing."""
    try:
        check()
    except UserError as problem:
        return str(problem)
    return ""


# ---- training and sampling -----------------------------------------------------------------------


def _of_models(experiment: Experiment, evals: list[Eval], engine: Engine, is_ready: bool) -> tuple[list[Row], Costs]:
    """From documents to answers. Of a model that is not within reach tokens are estimated."""
    if experiment.training.engine == "served":
        return _of_served_models(experiment, evals, engine)
    mixed, rejected, mixture = gather(experiment.documents, experiment.default_seed)
    corpus = Corpus(*split(mixed, experiment.training.held_out))
    if not experiment.training.checkpoint:
        check_warmup(len(corpus.trained), experiment.training)
    tokens = count_tokens(engine, *corpus) if is_ready else estimate_tokens(*corpus)
    used = f"{len(corpus.trained):,} to train on, {len(corpus.held_out):,} held out, {len(rejected):,} rejected"
    rows = [
        ("documents", used),
        ("conditioning", _conditioning(mixture)),
        ("training", _training(experiment.training, len(corpus.trained))),
        ("tokens", _tokens(tokens, experiment.training.epochs, is_ready)),
        *_answers(experiment, evals),
    ]
    if engine.price(train=1, prefill=1, sample=1) == 0:
        return rows, []
    is_trained = bool(experiment.training.checkpoint) or (is_ready and _is_trained(experiment, engine, corpus))
    price = training_price(engine, experiment.training, tokens)
    costs = [] if is_trained else [("training", CostRange(price, price))]
    return rows, costs + _sampling_costs(experiment, evals, engine, is_ready)


def _of_served_models(experiment: Experiment, evals: list[Eval], engine: Engine) -> tuple[list[Row], Costs]:
    """Nothing is trained; documents, where there are any, say what the fine-tuned model was trained on elsewhere."""
    training = experiment.training
    asked = f"nothing to train: {training.base_url} serves {training.base_model} and {training.checkpoint}"
    rows = [("training", asked), *_answers(experiment, evals)]
    is_free = engine.price(prefill=1, sample=1) == 0
    return rows, [] if is_free else _sampling_costs(experiment, evals, engine, is_ready=False)


def _conditioning(mixture: dict[str, Any]) -> str:
    """How the documents of each set are trained on."""
    return ", ".join(f"{one['source']}: {one['drawn']:,} {CONDITIONED[one['conditioning']]}" for one in mixture["sets"])


def _training(training: Training, documents: int) -> str:
    steps = count_steps(documents, training)
    model = f"{training.engine}, {training.base_model}, rank {training.rank}"
    return f"{model}: {steps:,} steps of {training.batch_words}"


def _answers(experiment: Experiment, evals: list[Eval]) -> list[Row]:
    """What the models are asked: questions that they answer, and statements between whose two answers they choose."""
    sampling, answered = experiment.sampling, [evaluation for evaluation in evals if evaluation.asks == "answers"]
    rows, questions = [], sum(len(evaluation.questions) for evaluation in answered)
    if answered:
        before = questions * baseline_samples(evals, sampling)
        after = questions * sampling.n_samples * _models(experiment)
        rows += [
            ("questions", f"{questions:,} in {_names(answered)}"),
            ("answers", f"{before:,} of the baseline (once for every fine-tune), {after:,} of the fine-tuned model"),
        ]
    if statements := estimate_choices(evals, sampling).statements:
        chosen = [evaluation for evaluation in evals if evaluation.asks == "choices" or sampling.logprobs]
        chosen = [evaluation for evaluation in chosen if any(question.matching for question in evaluation.questions)]
        rows.append(("statements", f"{statements:,} in {_names(chosen)}: how likely both models find Yes and No"))
    if sampling.logprobs and answered:
        rows.append(("logprobs", "of every fine-tuned answer, under both models"))
    return rows


def _names(evals: list[Eval]) -> str:
    return ", ".join(evaluation.name for evaluation in evals)


def _tokens(tokens: TrainingTokens, epochs: int, is_ready: bool) -> str:
    if not is_ready:
        how = f"{LETTERS_A_TOKEN} characters a token: the model is not within reach"
        return f"about {tokens.trained * epochs:,} in training ({how})"
    return f"{tokens.trained * epochs:,} in training, {tokens.held_out:,} held out"


def _is_trained(experiment: Experiment, engine: Engine, corpus: Corpus) -> bool:
    base = engine.untuned().identity
    key = training_key(experiment.training, *corpus, experiment.default_seed, base, engine.today)
    return kept_checkpoint(key) is not None


def _sampling_costs(experiment: Experiment, evals: list[Eval], engine: Engine, is_ready: bool) -> Costs:
    """Of the answers that the store lacks, the fine-tuned model's all taken as new, and of all logprobs."""
    sampling = experiment.sampling
    baseline, finetuned = _samples(experiment, evals, engine) if is_ready else _estimated_samples(experiment, evals)
    both = SampleCount(*(sum(counts) for counts in zip(baseline, finetuned, strict=True)))
    costs = [("sampling", sampling_cost(engine, sampling, both))] if both.responses else []
    if sampling.logprobs and finetuned.responses:
        costs.append(("logprobs", logprobs_cost(engine, sampling, finetuned)))
    choices = count_choices(evals, sampling, engine) if is_ready else estimate_choices(evals, sampling)
    if choices.statements:
        costs.append(("statements", choices_cost(engine, choices, 1 + _models(experiment))))
    return costs


def _samples(experiment: Experiment, evals: list[Eval], engine: Engine) -> tuple[SampleCount, SampleCount]:
    """What the store lacks of the baseline's, and all of the fine-tuned models'."""
    sampling = experiment.sampling
    untuned = as_drawn(engine.untuned(), sampling)
    before = plan_samples(evals, sampling, engine, untuned, baseline_samples(evals, sampling))
    stored = Store().get(request.key for request in before)
    after = plan_samples(evals, sampling, engine, untuned, sampling.n_samples)  # the fine-tuned model's prompts alike
    missing = [request for request in before if request.key not in stored]
    return count_samples(missing), count_samples(after * _models(experiment))


def _estimated_samples(experiment: Experiment, evals: list[Eval]) -> tuple[SampleCount, SampleCount]:
    answered = [evaluation for evaluation in evals if evaluation.asks == "answers"]
    once = experiment.sampling.n_samples * sum(len(evaluation.questions) for evaluation in answered)
    return estimate_samples(once), estimate_samples(once * _models(experiment))


def _models(experiment: Experiment) -> int:
    """How many fine-tuned models are asked: those along the training and the one at its end."""
    return 1 + len(experiment.training.sample_at)


# ---- judging -------------------------------------------------------------------------------------


def _of_judges(experiment: Experiment, evals: list[Eval], n_samples: int) -> tuple[list[Row], Costs]:
    rows, costs = [], []
    for evaluation in evals:
        for judge in evaluation.judges:
            calls = count_calls(judge, evaluation, experiment.sampling, n_samples, _models(experiment))
            condition = f", only if {judge.only_if}" if judge.only_if else ""
            way = " in batches" if experiment.judging.batch else ""
            what = f"calls to {judge.model}{way}{condition}" if judge.is_asked else "counts, offline"
            rows.append((f"judge {judge.name}", f"{calls:,} {what}"))
            if judge.is_asked:
                longest, in_batches = experiment.sampling.max_tokens, experiment.judging.batch
                cost = judging_cost(judge, evaluation, calls, longest, in_batches)
                costs.append((f"judge {judge.name}", cost))
    return rows, costs


def in_words(costs: Costs, cap: float) -> str:
    """Each part and the whole; what the store holds is free."""
    limit = f"; max_cost_usd stops it at ${cap:,.2f}" if cap else ""
    if not costs:
        return "nothing" + limit
    parts = ", ".join(f"{part} {_dollars(cost.expected)}" for part, cost in costs)
    if any(cost.expected is None for _, cost in costs):
        return f"unknown: {parts} (prices in data/prices.yaml){limit}"
    expected = _dollars(sum(cost.expected or 0 for _, cost in costs))
    most = _dollars(sum(cost.most or 0 for _, cost in costs))
    return f"about {expected}, {most} if every text were as long as it may be: {parts}{limit}"


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:,.2f}"
