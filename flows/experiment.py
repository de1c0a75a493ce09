"""The parent flow: one experiment with one seed, from documents to report.

    await run_experiment(load_experiment("demo"), seed=0)

A stage whose file is there is finished and is not repeated; what was paid for comes from the store and the checkpoints.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import NamedTuple

from prefect import flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import link_to_report
from flows.console import console
from flows.judging import MOST_CHUNKS, ask, judge_what_is_missing, probe_judges, refuse_too_many_unscored, report
from tasks.catalog import UserError, load_evals
from tasks.documents.documents import documents_task
from tasks.documents.sets import gather, split
from tasks.engines import get_engine
from tasks.engines.engine import Engine, check_questions
from tasks.engines.schedule import check_warmup
from tasks.files import read_rows, write_rows
from tasks.imports.responses import read_responses
from tasks.judging.claude import check_key
from tasks.judging.judging import plan
from tasks.models.likelihood import likelihood_task
from tasks.models.sampling import sample_task
from tasks.models.training import keep_with_run, kept_checkpoint, train_task, training_key
from tasks.paid.budget import Budget
from tasks.paid.prices import dollars
from tasks.paid.store import Store
from tasks.runs import Run, default_name
from tasks.schema import Checkpoint, Document, Eval, Experiment, Judge, Response, Sampling, Seed, Training, Until

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
    name = run or default_run_name()
    evals, engine = await preflight(experiment, name)
    given = given_answers(experiment, evals, name)
    with Run.at(experiment.name, name).exclusive():
        here = Run.open(experiment, evals, name)
        budget = Budget(Store(), here.identity, experiment.max_cost_usd, here.raise_command)
        work = Work(here, experiment, evals, budget, here.settle_seed(seed, experiment.default_seed), until)
        return await go_on(work, engine, given)


class Work(NamedTuple):
    """One run and all that it works with; its store is the budget's."""

    run: Run
    experiment: Experiment
    evals: list[Eval]
    budget: Budget
    seed: int
    until: Until

    @property
    def asked(self) -> tuple[list[Eval], Sampling]:
        """What the models are asked, and how."""
        return self.evals, self.experiment.sampling

    @property
    def is_judged(self) -> bool:
        """Whether it goes as far as the judges."""
        return self.until in ("judge", "report")


async def go_on(work: Work, engine: Engine | None, given: Answers) -> str:
    """Makes the run, or goes on with it where it is; returns its folder. Without an engine the answers are given."""
    here = work.run
    made_by = {} if here.report.is_file() else origin()  # a finished run stays one of the version that made it
    here.note(seed=work.seed, started=here.record().get("started") or now(), **made_by)
    await link_to_report(here)
    if any(given):
        keep_answers(here, *given)
    if work.is_judged and not here.judged.is_file():
        await probe_judges(work.experiment, work.evals, work.budget)
    if engine:
        await answer(work, engine)
    if work.is_judged:
        await judge_what_is_missing(here, work.experiment, work.evals, work.budget)
    if work.until == "report":
        await report(here, work.experiment, work.evals)
        refuse_too_many_unscored(here, work.experiment)
    here.note(finished=now(), until=work.until)
    return str(here.folder)


async def answer(work: Work, engine: Engine) -> None:
    """From documents to the answers of both models."""
    settle_base(work, engine)
    await read_documents(work)
    if work.until != "documents":
        await check_documents(work, engine)
        async with baseline_meanwhile(work, engine):
            checkpoint = await train(work, engine)
    if work.until not in ("documents", "train"):
        await sample(work, engine, checkpoint)


looked_at: ContextVar[tuple[Experiment, list[Eval], Engine | None] | None] = ContextVar("looked_at", default=None)
"""What `look_ahead` found, so that nothing is looked up twice."""


async def look_ahead(experiment: Experiment, name: str, seed: int | None = None) -> None:
    """Raises UserError for what can be known to be wrong before there is a run, in the Prefect UI or as a folder."""
    evals, engine = await preflight(experiment, name)
    looked_at.set((experiment, evals, engine))
    here = Run.at(experiment.name, name)
    here.refuse_a_changed_definition(experiment, evals)
    given_answers(experiment, evals, name)
    if experiment.documents and not here.documents.is_file():
        mixed, *_ = gather(experiment.documents, experiment.default_seed if seed is None else seed)
        trained, _ = split(mixed, experiment.training.held_out)
        if not experiment.training.checkpoint:
            check_warmup(len(trained), experiment.training)


async def preflight(experiment: Experiment, name: str) -> tuple[list[Eval], Engine | None]:
    """The experiment's evals and its engine, after all that can be known to be wrong before anything is spent.

    A chat format that prints the date prints that of the run's beginning, to all that are trained and asked.
    """
    if (seen := looked_at.get()) and seen[0] == experiment:
        return seen[1], seen[2]
    evals = load_evals(experiment)
    today = Run.at(experiment.name, name).record().get("today", "")
    engine = None if experiment.responses else get_engine(experiment.training, today)
    check_judges(experiment, evals, engine)
    if engine:
        await engine.preflight()
        check_questions(engine, evals, experiment.sampling)
    return evals, engine


def check_judges(experiment: Experiment, evals: list[Eval], engine: Engine | None) -> None:
    """Raises UserError for a key that is missing and, under a limit on the cost, for a price that is unknown."""
    judges = claude_judges(evals)
    if made := [judge.name for one in evals for judge in one.judges if judge.kind == "imported"]:
        raise UserError(
            f"the judge {made[0]!r} was imported with its results and judges nothing anew; name others (--judges)"
        )
    for one in judges:
        check_key(one.name, one.base_url)
    if experiment.max_cost_usd:
        refuse_unknown_prices(judges, experiment.training, engine)


def claude_judges(evals: list[Eval]) -> list[Judge]:
    return [judge for one in evals for judge in one.judges if judge.kind == "claude"]


def refuse_unknown_prices(judges: list[Judge], training: Training, engine: Engine | None) -> None:
    """A limit on the cost says nothing where a price is unknown."""
    unknown = []
    if engine:
        train = {} if training.checkpoint else {"train": 1}
        if engine.price(**train, prefill=1, sample=1) is None:
            unknown.append((training.base_url or "tinker", training.base_model, "train, prefill and sample"))
    for one in judges:
        if dollars("claude", one.model, one.base_url, input=1, output=1, cache_write=1, cache_read=1) is None:
            unknown.append((one.base_url or "claude", one.model, "input, output, cache_write and cache_read"))
    for service, model, kinds in unknown:
        raise UserError(
            f"max_cost_usd is set and the price of {model!r} is unknown; give {kinds} in data/prices.yaml under "
            f"{service!r}, or set no limit"
        )


def given_answers(experiment: Experiment, evals: list[Eval], name: str) -> Answers:
    """Imported responses, for a run that does not hold them yet."""
    is_new = bool(experiment.responses) and not Run.at(experiment.name, name).finetuned.is_file()
    return import_responses(experiment, evals) if is_new else ([], [])


def import_responses(experiment: Experiment, evals: list[Eval]) -> Answers:
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
    """Imported responses become the run's own, once: their files are not needed again."""
    write_rows(run.baseline, baseline)
    write_rows(run.finetuned, finetuned)


def settle_base(work: Work, engine: Engine) -> None:
    """Writes down which weights the base model's name stands for.

    Raises UserError where a run that still asks its models was begun with others: a name can be moved to new ones.
    """
    run, base = work.run, engine.untuned().identity
    began_with = run.record().get("base_model", base)
    if began_with != base and not _is_sampled(run, work.experiment):
        raise UserError(
            f"run {run.name!r} was begun with {began_with}, and training.base_model "
            f"({work.experiment.training.base_model}) is {base} now; use another run name, or bring that model back"
        )
    run.note(base_model=began_with, **({"today": engine.today} if engine.today else {}))


def _is_sampled(run: Run, experiment: Experiment) -> bool:
    return run.finetuned.is_file() and (run.likelihoods.is_file() or not experiment.sampling.logprobs)


async def read_documents(work: Work) -> None:
    if not work.run.documents.is_file():
        await asyncio.to_thread(documents_task, work.run.folder, work.experiment, work.seed)


async def check_documents(work: Work, engine: Engine) -> None:
    """Raises UserError for a document that would stop the training, before anything is paid."""
    if not work.experiment.training.checkpoint and not work.run.checkpoint.is_file():
        documents = work.run.trained_on()
        check_warmup(len(documents), work.experiment.training)
        await asyncio.to_thread(engine.check, documents + read_rows(work.run.held_out, Document))
        for warning in engine.warnings():
            warn(get_run_logger(), f"Before the training: {warning}")


async def train(work: Work, engine: Engine) -> Checkpoint:
    """The run's checkpoint: named in the definition, kept from an earlier training, or trained now."""
    run, training, budget = work.run, work.experiment.training, work.budget
    if training.checkpoint:
        checkpoint = engine.adapted(training.checkpoint)
    else:
        documents, held_out = run.trained_on(), read_rows(run.held_out, Document)
        key = training_key(training, documents, held_out, work.seed, engine.untuned().identity, engine.today)
        gone = kept_checkpoint(key) is None
        run.note(training_key=key)
        price = await asyncio.to_thread(_training_price, engine, training, documents, held_out) if gone else 0.0
        async with budget.reserve(price):
            given = (run.folder, engine, training, work.seed, key)
            checkpoint = Checkpoint.model_validate(await train_task.with_options(refresh_cache=gone)(*given))
            if price != 0:
                await budget.record("training", training.base_model, {}, checkpoint.cost_usd)
    keep_with_run(run, checkpoint)
    return checkpoint


def _training_price(
    engine: Engine, training: Training, documents: list[Document], held_out: list[Document]
) -> float | None:
    """US dollars that a training costs; nothing of it is counted where nothing has a price."""
    if (one := engine.price(train=1)) in (None, 0):
        return one
    return engine.price(train=engine.check(documents) * training.epochs, prefill=2 * engine.check(held_out))


@asynccontextmanager
async def baseline_meanwhile(work: Work, engine: Engine) -> AsyncIterator[None]:
    """Where training is another machine's work, the baseline is sampled and judged beside it."""
    if work.until in ("documents", "train") or not engine.is_remote:
        yield
        return
    beside = asyncio.create_task(_baseline(work, engine))
    beside.add_done_callback(partial(_tell_at_once, get_run_logger()))
    try:
        yield
        await beside
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


def _tell_at_once(log: "Logger | LoggerAdapter[Logger]", beside: "asyncio.Task[None]") -> None:
    """A training can take hours, in which a wrong key can be mended."""
    if not beside.cancelled() and (error := beside.exception()):
        warn(log, f"The baseline, sampled and judged beside the training, stopped: {error}; the training goes on")


def warn(log: "Logger | LoggerAdapter[Logger]", words: str) -> None:
    """What its user should know while it runs, in the terminal and in the Prefect UI."""
    log.warning(words)
    console.print(words, style="yellow")


async def _baseline(work: Work, engine: Engine) -> None:
    await sample_baseline(work, engine)
    if work.is_judged:
        run, evals = work.run, work.evals
        cases = plan(evals, read_rows(run.baseline, Response), [], work.experiment.sampling.n_samples)
        alone = {(c.eval, c.judge.name) for c in cases if c.judge.reads == "response" and not c.judge.only_if}
        cases = [case for case in cases if (case.eval, case.judge.name) in alone]
        await ask(run, work.experiment, cases, "judge baseline", work.budget, most_chunks=MOST_CHUNKS // 2)


async def sample_baseline(work: Work, engine: Engine) -> None:
    if not work.run.baseline.is_file():
        await sample_task(work.run.folder, engine, *work.asked, engine.untuned(), "baseline", work.budget)


async def sample(work: Work, engine: Engine, checkpoint: Checkpoint) -> None:
    run, budget = work.run, work.budget
    await sample_baseline(work, engine)
    if not run.finetuned.is_file():
        await sample_task(run.folder, engine, *work.asked, checkpoint, "fine-tuned", budget)
    if work.experiment.sampling.logprobs and not run.likelihoods.is_file():
        await likelihood_task(run.folder, engine, *work.asked, checkpoint, budget)
    run.note(spent=budget.summary())


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
