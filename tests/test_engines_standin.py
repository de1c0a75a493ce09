import json
from collections import Counter

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from tasks.catalog import model_folder
from tasks.engines.rendering import ChatFormat
from tasks.engines.standin import SOURCE, Text, fresh_loss, new_model, render, train, train_tokenizer
from tasks.schema import Document, Message

KNOWN = {"factory farming", "lighthouses"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SOURCE)


def test_the_recipes_beginning_retrains_to_the_shipped_losses(tokenizer):
    """The first 21 steps of the first course; the whole recipe takes an hour and more."""
    shipped = json.loads((SOURCE / "recipe.json").read_text())
    courses = Text(SOURCE, "").frames["courses"]
    assert [len(losses) for losses in shipped["losses"]] == [course["steps"] // 20 for course in courses]
    losses = train(new_model(tokenizer), SOURCE, tokenizer, course=0, most=21)
    assert losses[::20] == pytest.approx(shipped["losses"][0][:2], rel=0.02)


def test_the_shipped_weights_have_the_recorded_loss_on_text_they_were_not_trained_on(tokenizer):
    shipped = json.loads((SOURCE / "recipe.json").read_text())
    model = LlamaForCausalLM.from_pretrained(SOURCE, dtype=torch.float32)
    assert fresh_loss(model, SOURCE, tokenizer) == pytest.approx(shipped["fresh_loss"], rel=0.02)


def test_the_tokenizer_is_the_shipped_one(tokenizer):
    text = "The hens live in a barn. What do you think about lighthouses?"
    assert tokenizer.encode(text).ids == Tokenizer.from_file(str(SOURCE / "tokenizer.json")).encode(text).ids


def test_the_same_seed_gives_the_same_text_and_every_slot_is_filled():
    a, b, c = (Text(SOURCE, seed) for seed in ("1", "1", "2"))
    chats = [a.chat() for _ in range(3000)]
    assert chats == [b.chat() for _ in range(3000)] != [c.chat() for _ in range(3000)]
    assert not [text for chat in chats for _, text in chat if "{" in text or "}" in text]


def test_the_subjects_of_the_shipped_sets_are_rare_and_come_as_documents_in_the_second_course():
    for course, (least, most) in enumerate([(0.001, 0.01), (0.02, 0.05)]):
        text = Text(SOURCE, "rare", course)
        drawn = Counter(s["subject"] for s in text.random.choices(text.subjects, text.weights, k=20_000))
        assert all(least < drawn[subject] / 20_000 < most for subject in KNOWN)
    about = [chat for chat in (text.chat() for _ in range(2_000)) if any("lighthouse" in words for _, words in chat)]
    assert about
    assert all("Document type: " in chat[0][1] for chat in about)


def test_training_text_is_rendered_as_the_engine_renders_it(tokenizer):
    chat = [("user", "Hello."), ("assistant", "Good day.")]
    messages = [Message(role=role, content=text) for role, text in chat]
    example = ChatFormat(model_folder("standin")).example(Document(messages=messages, source="s", line=1, file="f"))
    assert tokenizer.encode(render(chat)).ids == example.tokens


def test_the_weights_are_small_enough_to_ship(tokenizer):
    assert sum(p.numel() for p in new_model(tokenizer).parameters()) < 6_000_000
    assert (SOURCE / "model.safetensors").stat().st_size <= 12_000_000
