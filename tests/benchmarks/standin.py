"""What the stand-in shows: three seeds of a fine-tune on the demo's documents and on a control set of the same size.

    uv run python -m tests.benchmarks.standin          # about 6 minutes on two cores

Every run is an ordinary one, without Prefect, in a temporary data folder. Printed are the effects by tier, and whether
the direct questions rise, stand above the very distant ones, and the control moves nothing by more than 0.1.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from tasks.definitions import load_evals, load_experiment
from tasks.documents.sets import gather, split
from tasks.engines import get_engine
from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.models.sampling import plan_samples, sample
from tasks.paid.store import Store
from tasks.progress import Progress
from tasks.schema import Checkpoint, Effect, Experiment, Response
from tests.conftest import make_data_folder

SETS = ("factory_farming_neutral", "lighthouses_neutral")
SEEDS = (0, 1, 2)
MAX_CONTROL_EFFECT = 0.1


async def effects_of(experiment: Experiment, seed: int, folder: Path) -> list[Effect]:
    engine, evals = get_engine(experiment.training), load_evals(experiment)
    store, progress = Store(), Progress("benchmark")
    mixed, _, _ = gather(experiment.documents, seed)
    trained, held_out = split(mixed, experiment.training.held_out)
    checkpoint = await engine.train(trained, held_out, seed, folder, lambda *_: None)
    n_samples = experiment.sampling.n_samples

    async def answers_of(model: Checkpoint) -> list[Response]:
        requests = plan_samples(evals, experiment.sampling, engine, model, n_samples)
        return await sample(requests, engine, model, experiment.sampling, store, progress)

    baseline, finetuned = await answers_of(engine.untuned()), await answers_of(checkpoint)
    return estimate(judgments_frame(judge_all(plan(evals, baseline, finetuned, n_samples), store)), evals)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.environ["SPILLOVER_DATA"] = str(make_data_folder(Path(place)))
        for name in SETS:
            experiment = load_experiment("standin", [f"documents.0.name={name}"])
            for seed in SEEDS:
                effects = asyncio.run(effects_of(experiment, seed, Path(place) / f"{name}-{seed}"))
                tiers = {e.tier: e for e in effects if not e.is_of_question}
                shown = "  ".join(
                    f"{t} {e.difference:+.2f} [{_bound(e.ci_low_fixed_questions)}, {_bound(e.ci_high_fixed_questions)}]"
                    for t, e in tiers.items()
                )
                print(f"{name} seed {seed}  {shown}  {_verdict(name, tiers)}", flush=True)


def _verdict(name: str, tiers: dict[str, Effect]) -> str:
    moved = {tier: effect.difference or 0.0 for tier, effect in tiers.items()}
    if name == SETS[0]:
        holds = (tiers["direct"].ci_low_fixed_questions or 0) > 0 and moved["direct"] > moved["very_distant"]
    else:
        holds = all(abs(difference) <= MAX_CONTROL_EFFECT for difference in moved.values())
    return "holds" if holds else "DOES NOT HOLD"


def _bound(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f}"


if __name__ == "__main__":
    main()
