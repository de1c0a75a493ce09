import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

from tasks.engines.lora import load_model
from tasks.engines.row_cache import GROUPED, RowCache, grouped_attention, shares_rows
from tests.fakes.trainings import STANDIN

PROMPTS = [[5], [7, 9, 11, 13, 15, 17], [5, 6, 7]]


@pytest.fixture
def model():
    model = load_model(STANDIN).eval()
    model.set_attn_implementation(GROUPED)
    return model


def begin(model, cache):
    for row, prompt in enumerate(PROMPTS):
        read = DynamicCache(config=model.config)
        model(input_ids=torch.tensor([prompt]), past_key_values=read)
        cache.put(row, read)


def alone(model, tokens):
    return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]


@torch.inference_mode()
def test_each_row_reads_on_behind_its_own_tokens(model):
    cache = RowCache(4)
    begin(model, cache)
    texts = [[*prompt] for prompt in PROMPTS]
    for token in (21, 22, 23, 24):
        for text in texts:
            text.append(token)
        logits = cache.logits(model, [token] * 3, [len(text) - 1 for text in texts])
        for row, text in zip(logits, texts, strict=True):
            torch.testing.assert_close(row, alone(model, text), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_row_can_take_the_place_of_another_and_the_rows_behind_are_not_read(model):
    cache = RowCache(3)
    begin(model, cache)
    cache.move(2, 0)
    logits = cache.logits(model, [30, 31], [3, 6])
    torch.testing.assert_close(logits[0], alone(model, [*PROMPTS[2], 30]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits[1], alone(model, [*PROMPTS[1], 31]), atol=1e-4, rtol=1e-4)
    assert logits.shape[0] == 2


def test_heads_that_share_a_key_attend_as_if_each_had_its_own():
    query, key, value = torch.randn(2, 6, 1, 8), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 8)
    mask = torch.zeros(2, 1, 1, 5)
    mask[1, :, :, 3:] = -torch.inf
    found, _ = grouped_attention(None, query, key, value, mask, scaling=0.3)
    keys, values = key.repeat_interleave(2, dim=1), value.repeat_interleave(2, dim=1)
    expected = scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, expected.transpose(1, 2))


def test_a_model_with_a_sliding_window_shares_no_rows(model):
    sizes = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    assert not shares_rows(MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=4)))
    assert shares_rows(MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=None)))
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    by_length = MistralConfig(**sizes, **heads, sliding_window=None, rope_parameters=rope)
    assert not shares_rows(MistralForCausalLM(by_length))
    model.set_attn_implementation("eager")
    assert not shares_rows(model)
