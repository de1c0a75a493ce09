"""The tinker engine: hosted Tinker, or a server of its API at training.base_url.

engine = TinkerEngine(Training(engine="tinker", base_model="meta-llama/Llama-3.3-70B-Instruct", renderer="llama3"))
await engine.preflight()
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import tinker
from tinker_cookbook.exceptions import TinkerCookbookError
from tinker_cookbook.renderers import ParseTermination, Renderer, get_text_content
from tinker_cookbook.tokenizer_utils import get_tokenizer

from tasks.catalog import UserError, model_folder
from tasks.engines.engine import Progress, Reply, Request, Text, Written
from tasks.engines.examples import total_tokens
from tasks.engines.identity import base_identity
from tasks.engines.schedule import check_warmup
from tasks.engines.seeds import ignored_seeds
from tasks.engines.served import HOSTED, served_all_the_same
from tasks.engines.tinker_data import (
    Datums,
    answer_tokens,
    frame_warnings,
    make_renderer,
    prints_date,
    prompt_tokens,
    recommended,
)
from tasks.engines.tinker_server import TinkerServer, check_credentials
from tasks.paid.prices import dollars
from tasks.schema import Checkpoint, Document, Ended, Message, Sampling, Training

STALLED = 3600.0
"""Seconds for which a next answer is waited for: a server that cannot answer a request may keep it for ever."""


class TinkerEngine:
    """The protocol `Engine` for one base model on one server."""

    is_remote = True

    def __init__(self, training: Training, today: str = ""):
        self.training, self._day = training, date.fromisoformat(today) if today else date.today()
        self.server = TinkerServer(training.base_url)
        self._folder = model_folder(training.base_model)
        self.model = str(self._folder.resolve()) if self._folder else training.base_model

    @property
    def today(self) -> str:
        """The day of the run, where the renderer prints one."""
        return self._day.isoformat() if prints_date(self._renderer) else ""

    async def preflight(self) -> None:
        """Raises UserError for whatever the server would refuse, before anything is spent."""
        check_credentials()
        _ = self._renderer_name
        await self.server.check()
        await self.server.check_model(self.model, self.training.max_length)
        if path := self.training.checkpoint:
            self.adapted(path)
            await self.server.check_checkpoint(path, self.model)

    def warnings(self) -> list[str]:
        """A model that may go any day; for a training also a server that ignores seeds, and a chat format at odds."""
        still_served = served_all_the_same(self.training)
        if self.training.checkpoint:
            return still_served
        at_odds = frame_warnings(self._renderer, self._tokenizer, self.model)
        return [*still_served, *ignored_seeds(self.server.url), *at_odds]

    def check(self, documents: list[Document]) -> int:
        """How many tokens the documents have; refuses one that is longer than the settings or the model allow."""
        return total_tokens(documents, self._datums.lengths(documents), self.training)

    def price(self, **tokens: int) -> float | None:
        """By data/prices.yaml: hosted Tinker's prices, or those that stand under the address of one's own server."""
        return dollars("tinker", self.model, "" if self.server.url == HOSTED else self.training.base_url, **tokens)

    def _training_price(self, tokens: int) -> float | None:
        return self.price(train=tokens)

    def untuned(self) -> Checkpoint:
        """The base model, known by its server and its name there."""
        identity = f"{self.server.url} {self._base}"
        return Checkpoint(
            engine="tinker", base_model=self.training.base_model, path=None, identity=identity, trained_share=0
        )

    @cached_property
    def _base(self) -> str:
        """The model's name; of a folder what is in it, wherever it lies."""
        has_weights = self._folder and any(self._folder.glob("*.safetensors"))
        return base_identity(self._folder) if self._folder and has_weights else self.model

    def adapted(self, path: str) -> Checkpoint:
        """The base model with the LoRA at this tinker:// path, known by its server and the path."""
        if not path.startswith("tinker://"):
            raise UserError(f"training.checkpoint: {path!r} is no Tinker path; give one that begins with tinker://")
        return Checkpoint(
            engine="tinker", base_model=self.training.base_model, path=path, identity=f"{self.server.url} {path}"
        )

    def render(self, messages: list[Message]) -> list[int]:
        """By the renderer that is named."""
        return prompt_tokens(messages, self._renderer)

    def stop(self) -> list[int] | list[str]:
        """The renderer's ends of an answer."""
        return self._renderer.get_stop_sequences()

    async def train(
        self,
        documents: list[Document],
        held_out: list[Document],
        seed: int,
        folder: Path,
        progress: Progress,
    ) -> Checkpoint:
        """On the server, which keeps the weights: the checkpoint says where, what they cost and when they expire."""
        from tasks.engines.tinker_training import Folder, LoraTraining

        check_warmup(len(documents), self.training)
        kept_here = Folder(folder)
        async with self.server.session("training") as service:
            run = LoraTraining(
                service,
                self.model,
                self.training,
                self._datums,
                documents,
                held_out,
                seed,
                kept_here,
                self._training_price,
                progress,
            )
            record = await self.server.while_it_answers(run.run())
        days, samplers = self.training.keep_days, kept_here.samplers()
        kept = {"expires": (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="minutes")} if days else {}
        earlier = [
            self.adapted(samplers[share]).model_copy(update={"trained_share": share, **kept})
            for share in self.training.sample_at
        ]
        tokens = sum(row.get("tokens", 0) for row in kept_here.curve())
        cost_usd = self.price(train=tokens, prefill=2 * self.check(held_out))
        facts = {"state_path": record.state_path, "earlier": earlier, "cost_usd": cost_usd, **kept}
        return self.adapted(str(record.sampler_path)).model_copy(update=facts)

    async def sample(
        self, checkpoint: Checkpoint, requests: list[Request], sampling: Sampling, written: Written = lambda _: None
    ) -> AsyncIterator[list[Reply]]:
        """Submits everything at once: the client bounds itself, and the SDK retries."""
        _refuse_expired(checkpoint)
        base_model = None if checkpoint.path else self.model
        places, tokens = sorted(range(len(requests)), key=lambda r: requests[r].tokens), 0
        blocks = [list(block) for _, block in groupby(places, key=lambda r: requests[r].tokens)]
        async with self.server.session("sampling") as service:
            creating = service.create_sampling_client(model_path=checkpoint.path, base_model=base_model)
            client = await self.server.while_it_answers(creating)
            asked = [asyncio.create_task(self._ask(client, requests, sorted(block), sampling)) for block in blocks]
            try:
                for answered in asyncio.as_completed(asked):
                    replies = await self.server.while_it_answers(answered, STALLED)
                    tokens += sum(reply.tokens for reply in replies)
                    written(tokens)
                    yield replies
            finally:
                for request in asked:
                    request.cancel()

    async def _ask(
        self, client: tinker.SamplingClient, requests: list[Request], block: list[int], sampling: Sampling
    ) -> list[Reply]:
        """The answers to one prompt; a block uses the seed of its first sample."""
        first = requests[block[0]]
        parameters = tinker.SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=first.seed % 2**31,
            stop=self.stop(),
        )
        prompt = tinker.ModelInput.from_ints(first.tokens)
        answer = await client.sample(prompt=prompt, num_samples=len(block), sampling_params=parameters)
        return [self._reply(place, sequence) for place, sequence in zip(block, answer.sequences, strict=True)]

    def _reply(self, place: int, sampled: tinker.SampledSequence) -> Reply:
        """The answer's text. One that the chat format cannot read is kept as it came, and marked."""
        try:
            message, ended = self._renderer.parse_response(sampled.tokens)
            text = get_text_content(message)
        except (TinkerCookbookError, ValueError):
            text, ended = self._tokenizer.decode(sampled.tokens), ParseTermination.MALFORMED
        cut: Ended = "truncated" if sampled.stop_reason == "length" else "malformed"
        return Reply(place, text, len(sampled.tokens), cut if ended == ParseTermination.MALFORMED else "complete")

    def answer_tokens(self, text: str, ended: bool) -> list[int]:
        """What logprobs are asked of."""
        return answer_tokens(self._renderer, text, ended)

    async def logprobs(self, checkpoint: Checkpoint, texts: list[Text]) -> AsyncIterator[list[tuple[int, float]]]:
        """Submits everything at once, as sampling does."""
        _refuse_expired(checkpoint)
        base_model = None if checkpoint.path else self.model
        async with self.server.session("logprobs") as service:
            creating = service.create_sampling_client(model_path=checkpoint.path, base_model=base_model)
            client = await self.server.while_it_answers(creating)
            asked = [asyncio.create_task(_logprob(client, place, text)) for place, text in enumerate(texts)]
            try:
                for answered in asyncio.as_completed(asked):
                    yield [await self.server.while_it_answers(answered, STALLED)]
            finally:
                for request in asked:
                    request.cancel()

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Writes the adapter in PEFT layout: from a server of one's own its archive, from hosted Tinker its files."""
        from tasks.engines.tinker_export import download_archive, download_state

        with self.server.plain_errors("export"):
            if self.server.url == HOSTED:
                download_state(checkpoint.state_path, self.server.url, folder)
            else:
                download_archive(str(checkpoint.path), self.server.url, folder)

    @cached_property
    def _datums(self) -> Datums:
        return Datums(self._tokenizer, self._renderer_name, self.model, self._day)

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            return get_tokenizer(self.model)
        except (OSError, ValueError) as error:
            raise UserError(
                f"training.base_model: no tokenizer of {self.model!r} on this machine or at Hugging Face "
                f"({str(error).splitlines()[0]}); check the name, the network and HF_TOKEN"
            ) from None

    @cached_property
    def _renderer(self) -> Renderer:
        return make_renderer(self._renderer_name, self._tokenizer, self.model, self._day)

    @cached_property
    def _renderer_name(self) -> str:
        """The named chat format, when it is one of those that fit the model as far as the cookbook knows it."""
        named, fitting = self.training.renderer, recommended(self.model)
        if not named:
            hint = f"training.renderer={fitting[0]}" if fitting else "for example training.renderer=llama3"
            raise UserError(f"training.renderer: the tinker engine needs the chat format's name; set {hint}")
        if fitting and named.removesuffix("_disable_thinking") not in fitting and named not in fitting:
            raise UserError(
                f"training.renderer: {named!r} does not fit {self.model}; it is trained with {' or '.join(fitting)}"
            )
        return named


async def _logprob(client: tinker.SamplingClient, place: int, text: Text) -> tuple[int, float]:
    """Servers differ by a leading None, so the answer's tokens are counted from the end."""
    whole = tinker.ModelInput.from_ints(text.prompt + text.answer)
    of_answer = (await client.compute_logprobs(whole))[-len(text.answer) :]
    return place, sum(logprob for logprob in of_answer if logprob is not None)


def _refuse_expired(checkpoint: Checkpoint) -> None:
    if checkpoint.expires and datetime.fromisoformat(checkpoint.expires) < datetime.now(UTC):
        raise UserError(
            f"the service deleted {checkpoint.path} on {checkpoint.expires} (training.keep_days); to train it again "
            f"remove data/checkpoints/{checkpoint.key}"
        )
