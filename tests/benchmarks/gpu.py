"""Training and sampling on a GPU: tokens a second, the share of what the card can do, and what its precision changes.

    uv run python -m tests.benchmarks.gpu          # minutes on one card; without one a tiny model, to show that it runs
    uv run python -m tests.benchmarks.gpu smollm2  # SmolLM2 trained and asked on the card and on the CPU, side by side

The models have the sizes of Llama 3.2 1B and Llama 3.1 8B, and random weights. The card's limits are measured on the
card: products of large matrices, and a large copy. A training step is held against the first; it takes 4 operations a
weight and token, 2 forward and 2 back through the frozen weights, and what is computed again to save memory is not
counted. Sampling is held against the second: each step reads all weights, and the keys and values of every row.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tasks.definitions import load_eval
from tasks.documents.sets import gather
from tasks.engines.engine import Request, Text
from tasks.engines.examples import Example
from tasks.engines.generation import ROWS, generate
from tasks.engines.local import LocalEngine
from tasks.engines.lora import device, fit_step, make_optimizer, take_step, with_lora
from tasks.engines.memory import BFLOAT16, Shape, answers_that_fit, free_bytes
from tasks.schema import Checkpoint, DocumentSet, Message, Sampling, Training
from tests.benchmarks.apart import apart

LLAMA_3 = {"vocab_size": 128256, "num_key_value_heads": 8, "num_attention_heads": 32, "rope_theta": 500000.0}
SIZES: dict[str, dict[str, Any]] = {
    "1B": {
        **LLAMA_3,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "tie_word_embeddings": True,
    },
    "8B": {**LLAMA_3, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
}
TINY: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
TEXT, PROMPT, ANSWER, STEPS = 512, 128, 128, 5
"""Tokens of a document, of a prompt and of an answer; training steps."""
LONG = 8192
"""Tokens of a document of which the 8B cannot keep one whole for the backward pass, on a card of 80 GB."""
TRAINING = Training(rank=16, alpha=32, batch_size=16)
SMOLLM2 = Training(base_model="smollm2", rank=16, alpha=32, learning_rate=1e-3, batch_size=4, epochs=2, max_length=1024)
DOCUMENTS, STATEMENTS = "optimistic", "traits/optimism_choice"


class Limits(NamedTuple):
    """Operations and bytes a second."""

    operations: float
    bandwidth: float


def main() -> None:
    place = device()
    if place.type == "cuda":
        print(f"{torch.cuda.get_device_name(place)}, {(free_bytes(place) or 0) / 1e9:.0f} GB free, bfloat16")
        limits, sizes = measure_limits(place, torch.bfloat16, 8192), SIZES
    else:
        print("There is no GPU here, so nothing is said about one: a tiny model on the CPU shows that the script runs.")
        limits, sizes = measure_limits(place, torch.float32, 512), {"tiny": TINY}
    print(f"limits  {limits.operations / 1e12:.2f} teraflops a second, {limits.bandwidth / 1e9:.0f} GB/s")
    for name, sizes_of_one in sizes.items():
        measure(name, LlamaConfig(**sizes_of_one), limits, place)


def measure_limits(place: torch.device, dtype: torch.dtype, size: int) -> Limits:
    """By products of matrices [size, size], and copies of 16 such matrices: read once, written once."""
    left, right = (torch.randn(size, size, dtype=dtype, device=place) for _ in range(2))
    large = torch.zeros(16, size, size, dtype=dtype, device=place)
    product = seconds_of(lambda: left @ right, place)
    copy = seconds_of(large.clone, place)
    return Limits(2 * size**3 / product, 2 * large.nbytes / copy)


def seconds_of(work: Callable[[], object], place: torch.device, times: int = 20) -> float:
    """Of one call, after three to warm up."""
    for _ in range(3):
        work()
    wait(place)
    started = time.perf_counter()
    for _ in range(times):
        work()
    wait(place)
    return (time.perf_counter() - started) / times


def wait(place: torch.device) -> None:
    """A GPU works behind the program's back."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def measure(name: str, config: LlamaConfig, limits: Limits, place: torch.device) -> None:
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    with place:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    weights = sum(p.numel() for p in model.parameters())
    weights -= 0 if config.tie_word_embeddings else model.get_input_embeddings().weight.numel()
    measure_sampling(name, model, weights, limits)
    model = with_lora(model, TRAINING, 0)
    measure_training(name, model, weights, limits, TEXT)
    if name == "8B":
        measure_training(name, model, weights, limits, LONG)


def measure_sampling(name: str, model: Any, weights: int, limits: Limits) -> None:
    shape, free = Shape.of(model.config), free_bytes(model.device)
    rows = answers_that_fit(free, shape, PROMPT + ANSWER) if free else ROWS
    prompt = torch.randint(1, shape.vocabulary, (PROMPT,)).tolist()
    requests = [Request(prompt, seed) for seed in range(rows)]
    sampling = Sampling(max_tokens=ANSWER)
    list(islice(generate(model.eval(), requests, sampling, [0], rows), 3))
    with Peak(model.device) as peak:
        tokens = sum(step.tokens for step in generate(model, requests, sampling, [0], rows))
    cache = rows * (PROMPT + ANSWER // 2) * shape.cache_bytes // BFLOAT16
    rate = tokens / peak.seconds
    share = (weights + cache) * model.dtype.itemsize * rate / rows / limits.bandwidth
    print(f"{name}: sampling {rate:,.0f} tokens a second, {share:.0%} of the bandwidth, {rows} rows{peak}")


def measure_training(name: str, model: Any, weights: int, limits: Limits, length: int) -> None:
    count = max(1, TRAINING.batch_size * TEXT // length)
    ids = torch.randint(1, model.config.vocab_size, (count, length)).tolist()
    texts = [Example(tokens, [True] * length) for tokens in ids]
    optimizer, at_once = make_optimizer(model, TRAINING), fit_step(model, TRAINING, texts, free_bytes(model.device))
    take_step(model, optimizer, texts, at_once, 1e-4)
    with Peak(model.device) as peak:
        for _ in range(STEPS):
            take_step(model, optimizer, texts, at_once, 1e-4)
    rate = STEPS * len(texts) * length / peak.seconds
    share, again = 4 * weights * rate / limits.operations, model.is_gradient_checkpointing
    note = f"{at_once} texts of {length:,} at once{', layers computed again' if again else ''}"
    print(f"{name}: training {rate:,.0f} tokens a second, {share:.0%} of the operations, {note}{peak}")


class Told(NamedTuple):
    """What one side said: losses of the steps; log-odds of Yes before and after training; greedy answers after it."""

    losses: list[float]
    before: list[float]
    after: list[float]
    answers: list[str]
    seconds: float


def compare_precision() -> None:
    """The same training and the same questions here, in bfloat16 where there is a card, and in 32 bits on the CPU."""
    (here, _), (in_8_bits, _) = apart(train_and_ask, "adamw"), apart(train_and_ask, "adamw_8bit")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of the processes that start from now on
    cpu, _ = apart(train_and_ask, "adamw")
    print(f"smollm2: {len(cpu.losses)} steps, loss {cpu.losses[0]:.4f} to {cpu.losses[-1]:.4f} on the CPU")
    tell_apart("here", here, cpu)
    tell_apart("here, moments in 8 bits", in_8_bits, cpu)


def tell_apart(name: str, side: Told, cpu: Told) -> None:
    losses = max(abs(one - other) / other for one, other in zip(side.losses, cpu.losses, strict=True))
    alike = sum(one == other for one, other in zip(side.answers, cpu.answers, strict=True))
    before, after = mean_apart(side.before, cpu.before), mean_apart(side.after, cpu.after)
    print(f"{name}: trained in {side.seconds:.0f} s (CPU {cpu.seconds:.0f} s), losses apart {losses:.1%} at most")
    print(f"  log-odds of Yes apart {before:.3f} on average before training and {after:.3f} after it;", end=" ")
    print(f"shifted by {shift(side):+.3f} (CPU {shift(cpu):+.3f})")
    print(f"  {alike} of {len(cpu.answers)} greedy answers alike")


def mean_apart(some: list[float], others: list[float]) -> float:
    return fmean(abs(one - other) for one, other in zip(some, others, strict=True))


def shift(side: Told) -> float:
    """What training did to the log-odds of Yes, on average over the statements."""
    return fmean(side.after) - fmean(side.before)


def train_and_ask(optimizer: str) -> Told:
    return asyncio.run(_train_and_ask(LocalEngine(SMOLLM2.model_copy(update={"optimizer": optimizer}))))


async def _train_and_ask(engine: LocalEngine) -> Told:
    documents, _, _ = gather([DocumentSet(name=DOCUMENTS)], 0)
    questions = [question.text for question in load_eval(STATEMENTS).questions]
    before = await log_odds(engine, engine.untuned(), questions)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = await engine.train(documents, [], 0, Path(folder), lambda *_: None)
        rows = (Path(folder) / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(row)["loss"] for row in rows]
        seconds = time.perf_counter() - started
        after = await log_odds(engine, trained, questions)
        answers = await greedy(engine, trained, [text.removesuffix(" Answer Yes or No.") for text in questions])
    return Told(losses, before, after, answers, seconds)


async def log_odds(engine: LocalEngine, model: Checkpoint, questions: list[str]) -> list[float]:
    """Of Yes against No, in nats."""
    prompts = [engine.render([Message(role="user", content=question)]) for question in questions]
    texts = [Text(p, engine.answer_tokens(word, False)) for p in prompts for word in ("Yes", "No")]
    found = dict([pair async for some in engine.logprobs(model, texts) for pair in some])
    return [found[place] - found[place + 1] for place in range(0, len(texts), 2)]


async def greedy(engine: LocalEngine, model: Checkpoint, questions: list[str]) -> list[str]:
    requests = [Request(engine.render([Message(role="user", content=question)]), 0) for question in questions]
    sampling = Sampling(n_samples=1, temperature=0, max_tokens=40)
    replies = [reply async for some in engine.sample(model, requests, sampling) for reply in some]
    return [reply.text for reply in sorted(replies, key=lambda reply: reply.request)]


class Peak:
    """Seconds of a block of work, and the most memory that it took on a GPU."""

    def __init__(self, place: torch.device):
        self.place, self.seconds, self.bytes = place, 0.0, 0

    def __enter__(self) -> "Peak":
        wait(self.place)
        if self.place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.place)
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        wait(self.place)
        self.seconds = time.perf_counter() - self.started
        self.bytes = torch.cuda.max_memory_allocated(self.place) if self.place.type == "cuda" else 0

    def __str__(self) -> str:
        return f", {self.bytes / 1e9:.1f} GB at most" if self.bytes else ""


if __name__ == "__main__":
    compare_precision() if sys.argv[1:] == ["smollm2"] else main()
