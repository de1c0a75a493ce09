"""The parent flow: one experiment with one seed, from documents to report.

    await run_experiment(load_experiment("demo"), seed=0)

A stage whose file is there is finished and is not repeated; what was paid for comes from the store and the checkpoints.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from prefect import flow
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from flows.artifacts import link_to_report
from flows.forms import Seed
from flows.judging import MOST_CHUNKS, ask, asked_again, judge, refuse_too_many_unscored, report
from tasks.budget import Budget
from tasks.catalog import UserError, load_evals
from tasks.claude import check_key
from tasks.documents import documents_task
from tasks.elsewhere import read_responses
from tasks.engines import get_engine
from tasks.judging import plan
from tasks.likelihood import likelihood_task
from tasks.prices import dollars
from tasks.runs import Run, default_name, read_rows, write_rows
from tasks.sampling import sample_task
from tasks.schema import Checkpoint, Document, Eval, Experiment, Judge, Response, Sampling, Training, Until
from tasks.store import Store
from tasks.training import keep_with_run, kept_checkpoint, train_task, training_key

RECORDED = ("spillover", "prefect", "torch", "transformers", "peft", "tinker", "tinker-cookbook", "anthropic", "polars")

Answers = tuple[list[Response], list[Response]]
"""Of the baseline and of the fine-tuned model."""


def _title() -> str:
    experiment, seed = Experiment.model_validate(flow_run.parameters["experiment"]), flow_run.parameters["seed"]
    return f"{experiment.name}, seed {experiment.default_seed if seed is None else seed}"


@flow(name="run-experiment", flow_run_name=_title)
async def run_experiment(experiment: Experiment, seed: Seed = None, run: str = "", until: Until = "report") -> str:
    """Fine-tune on the documents, sample before and after, judge every answer and report what changed.

    Args:
        experiment: What is trained on and what is asked. Its JSON input takes all other fields of a YAML file too.
        seed: Seed of the mixture, the LoRA and the order of training. Empty: the experiment's default.
        run: Name of the run's folder; a name that exists is resumed. Empty: a new one.
        until: Stop after this stage; a run of the same name goes on from there.
    """
    evals = await preflight(experiment)
    name = run or default_run_name()
    is_new = bool(experiment.responses) and not Run.at(experiment.name, name).finetuned.is_file()
    elsewhere = read_elsewhere(experiment, evals) if is_new else ([], [])
    with Run.at(experiment.name, name).held():
        return await go_on(experiment, evals, name, seed, until, elsewhere)


async def go_on(
    experiment: Experiment, evals: list[Eval], name: str, seed: int | None, until: Until, elsewhere: Answers
) -> str:
    """Makes the run, or goes on with it where it is; returns its folder."""
    here = Run.open(experiment, evals, name)
    seed = here.settle_seed(seed, experiment.default_seed)
    made_by = {} if here.report.is_file() else origin()  # a finished run stays one of the version that made it
    here.note(seed=seed, started=here.record().get("started") or now(), **made_by)
    await link_to_report(here)
    budget = Budget(Store(), here.identity, experiment.max_cost_usd, here.raise_command)
    if any(elsewhere):
        keep_answers(here, *elsewhere)
    if not experiment.responses:
        await answer(here, experiment, evals, budget, seed, until)
    if until in ("judge", "report") and (not here.judged.is_file() or asked_again(here, experiment)):
        await judge(here, experiment, evals, budget, asked_again(here, experiment))
    if until == "report":
        await report(here, experiment, evals)
        refuse_too_many_unscored(here, experiment)
    here.note(finished=now(), until=until)
    return str(here.folder)


async def answer(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget, seed: int, until: Until) -> None:
    """From documents to the answers of both models."""
    await read_documents(run, experiment, seed)
    if until != "documents":
        await check_documents(run, experiment)
        async with baseline_meanwhile(run, experiment, evals, budget, until):
            checkpoint = await train(run, experiment, seed, budget)
    if until not in ("documents", "train"):
        await sample(run, experiment, evals, checkpoint, budget)


async def preflight(experiment: Experiment) -> list[Eval]:
    """The experiment's evals, after everything that can be known to be wrong before anything is spent."""
    evals = load_evals(experiment)
    check_judges(experiment, evals, None if experiment.responses else experiment.training)
    if not experiment.responses:
        await get_engine(experiment.training).preflight()
    return evals


def check_judges(experiment: Experiment, evals: list[Eval], training: Training | None) -> None:
    """Raises UserError for a key that is missing and, under a limit on the cost, for a price that is unknown."""
    judges = claude_judges(evals)
    if made := [judge.name for one in evals for judge in one.judges if judge.kind == "elsewhere"]:
        raise UserError(
            f"the judge {made[0]!r} was imported with its results and judges nothing anew; name others (--judges)"
        )
    for one in judges:
        check_key(one.name, one.base_url)
    if experiment.max_cost_usd:
        refuse_unknown_prices(judges, training)


def claude_judges(evals: list[Eval]) -> list[Judge]:
    return [judge for one in evals for judge in one.judges if judge.kind == "claude"]


def refuse_unknown_prices(judges: list[Judge], training: Training | None) -> None:
    """A limit on the cost says nothing where a price is unknown."""
    unknown = []
    if training:
        train = {} if training.checkpoint else {"train": 1}
        if get_engine(training).price(**train, prefill=1, sample=1) is None:
            unknown.append((training.base_url or "tinker", training.base_model, "train, prefill and sample"))
    for one in judges:
        if dollars("claude", one.model, one.base_url, input=1, output=1, cache_write=1, cache_read=1) is None:
            unknown.append((one.base_url or "claude", one.model, "input, output, cache_write and cache_read"))
    for service, model, kinds in unknown:
        raise UserError(
            f"max_cost_usd is set and the price of {model!r} is unknown; give {kinds} in data/prices.yaml under "
            f"{service!r}, or set no limit"
        )


def read_elsewhere(experiment: Experiment, evals: list[Eval]) -> Answers:
    """Both sides' answers; UserError where a judge needs a baseline that is not there."""
    baseline, finetuned = read_responses(experiment.responses, evals)
    pairs = [judge.name for one in evals for judge in one.judges if judge.reads == "pair"]
    if pairs and not baseline:
        raise UserError(
            f"responses: the judge {pairs[0]!r} compares with the baseline, and {experiment.responses} has none; add "
            "baseline.jsonl, or choose judges that read one answer (--judges)"
        )
    return baseline, finetuned


def keep_answers(run: Run, baseline: list[Response], finetuned: list[Response]) -> None:
    """Answers from elsewhere become the run's own, once: their files are not needed again."""
    write_rows(run.baseline, baseline)
    write_rows(run.finetuned, finetuned)


async def read_documents(run: Run, experiment: Experiment, seed: int) -> None:
    if not run.documents.is_file():
        await asyncio.to_thread(documents_task, run.folder, experiment, seed)


async def check_documents(run: Run, experiment: Experiment) -> None:
    """Raises UserError for a document that would stop the training, before anything is paid."""
    if not experiment.training.checkpoint and not run.checkpoint.is_file():
        documents = run.trained_on() + read_rows(run.held_out, Document)
        await asyncio.to_thread(get_engine(experiment.training).check, documents)


async def train(run: Run, experiment: Experiment, seed: int, budget: Budget) -> Checkpoint:
    """The run's checkpoint: named in the definition, kept from an earlier training, or trained now."""
    engine, training = get_engine(experiment.training), experiment.training
    if training.checkpoint:
        checkpoint = engine.adapted(training.checkpoint)
    else:
        documents, held_out = run.trained_on(), read_rows(run.held_out, Document)
        key = training_key(training, documents, held_out, seed, engine.untuned().identity)
        gone = kept_checkpoint(key) is None
        run.note(training_key=key)
        price = await asyncio.to_thread(_training_price, experiment, documents, held_out) if gone else 0.0
        async with budget.reserve(price):
            trained = await train_task.with_options(refresh_cache=gone)(run.folder, training, seed, key)
            checkpoint = Checkpoint.model_validate(trained)
            if price != 0:
                budget.record("training", training.base_model, {}, checkpoint.cost_usd)
    keep_with_run(run, checkpoint)
    return checkpoint


def _training_price(experiment: Experiment, documents: list[Document], held_out: list[Document]) -> float | None:
    """US dollars that a training costs; nothing of it is counted where nothing has a price."""
    engine = get_engine(experiment.training)
    if (one := engine.price(train=1)) in (None, 0):
        return one
    tokens = engine.check(documents) * experiment.training.epochs
    return engine.price(train=tokens, prefill=2 * engine.check(held_out))


@asynccontextmanager
async def baseline_meanwhile(
    run: Run, experiment: Experiment, evals: list[Eval], budget: Budget, until: Until
) -> AsyncIterator[None]:
    """Where training is another machine's work, the baseline is sampled and judged beside it."""
    if until in ("documents", "train") or not get_engine(experiment.training).elsewhere:
        yield
        return
    beside = asyncio.create_task(_baseline(run, experiment, evals, budget, and_judge=until != "sample"))
    try:
        yield
        await beside
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


async def _baseline(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget, and_judge: bool) -> None:
    await sample_baseline(run, experiment, evals, budget)
    if and_judge:
        cases = plan(evals, read_rows(run.baseline, Response), [], experiment.sampling.n_samples)
        alone = {(c.eval, c.judge.name) for c in cases if c.judge.reads == "response" and not c.judge.only_if}
        cases = [case for case in cases if (case.eval, case.judge.name) in alone]
        await ask(run, experiment, cases, "judge baseline", budget, most_chunks=MOST_CHUNKS // 2)


async def sample_baseline(run: Run, experiment: Experiment, evals: list[Eval], budget: Budget) -> None:
    if not run.baseline.is_file():
        untuned = get_engine(experiment.training).untuned()
        await sample_task(run.folder, *settings_of(experiment, evals), untuned, "baseline", budget)


async def sample(run: Run, experiment: Experiment, evals: list[Eval], checkpoint: Checkpoint, budget: Budget) -> None:
    await sample_baseline(run, experiment, evals, budget)
    if not run.finetuned.is_file():
        await sample_task(run.folder, *settings_of(experiment, evals), checkpoint, "fine-tuned", budget)
    if experiment.sampling.logprobs and not run.likelihoods.is_file():
        await likelihood_task(run.folder, *settings_of(experiment, evals), checkpoint, budget)
    run.note(spent=budget.summary())


def settings_of(experiment: Experiment, evals: list[Eval]) -> tuple[Training, list[Eval], Sampling]:
    return experiment.training, evals, experiment.sampling


def default_run_name() -> str:
    """The same whenever this flow run is retried."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise UserError("run_experiment was not started as a flow, so it needs the name of a run: run='...'")
    current = context.flow_run
    return default_name(current.created or current.expected_start_time or datetime.now(UTC), str(current.id))


def origin() -> dict[str, object]:
    return {
        "versions": {name: version(name) for name in RECORDED},
        "git_commit": os.environ.get("SPILLOVER_COMMIT") or _commit(),
        "prefect_run": flow_run.id or "",
    }


def _commit() -> str:
    """Of this project's repository; nothing where there is none, or no git."""
    command = ["git", "rev-parse", "HEAD"]
    with suppress(FileNotFoundError):
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    return ""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
