"""Trains a LoRA with peft: every document once an epoch, remainders included, loss on the assistant's tokens only."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import cross_entropy
from torch.nn.functional import pad as pad_right
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from tasks.catalog import UserError
from tasks.engines.engine import Progress
from tasks.engines.examples import Example
from tasks.engines.identity import write_config_plainly
from tasks.engines.memory import Shape, free_bytes, trainings_that_fit
from tasks.engines.schedule import learning_rate, order, refuse_divergence, shares_at
from tasks.schema import Training

IGNORED = -100
"""The label of a token that carries no loss: what cross_entropy leaves out."""
SAVE_SECONDS = 60.0
"""Between two states from which a killed training goes on."""
BUSY_TOKENS = 1024
"""So many at once keep the cores of a CPU busy; more take memory and padding alone."""
TRAINED_BYTES = 16
"""What a number of the LoRA takes in a step: itself, its gradient and two moments, in 32 bits."""

# cuDNN's attention makes a plan for each new number of rows and tokens, which takes 0.1 s: every token has another
torch.backends.cuda.enable_cudnn_sdp(False)


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(folder: Path) -> Any:
    """The causal language model in this folder, in 32-bit on a CPU and bfloat16 on a GPU."""
    disable_progress_bar()  # of loading, which would tear the stages' own
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device())


def lay_out_for_reading(model: Any) -> Any:
    """The model, its weight matrices laid out by columns on a CPU, which multiplies few rows with them faster so.

    Values and shapes stay. 8 rows take half the time, 64 three quarters of it; a model that is trained gains nothing.
    """
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight.device.type == "cpu":
            layer.weight.data = layer.weight.data.t().contiguous().t()
    return model


def train_lora(
    base: Path,
    training: Training,
    examples: list[Example],
    held_out: list[Example],
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Leaves the adapter (PEFT layout) and metrics.jsonl in the folder, and in at-<share> those of sample_at.

    What a kill left in the folder is gone on with: the weights are then those of a training without a kill. Raises
    UserError for a loss or weights that are no finite numbers, and for layers or modules that the model lacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = with_lora(load_model(base), training, seed)
    optimizer = make_optimizer(model, training)
    at_once = fit_step(model, training, examples + held_out, free_bytes(model.device))
    kept = Resumable(folder, model, optimizer)
    steps = list(order(len(examples), training, seed))
    for step in range(kept.done, len(steps)):
        epoch, places = steps[step]
        before = {"held_out_loss": mean_loss(model, held_out, at_once)} if held_out and step == 0 else {}
        rate = learning_rate(training, step, len(steps))
        loss, tokens = take_step(model, optimizer, [examples[p] for p in places], at_once, rate)
        row = {
            "step": step + 1,
            "epoch": epoch,
            "progress": (step + 1) / len(steps),
            "loss": loss,
            "learning_rate": rate,
            "documents": len(places),
            "trained_tokens": tokens,
            "seconds": kept.seconds(),
            "optimizer": type(optimizer).__name__,
        }
        for share in shares_at(training, step + 1, len(steps)):
            save_adapter(model, folder / f"at-{share:g}", training)
        kept.add({**before, **row})
        progress(step + 1, len(steps), f"steps, loss {loss:.3f}{optimizer_words(training, optimizer)}")
    if held_out:
        kept.add({"step": len(steps), "held_out_loss": mean_loss(model, held_out, at_once)})
    save_adapter(model, folder, training)
    kept.forget()


def save_adapter(model: Any, folder: Path, training: Training) -> None:
    """In PEFT layout: the same files for the same weights, wherever they were trained."""
    if not all(p.isfinite().all() for p in model.parameters() if p.requires_grad):
        raise UserError("the training broke the model: its weights are no numbers; lower training.learning_rate")
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's form of a model card, with this machine's paths
    write_config_plainly(folder, training.base_model)


def make_optimizer(model: Any, training: Training) -> torch.optim.Optimizer:
    """AdamW; its moments in 8 bits where that is asked for and there are a GPU and bitsandbytes."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    settings = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "adamw_8bit" and can_use_8_bits():
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters, **settings)
    return torch.optim.AdamW(parameters, **settings)


def can_use_8_bits() -> bool:
    """Whether there are a GPU and bitsandbytes."""
    return torch.cuda.is_available() and find_spec("bitsandbytes") is not None


def optimizer_words(training: Training, optimizer: torch.optim.Optimizer) -> str:
    """Says where the optimizer is not the one asked for."""
    if training.optimizer == "adamw_8bit" and isinstance(optimizer, torch.optim.AdamW):
        return " (AdamW in 32 bits: 8 need a GPU and bitsandbytes)"
    return ""


class Resumable:
    """The curve, and every SAVE_SECONDS what an exact resumption needs: adapter, optimizer and step."""

    def __init__(self, folder: Path, model: Any, optimizer: torch.optim.Optimizer):
        self.metrics, self.state = folder / "metrics.jsonl", folder / "state.pt"
        self.beside = folder / "state.new"
        self.model, self.optimizer = model, optimizer
        self.done, self.before = self._restore()
        self.started = self.saved = time.monotonic()

    def seconds(self) -> float:
        """Seconds of training, those before a kill included."""
        return self.before + time.monotonic() - self.started

    def add(self, row: dict[str, Any]) -> None:
        """A row of the curve; the state of a step is saved after its row, so that no step's row is ever missing."""
        refuse_divergence(row)
        with self.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if "loss" in row and time.monotonic() - self.saved >= SAVE_SECONDS:
            self._save(row["step"], row["seconds"])

    def forget(self) -> None:
        """Removes the state of a training that has ended."""
        for file in (self.state, self.beside):
            file.unlink(missing_ok=True)

    def _save(self, step: int, seconds: float) -> None:
        adapter = get_peft_model_state_dict(self.model)
        torch.save(
            {"step": step, "seconds": seconds, "adapter": adapter, "optimizer": self.optimizer.state_dict()},
            self.beside,
        )
        self.beside.replace(self.state)
        self.saved = time.monotonic()

    def _restore(self) -> tuple[int, float]:
        """Steps and seconds done. Later rows and the last held-out loss leave the curve, since they are made again."""
        if not self.state.is_file():
            self.metrics.write_text("")
            return 0, 0.0
        state = torch.load(self.state, map_location=device(), weights_only=True)
        set_peft_model_state_dict(self.model, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        rows = [json.loads(line) for line in self.metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
        kept = [row for row in rows if "loss" in row and row["step"] <= state["step"]]
        self.metrics.write_text("".join(json.dumps(row) + "\n" for row in kept))
        return state["step"], state["seconds"]


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
        try:
            return get_peft_model(model, config).train()
        except ValueError as error:
            raise UserError(f"training.target_modules or training.layers: {str(error).splitlines()[0]}") from None


def fit_step(model: Any, training: Training, examples: list[Example], free: int | None) -> int:
    """How many texts of a step the model reads at once: as many as fit into the bytes that a GPU has free.

    Where not even the longest would fit, layers are computed again in the backward pass from here on. A CPU has None
    free, and reads as few as keep it busy.
    """
    longest = max(len(example.tokens) for example in examples)
    if free is None:
        texts, recompute = max(BUSY_TOKENS // longest, 1), False
    else:
        free -= TRAINED_BYTES * sum(p.numel() for p in model.parameters() if p.requires_grad)
        texts, recompute = trainings_that_fit(free, Shape.of(model.config), longest)
    if recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return min(texts, training.batch_size * training.accumulation)


def take_step(
    model: Any, optimizer: torch.optim.Optimizer, examples: list[Example], batch_size: int, rate: float
) -> tuple[float, int]:
    """One update on these examples, `batch_size` at a time: their loss, in nats, and how many tokens carry it.

    The loss is the mean over all their trained tokens, however they are batched.
    """
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
def mean_loss(model: Any, examples: list[Example], batch_size: int) -> float:
    """Mean loss per trained token in nats, without an update; `batch_size` examples are read at a time."""
    model.eval()
    starts = range(0, len(examples), batch_size)
    total = sum(summed_loss(model, examples[s : s + batch_size]).item() for s in starts)
    model.train()
    return total / sum(sum(e.trained[1:]) for e in examples)


def summed_loss(model: Any, examples: list[Example]) -> torch.Tensor:
    """Cross-entropy in nats summed over the trained tokens of a batch: a tensor without dimensions."""
    tokens, labels, mask = (t.to(model.device) for t in pad(examples))
    following = pad_right(labels[:, 1:], (0, 1), value=IGNORED)
    predicts = following != IGNORED
    with logits_at(model, predicts):
        logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
    return cross_entropy(logits.float(), following[predicts], reduction="sum")


@contextmanager
def logits_at(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Within it the model's logits are [places, vocabulary], for the tokens of `places` alone: [batch, tokens], bool.

    The vocabulary is where most of a small model's work lies.
    """
    output = model.get_output_embeddings()
    hook = output.register_forward_pre_hook(lambda _, hidden: (hidden[0][places],))
    try:
        yield
    finally:
        hook.remove()


def pad(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, labels (IGNORED where no loss is carried) and attention mask, each [examples, longest], padded right."""
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
