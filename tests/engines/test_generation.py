import torch

from tasks.engines.engine import Request
from tasks.engines.generation import generate
from tasks.engines.local import LocalEngine
from tasks.engines.lora import (
    load_model,
)
from tasks.schema import Message, Sampling
from tests.fakes.trainings import TRAINING


def ask(engine, *texts, seed=7):
    return [Request(engine.render([Message(role="user", content=text)]), seed + i) for i, text in enumerate(texts)]


def test_an_answer_does_not_depend_on_its_batch_or_on_padding():
    engine, sampling = LocalEngine(TRAINING), Sampling(max_tokens=40)
    model = load_model(engine.folder).eval()
    requests = ask(
        engine,
        "Hello.",
        "What do you think about the long and winding roads over the hills?",
        "Why?",
        "How do I bake bread?",
    )
    together = generate(model, requests, sampling, engine.stop())
    assert [generate(model, [one], sampling, engine.stop())[0] for one in requests] == together
    assert len({tuple(a.tokens) for a in together}) == 4


def test_another_seed_gives_another_answer_and_greedy_takes_the_likeliest():
    engine = LocalEngine(TRAINING)
    model = load_model(engine.folder).eval()
    one, other = (
        generate(model, ask(engine, "Tell me about trains.", seed=s), Sampling(max_tokens=30), engine.stop())[0]
        for s in (1, 2)
    )
    assert one != other
    greedy = generate(
        model,
        ask(engine, "Tell me about trains."),
        Sampling(n_samples=1, temperature=0, max_tokens=5),
        engine.stop(),
    )[0]
    tokens = ask(engine, "Tell me about trains.")[0].tokens
    for token in greedy.tokens:
        assert token == int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        tokens = [*tokens, token]


def test_draws_follow_the_models_probabilities():
    engine, sampling = LocalEngine(TRAINING), Sampling(max_tokens=1)
    model = load_model(engine.folder).eval()
    (prompt,) = ask(engine, "Name a bird species.")
    drawn = generate(model, [Request(prompt.tokens, seed) for seed in range(2000)], sampling, engine.stop())
    probabilities = torch.softmax(model(torch.tensor([prompt.tokens])).logits[0, -1], dim=-1)
    likeliest = int(probabilities.argmax())
    share = sum(a.tokens == [likeliest] for a in drawn) / 2000
    p = probabilities[likeliest].item()
    assert abs(share - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_an_answer_stops_at_the_stop_token_or_is_marked_as_cut_off():
    engine = LocalEngine(TRAINING)
    model = load_model(engine.folder).eval()
    answers = generate(model, ask(engine, *["What is the weather like?"] * 8), Sampling(max_tokens=160), engine.stop())
    assert any(a.complete for a in answers)
    assert all(a.complete == (len(a.tokens) < 160) or len(a.tokens) == 160 for a in answers)
    assert not any(token in engine.stop() for a in answers for token in a.tokens)
    assert not generate(model, ask(engine, "Why?"), Sampling(max_tokens=2), engine.stop())[0].complete
