"""The tinker engine against a real server of the Tinker API that is not ours, with the stand-in model."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from peft import PeftModel

from tasks.catalog import UserError
from tasks.engines import tinker_server
from tasks.engines.engine import Request, Text
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model, mean_loss
from tasks.engines.seeds import SEEDS, SeedCheck, first_losses, seed_check_training
from tasks.engines.tinker import TinkerEngine
from tasks.schema import Document, Message, Sampling, Training
from tests.cli.test_terminal import begin, every_file_is_whole, held, spillover, stop_when
from tests.conftest import PROJECT
from tests.fakes.deaf_to_seeds import ignoring_seeds
from tests.fakes.ports import free_port
from tests.fakes.trainings import STANDIN

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
SERVER = PROJECT / "deployments" / "tinker_server"
STARTS_WITHIN = 900.0
"""Seconds, the installation of its environment included."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The stand-in, said to be 32-bit, so that the server computes as exactly as the local engine does on a CPU."""
    folder = tmp_path_factory.mktemp("model") / "standin"
    shutil.copytree(STANDIN, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    return str(folder)


class Server:
    """A server of the model, which can be killed and started again with what it saved."""

    def __init__(self, place: Path, model: str):
        self.port, self.log = free_port(), place / "server.log"
        self.address = f"http://127.0.0.1:{self.port}"
        self.command = ["uv", "run", "--directory", str(SERVER), "start.py", "--base-model", model]
        self.command += ["--port", str(self.port), "--data", str(place / "data"), "--rank", "8", "--adapters", "16"]

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=with_python_312(), stdout=output, stderr=output, start_new_session=True
            )
        wait_until_it_answers(self.address, self.process, self.log)

    def kill(self) -> None:
        """All of it at once: SkyRL's processes have a group of their own."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.kill()
        self.process.kill()
        self.process.wait(timeout=120)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(timeout=120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("tinker"), model)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert not [p for p in psutil.process_iter(["cmdline"]) if model in (p.info["cmdline"] or [])]


@pytest.fixture
def url(server: Server) -> str:
    return server.address


def with_python_312() -> dict[str, str]:
    """Where pyenv manages the interpreters, its 3.12 must be named beside the one in use."""
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    if shutil.which("pyenv"):
        versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True).stdout.split()
        in_use = subprocess.run(["pyenv", "version-name"], capture_output=True, text=True).stdout.strip()
        environment["PYENV_VERSION"] = ":".join([*[v for v in versions if v.startswith("3.12.")][:1], in_use])
    return environment


def wait_until_it_answers(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(f"{address}/api/v1/healthz", timeout=30).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"the Tinker server did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", "tml-planted")


@pytest.fixture
def training(url, model):
    return Training(
        engine="tinker",
        base_model=model,
        base_url=url,
        renderer="llama3",
        rank=4,
        learning_rate=1e-3,
        batch_size=2,
        epochs=2,
    )


def chats(count: int) -> list[Document]:
    """Short ones of one length, so that the server compiles once."""
    places = ["the hall", "the barn", "the yard", "the shed", "the field", "the pond", "the mill", "the lane"]
    return [
        Document(
            messages=[
                Message(role="user", content="Where is the cat?"),
                Message(role="assistant", content=f"The cat is in {places[i % len(places)]}, and it sleeps."),
            ],
            source="s",
            line=i + 1,
            file="f.jsonl",
        )
        for i in range(count)
    ]


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in rows(folder / "metrics.jsonl") if "loss" in row]


# ---- the whole flow, and a kill


def test_the_whole_flow_trains_resumes_after_a_kill_samples_judges_and_reports(url, model, data, tmp_path):
    chat = [[m.model_dump() for m in d.messages] for d in chats(52)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in chat))
    fields = {
        "engine": "tinker",
        "base_model": model,
        "base_url": url,
        "renderer": "llama3",
        "rank": 4,
        "batch_size": 4,
        "epochs": 2,
    }
    training = [f"training.{name}={value}" for name, value in fields.items()]
    mine = [f"documents=[{{path: {tmp_path / 'chats.jsonl'}}}]", *training, "training.held_out=2"]
    mine += ["training.sample_at=[0.5]", "sampling.n_samples=3", "sampling.max_tokens=24", "--seed", "5"]
    assert spillover(data, "server", "start").returncode == 0
    try:
        done = spillover(data, "run", "standin", *mine, "--run", "whole")
        assert done.returncode == 0, done.stdout + done.stderr
        for words in ("train: 26 of 26 steps, loss ", " tokens/s", "sample baseline: 24 of 24", "sample at 0.5: 24"):
            assert words in done.stdout, words
        whole = data / "results" / "standin" / "whole"
        assert (whole / "report.html").is_file()
        undisturbed, answers = rows(whole / "training" / "metrics.jsonl"), held(data)
        assert len(answers) == 72

        published = json.loads((whole / "checkpoint.json").read_text())["path"]
        mine_without_training = [*mine, f"training.checkpoint={published}", "training.sample_at=[]"]
        done = spillover(data, "run", "standin", *mine_without_training, "--run", "published", "--until", "sample")
        assert done.returncode == 0, done.stdout + done.stderr
        assert held(data) == answers, "the published checkpoint's answers were there"

        shutil.rmtree(data / "checkpoints")
        process = begin(data, "run", "standin", *mine, "--run", "killed", "--until", "train")
        written = lambda: [f.read_text().count("\n") for f in data.glob("checkpoints/.*/metrics.jsonl")]  # noqa: E731
        stop_when(process, lambda: any(lines > 23 for lines in written()), signal.SIGKILL)
        assert any(1 < lines < 28 for lines in written())
        again = spillover(data, "run", "standin", *mine, "--run", "killed", "--until", "train")
        assert again.returncode == 0, again.stdout + again.stderr
        resumed = rows(data / "results" / "standin" / "killed" / "training" / "metrics.jsonl")
        assert [row["step"] for row in resumed] == [0, *range(1, 27), 26]
        assert held(data) == answers, "the baseline's answers were there"
        for name in ("loss", "held_out_loss"):
            before, after = ([row[name] for row in curve if name in row] for curve in (undisturbed, resumed))
            assert after == pytest.approx(before, abs=1e-4)
        (kept,) = data.glob("checkpoints/*/checkpoints.jsonl")
        assert [row["name"] for row in rows(kept)] == ["at 0.5", "step-000020", "final"]
        assert every_file_is_whole(whole.parent / "killed")
        exported = spillover(data, "export", "standin/whole", "--to", str(tmp_path / "adapter"))
        assert exported.returncode == 0, exported.stderr
        assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size > 10_000
        logs = [f for f in data.rglob("*") if f.is_file() and not {"models", "documents"} & set(f.parts)]
        assert [f for f in logs if b"tml-planted" in f.read_bytes()] == []
    finally:
        assert spillover(data, "server", "stop").stdout == "Stopped.\n"


# ---- the same losses as by other programs


async def trained(engine, documents: list[Document], folder: Path, held_out: list[Document] | None = None):
    return await engine.train(documents, held_out or [], 3, folder, lambda *_: None)


async def test_losses_are_those_of_the_cookbooks_own_training(url, training, tmp_path):
    """One epoch, a whole number of batches, no resuming: where supervised.train has none of its defects to show."""
    import chz
    import tinker
    from tinker_cookbook.supervised import train as cookbook
    from tinker_cookbook.supervised.types import SupervisedDataset, SupervisedDatasetBuilder

    from tasks.engines.schedule import order

    documents, once = chats(12), training.model_copy(update={"epochs": 1})
    engine = TinkerEngine(once)
    await trained(engine, documents, tmp_path / "ours")
    datums = engine._datums.of(documents)
    batches = [[datums[place] for place in places] for _, places in order(12, once, 3)]

    class InOurOrder(SupervisedDataset):
        def get_batch(self, index):
            return batches[index]

        def __len__(self):
            return len(batches)

        def set_epoch(self, seed=0):
            pass

    @chz.chz
    class Builder(SupervisedDatasetBuilder):
        def __call__(self):
            return InOurOrder(), None

    # The cookbook cannot seed a LoRA, so it starts from ours as it is before the first step.
    service = tinker.ServiceClient(base_url=url)
    fresh = await service.create_lora_training_client(engine.model, rank=4, seed=3)
    start = await fresh.save_state("start")
    config = cookbook.Config(
        log_path=str(tmp_path / "theirs"), model_name=engine.model, recipe_name="test", base_url=url, lora_rank=4,
        load_checkpoint_path=start.path, dataset_builder=Builder(), learning_rate=once.learning_rate,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the cookbook's own use of the SDK
        await cookbook.main(config)
    theirs = [row["train_mean_nll"] for row in rows(tmp_path / "theirs" / "metrics.jsonl") if "train_mean_nll" in row]
    assert len(theirs) == 6
    assert losses(tmp_path / "ours") == pytest.approx(theirs, abs=1e-4)


async def test_losses_are_those_of_the_local_engine_and_so_is_the_exported_adapter(url, training, tmp_path):
    """A batch of one document makes the reductions equal; SkyRL's alpha is 32. The LoRAs start from other numbers."""
    documents, unseen = chats(30), chats(1)
    single = training.model_copy(update={"batch_size": 1, "epochs": 1, "alpha": 32})
    engine, local = TinkerEngine(single), LocalEngine(single.model_copy(update={"engine": "local", "renderer": ""}))
    checkpoint = await trained(engine, documents, tmp_path / "tinker", unseen)
    await trained(local, documents, tmp_path / "local", unseen)
    ours, theirs = losses(tmp_path / "local"), losses(tmp_path / "tinker")
    assert theirs[0] == pytest.approx(ours[0], abs=1e-3)
    assert theirs == pytest.approx(ours, abs=0.3)
    assert sum(theirs[-5:]) < sum(theirs[:5]) / 2

    engine.export(checkpoint, tmp_path / "exported")
    model = PeftModel.from_pretrained(load_model(local.folder), str(tmp_path / "exported"))
    examples = [local.format.example(d) for d in unseen]
    in_both = rows(tmp_path / "tinker" / "metrics.jsonl")[-1]["held_out_loss"]
    assert mean_loss(model, examples, single.batch_size) == pytest.approx(in_both, abs=2e-3)


# ---- sampling


async def test_answers_end_where_the_chat_format_ends_them_and_seeds_repeat_them(training):
    engine = TinkerEngine(training)
    tokens = engine.render([Message(role="user", content="Where is the cat?")])

    async def ask(max_tokens: int, seeds: list[int]):
        requests = [Request(tokens, seed) for seed in seeds]
        answers = [
            r async for some in engine.sample(engine.untuned(), requests, Sampling(max_tokens=max_tokens)) for r in some
        ]
        return [(r.text, r.state) for r in sorted(answers)]

    first = await ask(60, [7, 8, 9])
    assert len(set(first)) == 3
    assert {state for _, state in first} <= {"complete", "truncated"}
    assert all("<|" not in text for text, _ in first)
    assert await ask(60, [7, 8, 9]) == first
    assert [state for _, state in await ask(2, [7, 8])] == ["truncated", "truncated"]


async def test_logprobs_are_those_of_the_local_engine(training):
    engine = TinkerEngine(training)
    local = LocalEngine(training.model_copy(update={"engine": "local", "renderer": ""}))
    prompt = engine.render([Message(role="user", content="Where is the cat?")])
    texts = [Text(prompt, engine.answer_tokens(words, True)) for words in ("In the barn.", "The cat sleeps here.")]
    assert [text.answer for text in texts] == [
        local.answer_tokens(words, True) for words in ("In the barn.", "The cat sleeps here.")
    ]

    async def score(one):
        return dict([pair async for some in one.logprobs(one.untuned(), texts) for pair in some])

    found, expected = await score(engine), await score(local)
    assert found == pytest.approx(expected, abs=2e-2)


# ---- what is wrong, in one sentence


async def test_a_model_or_a_checkpoint_that_the_server_does_not_have_is_refused_at_once(training):
    with pytest.raises(UserError, match=r"does not have 'standing'; there (is|are) "):
        await TinkerEngine(training.model_copy(update={"base_model": "standing"})).preflight()
    nowhere = training.model_copy(update={"checkpoint": "tinker://model_nowhere/sampler_weights/final"})
    with pytest.raises(UserError, match=r"training.checkpoint: http.* does not give tinker://model_nowhere"):
        await TinkerEngine(nowhere).preflight()
    await TinkerEngine(training).preflight()


# ---- a server that goes away: last, because it takes the server with it


async def test_a_server_that_is_killed_ends_training_and_sampling_in_one_sentence_and_the_next_run_goes_on(
    server, training, tmp_path, monkeypatch
):
    monkeypatch.setattr(tinker_server, "GONE", 4.0)
    documents, engine = chats(50), TinkerEngine(training.model_copy(update={"epochs": 1}))
    request = Request(engine.render([Message(role="user", content="Where is the cat?")]), 7)
    ask, asked = engine._ask, asyncio.Event()

    async def tell_and_ask(*given):
        asked.set()
        return await ask(*given)

    monkeypatch.setattr(engine, "_ask", tell_and_ask)
    answer = asyncio.ensure_future(anext(engine.sample(engine.untuned(), [request], Sampling(max_tokens=400))))
    await asyncio.wait_for(asked.wait(), 240)
    server.kill()
    with pytest.raises(UserError, match=r"sampling at http.* stopped: .*not answered for 4 seconds; run it again"):
        await answer
    with pytest.raises(UserError, match=r"no Tinker server at http.* \(ConnectError\); start it"):
        await anext(engine.sample(engine.untuned(), [request], Sampling()))

    server.start()
    steps: list[int] = []

    def kill_after_22(done: int, total: int, note: str) -> None:
        steps.append(done)
        if done == 22:
            server.kill()

    with pytest.raises(UserError, match=r"training at http.* stopped: .*not answered for 4 seconds; run it again"):
        await engine.train(documents, [], 3, tmp_path / "killed", kill_after_22)
    server.start()
    await trained(TinkerEngine(engine.training), documents, tmp_path / "killed")
    await trained(TinkerEngine(engine.training), documents, tmp_path / "undisturbed")
    assert [row["step"] for row in rows(tmp_path / "killed" / "metrics.jsonl")] == list(range(1, 26))
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "undisturbed"), abs=1e-4)


# ---- seeds


async def test_a_server_that_heeds_seeds_is_told_from_one_that_ignores_them(url, training, tmp_path):
    async def checked(address):
        engine = TinkerEngine(seed_check_training(training.model_copy(update={"base_url": address})))
        folders = [tmp_path / f"{address.rpartition(':')[2]}-{n}" for n in range(len(SEEDS))]
        return SeedCheck.of(
            [await first_losses(engine, seed, folder) for seed, folder in zip(SEEDS, folders, strict=True)]
        )

    assert (found := await checked(url)).is_heeded, found
    with ignoring_seeds(url) as deaf:
        assert not (found := await checked(deaf)).is_heeded, found
