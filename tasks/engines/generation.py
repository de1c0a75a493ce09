"""Sampling with a seed for every answer: what is drawn does not depend on what else is in the batch.

Answers are written side by side, each in a row of its own. A prompt is read once for all its answers, and the row of an
answer that has ended goes to the next that waits.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from tasks.engines.engine import Request, Text
from tasks.engines.lora import logits_at
from tasks.engines.row_cache import GROUPED, RowCache, shares_rows
from tasks.schema import Sampling

ROWS = 64
"""Answers written side by side on a CPU: as many as a kill can cost. 32 are a seventh slower."""

BLOCK = 256
"""Tokens of the vocabulary that are drawn together first."""


class Answer(NamedTuple):
    """The tokens of an answer without its stop token, and whether there was one."""

    tokens: list[int]
    complete: bool


class Step(NamedTuple):
    """What `generate` did since the last one: answers that ended, by their requests' places, and tokens written."""

    ended: dict[int, Answer]
    tokens: int


class Row:
    """One answer that is being written."""

    def __init__(self, place: int, request: Request, most: int):
        """`place` is that of its request; the answer has at most so many tokens."""
        self.place, self.prompt, self.most = place, request.tokens, most
        self.numbers, self.answer = random_numbers(request), list[int]()

    @property
    def next(self) -> int:
        """The token that the model reads next: all before it are read."""
        return self.answer[-1] if self.answer else self.prompt[-1]

    @property
    def read(self) -> int:
        """How many tokens the model has read."""
        return len(self.prompt) + len(self.answer) - 1

    def has_ended(self, stop: list[int]) -> bool:
        """By a stop token, or by its length."""
        return len(self.answer) == self.most or self.answer[-1] in stop


def random_numbers(request: Request) -> torch.Generator:
    """Those of one answer, from which `draw` takes as many at every step."""
    return torch.Generator().manual_seed(request.seed)


def draw(logits: torch.Tensor, numbers: list[torch.Generator], sampling: Sampling) -> torch.Tensor:
    """The next token of each row, [rows], from logits [rows, vocabulary] and the rows' own random numbers.

    First a block of the vocabulary by its whole probability, then a token in it, each as the largest of logit plus
    Gumbel noise. Where rounding differs between batches, another token is drawn only if the two largest are that close;
    a cumulative sum of probabilities would have such a place at every token.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    scores = logits.float() / sampling.temperature
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(torch.empty(0), scores)
    by_block = pad(scores, (0, -scores.shape[1] % BLOCK), value=-torch.inf).unflatten(1, (-1, BLOCK))
    blocks = by_block.shape[1]
    uniform = torch.stack([torch.rand(blocks + BLOCK, generator=generator) for generator in numbers])
    uniform.clamp_(min=torch.finfo(uniform.dtype).tiny)  # a noise of -inf would make an impossible token as good
    noise = -(-uniform.log()).log().to(scores.device)
    block = (by_block.logsumexp(dim=-1) + noise[:, :blocks]).argmax(dim=-1)
    within = by_block[torch.arange(len(numbers), device=scores.device), block]
    return block * BLOCK + (within + noise[:, blocks:]).argmax(dim=-1)


@torch.inference_mode()
def generate(
    model: Any, requests: list[Request], sampling: Sampling, stop: list[int], rows: int = ROWS
) -> Iterator[Step]:
    """One answer for each request, so many side by side; those to one prompt follow one another."""
    places = sorted(range(len(requests)), key=lambda place: (len(requests[place].tokens), requests[place].tokens))
    if not shares_rows(model):
        yield from _in_batches(model, requests, places, sampling, stop, rows)
        return
    model.set_attn_implementation(GROUPED)
    try:
        yield from _in_rows(model, requests, places, sampling, stop, rows)
    finally:
        model.set_attn_implementation("sdpa")


def _in_rows(
    model: Any, requests: list[Request], places: list[int], sampling: Sampling, stop: list[int], rows: int
) -> Iterator[Step]:
    waiting, writing, cache = deque(places), list[Row](), RowCache(min(rows, len(places)))
    prompt, read = list[int](), DynamicCache()
    while waiting or writing:
        while waiting and len(writing) < rows:
            row = Row(waiting[0], requests[waiting.popleft()], sampling.max_tokens)
            if row.prompt != prompt:
                prompt, read = row.prompt, _read(model, row.prompt)
                yield Step({}, 0)
            cache.put(len(writing), read)
            writing.append(row)
        logits = cache.logits(model, [row.next for row in writing], [row.read for row in writing])
        drawn = draw(logits, [row.numbers for row in writing], sampling).tolist()
        for row, token in zip(writing, drawn, strict=True):
            row.answer.append(token)
        yield Step(_leave(writing, cache, stop), len(drawn))


def _read(model: Any, prompt: list[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([prompt], device=model.device), past_key_values=cache, logits_to_keep=1)
    return cache


def _leave(writing: list[Row], cache: RowCache, stop: list[int]) -> dict[int, Answer]:
    """Takes the rows that have ended out, and puts the last one in the place of each."""
    ended = {}
    for place in reversed(range(len(writing))):
        row = writing[place]
        if row.has_ended(stop):
            ended[row.place] = _until_stop(row.answer, stop)
            cache.move(len(writing) - 1, place)
            writing[place] = writing[-1]
            writing.pop()
    return ended


def _until_stop(tokens: list[int], stop: list[int]) -> Answer:
    for place, token in enumerate(tokens):
        if token in stop:
            return Answer(tokens[:place], complete=True)
    return Answer(tokens, complete=False)


# ---- models that cannot be read row by row -------------------------------------------------------


class SeededDraw(LogitsProcessor):
    """Lets transformers' own `generate` draw as `draw` does: it leaves only the drawn token possible."""

    def __init__(self, requests: list[Request], sampling: Sampling):
        """The requests in the order of the rows."""
        self.numbers, self.sampling = [random_numbers(request) for request in requests], sampling

    def __call__(self, _: Any, scores: Any) -> Any:
        """Logits [batch, vocabulary] to logits that are -inf but for one token a row."""
        drawn = draw(scores, self.numbers, self.sampling)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn[:, None], 0.0)


def _in_batches(
    model: Any, requests: list[Request], places: list[int], sampling: Sampling, stop: list[int], rows: int
) -> Iterator[Step]:
    """With transformers' `generate`: prompts padded on the left to [rows, longest prompt], and every row to its end."""
    config = GenerationConfig(
        max_new_tokens=sampling.max_tokens, do_sample=False, eos_token_id=stop, pad_token_id=stop[0]
    )
    for first in range(0, len(places), rows):
        some = places[first : first + rows]
        prompts = [torch.tensor(requests[place].tokens) for place in some]
        tokens = pad_sequence(prompts, batch_first=True, padding_value=stop[0], padding_side="left").to(model.device)
        mask = pad_sequence([torch.ones_like(p) for p in prompts], batch_first=True, padding_side="left")
        seeded = SeededDraw([requests[place] for place in some], sampling)
        out = model.generate(
            input_ids=tokens,
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([seeded]),
        )
        answers = [_until_stop(row, stop) for row in out[:, tokens.shape[1] :].tolist()]
        yield Step(dict(zip(some, answers, strict=True)), sum(len(answer.tokens) for answer in answers))


# ---- how likely an answer is ---------------------------------------------------------------------


@torch.inference_mode()
def logprobs(model: Any, texts: list[Text]) -> list[float]:
    """The summed logprob of each answer's tokens behind its prompt, in nats.

    An answer's last token is not read, so that Yes and No behind one prompt are one row. Rows are padded on the right
    to [rows, longest row]; the logits are [tokens of the answers in all rows, vocabulary].
    """
    read = [tuple(text.prompt + text.answer[:-1]) for text in texts]
    rows = {tokens: row for row, tokens in enumerate(dict.fromkeys(read))}
    tokens = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(model.device)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], batch_first=True).to(model.device)
    answers = [
        (rows[row], slice(len(text.prompt) - 1, len(row)), text.answer) for row, text in zip(read, texts, strict=True)
    ]
    predicts = torch.zeros_like(mask, dtype=torch.bool)
    for row, places, _ in answers:
        predicts[row, places] = True
    with logits_at(model, predicts):
        logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
    found = torch.log_softmax(logits.float(), dim=-1)
    place = (predicts.flatten().cumsum(0) - 1).view_as(predicts)
    return [found[place[row, places], answer].sum().item() for row, places, answer in answers]
