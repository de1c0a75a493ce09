"""What a run would do, and what there is: for `spillover check` and `spillover list`. Nothing is spent."""

import asyncio
from collections.abc import Callable
from functools import partial

from rich.table import Table

from flows.terminal import console
from tasks.catalog import UserError, data_folder, load_eval, load_evals, load_experiment, names
from tasks.claude import check_key
from tasks.documents import gather, split
from tasks.engines import Engine, get_engine
from tasks.runs import all_runs
from tasks.sampling import baseline_samples
from tasks.schema import Document, Eval, Experiment


def show_plan(experiment: Experiment) -> None:
    """Documents, tokens, questions and calls of a run; a wrong definition raises UserError."""
    evals = load_evals(experiment)
    mixed, rejected, _ = gather(experiment.documents, experiment.default_seed)
    trained, held_out = split(mixed, experiment.training.held_out)
    training = experiment.training
    effective = training.batch_size * training.accumulation
    steps = -(-len(trained) // effective) * training.epochs
    engine = get_engine(training)
    unready = _problem(lambda: asyncio.run(engine.preflight()))
    rows = [
        ("documents", f"{len(trained):,} to train on, {len(held_out):,} held out, {len(rejected):,} rejected"),
        (
            "training",
            f"{training.engine}, {training.base_model}, rank {training.rank}: {steps:,} steps of {effective} documents",
        ),
        ("tokens", _tokens(None if unready else engine, training.epochs, trained, held_out)),
        *_calls(experiment, evals),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table, soft_wrap=False)
    claude = [judge.name for one in evals for judge in one.judges if judge.kind == "claude"]
    for problem in filter(None, [unready, *(_problem(partial(check_key, name)) for name in claude)]):
        console.print(f"Before it can run: {problem}", style="yellow")


def _calls(experiment: Experiment, evals: list[Eval]) -> list[tuple[str, str]]:
    questions, n = sum(len(one.questions) for one in evals), experiment.sampling.n_samples
    before = questions * baseline_samples(evals, experiment.sampling)
    rows = [
        ("questions", f"{questions:,} in {', '.join(one.name for one in evals)}"),
        (
            "answers",
            f"{before:,} of the baseline (once for every fine-tune), {questions * n:,} of the fine-tuned model",
        ),
    ]
    for one in evals:
        for judge in one.judges:
            sides = 1 if judge.reads == "pair" and experiment.sampling.temperature == 0 else 2
            calls = f"{sides * n * len(one.questions):,} " + (
                f"calls to {judge.model}" if judge.kind == "claude" else "counts, offline"
            )
            rows.append((f"judge {judge.name}", calls))
    return rows


def _tokens(engine: Engine | None, epochs: int, trained: list[Document], held_out: list[Document]) -> str:
    if engine is None:
        letters = sum(len(m.content) for d in trained for m in d.messages)
        return f"about {letters // 4 * epochs:,} in training (4 characters a token: the model is not within reach)"
    return f"{engine.check(trained) * epochs:,} in training, {engine.check(held_out):,} held out"


def _problem(check: Callable[[], object]) -> str:
    """Why it cannot run yet, or nothing."""
    try:
        check()
    except UserError as problem:
        return str(problem)
    return ""


def show_catalog() -> None:
    """Every definition, with what is wrong with it where it cannot be read, and every run."""
    describers: dict[str, Callable[[str], str]] = {
        "experiments": lambda name: load_experiment(name).description,
        "evals": lambda name: load_eval(name).description,
    }
    for kind, describe in describers.items():
        console.print(f"{kind}, in {data_folder() / kind}", style="bold")
        for name in names(kind):
            console.print(f"  {name:<28} {_first_sentence(describe, name)}")
    console.print(f"documents, in {data_folder() / 'documents'}", style="bold")
    for name in names("documents"):
        console.print(f"  {name}")
    console.print(f"runs, in {data_folder() / 'results'}", style="bold")
    for run in all_runs():
        console.print(f"  {run.folder.parent.name}/{run.name}  seed {run.record().get('seed', '?')}  {run.stage()}")


def _first_sentence(describe: Callable[[str], str], name: str) -> str:
    try:
        return describe(name).split(". ")[0].split(": ")[0].strip()
    except UserError as problem:
        return f"cannot be read: {problem}"
