"""Batched sampling with a seed for every answer: what is drawn does not depend on what else is in the batch."""

from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from tasks.engines.engine import Request, Text
from tasks.schema import Sampling


class Answer(NamedTuple):
    """The tokens of an answer without its stop token, and whether there was one."""

    tokens: list[int]
    complete: bool


class SeededDraw(LogitsProcessor):
    """Draws each row's next token by its own uniform numbers, and leaves only that token possible.

    Inverse transform sampling: the token at which the cumulative probability passes u. `generate` then takes the
    likeliest token, which is the drawn one.
    """

    def __init__(self, seeds: list[int], sampling: Sampling, start: int, device: torch.device):
        """`start` is the length of the padded prompts in tokens; `uniform` is [batch, max_tokens], in [0, 1)."""
        rows = [torch.rand(sampling.max_tokens, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self.uniform = torch.stack(rows).to(device)
        self.start = start
        self.warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
        if sampling.top_p < 1:
            self.warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Tokens so far [batch, tokens] and logits [batch, vocabulary] to logits that are -inf but for one token."""
        probabilities = torch.softmax(self.warpers(input_ids, scores).float(), dim=-1)
        cumulative = probabilities.cumsum(dim=-1)
        u = self.uniform[:, input_ids.shape[1] - self.start, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, u, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


@torch.inference_mode()
def generate(model: Any, requests: list[Request], sampling: Sampling, stop: list[int]) -> list[Answer]:
    """One answer for each request, in their order; prompts are padded on the left to [batch, longest prompt]."""
    longest = max(len(r.tokens) for r in requests)
    tokens = torch.tensor([[stop[0]] * (longest - len(r.tokens)) + r.tokens for r in requests], device=model.device)
    mask = torch.tensor([[0] * (longest - len(r.tokens)) + [1] * len(r.tokens) for r in requests], device=model.device)
    config = GenerationConfig(
        max_new_tokens=sampling.max_tokens, do_sample=False, eos_token_id=stop, pad_token_id=stop[0]
    )
    draw = [SeededDraw([r.seed for r in requests], sampling, longest, model.device)] if sampling.temperature > 0 else []
    out = model.generate(
        input_ids=tokens, attention_mask=mask, generation_config=config, logits_processor=LogitsProcessorList(draw)
    )
    return [_until_stop(row, stop) for row in out[:, longest:].tolist()]


@torch.inference_mode()
def logprobs(model: Any, texts: list[Text]) -> list[float]:
    """The summed logprob of each answer's tokens behind its prompt, in nats.

    Texts are padded on the right to [batch, longest text]; the logits are [batch, longest text, vocabulary].
    """
    rows = [torch.tensor(text.prompt + text.answer) for text in texts]
    tokens = pad_sequence(rows, batch_first=True).to(model.device)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(model.device)
    logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
    sums = []
    for row, text in enumerate(texts):
        first, last = len(text.prompt), len(text.prompt) + len(text.answer)
        predicted = torch.log_softmax(logits[row, first - 1 : last - 1].float(), dim=-1)
        sums.append(predicted.gather(1, tokens[row, first:last, None]).sum().item())
    return sums


def _until_stop(tokens: list[int], stop: list[int]) -> Answer:
    for place, token in enumerate(tokens):
        if token in stop:
            return Answer(tokens[:place], complete=True)
    return Answer(tokens, complete=False)
