import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from tasks.engines.engine import Request, Text
from tasks.engines.generation import Answer, SeededDraw, Step, draw, generate, logprobs, random_numbers
from tasks.engines.local import LocalEngine
from tasks.engines.lora import load_model
from tasks.engines.row_cache import shares_rows
from tasks.schema import Message, Sampling
from tests.fakes.trainings import TRAINING

QUESTIONS = [
    "Hello.",
    "What do you think about the long and winding roads over the hills?",
    "Why?",
    "How do I bake bread?",
]


def ask(engine, *texts, seed=7):
    return [Request(engine.render([Message(role="user", content=text)]), seed + i) for i, text in enumerate(texts)]


def answers(model, requests, sampling, stop, **rows):
    ended: dict[int, Answer] = {}
    for step in generate(model, requests, sampling, stop, **rows):
        ended |= step.ended
    return [ended[place] for place in range(len(requests))]


@pytest.fixture(scope="module")
def engine():
    return LocalEngine(TRAINING)


@pytest.fixture(scope="module")
def model(engine):
    return load_model(engine.folder).eval()


def transformers_answers(model, requests, sampling, stop):
    """By transformers' own `generate`, in one batch padded on the left, with the same draws."""
    longest = max(len(request.tokens) for request in requests)
    padding = [longest - len(request.tokens) for request in requests]
    out = model.generate(
        input_ids=torch.tensor([[stop[0]] * pad + r.tokens for pad, r in zip(padding, requests, strict=True)]),
        attention_mask=torch.tensor([[0] * pad + [1] * (longest - pad) for pad in padding]),
        max_new_tokens=sampling.max_tokens,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=stop[0],
        logits_processor=[SeededDraw(requests, sampling)],
    )[:, longest:]
    return [[token for token in row if token not in stop] for row in out.tolist()]


SAMPLING = Sampling(max_tokens=24)


@pytest.fixture(scope="module")
def asked(engine):
    return [request for seed in range(25) for request in ask(engine, *QUESTIONS, seed=100 * seed)]


@pytest.fixture(scope="module")
def theirs(engine, model, asked):
    return transformers_answers(model, asked, SAMPLING, engine.stop())


@pytest.mark.parametrize("rows", [1, 8, 32])
def test_99_in_100_answers_are_those_of_transformers_at_every_batch_size(engine, model, asked, theirs, rows):
    """Rounding differs between them, and where two tokens are closer than it either may be drawn."""
    ours = [answer.tokens for answer in answers(model, asked, SAMPLING, engine.stop(), rows=rows)]
    assert sum(one == other for one, other in zip(ours, theirs, strict=True)) >= 0.99 * len(asked)
    assert len({tuple(tokens) for tokens in ours}) > 90


def test_the_same_seeds_give_the_same_answers_at_one_batch_size(engine, model):
    sampling, requests = Sampling(max_tokens=30, top_p=0.9), ask(engine, *QUESTIONS * 3)
    once, again = (answers(model, requests, sampling, engine.stop(), rows=5) for _ in range(2))
    assert once == again


def test_an_answer_does_not_depend_on_what_is_beside_it(engine, model):
    sampling, requests = Sampling(max_tokens=40), ask(engine, *QUESTIONS)
    together = answers(model, requests, sampling, engine.stop())
    assert [answers(model, [one], sampling, engine.stop())[0] for one in requests] == together
    assert len({tuple(answer.tokens) for answer in together}) == 4


def test_a_row_goes_to_the_next_answer_and_steps_count_every_token(engine, model):
    requests = ask(engine, *["What is the weather like?"] * 20)
    steps = list(generate(model, requests, Sampling(max_tokens=160), engine.stop(), rows=4))
    written = [len(answer.tokens) + answer.complete for step in steps for answer in step.ended.values()]
    assert sorted(place for step in steps for place in step.ended) == list(range(20))
    assert sum(step.tokens for step in steps) == sum(written)
    assert max(step.tokens for step in steps) == 4
    assert len(steps) < 20 / 4 * max(written)


def test_a_prompt_of_one_token_can_be_asked(engine, model):
    (answer,) = answers(model, [Request([5], 1)], Sampling(max_tokens=3), engine.stop())
    assert [answer.tokens] == transformers_answers(model, [Request([5], 1)], Sampling(max_tokens=3), engine.stop())


def test_a_model_with_sliding_windows_is_sampled_by_transformers(engine):
    config = Gemma3TextConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    )
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config).eval()
    assert not shares_rows(model)
    requests = [Request(list(range(2, length)), length) for length in (4, 9, 15)]
    ours = [answer.tokens for answer in answers(model, requests, Sampling(max_tokens=8), [1], rows=2)]
    assert ours == transformers_answers(model, requests, Sampling(max_tokens=8), [1])


def test_another_seed_gives_another_answer_and_greedy_takes_the_likeliest(engine, model):
    one, other = (
        answers(model, ask(engine, "Tell me about trains.", seed=s), Sampling(max_tokens=30), engine.stop())
        for s in (1, 2)
    )
    assert one != other
    (asked,) = ask(engine, "Tell me about trains.")
    (greedy,) = answers(model, [asked], Sampling(n_samples=1, temperature=0, max_tokens=5), engine.stop())
    tokens = asked.tokens
    for token in greedy.tokens:
        assert token == int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        tokens = [*tokens, token]


def test_draws_follow_the_models_probabilities(engine, model):
    (prompt,) = ask(engine, "Name a bird species.")
    logits = model(torch.tensor([prompt.tokens])).logits[0, -1].detach()
    numbers = [random_numbers(Request([], seed)) for seed in range(2000)]
    drawn = draw(logits.expand(2000, -1), numbers, Sampling(max_tokens=1))
    probabilities = torch.softmax(logits, dim=-1)
    p = probabilities.max().item()
    share = (drawn == probabilities.argmax()).float().mean().item()
    assert abs(share - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_draws_are_shared_out_as_the_temperature_and_top_p_have_it():
    apart = torch.full((20_000, 600), -torch.inf)  # in three blocks, one of them with two tokens
    apart[:, [0, 255, 256, 599]] = torch.tensor([0.1, 0.6, 0.05, 0.25]).log()
    numbers = [random_numbers(Request([], seed)) for seed in range(20_000)]
    for sampling, shares in (
        (Sampling(), [0.1, 0.6, 0.05, 0.25]),
        (Sampling(top_p=0.8), [0, 0.6 / 0.85, 0, 0.25 / 0.85]),
        (Sampling(temperature=0.5), [0.01 / 0.435, 0.36 / 0.435, 0.0025 / 0.435, 0.0625 / 0.435]),
    ):
        drawn = (draw(apart, numbers, sampling).bincount(minlength=600) / 20_000)[[0, 255, 256, 599]]
        assert drawn.sum() == pytest.approx(1)
        assert drawn.tolist() == pytest.approx(shares, abs=4 * (0.25 / 20_000) ** 0.5)
        assert [share == 0 for share in drawn] == [share == 0 for share in shares]


def test_an_answer_stops_at_the_stop_token_or_is_marked_as_cut_off(engine, model):
    asked = ask(engine, *["What is the weather like?"] * 8)
    found = answers(model, asked, Sampling(max_tokens=160), engine.stop())
    assert any(a.complete for a in found)
    assert all(a.complete == (len(a.tokens) < 160) or len(a.tokens) == 160 for a in found)
    assert not any(token in engine.stop() for a in found for token in a.tokens)
    assert not answers(model, ask(engine, "Why?"), Sampling(max_tokens=2), engine.stop())[0].complete


def test_a_prompt_is_read_before_anything_is_written(engine, model):
    steps = generate(model, ask(engine, "Why?", "Hello."), Sampling(max_tokens=2), engine.stop())
    assert [next(steps), next(steps), next(steps)] == [Step({}, 0), Step({}, 0), Step({}, 2)]


def test_logprobs_are_those_of_each_text_alone(engine, model):
    asked = ask(engine, *QUESTIONS[:3])
    texts = [Text(request.tokens, [9, 8, 7][: n + 1]) for n, request in enumerate(asked)]
    texts += [Text(request.tokens, [word]) for request in asked for word in (5, 9)]  # Yes and No, read as one row
    texts += [Text([*asked[0].tokens, 9], [8])]  # the row of another text, behind a longer prompt
    together = logprobs(model, texts)
    for text, found in zip(texts, together, strict=True):
        predicted = torch.log_softmax(model(torch.tensor([text.prompt + text.answer])).logits[0].detach(), dim=-1)
        alone = sum(predicted[len(text.prompt) - 1 + n, token].item() for n, token in enumerate(text.answer))
        assert found == pytest.approx(alone, abs=1e-4)
