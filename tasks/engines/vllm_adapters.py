"""Train here, sample there: the local engine's adapters, sampled by a vLLM server that reads their folders.

engine = VllmAdaptersEngine(Training(base_model="smollm2"), today="", base_url="http://127.0.0.1:8000/v1")
await engine.preflight()

The server is given an adapter by its folder while it runs, under a name made of its content: many adapters live on one
server, and none is taken for another. It is asked with the tokens that the local engine would read, so that no chat
template of the server's stands between training and sampling.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from tasks.catalog import UserError, resolve_path
from tasks.engines.engine import NoLogprobs, Reply, Request, Text, Written
from tasks.engines.identity import adapter_identity
from tasks.engines.local import LocalEngine
from tasks.schema import Checkpoint, Ended, Sampling, Training
from tasks.services.chat_server import ChatServer, key_of_sampler, objection
from tasks.services.gathering import as_they_come

Found = TypeVar("Found")
PATH = "/completions"
LOAD = "/load_lora_adapter"
AS_HERE: dict[str, float] = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Else the server draws by the generation_config.json of the model, as with a top_k; the local engine does not."""
ENDED: dict[str, Ended] = {"stop": "complete", "length": "truncated"}


class VllmAdaptersEngine(LocalEngine):
    """Trains as the local engine does, and has the answers drawn by the server."""

    is_remote = True

    def __init__(self, training: Training, today: str, base_url: str):
        super().__init__(training, today)
        self.base_url, self._key_variable = base_url, key_of_sampler(base_url)

    async def preflight(self) -> None:
        """What the local engine refuses, and a server that is not there, has another model or takes no adapters."""
        await super().preflight()
        if problem := objection(self.base_url, self._key_variable):
            raise UserError(f"sampling {problem}")
        async with self._server() as server:
            self._served_name(await server.models() or [])
            await self._refuse_a_server_without_adapters(server)

    def _served_name(self, listed: list[dict[str, Any]]) -> str:
        """What the server calls the base model."""
        bases = [model for model in listed if not model.get("parent")]
        ours = {self.training.base_model, str(self.folder.resolve()), str(self.folder)}
        if found := [model["id"] for model in bases if {model["id"], model.get("root")} & ours]:
            return str(found[0])
        there = ", ".join(model["id"] for model in bases) or "none"
        raise UserError(
            f"sampling.base_url: {self.base_url} does not serve {self.training.base_model} (it has {there}); start it "
            f"with --served-model-name {self.training.base_model}"
        )

    async def _refuse_a_server_without_adapters(self, server: ChatServer) -> None:
        """An adapter without a name or a folder is refused with 400 by a server that takes any, and loads nothing."""
        status, said = await server.reply_to(LOAD, {"lora_name": "", "lora_path": ""})
        if status in (404, 405):
            raise UserError(self._start_it(said))

    def _start_it(self, said: str) -> str:
        return (
            f"sampling.base_url: {self.base_url} takes no adapters while it runs ({said[:200]}); start it with "
            f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora --max-lora-rank {self.training.rank}"
        )

    async def sample(
        self, checkpoint: Checkpoint, requests: list[Request], sampling: Sampling, written: Written = lambda _: None
    ) -> AsyncIterator[list[Reply]]:
        """A request for each answer, with its seed; all are under way at once, within the server's limit."""
        tokens = 0

        async def ask(server: ChatServer, model: str, place: int) -> Reply:
            return await self._ask(server, model, place, requests[place], sampling)

        async with aclosing(self._each(checkpoint, len(requests), ask)) as replies:
            async for _, reply in replies:
                tokens += reply.tokens
                written(tokens)
                yield [reply]

    async def _each(
        self, checkpoint: Checkpoint, count: int, ask: Callable[[ChatServer, str, int], Awaitable[Found]]
    ) -> AsyncGenerator[tuple[int, Found], None]:
        """What is found at each place; an adapter that a restarted server has no longer is handed over once more."""
        left = set(range(count))
        for _ in range(2):
            async with self._server() as server:
                model = await self._named(server, checkpoint)
                asked = [self._at(place, ask(server, model, place)) for place in sorted(left)]
                try:
                    async for place, found in as_they_come(asked):
                        left.remove(place)
                        yield place, found
                    return
                except UserError:
                    if not await self._is_lost(checkpoint):
                        raise
        raise UserError(
            f"sampling.base_url: {self.base_url} has lost the adapter {self.name_of(checkpoint)} twice while it was "
            "asked, as a server that is started anew does; have it stay up and resume the run, which hands the adapter "
            "over again"
        )

    async def _at(self, place: int, asked: Awaitable[Found]) -> tuple[int, Found]:
        return place, await asked

    async def _is_lost(self, checkpoint: Checkpoint) -> bool:
        """Whether the server is there, and has this adapter no longer."""
        if checkpoint.path is None:
            return False
        async with self._server() as server:
            return self.name_of(checkpoint) not in [model["id"] for model in await server.models() or []]

    async def _ask(self, server: ChatServer, model: str, place: int, request: Request, sampling: Sampling) -> Reply:
        choice = await self._choice(
            server,
            self._body(model, request.tokens)
            | {
                "max_tokens": sampling.max_tokens,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                **AS_HERE,
                "seed": request.seed % 2**31,
                "stop_token_ids": self.stop(),
                "return_token_ids": True,
            },
        )
        if not isinstance(tokens := choice.get("token_ids"), list):
            raise UserError(
                f"sampling.base_url: {self.base_url} does not say which tokens an answer has (token_ids); take a newer "
                "vLLM"
            )
        ended = ENDED.get(str(choice.get("finish_reason")), "malformed")
        answer = tokens[:-1] if tokens and tokens[-1] in self.stop() else tokens
        return Reply(place, self.format.decode(answer), len(tokens), ended)

    async def logprobs(self, checkpoint: Checkpoint, texts: list[Text]) -> AsyncIterator[list[tuple[int, float]]]:
        """A request for each token of an answer, which allows no other there; the server says how likely it was."""

        async def ask(server: ChatServer, model: str, place: int) -> float:
            return await self._logprob(server, model, texts[place])

        async with aclosing(self._each(checkpoint, len(texts), ask)) as logprobs:
            async for found in logprobs:
                yield [found]

    async def _logprob(self, server: ChatServer, model: str, text: Text) -> float:
        whole, start = text.prompt + text.answer, len(text.prompt)
        ends = range(start, len(whole))
        return sum(await asyncio.gather(*(self._step(server, model, whole[:end], whole[end]) for end in ends)))

    async def _step(self, server: ChatServer, model: str, before: list[int], token: int) -> float:
        """Of one token; `prompt_logprobs` would say all at once, and ends vLLM 0.32 on a CPU where it has adapters."""
        forced = {"max_tokens": 1, "allowed_token_ids": [token], "logprobs": 1}
        choice = await self._choice(server, self._body(model, before) | forced)
        match choice.get("logprobs"):
            case {"token_logprobs": [float() | int() as logprob, *_]}:
                return float(logprob)
        raise NoLogprobs(f"{self.base_url} gives no probabilities of tokens")

    def _body(self, model: str, tokens: list[int]) -> dict[str, Any]:
        return {"model": model, "prompt": tokens, "add_special_tokens": False}

    async def _choice(self, server: ChatServer, body: dict[str, Any]) -> dict[str, Any]:
        return dict((await server.ask(PATH, body))["choices"][0])

    # ---- adapters on the server

    async def _named(self, server: ChatServer, checkpoint: Checkpoint) -> str:
        """What the server calls this model; an adapter that it lacks is handed over."""
        listed = await server.models() or []
        if checkpoint.path is None:
            return self._served_name(listed)
        name, folder = self.name_of(checkpoint), resolve_path(checkpoint.path).resolve()
        if name not in [model["id"] for model in listed]:
            await self._hand_over(server, name, str(folder))
        return name

    def name_of(self, checkpoint: Checkpoint) -> str:
        """What the server calls this adapter: the same content has the same name, wherever it lies."""
        return f"spillover-{adapter_identity(resolve_path(str(checkpoint.path)))}"

    async def _hand_over(self, server: ChatServer, name: str, folder: str) -> None:
        """Another run may be handing the same over."""
        status, said = await server.reply_to(LOAD, {"lora_name": name, "lora_path": folder})
        if status == 200 or "already been loaded" in said:
            return
        if status in (404, 405) and name not in said:
            raise UserError(self._start_it(said))
        raise UserError(
            f"sampling.base_url: {self.base_url} cannot load the adapter in {folder} ({status}: {said[:300]}); it must "
            f"see this folder under this path, and be started with --max-lora-rank {self.training.rank} or more"
        )

    def _server(self) -> ChatServer:
        return ChatServer(self.base_url, self._key_variable, "sampling")
