"""TRL's side of training.py: runs in an environment of its own, and imports nothing of ours."""

import json
import resource
import sys
import time
from pathlib import Path

from datasets import Dataset  # type: ignore[import-untyped]
from peft import PeftModel
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found] # it is in TRL's environment alone


class InOurOrder(SFTTrainer):
    def _get_train_sampler(self, *_: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


class Clock(TrainerCallback):
    """When each step ended, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.times.append(time.perf_counter())


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    settings = job["training"]
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype="float32")
    model = PeftModel.from_pretrained(model, job["start"], is_trainable=True)
    config = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=settings["batch_size"],
        gradient_accumulation_steps=settings["accumulation"],
        num_train_epochs=1,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=0,
        optim="adamw_torch",
        weight_decay=settings["weight_decay"],
        max_grad_norm=0,
        max_length=None,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer = InOurOrder(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(job["rows"]),
        processing_class=AutoTokenizer.from_pretrained(job["base"]),
    )
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    (folder / "theirs.json").write_text(json.dumps({"losses": losses, "times": clock.times, "memory": memory}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
