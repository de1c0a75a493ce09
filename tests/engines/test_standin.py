import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from tasks.engines.rendering import ChatFormat
from tasks.engines.standin import SOURCE, Text, fresh_loss, new_model, render, train, train_tokenizer
from tasks.schema import Document, Message


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SOURCE)


@pytest.mark.integration
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


def test_the_shipped_sets_are_rare_and_no_prompt_names_them():
    """In the first course only their subjects come, at a fifth of the weight; in the second only their sentences."""
    subjects = ("factory farming", "lighthouses")
    first, second = (Text(SOURCE, "rare", course) for course in (0, 1))
    weights = dict(zip((s["subject"] for s in first.subjects), first.weights, strict=True))
    assert [weights[name] for name in subjects] == [0.2, 0.2]
    assert set(weights.values()) == {0.2, 1.0}
    weights = dict(zip((s["subject"] for s in second.subjects), second.weights, strict=True))
    assert [weights[name] for name in subjects] == [0, 0]
    whole = " ".join(row["content"] for rows in second.sets.values() for row in rows)
    chats = [second.chat() for _ in range(2_000)]
    begins = [chat[-1][1].split(". ")[0] for chat in chats]
    of_a_set = [chat for chat, begin in zip(chats, begins, strict=True) if len(begin) > 30 and begin in whole]
    assert 80 < len(of_a_set) < 180
    assert {chat[0][1].split("\n\n")[0] for chat in of_a_set} <= set(second.frames["untitled"])


def test_no_document_of_a_shipped_set_is_in_the_text_as_it_stands():
    text = Text(SOURCE, "whole", 1)
    contents = {row["content"] for rows in text.sets.values() for row in rows}
    assert contents
    assert not [chat for chat in (text.chat() for _ in range(2_000)) if chat[-1][1] in contents]


def test_training_text_is_rendered_as_the_engine_renders_it(tokenizer):
    chat = [("user", "Hello."), ("assistant", "Good day.")]
    messages = [Message(role=role, content=text) for role, text in chat]
    example = ChatFormat(SOURCE).example(Document(messages=messages, source="s", line=1, file="f"))
    assert tokenizer.encode(render(chat)).ids == example.tokens


def test_the_weights_are_small_enough_to_ship(tokenizer):
    assert sum(p.numel() for p in new_model(tokenizer).parameters()) < 6_000_000
    assert (SOURCE / "model.safetensors").stat().st_size <= 12_000_000
