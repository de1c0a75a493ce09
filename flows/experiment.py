"""The parent flow: one experiment with one seed, from documents to report.

    await run_experiment(load_experiment("demo"), seed=0)

A stage whose file is there is finished and is not repeated; what was paid for comes from the store and the checkpoints.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from logging import Logger, LoggerAdapter
from typing import NamedTuple

from prefect import flow
from prefect.context import SyncClientContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import ended, link_to_report
from flows.console import console
from flows.generate import write_missing_sets
from flows.judging import MAX_CHUNKS, FanOut, judge_what_is_missing, probe_judges, refuse_too_many_unscored, report
from flows.origin import default_run_name, now, origin
from flows.preflight import Responses, outdated_sets, preflight, responses_to_import, warnings_of
from flows.suspending import BatchesOpen, suspended_while_batches_are_open
from flows.turns import NO_TURNS, Turns
from tasks.catalog import UserError
from tasks.documents.documents import documents_task
from tasks.engines.engine import Engine
from tasks.files import read_rows, write_rows
from tasks.judging.cases import plan
from tasks.models.likelihood import are_wanted, likelihood_task, probe_logprobs
from tasks.models.sampling import sample_task
from tasks.models.training import (
    TrainingPlan,
    checkpoint_folder,
    keep_with_run,
    kept_checkpoint,
    plan_training,
    train_task,
)
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.runs import Run
from tasks.schema import Checkpoint, Document, Eval, Experiment, Response, Sampling, Seed, Until


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
    imported = responses_to_import(experiment, evals, name)
    with Run.at(experiment.name, name).exclusive():
        here = Run.open(experiment, evals, name)
        budget = Budget(Store(), here.identity, experiment.max_cost_usd, here.raise_command)
        work = Work(here, experiment, evals, budget, here.settle_seed(seed, experiment.default_seed), until)
        return await suspended_while_batches_are_open(start_or_resume(work, engine, imported))


class Work(NamedTuple):
    """One run and all that it works with; its store is the budget's."""

    run: Run
    experiment: Experiment
    evals: list[Eval]
    budget: Budget
    seed: int
    until: Until
    turns: Turns = NO_TURNS

    @property
    def asked(self) -> tuple[list[Eval], Sampling]:
        """What the models are asked, and how."""
        return self.evals, self.experiment.sampling

    @property
    def needs_logprobs(self) -> bool:
        """Whether the models are still to be asked how likely texts are."""
        return are_wanted(*self.asked) and not self.run.likelihoods.is_file()

    @property
    def is_judged(self) -> bool:
        """Whether it goes as far as the judges."""
        return self.until in ("judge", "report")


async def start_or_resume(work: Work, engine: Engine | None, imported: Responses) -> str:
    """Makes the run, or goes on with it where it is; returns its folder. Without an engine responses are imported."""
    here = work.run
    made_by = {} if here.report.is_file() else origin()  # a finished run stays one of the version that made it
    here.note(seed=work.seed, started=here.record().get("started") or now(), **made_by)
    with SyncClientContext.get_or_create():  # else each task reads all certificates anew
        await link_to_report(here)
        if any(imported):
            keep_imported(here, *imported)
        await every_stage(work, engine)
    here.note(finished=now(), until=work.until)
    return ended(here, "" if work.until == "report" else f"Stopped after {work.until}, as asked.")


async def every_stage(work: Work, engine: Engine | None) -> None:
    """From documents to report, as far as the run is to go; a stage that is finished costs nothing."""
    here = work.run
    if engine:
        await check_models(work, engine)
    if work.is_judged and not here.judged.is_file():
        await probe_judges(work.experiment, work.evals, work.budget)
    if engine:
        async with work.turns.training:
            await train_and_sample(work, engine)
    if work.is_judged:
        async with work.turns.judging:
            await judge_what_is_missing(here, work.experiment, work.evals, work.budget)
    if work.until == "report":
        await report(here, work.experiment, work.evals)
        refuse_too_many_unscored(here, work.experiment)


async def check_models(work: Work, engine: Engine) -> None:
    """Raises UserError for other weights than the run began with, and for a service without the probabilities that it
    needs: before anybody else is paid.
    """
    record_base_model(work, engine)
    if work.needs_logprobs and work.until not in ("documents", "train"):
        await probe_logprobs(*work.asked, engine, work.budget)


async def train_and_sample(work: Work, engine: Engine) -> None:
    """From documents to the answers of both models."""
    await read_documents(work)
    if work.until != "documents":
        planned = await prepare_training(work, engine)
        async with baseline_meanwhile(work, engine):
            checkpoint = await train(work, engine, planned)
    if work.until not in ("documents", "train"):
        await sample(work, engine, checkpoint)


def keep_imported(run: Run, baseline: list[Response], finetuned: list[Response]) -> None:
    """Imported responses become the run's own, once: their files are not needed again."""
    write_rows(run.baseline, baseline)
    write_rows(run.finetuned, finetuned)


def record_base_model(work: Work, engine: Engine) -> None:
    """Writes down which weights the base model's name stands for.

    Raises UserError where a run that still asks its models was begun with others: a name can be moved to new ones.
    """
    run, base = work.run, engine.untuned().identity
    began_with = run.record().get("base_model", base)
    if began_with != base and not (run.finetuned.is_file() and not work.needs_logprobs):
        raise UserError(
            f"run {run.name!r} was begun with {began_with}, and training.base_model "
            f"({work.experiment.training.base_model}) is {base} now; use another run name, or bring that model back"
        )
    run.note(base_model=began_with, **({"today": engine.today} if engine.today else {}))


async def read_documents(work: Work) -> None:
    """Draws the run's documents from their sets, once; those that a model is to write are written first.

    UserError for a set that is not there or has too few.

    Models that are served elsewhere may come without.
    """
    if work.experiment.documents and not work.run.documents.is_file():
        await write_missing_sets(work.experiment)
        for words in outdated_sets(work.experiment):
            warn(get_run_logger(), f"Before the training: {words}")
        await asyncio.to_thread(documents_task, work.run.folder, work.experiment, work.seed)


async def prepare_training(work: Work, engine: Engine) -> TrainingPlan | None:
    """What the training will take; nothing where the definition names a checkpoint.

    Raises UserError for a document that would stop it, before anything is paid.
    """
    run, training = work.run, work.experiment.training
    if training.checkpoint:
        return None
    documents = run.trained_on(), read_rows(run.held_out, Document)
    planned = await asyncio.to_thread(plan_training, engine, training, *documents, work.seed)
    run.note(training_key=planned.key)
    if not run.checkpoint.is_file():
        for warning in warnings_of(engine):
            warn(get_run_logger(), f"Before the training: {warning}")
    return planned


async def train(work: Work, engine: Engine, planned: TrainingPlan | None) -> Checkpoint:
    """The run's checkpoint: named in the definition, kept from an earlier training, or trained now."""
    if planned is None:
        checkpoint = engine.adapted(work.experiment.training.checkpoint)
        get_run_logger().info(f"Nothing to train: {checkpoint.path} is there")
    else:
        checkpoint = await train_or_reuse(work, engine, planned)
    keep_with_run(work.run, checkpoint)
    return checkpoint


async def train_or_reuse(work: Work, engine: Engine, planned: TrainingPlan) -> Checkpoint:
    """What data/checkpoints has of this training in the end: Prefect's cache shows it and does not decide."""
    training, budget = work.experiment.training, work.budget
    async with budget.reserve(planned.price):
        task = train_task.with_options(refresh_cache=not planned.is_kept)
        await task(work.run.folder, engine, training, work.seed, planned.key, budget)
        checkpoint = kept_checkpoint(planned.key)
        if checkpoint is None:
            raise UserError(f"{checkpoint_folder(planned.key)} was removed while the run was going on; run it again")
    return checkpoint


@asynccontextmanager
async def baseline_meanwhile(work: Work, engine: Engine) -> AsyncIterator[None]:
    """Where training is another machine's work, the baseline is sampled and judged beside it."""
    if work.until in ("documents", "train") or not engine.is_remote:
        yield
        return
    beside = asyncio.create_task(_baseline(work, engine))
    beside.add_done_callback(partial(_warn_of_failure, get_run_logger()))
    try:
        yield
        await beside
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


def _warn_of_failure(log: "Logger | LoggerAdapter[Logger]", beside: "asyncio.Task[None]") -> None:
    """A training can take hours, in which a wrong key can be mended."""
    if not beside.cancelled() and (error := beside.exception()):
        warn(log, f"The baseline, sampled and judged beside the training, stopped: {error}; the training goes on")


def warn(log: "Logger | LoggerAdapter[Logger]", words: str) -> None:
    """What its user should know while it runs, in the terminal and in the Prefect UI."""
    log.warning(words)
    console.print(words, style="yellow")


async def _baseline(work: Work, engine: Engine) -> None:
    """Judged by those that need neither the fine-tuned model's answers nor another judge's word."""
    await sample_baseline(work, engine)
    if work.is_judged:
        run, evals = work.run, work.evals
        cases = plan(evals, read_rows(run.baseline, Response), [], work.experiment.sampling.n_samples)
        cases = [case for case in cases if case.judge.reads == "response" and not case.judge.only_if]
        with suppress(BatchesOpen):  # which go on beside the training, and are taken up when all is judged
            await FanOut(run, work.experiment, work.budget, "judge baseline", max_chunks=MAX_CHUNKS // 2).ask(cases)


async def sample_baseline(work: Work, engine: Engine) -> None:
    """Of the untuned model, once."""
    if not work.run.baseline.is_file():
        await sample_task(work.run.folder, engine, *work.asked, engine.untuned(), "baseline", work.budget)


async def sample(work: Work, engine: Engine, checkpoint: Checkpoint) -> None:
    """Both models' answers and, where they are wanted, their logprobs; what is there is not asked again."""
    run, budget = work.run, work.budget
    await sample_baseline(work, engine)
    if not run.finetuned.is_file():
        await sample_task(run.folder, engine, *work.asked, checkpoint, "fine-tuned", budget)
    if work.needs_logprobs:
        await likelihood_task(run.folder, engine, *work.asked, checkpoint, budget)
    run.note(spent=budget.summary())
    if checkpoint.engine == "served":
        say_what_the_server_does_not_take(work, engine)


def say_what_the_server_does_not_take(work: Work, engine: Engine) -> None:
    """What only asking could show, in the terminal and in the report."""
    found = warnings_of(engine)
    work.run.note(about_sampling=found)
    for warning in found:
        warn(get_run_logger(), warning)
