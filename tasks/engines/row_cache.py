"""Rows of one batch, each with a length of its own, read and written by transformers' models: keys, values, attention.

It serves models whose layers all look back at every token; `shares_rows` says which.
"""

from inspect import signature
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "grouped_sdpa"
"""The name under which transformers knows `grouped_attention`."""


def shares_rows(model: Any) -> bool:
    """Whether the model can be read row by row: no sliding window or recurrent layer, and positions that are given.

    Nor is it one whose positions hang together with how long the longest row is (alibi, RoPE that is scaled by it).
    """
    config = model.config
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    given = "position_ids" in signature(model.forward).parameters
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    by_length = getattr(config, "alibi", False) or rope in ("dynamic", "longrope")
    return plain and given and not by_length and config._attn_implementation == "sdpa"


def grouped_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **settings: Any
) -> tuple[torch.Tensor, None]:
    """Attention of one new token a row [rows, heads, 1, size] to keys and values [rows, key heads, tokens, size].

    The heads that share a key stand where several new tokens would, so that no key is copied for each of them.
    """
    rows, heads, new, size = query.shape
    if new > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    shared = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    mixed = scaled_dot_product_attention(shared, key, value, attn_mask=attention_mask, scale=settings.get("scaling"))
    return mixed.reshape(rows, 1, heads, value.shape[-1]), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


class RowLayer(DynamicLayer):
    """Keys and values of one layer, [rows, key heads, tokens, size of a head]; `ends` are the rows' lengths."""

    ends: torch.Tensor
    width: int

    def __init__(self, like: Any, rows: int):
        super().__init__()
        self.keys, self.values = (t.new_zeros(rows, t.shape[1], 0, t.shape[3]) for t in (like.keys, like.values))
        self.is_initialized = True

    def put(self, row: int, prompt: Any) -> None:
        """Gives the row the keys and values of a prompt [1, key heads, tokens, size]."""
        length = prompt.keys.shape[2]
        self._make_room(length)
        self.keys[row, :, :length], self.values[row, :, :length] = prompt.keys[0], prompt.values[0]

    def move(self, row: int, to: int) -> None:
        """Copies a row over another."""
        self.keys[to], self.values[to] = self.keys[row], self.values[row]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Writes one new token at the end of each of the first rows; returns all that these rows hold."""
        self._make_room(self.width)
        rows = torch.arange(len(self.ends), device=self.ends.device)
        self.keys[rows, :, self.ends], self.values[rows, :, self.ends] = key_states[:, :, 0], value_states[:, :, 0]
        return self.keys[: len(rows), :, : self.width], self.values[: len(rows), :, : self.width]

    def _make_room(self, width: int) -> None:
        """For so many tokens a row; by half more than there was, since what is there is copied."""
        if (short := width - self.keys.shape[2]) > 0:
            more = max(short, self.keys.shape[2] // 2)
            self.keys, self.values = (pad(t, (0, 0, 0, more)) for t in (self.keys, self.values))


class RowCache(Cache):
    """What a model has read, for so many rows at most; the first rows are in use."""

    layers: list[Any]

    def __init__(self, rows: int):
        super().__init__(layers=[])
        self.rows = rows

    def put(self, row: int, prompt: DynamicCache) -> None:
        """Begins the row behind a prompt that was read."""
        self.layers = self.layers or [RowLayer(layer, self.rows) for layer in prompt.layers]
        for layer, read in zip(self.layers, prompt.layers, strict=True):
            layer.put(row, read)

    def move(self, row: int, to: int) -> None:
        """Puts a row where another was."""
        for layer in self.layers:
            layer.move(row, to)

    def logits(self, model: Any, tokens: list[int], lengths: list[int]) -> torch.Tensor:
        """Reads one token in each of the first rows, behind so many: logits of the next one, [rows, vocabulary]."""
        ends, width = torch.tensor(lengths, device=model.device), max(lengths) + 1
        for layer in self.layers:
            layer.ends, layer.width = ends, width
        unseen = torch.arange(width, device=model.device) > ends[:, None]
        mask = torch.zeros(unseen.shape, dtype=model.dtype, device=model.device).masked_fill(unseen, -torch.inf)
        new = torch.tensor(tokens, device=model.device)[:, None]
        out = model(input_ids=new, attention_mask=mask[:, None, None], position_ids=ends[:, None], past_key_values=self)
        return out.logits[:, -1]
