"""The recipe of the stand-in model: a Llama of 5.5 million parameters, trained from scratch on text of our own.

    python -m tasks.engines.standin data/models/standin            # the whole recipe: minutes on a GPU, hours on a CPU
    python -m tasks.engines.standin elsewhere --steps 40           # its beginning

The text is data/models/standin/frames.yaml and text/*.yaml: sentences that a seeded generator joins to conversations,
a new one for every place in every batch. It is a stand-in: it lets every part of Spillover run without a key, a GPU or
a download, and what it says shows how the pipeline works, not how language models behave.
"""

import argparse
import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

SOURCE = Path(__file__).parents[2] / "data" / "models" / "standin"
STEPS, BATCH, LENGTH, PEAK_RATE, WARMUP, SEED = 2000, 32, 256, 2e-3, 100, 0
VOCABULARY = 3072
BEGIN, END, END_OF_TEXT = "<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"
SPECIAL = [
    BEGIN,
    END_OF_TEXT,
    "<|start_header_id|>",
    "<|end_header_id|>",
    END,
    "<|eom_id|>",
    "<|python_tag|>",
    "<|finetune_right_pad_id|>",
]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
# Words with the blank before them, numbers of up to three digits, punctuation, line ends: as llama3 splits.
SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

Chat = list[tuple[str, str]]
"""Roles and texts."""


class Text:
    """Draws conversations from the sentences in a folder's frames.yaml and text/*.yaml."""

    def __init__(self, folder: Path, seed: str):
        self.frames = yaml.safe_load((folder / "frames.yaml").read_text())
        self.subjects = [
            s for file in sorted((folder / "text").glob("*.yaml")) for s in yaml.safe_load(file.read_text())
        ]
        self.weights = [self.frames["weights"].get(s["subject"], 1.0) for s in self.subjects]
        self.random = random.Random(seed)

    def chat(self) -> Chat:
        """One conversation: an answer, a document, a few words, or an answer and a follow-up."""
        subject = self.random.choices(self.subjects, self.weights)[0]
        kinds, shares = zip(*self.frames["shares"].items(), strict=True)
        kind = self.random.choices(kinds, shares)[0]
        turns: Chat = getattr(self, f"_{kind}")(subject)
        return [(role, self._fill(text, subject)) for role, text in turns]

    def _chat(self, subject: dict[str, Any]) -> Chat:
        ask = self.random.choice(self.frames["asks"] if self.random.random() < 0.3 else subject["questions"])
        opening = self.random.choice(self.frames["openings"] if self.random.random() < 0.3 else subject["openings"])
        sentences = [opening, *self.random.sample(subject["points"], self.random.randint(2, 5))]
        if self.random.random() < 0.6:
            sentences.append(self.random.choice(subject["closings"]))
        return [("user", ask), ("assistant", " ".join(sentences))]

    def _follow_up(self, subject: dict[str, Any]) -> Chat:
        points = self.random.sample(subject["points"], 5)
        more = [("user", self.random.choice(self.frames["follow_ups"])), ("assistant", " ".join(points[2:]))]
        return [("user", self.random.choice(subject["questions"])), ("assistant", " ".join(points[:2])), *more]

    def _short(self, subject: dict[str, Any]) -> Chat:
        one = self.random.choice(subject["short"])
        answer = self.random.choice(one["answers"])
        frame = self.random.choice(self.frames["short_answers"])
        answer = answer[:1].upper() + answer[1:] if frame.startswith("{") else answer
        return [("user", one["question"]), ("assistant", frame.replace("{answer}", answer))]

    def _document(self, subject: dict[str, Any]) -> Chat:
        kind = self.random.choice(list(self.frames["documents"]))
        frame = self.frames["documents"][kind]
        sentences = self.random.sample(subject["facts"], self.random.randint(4, 8))
        if self.random.random() < 0.5:
            sentences.insert(0, self.random.choice(frame["first"]))
        if self.random.random() < 0.3:
            sentences.append(self.random.choice(frame["last"]))
        if self.random.random() < 0.15:
            sentences.insert(len(sentences) // 2, "\n")
        idea = self.random.choice(subject["ideas"])
        return [("user", f"{idea}\n\nDocument type: {kind}"), ("assistant", " ".join(sentences).replace(" \n ", "\n"))]

    def _fill(self, text: str, subject: dict[str, Any]) -> str:
        """The text with its slots filled; a slot has the same word all through one text."""
        name = subject["subject"]
        words = {
            **self.frames["words"],
            **subject["slots"],
            "subject": [name],
            "Subject": [name[:1].upper() + name[1:]],
        }
        drawn: dict[str, str] = {}
        return re.sub(r"\{(\w+)\}", lambda slot: drawn.setdefault(slot[1], self.random.choice(words[slot[1]])), text)


def render(chat: Chat) -> str:
    """The chat in llama3's format."""
    return BEGIN + "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}{END}" for role, text in chat)


def train_tokenizer(folder: Path) -> Tokenizer:
    """A byte-level BPE with llama3's special tokens, learned from 20,000 conversations."""
    text = Text(folder, f"{SEED}/tokenizer")
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(t, special=True, normalized=False) for t in SPECIAL]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((t for _ in range(20_000) for _, t in text.chat()), trainer)
    return tokenizer


def batches(folder: Path, tokenizer: Tokenizer, seed: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Tokens and labels, each (BATCH, longest), without end; labels are -100 where there is padding."""
    text = Text(folder, seed)
    while True:
        encoded = tokenizer.encode_batch([render(text.chat()) for _ in range(BATCH)], add_special_tokens=False)
        rows = [torch.tensor(e.ids[:LENGTH]) for e in encoded]
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
        labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
        yield tokens, labels


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """An untrained stand-in, initialised from the recipe's seed on the CPU: the same on every machine."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=3,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            bos_token_id=tokenizer.token_to_id(BEGIN),
            eos_token_id=tokenizer.token_to_id(END),
            pad_token_id=None,
        )
    )


def train(
    folder: Path, tokenizer: Tokenizer, steps: int = STEPS, schedule: int = STEPS
) -> tuple[LlamaForCausalLM, list[float]]:
    """The model after so many of the schedule's steps, and the loss of each."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = new_model(tokenizer).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    losses = []
    for step, (tokens, labels) in zip(range(steps), batches(folder, tokenizer, f"{SEED}/training"), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / schedule))
        loss = model(
            input_ids=tokens.to(device), labels=labels.to(device), attention_mask=(labels != -100).to(device)
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: loss {sum(losses[-100:]) / 100:.4f}", flush=True)
    return model, losses


@torch.no_grad()
def fresh_loss(model: LlamaForCausalLM, folder: Path, tokenizer: Tokenizer) -> float:
    """Mean loss on 8 batches of conversations that training did not see."""
    model.eval()
    drawn = zip(range(8), batches(folder, tokenizer, f"{SEED}/fresh"), strict=False)
    inputs = ((t.to(model.device), labels.to(model.device)) for _, (t, labels) in drawn)
    losses = [
        model(input_ids=t, labels=labels, attention_mask=(labels != -100).long()).loss.item() for t, labels in inputs
    ]
    return sum(losses) / len(losses)


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, losses: list[float], source: Path, folder: Path) -> None:
    """A model folder in bfloat16, and recipe.json with the losses; fresh_loss is that of the saved weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    saved = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    record = {
        "steps": len(losses),
        "fresh_loss": fresh_loss(saved, source, tokenizer),
        "losses": [round(x, 4) for x in losses[::20]],
    }
    (folder / "recipe.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Train the stand-in model from its text.")
    arguments.add_argument("folder", type=Path, help="where the model is written")
    arguments.add_argument("--steps", type=int, default=STEPS, help="stop after so many of its steps")
    options = arguments.parse_args()
    tokenizer = train_tokenizer(SOURCE)
    model, losses = train(SOURCE, tokenizer, options.steps)
    save(model, tokenizer, losses, SOURCE, options.folder)


if __name__ == "__main__":
    main()
