"""The tinker engine's server: whether it is there and has what is asked, and sessions with it.

server = TinkerServer("http://127.0.0.1:8000")
await server.check()
async with server.session("training") as service:
    client = await server.while_it_answers(service.create_sampling_client(base_model=model))
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cached_property
from typing import Literal, TypeVar

import httpx
import tinker
from tinker.auth import tinker_has_credentials
from tinker_cookbook.exceptions import TinkerCookbookError

from tasks.catalog import UserError, suggestion
from tasks.engines.served import HOSTED, server_address

Result = TypeVar("Result")
GONE = 300.0
"""Seconds for which a server may be away while it is asked for something."""
PATIENCE = 5.0
"""Seconds that a server has to say that it is there; the SDK itself would wait for five minutes."""


class TinkerServer:
    """Hosted Tinker, or another server of its API."""

    def __init__(self, url: str):
        self.url = server_address(url)

    async def check(self) -> None:
        """Raises UserError where the server does not answer within PATIENCE seconds."""
        if problem := await self._unreachable():
            raise UserError(f"no Tinker server at {self.url} ({problem}); start it, or set training.base_url")

    async def _unreachable(self) -> str | None:
        """Why the server does not answer, or None when it does."""
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as http:
                (await http.get(f"{self.url}/api/v1/healthz")).raise_for_status()
        except httpx.HTTPError as error:
            return type(error).__name__
        return None

    async def check_checkpoint(self, path: str, model: str) -> None:
        """Raises UserError where the server lacks these weights, or trained them from another model.

        A server of one's own may name its checkpoints in a way that the SDK cannot ask for; they are not checked.
        """
        if self.url != HOSTED and "/sampler_weights/" not in path:
            return
        try:
            asked = self._rest.get_weights_info_by_tinker_path(path)
            info = await asyncio.wait_for(asked, PATIENCE)
        except (tinker.TinkerError, ValueError, TimeoutError) as error:
            raise UserError(f"training.checkpoint: {self.url} does not give {path}: {error}") from None
        if info.base_model != model:
            raise UserError(
                f"training.checkpoint: {path} was trained from {info.base_model}; "
                f"set training.base_model={info.base_model}"
            )

    async def check_model(self, model: str, max_length: int) -> None:
        """Raises UserError when the server does not take the key, the model or documents of so many tokens."""
        try:
            capabilities = await asyncio.wait_for(self._rest.get_server_capabilities(), PATIENCE)
        except TimeoutError:
            raise UserError(
                f"{self.url} does not tell within {PATIENCE:.0f} seconds what it can do; try again"
            ) from None
        except tinker.TinkerError as error:
            raise UserError(f"{self.url} refuses TINKER_API_KEY: {error}; copy a key from its console") from None
        context = {m.model_name: m.max_context_length for m in capabilities.supported_models if m.model_name}
        if model not in context:
            raise UserError(f"training.base_model: {self.url} does not have {model!r}{suggestion(model, context)}")
        if max_length > (longest := context[model] or max_length):
            raise UserError(
                f"training.max_length: {max_length} is over the {longest} tokens that {self.url} takes; "
                f"set training.max_length={longest}"
            )

    @asynccontextmanager
    async def session(self, stage: str) -> AsyncIterator[tinker.ServiceClient]:
        """A session with the server, which learns how it ended; the SDK's errors in it become a UserError."""
        await self.check()  # the SDK would hold this thread for minutes
        service = tinker.ServiceClient(base_url=self.url)
        ended: Literal["success", "errored"] = "errored"
        try:
            with self.plain_errors(stage):
                yield service
            ended = "success"
        finally:
            with suppress(tinker.TinkerError, TimeoutError, ValueError):  # not every server keeps sessions
                await asyncio.wait_for(service.close(ended), PATIENCE)

    async def while_it_answers(self, work: Awaitable[Result], longest: float = math.inf) -> Result:
        """The work's result. The SDK asks a server that is gone for ever; after GONE seconds without it this stops.

        So it does after the `longest` seconds for a server that is there and brings no result.
        """
        doing, began = asyncio.ensure_future(work), time.monotonic()
        last = began
        try:
            while not (await asyncio.wait({doing}, timeout=GONE / 10))[0]:
                if await self._unreachable() is None:
                    last = time.monotonic()
                elif time.monotonic() - last > GONE:
                    raise TimeoutError(f"the server has not answered for {GONE:.0f} seconds")
                if time.monotonic() - began > longest:
                    raise TimeoutError(f"the server is there and has brought nothing for {longest:,.0f} seconds")
            return doing.result()
        finally:
            doing.cancel()

    @contextmanager
    def plain_errors(self, stage: str) -> Iterator[None]:
        """The SDK's errors as a UserError of one sentence: it has tried for minutes by then."""
        try:
            yield
        except (tinker.TinkerError, TinkerCookbookError, httpx.HTTPError, TimeoutError, ValueError) as error:
            why = " ".join(str(error).split())[:400] or type(error).__name__
            raise UserError(f"{stage} at {self.url} stopped: {why}; run it again, it goes on from there") from error

    @cached_property
    def _rest(self) -> tinker.RestClient:
        return tinker.RestClient(base_url=self.url)


def check_credentials() -> None:
    """Raises UserError where there is no key, or one that is not Tinker's."""
    key = os.environ.get("TINKER_API_KEY", "")
    if key and not key.startswith(("tml-", "eyJ")):
        raise UserError("TINKER_API_KEY is not a Tinker key (they begin with tml-); copy it anew from the console")
    if not tinker_has_credentials():
        raise UserError("no Tinker credentials; set TINKER_API_KEY, or run `tinker auth login`")
