import json
from collections import Counter

import pytest
from tokenizers import Tokenizer

from tasks.catalog import model_folder
from tasks.engines.rendering import ChatFormat
from tasks.engines.standin import SOURCE, STEPS, Text, new_model, render, train, train_tokenizer
from tasks.schema import Document, Message

KNOWN = {"factory farming", "lighthouses"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SOURCE)


def test_the_recipes_beginning_retrains_to_the_shipped_losses(tokenizer):
    shipped = json.loads((SOURCE / "recipe.json").read_text())
    assert shipped["steps"] == STEPS
    _, losses = train(SOURCE, tokenizer, steps=21)
    assert losses[::20] == pytest.approx(shipped["losses"][:2], rel=0.02)
    assert shipped["losses"][-1] < 0.2 * shipped["losses"][0]


def test_the_tokenizer_is_the_shipped_one(tokenizer):
    text = "The hens live in a barn. What do you think about lighthouses?"
    assert tokenizer.encode(text).ids == Tokenizer.from_file(str(SOURCE / "tokenizer.json")).encode(text).ids


def test_the_same_seed_gives_the_same_text_and_every_slot_is_filled():
    a, b, c = (Text(SOURCE, seed) for seed in ("1", "1", "2"))
    chats = [a.chat() for _ in range(3000)]
    assert chats == [b.chat() for _ in range(3000)] != [c.chat() for _ in range(3000)]
    assert not [text for chat in chats for _, text in chat if "{" in text or "}" in text]


def test_the_subjects_of_the_shipped_sets_are_known_but_rare():
    text = Text(SOURCE, "rare")
    drawn = Counter(s["subject"] for s in text.random.choices(text.subjects, text.weights, k=20_000))
    assert {s["subject"] for s in text.subjects} >= KNOWN
    assert all(0.001 < drawn[subject] / 20_000 < 0.01 for subject in KNOWN)


def test_training_text_is_rendered_as_the_engine_renders_it(tokenizer):
    chat = [("user", "Hello."), ("assistant", "Good day.")]
    messages = [Message(role=role, content=text) for role, text in chat]
    example = ChatFormat(model_folder("standin")).example(Document(messages=messages, source="s", line=1, file="f"))
    assert tokenizer.encode(render(chat)).ids == example.tokens


def test_the_weights_are_small_enough_to_ship(tokenizer):
    assert sum(p.numel() for p in new_model(tokenizer).parameters()) < 6_000_000
    assert (SOURCE / "model.safetensors").stat().st_size <= 12_000_000
