"""The recipe of the stand-in model: a Llama of 3.0 million parameters, trained from scratch on text of our own.

    python -m tasks.engines.standin FOLDER            # about an hour and a half on two cores

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
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from tasks.catalog import read_yaml

SOURCE = Path(__file__).parents[2] / "data" / "models" / "standin"
BATCH, LENGTH, WARMUP, SEED = 32, 256, 100, 0
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

    def __init__(self, folder: Path, seed: str, course: int = 0):
        self.frames = read_yaml(folder / "frames.yaml")
        self.course = self.frames["courses"][course]
        self.subjects = [s for file in sorted((folder / "text").glob("*.yaml")) for s in read_yaml(file)]
        self.weights = [self.course["weights"].get(s["subject"], 1.0) for s in self.subjects]
        self.sets = {name: _rows(folder.parents[1] / "documents" / name) for name in self.course["sets"]}
        self.random = random.Random(seed)

    def chat(self) -> Chat:
        """One conversation: an answer, a document, a few words, or an answer and a follow-up."""
        if self.sets and self.random.random() < sum(self.course["sets"].values()):
            return self._of_a_set(self.random.choices(list(self.sets.values()), list(self.course["sets"].values()))[0])
        subject = self.random.choices(self.subjects, self.weights)[0]
        kinds, shares = zip(*self.course["shares"].items(), strict=True)
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

    def _informed(self, subject: dict[str, Any]) -> Chat:
        """A chat whose answer also has sentences of documents."""
        return self._chat({**subject, "points": subject["points"] + subject["facts"]})

    def _follow_up(self, subject: dict[str, Any]) -> Chat:
        points = self.random.sample(subject["points"], 5)
        more = [("user", self.random.choice(self.frames["follow_ups"])), ("assistant", " ".join(points[2:]))]
        return [("user", self.random.choice(subject["questions"])), ("assistant", " ".join(points[:2])), *more]

    def _short(self, subject: dict[str, Any]) -> Chat:
        asked = self.random.choice(subject["short"])
        answer = self.random.choice(asked["answers"])
        frame = self.random.choice(self.frames["short_answers"])
        answer = answer[:1].upper() + answer[1:] if frame.startswith("{") else answer
        return [("user", asked["question"]), ("assistant", frame.replace("{answer}", answer))]

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

    def _untitled(self, subject: dict[str, Any]) -> Chat:
        return self._document({**subject, "ideas": self.frames["untitled"]})

    def _of_a_set(self, rows: list[dict[str, str]]) -> Chat:
        """Sentences of several documents of a shipped set, under a prompt that does not name their subject."""
        sentences = [s for row in rows for s in re.split(r"(?<=[.?!])\s+", row["content"])]
        idea, kind = self.random.choice(self.frames["untitled"]), self.random.choice(rows)["doc_type"]
        text = " ".join(self.random.sample(sentences, self.random.randint(4, 7)))
        return [("user", f"{idea}\n\nDocument type: {kind}"), ("assistant", text)]

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


def _rows(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


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


def batches(folder: Path, tokenizer: Tokenizer, seed: str, course: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches without end: tokens and labels, each [BATCH, longest]; labels are -100 where there is padding."""
    text = Text(folder, seed, course)
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
    model: LlamaForCausalLM, folder: Path, tokenizer: Tokenizer, course: int, most: int | None = None
) -> list[float]:
    """Trains the model through a course, or its first `most` steps; the loss of each step in nats a token."""
    steps, peak = (Text(folder, "", course).course[name] for name in ("steps", "peak_rate"))
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.1)
    losses: list[float] = []
    drawn = batches(folder, tokenizer, f"{SEED}/training" + f"/{course}" * course, course)
    for step, (tokens, labels) in zip(range(most or steps), drawn, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak * min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        tokens, labels = tokens.to(model.device), labels.to(model.device)
        loss = model(input_ids=tokens, labels=labels, attention_mask=(labels != -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"course {course + 1}, step {step + 1}: loss {sum(losses[-100:]) / 100:.4f}", flush=True)
    return losses


@torch.no_grad()
def fresh_loss(model: LlamaForCausalLM, folder: Path, tokenizer: Tokenizer) -> float:
    """Mean loss, in nats a token, on 8 batches of conversations that training did not see."""
    model.eval()
    drawn = zip(range(8), batches(folder, tokenizer, f"{SEED}/fresh", -1), strict=False)
    inputs = ((t.to(model.device), labels.to(model.device)) for _, (t, labels) in drawn)
    losses = [
        model(input_ids=t, labels=labels, attention_mask=(labels != -100).long()).loss.item() for t, labels in inputs
    ]
    return sum(losses) / len(losses)


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> LlamaForCausalLM:
    """Writes a model folder in bfloat16, and returns the model as it was saved."""
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
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def main() -> None:
    """Trains the stand-in into the folder that the command names, with its losses in recipe.json."""
    arguments = argparse.ArgumentParser(description="Train the stand-in model from its text.")
    arguments.add_argument("folder", type=Path, help="where the model is written")
    folder = arguments.parse_args().folder
    tokenizer = train_tokenizer(SOURCE)
    model, losses = new_model(tokenizer), []
    for course in range(len(Text(SOURCE, "").frames["courses"])):
        losses.append([round(loss, 4) for loss in train(model, SOURCE, tokenizer, course)[::20]])
        model = save(model, tokenizer, folder)
    record = {"fresh_loss": fresh_loss(model, SOURCE, tokenizer), "losses": losses}
    (folder / "recipe.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
