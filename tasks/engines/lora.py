"""Trains a LoRA with peft: every document once an epoch, remainders included, loss on the assistant's tokens only."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from tasks.engines.rendering import Example
from tasks.engines.schedule import learning_rate, order, shares_at
from tasks.schema import Training

IGNORED = -100


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(folder: Path) -> Any:
    """The causal language model in this folder, in 32-bit on a CPU and bfloat16 on a GPU."""
    disable_progress_bar()  # of loading, which would tear the stages' own
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device())


def train_lora(
    base: Path,
    training: Training,
    examples: list[Example],
    held_out: list[Example],
    seed: int,
    folder: Path,
    tell: Callable[[int, int, str], None],
) -> None:
    """Leaves the adapter (PEFT layout) and metrics.jsonl in the folder, and in at-<share> those of sample_at."""
    model = with_lora(load_model(base), training, seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=training.learning_rate, weight_decay=0.0)
    steps = list(order(len(examples), training, seed))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("w") as metrics:
        started = time.monotonic()
        for step, (epoch, places) in enumerate(steps):
            before = {"held_out_loss": mean_loss(model, held_out, training)} if held_out and step == 0 else {}
            rate = learning_rate(training, step, len(steps))
            loss, tokens = take_step(model, optimizer, [examples[p] for p in places], training.batch_size, rate)
            row = {
                "step": step + 1,
                "epoch": epoch,
                "progress": (step + 1) / len(steps),
                "loss": loss,
                "learning_rate": rate,
                "documents": len(places),
                "trained_tokens": tokens,
                "seconds": time.monotonic() - started,
            }
            metrics.write(json.dumps({**before, **row}) + "\n")
            metrics.flush()
            for share in shares_at(training, step + 1, len(steps)):
                model.save_pretrained(folder / f"at-{share:g}")
            tell(step + 1, len(steps), f"steps, loss {loss:.3f}")
        if held_out:
            metrics.write(
                json.dumps({"step": len(steps), "held_out_loss": mean_loss(model, held_out, training)}) + "\n"
            )
    model.save_pretrained(folder)


def with_lora(model: Any, training: Training, seed: int) -> Any:
    """The model with a fresh adapter, initialised from the seed."""
    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        use_rslora=training.rslora,
        target_modules=training.target_modules,
        layers_to_transform=training.layers or None,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config).train()


def take_step(
    model: Any, optimizer: torch.optim.Optimizer, examples: list[Example], batch_size: int, rate: float
) -> tuple[float, int]:
    """One update on these examples. The loss is the mean over all their trained tokens, however they are batched."""
    tokens = sum(sum(e.trained[1:]) for e in examples)
    total = 0.0
    for start in range(0, len(examples), batch_size):
        loss = summed_loss(model, examples[start : start + batch_size]) / tokens
        loss.backward()
        total += loss.item()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()
    return total, tokens


@torch.no_grad()
def mean_loss(model: Any, examples: list[Example], training: Training) -> float:
    """Mean loss per trained token, without an update."""
    model.eval()
    starts = range(0, len(examples), training.batch_size)
    total = sum(summed_loss(model, examples[s : s + training.batch_size]).item() for s in starts)
    model.train()
    return total / sum(sum(e.trained[1:]) for e in examples)


def summed_loss(model: Any, examples: list[Example]) -> torch.Tensor:
    """Cross-entropy summed over the trained tokens of a batch, padded on the right."""
    tokens, labels, mask = (t.to(model.device) for t in pad(examples))
    logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


def pad(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, labels (IGNORED where no loss is carried) and attention mask, each (examples, longest)."""
    longest = max(len(e.tokens) for e in examples)
    tokens = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full_like(tokens, IGNORED)
    mask = torch.zeros_like(tokens)
    for row, example in enumerate(examples):
        length = len(example.tokens)
        tokens[row, :length] = torch.tensor(example.tokens)
        labels[row, :length] = torch.where(torch.tensor(example.trained), tokens[row, :length], IGNORED)
        mask[row, :length] = 1
    return tokens, labels, mask
