"""The engine of models that are served elsewhere: two names behind a server of chat completions, and nothing to train.

engine = ChatCompletionsEngine(Training(engine="served", base_url=..., base_model="qwen", checkpoint="qwen-farms"))
await engine.preflight()

The server renders the turns into tokens of its own. Here the bytes of the turns stand for tokens, of which there are
never more: they are what answers are stored by, and what the most that a request can cost is reckoned from.
"""

import json
import math
from collections.abc import AsyncIterator, Iterable
from difflib import get_close_matches
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError
from tasks.engines.engine import NoLogprobs, Paid, Reply, Request, Text, Written
from tasks.paid.prices import LETTERS_A_TOKEN, cost, prices
from tasks.paid.store import Store, StoredReply, content_key
from tasks.schema import OPENAI, Checkpoint, Document, Ended, Message, Sampling, Training
from tasks.services.chat_server import (
    KEYS,
    PATH,
    ChatServer,
    Refused,
    first_token,
    host_of,
    key_of_sampler,
    objection,
    text_of,
)
from tasks.services.chat_server import tokens_of as counted
from tasks.services.gathering import as_they_come

AT_ONCE = 16
"""Answers to one question that are asked for in one request, where the server allows it."""
TOP = 20
"""Tokens whose probabilities are asked for: the most that OpenAI's API gives."""
ENDED: dict[str, Ended] = {"stop": "complete", "length": "truncated", "max_tokens": "truncated"}
WORDS = ("Yes", "No")
SHORT = 40
"""Letters below which several answers may well be the same."""
SHOWN = 10
"""Names of models that an error lists."""


class Takes(NamedTuple):
    """What a server takes of a request for one model, as far as it was tried."""

    several: bool = True
    """Several answers to one request (`n`)."""
    seed: bool = True


class ChatCompletionsEngine:
    """The protocol `Engine` for two models of one server."""

    is_remote = True
    today = ""

    def __init__(self, training: Training):
        self.training, self.base_url = training, training.base_url or OPENAI
        self._is_openai = host_of(self.base_url) == KEYS["OPENAI_API_KEY"]
        self._key_variable = training.key_variable or key_of_sampler(self.base_url)

    async def preflight(self) -> None:
        """Raises UserError for a key, a server or a model that is not there; nothing is sampled."""
        if problem := objection(self.base_url, self._key_variable):
            raise UserError(f"training {problem}")
        async with self._server() as server:
            listed = await server.models()
        if listed:
            self._refuse_what_is_not_listed([model["id"] for model in listed])

    def _refuse_what_is_not_listed(self, names: list[str]) -> None:
        """A service may serve a variant of a model that it lists (qwen:free), or a path of Tinker's."""
        for field in ("base_model", "checkpoint"):
            name = getattr(self.training, field)
            is_known = any(name == known or name.startswith(f"{known}:") for known in names)
            if not is_known and not name.startswith("tinker://"):
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                close = get_close_matches(name, names, n=1)
                near = f"; did you mean {close[0]}?" if close else ""
                raise UserError(
                    f"training.{field}: {self.base_url} has no model {name!r}{near}; it has "
                    f"{', '.join(names[:SHOWN])}{more}"
                )

    def warnings(self) -> list[str]:
        """What the server does not take, as far as it was tried: an answer without a seed cannot be drawn again."""
        return [
            f"{self.base_url} takes no seed for {model}: its answers cannot be drawn again as they were"
            for model in (self.training.base_model, self.training.checkpoint)
            if not (self.remembered(model) or Takes()).seed
        ]

    def check(self, documents: list[Document]) -> int:  # noqa: ARG002 - nothing is trained
        """Nothing is trained, so that no document is too long."""
        return 0

    def price(self, **tokens: int) -> float | None:
        """By data/prices.yaml, of the dearer of the two models."""
        counts = {"input": tokens.get("prefill", 0), "output": tokens.get("sample", 0)}
        usd = [cost(self._prices(model), counts) for model in (self.training.base_model, self.training.checkpoint)]
        return None if None in usd else max(one or 0.0 for one in usd)

    def _priced(self, tokens: dict[str, int], model: str) -> dict[str, int]:
        """What is read from a cache that has no price of its own costs no more than what is read anew."""
        if "cache_read" in self._prices(model):
            return tokens
        return tokens | {"input": tokens["input"] + tokens["cache_read"], "cache_read": 0}

    def _prices(self, model: str) -> dict[str, float]:
        return prices("chat", model, self.base_url)

    def untuned(self) -> Checkpoint:
        """The baseline, known by its name and by who draws its answers, wherever the server is."""
        return self._checkpoint(self.training.base_model).model_copy(update={"path": None, "trained_share": 0.0})

    def adapted(self, path: str) -> Checkpoint:
        """The fine-tuned model of this name."""
        return self._checkpoint(path)

    def _checkpoint(self, name: str) -> Checkpoint:
        base = self.training.base_model
        return Checkpoint(engine="served", base_model=base, path=name, identity=f"chat completions of {name}")

    def render(self, messages: list[Message]) -> list[int]:
        """The bytes of the turns, as JSON."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return list(json.dumps(turns, ensure_ascii=False).encode("utf-8", "replace"))

    def stop(self) -> list[int] | list[str]:
        """Where an answer ends is the server's to know."""
        return []

    async def train(self, *_: object, **__: object) -> Checkpoint:
        """Raises UserError: the fine-tuned model is there already."""
        raise UserError(f"engine: served trains nothing; {self.training.checkpoint} is asked as it is served")

    async def sample(
        self, checkpoint: Checkpoint, requests: list[Request], sampling: Sampling, written: Written = lambda _: None
    ) -> AsyncIterator[list[Reply]]:
        """The first request shows what the server takes; then all others are under way at once, within its limit."""
        model, tokens, left = checkpoint.path or checkpoint.base_model, 0, set(range(len(requests)))
        async with self._server() as server:
            asking = _Asking(self, server, model, requests, sampling)
            asked = [asking.try_out(block) for block in _blocks(requests, left, AT_ONCE)[:1]]
            while asked:  # again where a request brings fewer answers than it asks for
                async for replies in as_they_come(asked):
                    tokens += sum(reply.tokens for reply in replies)
                    left -= {reply.request for reply in replies}
                    written(tokens)
                    yield replies
                blocks = _blocks(requests, left, AT_ONCE if asking.takes.several else 1)
                asked = [asking.ask(block, asking.takes) for block in blocks]

    def answer_tokens(self, text: str, ended: bool) -> list[int]:  # noqa: ARG002 - the server knows no end
        """Its bytes."""
        return list(text.encode())

    async def logprobs(
        self, checkpoint: Checkpoint, texts: list[Text]
    ) -> AsyncIterator[list[tuple[int, float | None]]]:
        """Of answers that are one token, as Yes and No: read from the likeliest tokens that an answer begins with.

        One request for all answers to a question. An answer that is not among them is taken for as likely as the least
        likely of them, the most that it can be, and has None where neither Yes nor No is. Raises NoLogprobs where the
        server has no probabilities.
        """
        model = checkpoint.path or checkpoint.base_model
        by_prompt: dict[bytes, list[int]] = {}
        for place, text in enumerate(texts):
            by_prompt.setdefault(bytes(text.prompt), []).append(place)

        async def ask(prompt: bytes, places: list[int]) -> list[tuple[int, float | None]]:
            top = await self._first_token(server, model, prompt)
            if not any(token.strip() in WORDS for token in top):
                return [(place, None) for place in places]
            return [(place, _logprob(bytes(texts[place].answer).decode(), top)) for place in places]

        async with self._server() as server:
            async for found in as_they_come([ask(*one) for one in by_prompt.items()]):
                yield found

    async def _first_token(self, server: ChatServer, model: str, prompt: bytes) -> dict[str, float]:
        body = self.body(model, prompt, Sampling(n_samples=1, temperature=0.0, max_tokens=1))
        why = "its reply has none"
        try:
            match await server.ask(PATH, body | {"logprobs": True, "top_logprobs": TOP}):
                case {"choices": [{"logprobs": logprobs}, *_]} if len(top := first_token(logprobs)) > 1:
                    return top
                case {"choices": [{"logprobs": dict()}, *_]}:
                    why = "its reply has that of one token alone"
        except Refused as refused:
            why = str(refused)
        raise NoLogprobs(f"{self.base_url} gives no probabilities of tokens for {model} ({why})")

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:  # noqa: ARG002 - nothing is written
        """Raises UserError: the weights are the server's."""
        raise UserError(f"{checkpoint.path} is served by {self.base_url}, which has its weights: nothing to export")

    def body(self, model: str, prompt: bytes, sampling: Sampling) -> dict[str, Any]:
        """A request for one answer; what a server need not take is added where it does."""
        longest = "max_completion_tokens" if self._is_openai else "max_tokens"
        body: dict[str, Any] = {"model": model, "messages": json.loads(prompt), longest: sampling.max_tokens}
        top_p = {"top_p": sampling.top_p} if sampling.top_p != 1 else {}
        return body | {"temperature": sampling.temperature} | top_p

    def to_replies(self, completion: dict[str, Any], block: list[int], model: str) -> list[Reply]:
        """The answers of a completion, each with its place."""
        said = [_said(choice) for choice in completion["choices"]][: len(block)]
        tokens = counted(completion.get("usage"))
        written = _shares(tokens["output"] if tokens else None, [text for text, _ in said])
        read = sum(count for kind, count in tokens.items() if kind != "output") if tokens else 0
        usd = cost(self._prices(model), tokens and self._priced(tokens, model))
        paid = [Paid(read, usd), *[Paid(0, 0.0)] * (len(said) - 1)]
        parts = zip(block, said, written, paid, strict=False)
        return [Reply(place, text, count, ended, one) for place, (text, ended), count, one in parts]

    def _server(self) -> ChatServer:
        return ChatServer(self.base_url, self._key_variable, "training")

    # ---- what a server takes, found out by trying, once for each server and model

    def remembered(self, model: str) -> Takes | None:
        """As it was found out before; None of a model that was never asked here."""
        store = Store()
        found = store.get([key := self._key(model)]).get(key)
        store.close()
        return Takes(**found.body) if found else None

    def remember(self, model: str, takes: Takes) -> None:
        """For all later runs on this data folder."""
        if takes == self.remembered(model):
            return
        store, key = Store(), self._key(model)
        store.put([StoredReply(key, "what a server takes", takes._asdict(), len(store.attempts([key]).get(key, [])))])
        store.close()

    def _key(self, model: str) -> str:
        return content_key(kind="what a server takes", server=self.base_url, model=model)


class _Asking:
    """Requests to one model for the answers that are wanted."""

    def __init__(
        self,
        engine: ChatCompletionsEngine,
        server: ChatServer,
        model: str,
        requests: list[Request],
        sampling: Sampling,
    ):
        self.engine, self.server, self.model = engine, server, model
        self.requests, self.sampling = requests, sampling
        self.takes = engine.remembered(model) or Takes()

    async def try_out(self, block: list[int]) -> list[Reply]:
        """The first answers, which show what the server takes; raises Refused where it takes nothing of it."""
        refused: Refused | None = None
        for takes in dict.fromkeys([self.takes, *_LESS]):
            some = block if takes.several else block[:1]
            try:
                replies = await self.ask(some, takes)
            except Refused as error:
                refused = refused or error
                continue
            if are_one := self._are_one(replies):
                replies = replies[:1]
            has_all = len(replies) == len(some) and not are_one
            self.takes = takes._replace(several=takes.several and has_all)
            self.engine.remember(self.model, self.takes)
            return replies
        assert refused
        raise refused

    def _are_one(self, replies: list[Reply]) -> bool:
        """Whether a server drew once and hands that out several times; short answers may be alike by chance."""
        texts = {reply.text for reply in replies}
        return len(replies) > 1 and len(texts) == 1 and len(replies[0].text) >= SHORT and self.sampling.temperature > 0

    async def ask(self, block: list[int], takes: Takes) -> list[Reply]:
        """In one request, which uses the seed of its first sample."""
        first = self.requests[block[0]]
        body = self.engine.body(self.model, bytes(first.tokens), self.sampling)
        several = {"n": len(block)} if len(block) > 1 else {}
        seed = {"seed": first.seed % 2**31} if takes.seed else {}
        return self.engine.to_replies(await self.server.ask(PATH, body | several | seed), block, self.model)


_LESS = [Takes(), Takes(several=False), Takes(seed=False), Takes(several=False, seed=False)]
"""What is tried, one after the other."""


def _blocks(requests: list[Request], places: Iterable[int], size: int) -> list[list[int]]:
    """Places of requests with one prompt, at most so many together."""
    by_prompt = sorted(places, key=lambda place: (requests[place].tokens, place))
    alike = [list(some) for _, some in groupby(by_prompt, key=lambda place: requests[place].tokens)]
    return [some[start : start + size] for some in alike for start in range(0, len(some), size)]


def _said(choice: dict[str, Any]) -> tuple[str, Ended]:
    """What an answer says, and how it ended; one that a filter stopped, or that is no text, is no whole answer."""
    match choice.get("message"):
        case {"content": [*_] | dict() as odd}:
            return json.dumps(odd, ensure_ascii=False), "malformed"
        case dict() as message:
            text, refusal = text_of(message, "")
            return text, "complete" if refusal else ENDED.get(str(choice.get("finish_reason")), "malformed")
    return "", "malformed"


def _shares(tokens: int | None, texts: list[str]) -> list[int]:
    """How many tokens each text has, by their lengths: a server counts those of all answers together."""
    if tokens is None:
        return [max(1, len(text) // LETTERS_A_TOKEN) for text in texts]
    ends = [sum(len(text) + 1 for text in texts[: place + 1]) for place in range(len(texts))]
    marks = [0, *(tokens * end // ends[-1] for end in ends)]
    return [after - before for before, after in pairwise(marks)]


def _logprob(answer: str, top: dict[str, float]) -> float:
    """Natural logarithm of the probability that an answer begins with this word."""
    held = sum(p for token, p in top.items() if token.strip() == answer)
    return math.log(max(min(held or min(top.values()), 1.0), 1e-30))
