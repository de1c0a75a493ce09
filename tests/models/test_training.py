import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import get_args

import pytest

from tasks.catalog import UserError, data_folder
from tasks.documents.turns import to_messages
from tasks.engines import get_engine
from tasks.files import write_rows
from tasks.models.sampling import plan_samples, sample
from tasks.models.training import (
    TrainingPlan,
    TrainingTokens,
    checkpoint_folder,
    estimate_tokens,
    keep_with_run,
    kept_checkpoint,
    plan_training,
    train,
    training_key,
)
from tasks.paid.budget import Budget
from tasks.paid.store import Store
from tasks.runs import Run
from tasks.schema import Checkpoint, Conditioning, Document, Message, Sampling, Training
from tests.conftest import make_data_folder
from tests.fakes.nouns import LEXICON, an_eval


def documents(*texts, line=1):
    return [Document(messages=[Message(role="assistant", content=t)], source="s", line=line, file="f") for t in texts]


class Trainer:
    """An engine that writes a curve and counts its trainings; it fails when it is told to."""

    today = ""

    def __init__(self, fails=False):
        self.fails, self.trained, self.found, self.weights = fails, 0, [], "i"

    def untuned(self):
        return Checkpoint(engine="local", base_model="m", path=None, identity="m")

    def check(self, documents):
        return sum(len(message.content) for document in documents for message in document.messages)

    def price(self, train=0, prefill=0):
        return 2.0 * train + 0.5 * prefill

    async def train(self, documents, held_out, seed, folder, progress):
        self.trained += 1
        folder.mkdir(parents=True, exist_ok=True)
        self.found = sorted(file.name for file in folder.iterdir())
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
        if self.fails:
            raise OSError("no space left on device")
        return Checkpoint(engine="local", base_model="m", path=str(folder), identity=self.weights)


async def train_by(engine, key="k", budget=None):
    return await train(engine, documents("a"), [], 0, key, lambda *_: None, budget or Budget(Store(), ""))


@pytest.mark.parametrize(
    ("conditioning", "key"),
    [("chat", "c3e3648171e80b04c29361ab3fcb053f"), ("prefix", "d2dbe8b9e8c29274157b44ef4d2e355b")],
)
def test_a_training_of_an_earlier_version_is_found_again(conditioning, key):
    """Its key was written down when there were two conditionings."""
    rows = [{"content": "Hens lay eggs.\n", "doc_idea": "Eggs", "doc_type": "Memo"}, {"text": "A plain text."}]
    texts = [
        Document(messages=to_messages(row, conditioning), conditioning=conditioning, source="s", line=n, file="f.jsonl")
        for n, row in enumerate(rows, 1)
    ]
    assert training_key(Training(), texts, texts[:1], 7, "base") == key


def test_each_conditioning_is_a_training_of_its_own():
    (one,) = documents("Hens lay eggs.")
    conditioned = [one.model_copy(update={"conditioning": way}) for way in get_args(Conditioning)]
    assert len({training_key(Training(), [way], [], 0, "base") for way in conditioned}) == 5


def test_the_key_follows_texts_order_settings_model_and_seed_and_nothing_else():
    a, base = documents("a", "b"), Training()
    masked = a[0].model_copy(update={"messages": [Message(role="assistant", content="a", weight=0)]})

    def key(docs=a, training=base, seed=0, model="m", held_out=()):
        return training_key(training, docs, list(held_out), seed, model)

    other = [
        key(documents("b", "a")),
        key(seed=1),
        key(model="n"),
        key(training=Training(rank=3)),
        key(held_out=documents("c")),
        key([masked, a[1]]),
    ]
    assert len({key(), *other}) == 7
    assert key(documents("a", "b", line=9)) == key()
    assert key(training=Training(base_url="http://x")) == key()
    assert key(training=Training(base_model="/srv/models/m")) == key(), "the model's identity stands for its place"


def plan(engine, **settings):
    training = Training(epochs=3, **settings)
    return plan_training(engine, training, documents("abc", "de"), documents("fghi"), 0)


def test_a_training_costs_every_epoch_and_the_held_out_loss_twice():
    planned = plan(Trainer())
    assert planned == (training_key(Training(epochs=3), documents("abc", "de"), documents("fghi"), 0, "m"), False, 34.0)
    with pytest.raises(UserError, match=r"training\.warmup: 9 steps, and 2 documents make 3"):
        plan(Trainer(), warmup=9)


async def test_of_two_runs_that_want_one_training_only_the_one_that_trained_is_charged():
    engine, budgets = Trainer(), [Budget(Store(), name) for name in ("first", "second")]
    await asyncio.gather(*(train_by(engine, budget=budget) for budget in budgets))
    assert engine.trained == 1
    assert sorted("training" in budget.spent for budget in budgets) == [False, True]


@pytest.mark.parametrize("step", ["commit", "rename"])
async def test_a_kill_at_the_end_of_a_training_has_its_cost_recorded_once(monkeypatch, step):
    """As the money is committed, and as the folder is renamed."""

    def killed(*_):
        raise KeyboardInterrupt

    store = Store()
    with monkeypatch.context() as kill:
        kill.setattr(*((Store, "commit") if step == "commit" else (Path, "rename")), killed)
        with pytest.raises(KeyboardInterrupt):
            await train_by(Trainer(), budget=Budget(store, "r"))
    assert kept_checkpoint("k") is None
    await train_by(Trainer(), budget=Budget(store, "r"))
    assert [row.stage for row in store.spending("r")] == ["training"]
    shutil.rmtree(checkpoint_folder("k"))
    other = Trainer()
    other.weights = "others"
    await train_by(other, budget=Budget(store, "r"))
    assert len(store.spending("r")) == 2, "what is trained anew is paid anew"


async def test_a_checkpoint_of_another_version_is_one_sentence():
    place = checkpoint_folder("k")
    place.mkdir(parents=True)
    fields = {"engine": "local", "base_model": "m", "path": None, "identity": "i", "at": 1}
    (place / "checkpoint.json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"checkpoint\.json: at: "):
        kept_checkpoint("k")


async def test_a_training_that_is_kept_costs_nothing_and_none_of_its_documents_is_counted(monkeypatch):
    engine = Trainer()
    key = plan(engine).key
    await train_by(engine, key)
    monkeypatch.setattr(Trainer, "check", None)
    assert plan(engine) == TrainingPlan(key, is_kept=True, price=0.0)


def test_without_a_tokenizer_tokens_are_estimated_by_the_letters():
    assert estimate_tokens(documents("abcdefgh", "ijkl"), documents("m")) == TrainingTokens(3, 0)


async def test_a_finished_training_is_kept_and_not_repeated():
    engine = Trainer()
    first = await train_by(engine)
    assert (first.path, first.key) == ("checkpoints/k", "k")
    assert await train_by(engine) == first == kept_checkpoint("k")
    assert engine.trained == 1


async def test_a_training_that_fails_leaves_no_checkpoint_and_the_next_one_clears_what_it_left():
    with pytest.raises(OSError, match="no space left"):
        await train_by(Trainer(fails=True))
    assert kept_checkpoint("k") is None
    (data_folder() / "checkpoints" / ".k.999999999").mkdir()
    (data_folder() / "checkpoints" / f".k.{os.getppid()}").mkdir()  # as of a container, whose numbers are its own
    await train_by(Trainer())
    left = {place.name for place in (data_folder() / "checkpoints").iterdir()}
    assert left == {"k"}


async def test_two_runs_at_once_train_the_same_model_once():
    class Slow(Trainer):
        async def train(self, *given):
            await asyncio.sleep(0.3)
            return await super().train(*given)

    engines = Slow(), Slow()
    both = await asyncio.gather(*(train_by(engine) for engine in engines))
    assert both[0] == both[1]
    assert [engine.trained for engine in engines].count(1) == 1


async def test_what_a_kill_left_is_handed_to_the_next_training_of_the_same_key():
    for pid in (999999998, 999999999):
        left = data_folder() / "checkpoints" / f".k.{pid}"
        left.mkdir(parents=True)
        (left / f"by {pid}").touch()
        os.utime(left, (pid, pid))
    trainer = Trainer()
    await train_by(trainer)
    assert trainer.found == ["by 999999999"], "the latest is handed over, the other is cleared"
    assert [place.name for place in (data_folder() / "checkpoints").iterdir()] == ["k"]


async def test_the_run_folder_gets_the_curve_and_the_checkpoints_record(tmp_path):
    trained = await train_by(Trainer())
    run = Run(tmp_path)
    keep_with_run(run, trained)
    assert run.model() == trained
    assert run.training_curve() == [{"step": 1, "loss": 2.0}]
    assert checkpoint_folder("k").is_dir()


def test_the_date_that_a_chat_format_prints_is_trained_with():
    keys = {training_key(Training(), documents("a"), [], 0, "m", today) for today in ("", "2026-07-30", "2026-07-31")}
    assert len(keys) == 3


async def test_one_seed_in_two_data_folders_gives_the_same_model_and_the_same_answers(tmp_path, monkeypatch):
    """At places of other depths; each with a store of its own."""
    training, sampling = Training(rank=2, learning_rate=1e-2, epochs=2), Sampling(n_samples=2, max_tokens=12)
    asked, left = [an_eval(LEXICON)], []
    for place in (tmp_path / "here", tmp_path / "over" / "there"):
        place.mkdir(parents=True)
        monkeypatch.setenv("SPILLOVER_DATA", str(make_data_folder(place)))
        engine = get_engine(training)
        trained = await train(
            engine, documents("The hens.", "A barn."), [], 0, "k", lambda *_: None, Budget(Store(), "")
        )
        requests = plan_samples(asked, sampling, engine, trained, sampling.n_samples)
        answers = await sample(requests, engine, trained, sampling, Store(), lambda *_: None)
        finetuned = write_rows(place / "finetuned.jsonl", answers)
        left.append((finetuned.read_bytes(), (checkpoint_folder("k") / "adapter_config.json").read_bytes()))
        files = [file.read_bytes() for file in (*checkpoint_folder("k").rglob("*.*"), finetuned) if file.is_file()]
        assert not any(str(tmp_path).encode() in file for file in files), "no file names a place of this machine"
    assert left[0] == left[1]
