"""Training and sampling on a GPU: tokens a second, and the share of what the card can do.

    uv run python -m tests.benchmarks.gpu          # minutes on one card; without one a tiny model, to show that it runs

The models have the sizes of Llama 3.2 1B and Llama 3.1 8B, and random weights. The card's limits are measured on the
card: products of large matrices, and a large copy. A training step is held against the first; it takes 4 operations a
weight and token, 2 forward and 2 back through the frozen weights, and what is computed again to save memory is not
counted. Sampling is held against the second: each step reads all weights, and the keys and values of every row.
"""

import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tasks.engines.engine import Request
from tasks.engines.examples import Example
from tasks.engines.generation import ROWS, generate
from tasks.engines.lora import device, fit_step, make_optimizer, take_step, with_lora
from tasks.engines.memory import BFLOAT16, Shape, answers_that_fit, free_bytes
from tasks.schema import Sampling, Training

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
TRAINING = Training(rank=16, alpha=32, batch_size=16)


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
    measure_training(name, model, weights, limits)


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


def measure_training(name: str, model: Any, weights: int, limits: Limits) -> None:
    model = with_lora(model, TRAINING, 0)
    ids = torch.randint(1, model.config.vocab_size, (TRAINING.batch_size, TEXT)).tolist()
    texts = [Example(tokens, [True] * TEXT) for tokens in ids]
    optimizer, at_once = make_optimizer(model, TRAINING), fit_step(model, TRAINING, texts, free_bytes(model.device))
    take_step(model, optimizer, texts, at_once, 1e-4)
    with Peak(model.device) as peak:
        for _ in range(STEPS):
            take_step(model, optimizer, texts, at_once, 1e-4)
    rate = STEPS * len(texts) * TEXT / peak.seconds
    share, again = 4 * weights * rate / limits.operations, model.is_gradient_checkpointing
    note = f"{at_once} texts at once{', layers computed again' if again else ''}"
    print(f"{name}: training {rate:,.0f} tokens a second, {share:.0%} of the operations, {note}{peak}")


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
    main()
