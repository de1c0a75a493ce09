import platform
import threading

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tasks.engines.examples import Example
from tasks.engines.lora import summed_loss, with_lora
from tasks.engines.memory import (
    MOST,
    Shape,
    answers_that_fit,
    free_bytes,
    give_back,
    scored_that_fit,
    trainings_that_fit,
)
from tasks.schema import Training

GB = 10**9
LLAMA_8B = Shape(layers=32, hidden=4096, keys=1024, intermediate=14336, vocabulary=128256)


def test_the_sizes_of_a_model_are_read_from_its_configuration():
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    assert Shape.of(LlamaConfig(**sizes, num_key_value_heads=1, intermediate_size=96)) == Shape(2, 64, 16, 96, 100)


def test_more_memory_and_shorter_texts_make_larger_batches():
    fits = [answers_that_fit(free * GB, LLAMA_8B, 1000) for free in (1, 8, 60)]
    assert fits == [4, 32, 241]
    assert answers_that_fit(60 * GB, LLAMA_8B, 100) == MOST
    assert answers_that_fit(1000, LLAMA_8B, 1000) == 1
    assert scored_that_fit(60 * GB, LLAMA_8B, 1000) < answers_that_fit(60 * GB, LLAMA_8B, 1000)


def test_layers_are_computed_again_only_where_one_text_would_not_fit_otherwise():
    assert trainings_that_fit(60 * GB, LLAMA_8B, 500) == (7, False)
    assert trainings_that_fit(60 * GB, LLAMA_8B, 3000) == (1, False)
    texts, recompute = trainings_that_fit(60 * GB, LLAMA_8B, 8192)
    assert (texts, recompute) == (2, True)
    assert trainings_that_fit(GB, LLAMA_8B, 8192) == (1, True)


@pytest.mark.parametrize(("hidden", "keys", "layers"), [(64, 2, 4), (96, 4, 2)])
def test_what_a_training_keeps_of_a_token_is_what_was_counted(hidden, keys, layers):
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=keys,
        vocab_size=500,
    )
    model = with_lora(AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16), Training(rank=2), 0)
    texts = [Example([n % 500 for n in range(300)], [True] * 300)] * 2
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = summed_loss(model, texts)
    assert loss.isfinite()
    measured = sum(storage.nbytes() for place, storage in kept.items() if place not in weights) / 600
    shape = Shape.of(config)
    logits = 4 * shape.vocabulary  # the softmax stays in 32 bits, the rest of logit_bytes is given back
    assert measured < shape.layers * shape.layer_bytes + logits < 1.4 * measured


def test_a_cpu_is_not_sized_by_memory():
    assert free_bytes(torch.device("cpu")) is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps no such memory")
def test_what_a_thread_has_freed_is_given_back_to_the_system():
    """The last block stays, so that those before it cannot be given back as the end of the heap."""
    kept = []

    def work():
        blocks = [bytearray(100_000) for _ in range(4_000)]
        kept.append(blocks[-1])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    process = psutil.Process()
    before = process.memory_info().rss
    give_back()
    assert before - process.memory_info().rss > 200_000_000
