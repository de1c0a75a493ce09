"""The parent flow: one experiment with one seed, from documents to report.

    await run_experiment(load_experiment("demo"), seed=0)

A stage whose file is there is finished and is not repeated; what was paid for comes from the store and the checkpoints.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from prefect import flow
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from flows.artifacts import show_results
from tasks.catalog import UserError, load_evals
from tasks.charts import charts_task
from tasks.claude import Call, Claude, check_key
from tasks.documents import documents_task
from tasks.effects import effects_task
from tasks.engines import get_engine
from tasks.judging import Case, Failure, judge_calls_task, judge_task, plan, to_call, unscored_share
from tasks.report import report_task
from tasks.runs import Run, default_name, read_rows
from tasks.sampling import sample_task
from tasks.schema import Checkpoint, Document, Eval, Experiment, Response, Until
from tasks.stage import progress
from tasks.store import Store
from tasks.training import keep_with_run, kept_checkpoint, train_task, training_key

MOST_CHUNKS = 32
RECORDED = ("spillover", "prefect", "torch", "transformers", "peft", "tinker", "tinker-cookbook", "anthropic", "polars")


class TooManyUnscored(UserError):
    """More judgments failed or could not be read than the experiment allows."""


def _title() -> str:
    experiment, seed = Experiment.model_validate(flow_run.parameters["experiment"]), flow_run.parameters["seed"]
    return f"{experiment.name}, seed {experiment.default_seed if seed is None else seed}"


@flow(name="run-experiment", flow_run_name=_title)
async def run_experiment(
    experiment: Experiment, seed: int | None = None, run: str = "", until: Until = "report"
) -> str:
    """Fine-tune on the documents, sample before and after, judge every answer and report what changed.

    Args:
        experiment: What is trained on and what is asked.
        seed: Seed of the mixture, the LoRA and the order of training. Empty: the experiment's default.
        run: Name of the run's folder; a name that exists is resumed. Empty: a new one.
        until: Stop after this stage; the next run goes on from there.
    """
    evals = await preflight(experiment)
    here = Run.open(experiment, evals, run or _default_run_name())
    seed = here.settle_seed(seed, experiment.default_seed)
    here.note(seed=seed, started=here.record().get("started") or _now(), **_origin())
    await read_documents(here, experiment, seed)
    if until != "documents":
        await check_documents(here, experiment)
        async with baseline_meanwhile(here, experiment, evals, until):
            checkpoint = await train(here, experiment, seed)
    if until not in ("documents", "train"):
        await sample(here, experiment, evals, checkpoint)
    if until not in ("documents", "train", "sample"):
        await judge(here, experiment, evals)
    if until == "report":
        await report(here, experiment, evals)
        refuse_too_many_unscored(here, experiment)
    here.note(finished=_now(), until=until)
    return str(here.folder)


async def preflight(experiment: Experiment) -> list[Eval]:
    """The experiment's evals, after everything that can be known to be wrong before anything is spent."""
    evals = load_evals(experiment)
    for judge in (judge for one in evals for judge in one.judges if judge.kind == "claude"):
        check_key(judge.name)
    await get_engine(experiment.training).preflight()
    return evals


async def read_documents(run: Run, experiment: Experiment, seed: int) -> None:
    if not run.documents.is_file():
        await asyncio.to_thread(documents_task, run.folder, experiment, seed)


async def check_documents(run: Run, experiment: Experiment) -> None:
    """Raises UserError for a document that would stop the training, before anything is paid."""
    if not experiment.training.checkpoint and not run.checkpoint.is_file():
        documents = run.trained_on() + read_rows(run.held_out, Document)
        await asyncio.to_thread(get_engine(experiment.training).check, documents)


async def train(run: Run, experiment: Experiment, seed: int) -> Checkpoint:
    """The run's checkpoint: named in the definition, kept from an earlier training, or trained now."""
    engine, training = get_engine(experiment.training), experiment.training
    if training.checkpoint:
        checkpoint = engine.adapted(training.checkpoint)
    else:
        documents, held_out = run.trained_on(), read_rows(run.held_out, Document)
        key = training_key(training, documents, held_out, seed, engine.untuned().identity)
        gone = kept_checkpoint(key) is None
        checkpoint = Checkpoint.model_validate(
            await train_task.with_options(refresh_cache=gone)(run.folder, training, seed, key)
        )
    keep_with_run(run, checkpoint)
    return checkpoint


@asynccontextmanager
async def baseline_meanwhile(run: Run, experiment: Experiment, evals: list[Eval], until: Until) -> AsyncIterator[None]:
    """Where training is another machine's work, the baseline is sampled and judged beside it."""
    if until in ("documents", "train") or not get_engine(experiment.training).elsewhere:
        yield
        return
    beside = asyncio.create_task(_baseline(run, experiment, evals, and_judge=until != "sample"))
    try:
        yield
        await beside
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


async def _baseline(run: Run, experiment: Experiment, evals: list[Eval], and_judge: bool) -> None:
    await sample_baseline(run, experiment, evals)
    if and_judge:
        alone = [one.model_copy(update={"judges": [j for j in one.judges if j.reads == "response"]}) for one in evals]
        cases = plan(alone, read_rows(run.baseline, Response), [], experiment.sampling.n_samples)
        await ask(run, experiment, cases, "judge baseline")


async def sample_baseline(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
    if not run.baseline.is_file():
        untuned = get_engine(experiment.training).untuned()
        await sample_task(run.folder, experiment.training, evals, experiment.sampling, untuned, "baseline")


async def sample(run: Run, experiment: Experiment, evals: list[Eval], checkpoint: Checkpoint) -> None:
    await sample_baseline(run, experiment, evals)
    if not run.finetuned.is_file():
        await sample_task(run.folder, experiment.training, evals, experiment.sampling, checkpoint, "fine-tuned")


async def judge(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
    """Asks for what the store lacks and writes judged.jsonl; where calls failed before, those are asked again."""
    if run.judged.is_file() and not any(j.state == "failed" for j in run.judgments()):
        return
    n_samples = experiment.sampling.n_samples
    failures = await ask(run, experiment, plan(evals, *run.responses(), n_samples), "judge calls")
    await asyncio.to_thread(judge_task, run.folder, evals, n_samples, failures)


async def ask(run: Run, experiment: Experiment, cases: list[Case], stage: str) -> list[Failure]:
    """Has Claude's judges answer what the store lacks; returns the calls without a reply."""
    calls = list({call.key: call for call in (to_call(case) for case in cases if case.judge.kind == "claude")}.values())
    if not calls:
        return []
    async with Claude(Store(), experiment.judging.in_flight) as claude:
        failures = await _ask_in_chunks(calls, claude, stage)
    used = run.record().get("claude", {})
    run.note(claude={name: used.get(name, 0) + count for name, count in claude.usage.items()})
    return failures


async def _ask_in_chunks(calls: list[Call], claude: Claude, stage: str) -> list[Failure]:
    size = -(-len(calls) // MOST_CHUNKS)
    with progress(stage) as tell:
        tell(0, len(calls), "calls to Claude")

        def heard() -> None:
            tell(tell.done + 1, tell.total, "calls to Claude")

        chunks = [(lo, calls[lo : lo + size]) for lo in range(0, len(calls), size)]
        asked = (judge_calls_task(some, lo + 1, lo + len(some), claude, heard) for lo, some in chunks)
        done = await asyncio.gather(*asked)
    return [failure for failures in done for failure in failures]


async def report(run: Run, experiment: Experiment, evals: list[Eval]) -> None:
    if not _is_newer(run.effects, run.judged):
        await asyncio.to_thread(effects_task, run.folder)
    if not _is_newer(run.report, run.effects):
        await asyncio.to_thread(charts_task, run.folder)
        await asyncio.to_thread(report_task, run.folder)
    await show_results(run, experiment, evals)


def refuse_too_many_unscored(run: Run, experiment: Experiment) -> None:
    share, allowed = unscored_share(run.judgments()), experiment.judging.max_unscored
    if share > allowed:
        raise TooManyUnscored(
            f"{share:.1%} of the judgments failed or could not be read and judging.max_unscored is {allowed:.1%}; "
            "the report is written, "
            f"and `{run.resume_command}` asks again for the failed ones"
        )


def _is_newer(file: Path, source: Path) -> bool:
    return file.is_file() and file.stat().st_mtime >= source.stat().st_mtime


def _default_run_name() -> str:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise UserError("run_experiment was not started as a flow, so it needs the name of a run: run='...'")
    current = context.flow_run
    return default_name(current.created or current.expected_start_time or datetime.now(UTC), str(current.id))


def _origin() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return {
        "versions": {name: version(name) for name in RECORDED},
        "git_commit": commit.stdout.strip(),
        "prefect_run": flow_run.id or "",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
