import pytest

from tasks.engines.local import LocalEngine
from tasks.engines.seeds import (
    SEEDS,
    SeedCheck,
    first_losses,
    ignored_seeds,
    remember,
    seed_check_tokens,
    seed_check_training,
)
from tasks.engines.tinker import TinkerEngine
from tasks.schema import Training

TINY = seed_check_training(Training(base_model="standin", held_out=3, sample_at=[0.5], warmup=2, checkpoint="there"))
SERVER = "http://127.0.0.1:9"
HEEDED, IGNORED, DRAWN = SeedCheck(2e-4, 0.03), SeedCheck(0.0, 0.0), SeedCheck(0.03, 0.02)


class Deaf(LocalEngine):
    """Trains with a seed of its own, whatever is asked."""

    async def train(self, documents, held_out, seed, folder, progress):
        return await super().train(documents, held_out, 7, folder, progress)


async def checked(engine, folder):
    return SeedCheck.of([await first_losses(engine, seed, folder / str(n)) for n, seed in enumerate(SEEDS)])


async def test_an_engine_that_heeds_seeds_repeats_the_losses_of_a_seed_and_not_those_of_another(tmp_path):
    found = await checked(LocalEngine(TINY), tmp_path)
    assert found.is_heeded
    assert found.same_seed == 0
    assert found.another_seed > 0.01


async def test_an_engine_that_ignores_them_gives_every_seed_the_same_losses(tmp_path):
    found = await checked(Deaf(TINY), tmp_path)
    assert found == (0, 0)
    assert not found.is_heeded


async def test_the_first_loss_is_the_same_for_any_seed_so_that_one_step_would_show_nothing(tmp_path):
    engine = LocalEngine(TINY)
    losses = [await first_losses(engine, seed, tmp_path / str(seed)) for seed in (1, 2)]
    assert [len(steps) for steps in losses] == [3, 3]
    assert losses[0][0] == losses[1][0]


@pytest.mark.parametrize(("found", "is_heeded"), [(HEEDED, True), (IGNORED, False), (DRAWN, False)])
def test_another_seed_must_move_the_losses_clearly_more_than_the_same_one(found, is_heeded):
    assert found.is_heeded is is_heeded
    assert found.words(SERVER).startswith(f"{SERVER} {'heeds' if is_heeded else 'ignores'} the seed of a LoRA")
    assert not SeedCheck(0.0, 1e-6).is_heeded, "the order of a sum"


def test_the_trainings_are_tiny_whatever_the_experiment_asks_for():
    assert (TINY.checkpoint, TINY.held_out, TINY.sample_at, TINY.warmup) == ("", 0, [], 0)
    assert seed_check_tokens(LocalEngine(TINY)) < 5_000


def test_what_was_found_last_is_kept_and_trainings_there_are_warned():
    assert ignored_seeds(SERVER) == []
    remember(SERVER, IGNORED)
    (warning,) = ignored_seeds(SERVER)
    assert warning.startswith(f"{SERVER} ignores the seed of a LoRA")
    assert "a study of seeds there is void" in warning
    assert ignored_seeds("http://127.0.0.1:10") == []
    training = Training(engine="tinker", base_model="standin", renderer="llama3", base_url=SERVER)
    assert TinkerEngine(training).warnings() == [warning]
    assert TinkerEngine(training.model_copy(update={"checkpoint": "tinker://r/w"})).warnings() == []
    remember(SERVER, HEEDED)
    assert ignored_seeds(SERVER) == []
