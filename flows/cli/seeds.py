"""Whether the experiment's Tinker server heeds seeds, for `spillover check NAME --seeds`. Paid where the server is."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.console import console
from flows.preflight import check_engine
from tasks.catalog import UserError
from tasks.engines import get_engine
from tasks.engines.engine import Engine
from tasks.engines.seeds import (
    DOCUMENTS,
    SEEDS,
    STEPS,
    SeedCheck,
    first_losses,
    remember,
    seed_check_tokens,
    seed_check_training,
)
from tasks.engines.served import server_address
from tasks.schema import Experiment


def show_seed_check(experiment: Experiment) -> None:
    """Trains three tiny LoRAs, says what they cost and what they show, and keeps that for later runs.

    Raises UserError where the experiment trains on no Tinker server.
    """
    training = experiment.training
    if experiment.responses or training.engine != "tinker":
        raise UserError(
            f"--seeds checks a Tinker server, and {experiment.name} uses none; set training.engine=tinker, with a "
            "base_model and a renderer"
        )
    engine, server = get_engine(seed_check_training(training)), server_address(training.base_url)
    found = asyncio.run(_check(experiment, engine, server))
    remember(server, found)
    console.print(found.words(server), style="" if found.is_heeded else "yellow")


async def _check(experiment: Experiment, engine: Engine, server: str) -> SeedCheck:
    await check_engine(experiment, engine)
    console.print(
        f"{len(SEEDS)} trainings of {STEPS} steps of {DOCUMENTS} short documents at {server}: {_cost(engine)}"
    )
    with TemporaryDirectory() as folder:
        return SeedCheck.of([await first_losses(engine, seed, Path(folder, str(n))) for n, seed in enumerate(SEEDS)])


def _cost(engine: Engine) -> str:
    tokens = seed_check_tokens(engine)
    usd = engine.price(train=tokens)
    return f"{tokens:,} tokens, {'at an unknown price' if usd is None else f'${usd:.3f}'}"
