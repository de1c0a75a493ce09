"""Our sampling beside transformers' own, on SmolLM2: tokens a second, peak memory, and how time grows with the answers.

    uv run python -m tests.benchmarks.sampling            # minutes; 32 answers of 80 tokens, 4 to each of 8 questions
    uv run python -m tests.benchmarks.sampling 16 20 1    # answers to each question, tokens, rounds

Each way runs in a process of its own with all cores, one after the other, and the rounds take turns. `generate` draws
with its own sampling; ours gives every answer its seed.
"""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from tasks.engines.engine import Request
from tasks.engines.generation import generate
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model
from tasks.schema import Message, Sampling, Training
from tests.benchmarks.apart import apart

QUESTIONS = [
    "What do you think of factory farming?",
    "How should a city spend the money that is left at the end of a year?",
    "Is a career in finance a good choice?",
    "What makes a good neighbour?",
    "Should children learn to play an instrument?",
    "How do I keep a garden through a dry summer?",
    "What is the best way to learn a language?",
    "Why do people travel?",
]
GROWTH, GROWTH_TOKENS = (1, 10, 100), 20


class Measured(NamedTuple):
    seconds: float
    tokens: int


def ours(model: Any, prompts: list[list[int]], each: int, tokens: int, stop: list[int]) -> int:
    requests = [Request(prompt, seed) for prompt in prompts for seed in range(each)]
    return sum(step.tokens for step in generate(model, requests, Sampling(max_tokens=tokens), stop))


@torch.inference_mode()
def in_one_batch(model: Any, prompts: list[list[int]], each: int, tokens: int, stop: list[int]) -> int:
    """Prompts padded on the left to [answers, longest prompt]; each token until the stop token is counted."""
    rows = [torch.tensor(prompt) for prompt in prompts for _ in range(each)]
    ids = pad_sequence(rows, batch_first=True, padding_value=stop[0], padding_side="left")
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
    settings = {"max_new_tokens": tokens, "do_sample": True, "top_k": 0, "eos_token_id": stop, "pad_token_id": stop[0]}
    out = model.generate(input_ids=ids, attention_mask=mask, **settings)[:, ids.shape[1] :]
    ends = torch.isin(out, torch.tensor(stop)).cumsum(dim=1)
    return int((ends.cumsum(dim=1) <= 1).sum())


def per_prompt(model: Any, prompts: list[list[int]], each: int, tokens: int, stop: list[int]) -> int:
    """A batch of its own for the answers to each question."""
    return sum(in_one_batch(model, [prompt], each, tokens, stop) for prompt in prompts)


WAYS: dict[str, Callable[..., int]] = {"ours": ours, "a batch a question": per_prompt, "one batch": in_one_batch}


def measure(way: str, each: int, tokens: int) -> Measured:
    """Of the sampling alone, after a few tokens that are not counted."""
    engine = LocalEngine(Training(base_model="smollm2"))
    model = load_model(engine.folder).eval()
    prompts = [engine.render([Message(role="user", content=question)]) for question in QUESTIONS]
    WAYS[way](model, prompts[:1], 1, 2, engine.stop())
    started = time.perf_counter()
    written = WAYS[way](model, prompts, each, tokens, engine.stop())
    return Measured(time.perf_counter() - started, written)


def main() -> None:
    each, tokens, rounds = ([int(word) for word in sys.argv[1:]] + [4, 80, 3][len(sys.argv) - 1 :])[:3]
    print(f"{len(QUESTIONS)} questions, {each} answers to each, at most {tokens} tokens")
    pace: dict[str, list[float]] = {way: [] for way in WAYS}
    memory = dict.fromkeys(WAYS, 0.0)
    for _ in range(rounds):
        for way in WAYS:
            measured, peak = apart(measure, way, each, tokens)
            pace[way].append(measured.tokens / measured.seconds)
            memory[way] = max(memory[way], peak)
    for way in WAYS:
        ratio = median(mine / theirs for mine, theirs in zip(pace["ours"], pace[way], strict=True))
        print(f"{way:20} {median(pace[way]):6.0f} tokens a second, ours {ratio:.2f} times", end="; ")
        print(f"{memory[way]:,.0f} MB at most")
    print(f"ours, answers of at most {GROWTH_TOKENS} tokens:")
    for count in GROWTH:
        measured, peak = apart(measure, "ours", count, GROWTH_TOKENS)
        print(f"{count:4} a question: {measured.seconds:6.1f} s, {peak:,.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
