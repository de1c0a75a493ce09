"""What a run would do, for `spillover check`. Nothing is spent."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from rich.table import Table

from flows.console import console
from flows.experiment import claude_judges, refuse_unknown_prices
from tasks.catalog import UserError, load_evals
from tasks.documents.sets import gather, split
from tasks.engines import get_engine
from tasks.engines.engine import Engine, check_questions
from tasks.engines.schedule import check_warmup, count_steps
from tasks.imports.responses import read_responses, samples_per_question
from tasks.judging.claude import check_key
from tasks.judging.rubrics import to_call
from tasks.models.sampling import baseline_samples, most_cost, plan
from tasks.models.training import kept_checkpoint, training_key
from tasks.paid.prices import cost
from tasks.paid.store import Store
from tasks.schema import Document, Eval, Experiment, Judge

LETTERS_A_TOKEN = 4
EXPECTED_REPLY = 80
"""Tokens of a judge's JSON object: a score and a sentence or two."""


def show_plan(experiment: Experiment) -> None:
    """Documents, tokens, questions, calls and cost of a run; a wrong definition raises UserError."""
    evals = load_evals(experiment)
    table = Table(box=None, show_header=False, pad_edge=False)
    unready, odd = "", list[str]()
    if experiment.responses:
        baseline, finetuned = read_responses(experiment.responses, evals)
        table.add_row("answers", f"{len(baseline):,} of the baseline, {len(finetuned):,} of the fine-tuned model")
        rows, costs = _judges(experiment, evals, samples_per_question(baseline, finetuned))
    else:
        engine = get_engine(experiment.training)
        unready = _problem(lambda: asyncio.run(engine.preflight()))
        if not unready:
            check_questions(engine, evals, experiment.sampling)
            odd = engine.warnings()
        rows, costs = _whole_line(experiment, evals, None if unready else engine)
    for row in rows:
        table.add_row(*row)
    table.add_row("cost", _sum(costs, experiment.max_cost_usd))
    console.print(table, soft_wrap=False)
    for problem in filter(None, [unready, *_problems(experiment, evals)]):
        console.print(f"Before it can run: {problem}", style="yellow")
    for warning in odd:
        console.print(f"It can run, but {warning}", style="yellow")


class Cost(NamedTuple):
    """US dollars of one part of a run, as expected and at most; None where the price is unknown."""

    part: str
    expected: float | None
    most: float | None


def _problems(experiment: Experiment, evals: list[Eval]) -> list[str]:
    """Why it cannot run yet."""
    judges = claude_judges(evals)
    problems = [_problem(partial(check_key, judge.name, judge.base_url)) for judge in judges]
    if experiment.max_cost_usd:
        engine = None if experiment.responses else get_engine(experiment.training)
        problems.append(_problem(partial(refuse_unknown_prices, judges, experiment.training, engine)))
    return list(dict.fromkeys(problems))


Row = tuple[str, str]


def _whole_line(experiment: Experiment, evals: list[Eval], engine: Engine | None) -> tuple[list[Row], list[Cost]]:
    mixed, rejected, _ = gather(experiment.documents, experiment.default_seed)
    trained, held_out = split(mixed, experiment.training.held_out)
    training = experiment.training
    if not training.checkpoint:
        check_warmup(len(trained), training)
    steps = count_steps(len(trained), training)
    questions, n = sum(len(one.questions) for one in evals), experiment.sampling.n_samples
    before = questions * baseline_samples(evals, experiment.sampling)
    rows = [
        ("documents", f"{len(trained):,} to train on, {len(held_out):,} held out, {len(rejected):,} rejected"),
        (
            "training",
            f"{training.engine}, {training.base_model}, rank {training.rank}: {steps:,} steps of "
            f"{training.batch_words}",
        ),
        ("tokens", _tokens(engine, training.epochs, trained, held_out)),
        ("questions", f"{questions:,} in {', '.join(one.name for one in evals)}"),
        (
            "answers",
            f"{before:,} of the baseline (once for every fine-tune), {questions * n * _moments(experiment):,} of the "
            "fine-tuned model",
        ),
        *([("logprobs", "of every fine-tuned answer, under both models")] if experiment.sampling.logprobs else []),
    ]
    judged, costs = _judges(experiment, evals, n)
    return rows + judged, [*_engine_costs(experiment, evals, trained, held_out, engine is not None), *costs]


def _engine_costs(
    experiment: Experiment, evals: list[Eval], trained: list[Document], held_out: list[Document], is_ready: bool
) -> list[Cost]:
    """Training and sampling, less what the checkpoints and the store hold; nothing where it is free."""
    engine, training, sampling = get_engine(experiment.training), experiment.training, experiment.sampling
    if engine.price(train=1, prefill=1, sample=1) == 0:
        return []
    count = engine.check if is_ready else _about
    costs = []
    if not training.checkpoint and not (is_ready and _is_trained(experiment, engine, trained, held_out)):
        price = engine.price(train=count(trained) * training.epochs, prefill=2 * count(held_out))
        costs.append(Cost("training", price, price))
    if is_ready:
        before = plan(evals, sampling, engine, engine.untuned(), baseline_samples(evals, sampling))
        held = Store().get(ask.key for ask in before)
        after = plan(evals, sampling, engine, engine.untuned(), sampling.n_samples)
        most = most_cost(
            [ask for ask in before if ask.key not in held] + after * _moments(experiment), engine, sampling
        )
        prompts = sum(len(ask.request.tokens) for ask in after)
    else:
        answers = sampling.n_samples * sum(len(one.questions) for one in evals) * (1 + _moments(experiment))
        most = engine.price(prefill=answers * 50, sample=answers * sampling.max_tokens)
        prompts = answers // (1 + _moments(experiment)) * 50
    costs.append(Cost("sampling", None if most is None else most / 2, most))
    return costs + ([_logprobs_cost(experiment, evals, engine, prompts)] if sampling.logprobs else [])


def _logprobs_cost(experiment: Experiment, evals: list[Eval], engine: Engine, prompts: int) -> Cost:
    """Of the fine-tuned answers of every moment under both models; `prompts` are the tokens of one moment's."""
    sampling, models = experiment.sampling, 2 * _moments(experiment)
    answers = sampling.n_samples * sampling.max_tokens * sum(len(one.questions) for one in evals)
    expected, most = (engine.price(prefill=models * (prompts + tokens)) for tokens in (answers // 2, answers))
    return Cost("logprobs", expected, most)


def _is_trained(experiment: Experiment, engine: Engine, trained: list[Document], held_out: list[Document]) -> bool:
    base = engine.untuned().identity
    key = training_key(experiment.training, trained, held_out, experiment.default_seed, base, engine.today)
    return kept_checkpoint(key) is not None


def _judges(experiment: Experiment, evals: list[Eval], n: int) -> tuple[list[Row], list[Cost]]:
    rows, costs = [], []
    for one in evals:
        for judge in one.judges:
            floorless = judge.reads == "pair" and experiment.sampling.temperature == 0
            calls = (_moments(experiment) + (0 if floorless else 1)) * n * len(one.questions)
            condition = f", only if {judge.only_if}" if judge.only_if else ""
            what = f"calls to {judge.model}{condition}" if judge.kind == "claude" else "counts, offline"
            rows.append((f"judge {judge.name}", f"{calls:,} {what}"))
            if judge.kind == "claude":
                costs.append(_judge_cost(judge, one, calls, experiment.sampling.max_tokens))
    return rows, costs


def _moments(experiment: Experiment) -> int:
    """How often the fine-tuned model is asked along its training, the end included."""
    return 1 + len(experiment.training.sample_at)


def _judge_cost(judge: Judge, one: Eval, calls: int, answer_tokens: int) -> Cost:
    """Of all its calls, the store taken as empty: expected with answers half as long as they may be, at most with
    answers and replies as long as they may be."""
    question = max((q.text for q in one.questions), key=len)
    rubric = to_call(judge, question, "", "" if judge.reads == "pair" else None)
    fixed = len(rubric.system + rubric.user) // LETTERS_A_TOKEN
    answers = answer_tokens * (2 if judge.reads == "pair" else 1)
    reply = min(judge.max_tokens, EXPECTED_REPLY if judge.answers == "json" else 5)
    known = rubric.prices()
    expected = cost(known, {"input": calls * (fixed + answers // 2), "output": calls * reply})
    most = cost(known, {"input": calls * (fixed + answers), "output": calls * judge.max_tokens})
    return Cost(f"judge {judge.name}", expected, most)


def _sum(costs: list[Cost], cap: float) -> str:
    """In words, each part and the whole; what the store holds is free."""
    limit = f"; max_cost_usd stops it at ${cap:,.2f}" if cap else ""
    if not costs:
        return "nothing" + limit
    parts = ", ".join(f"{c.part} {'unknown' if c.expected is None else f'${c.expected:,.2f}'}" for c in costs)
    expected = [cost.expected for cost in costs]
    if any(one is None for one in expected):
        return f"unknown: {parts} (prices in data/prices.yaml){limit}"
    whole, most = sum(one or 0 for one in expected), sum(cost.most or 0 for cost in costs)
    return f"about ${whole:,.2f}, ${most:,.2f} if every text were as long as it may be: {parts}{limit}"


def _tokens(engine: Engine | None, epochs: int, trained: list[Document], held_out: list[Document]) -> str:
    if engine is None:
        about = f"{LETTERS_A_TOKEN} characters a token: the model is not within reach"
        return f"about {_about(trained) * epochs:,} in training ({about})"
    return f"{engine.check(trained) * epochs:,} in training, {engine.check(held_out):,} held out"


def _about(documents: list[Document]) -> int:
    return sum(len(m.content) for d in documents for m in d.messages) // LETTERS_A_TOKEN


def _problem(check: Callable[[], object]) -> str:
    """Why it cannot run yet, or nothing."""
    try:
        check()
    except UserError as problem:
        return str(problem)
    return ""
