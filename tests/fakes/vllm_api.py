"""A small server that takes LoRA adapters while it runs and completes tokens, as vLLM's does, on loopback.

    with VllmAPI("standin") as api:
        ... sampling.base_url=api.address ...

It answers everything alike. Written after vLLM 0.32, and compared with it by hand: tests/benchmarks/served.py.
"""

import json
from typing import Any

from aiohttp import web

from tests.fakes.messages_api import MessagesAPI


class VllmAPI(MessagesAPI):
    path = "/v1/completions"

    def __init__(self, base: str, takes_adapters: bool = True, refusal: str = "", **how: Any):
        """`refusal` is why it loads no adapter."""
        super().__init__(lambda seen, body: "unused", **how)
        self.base, self.root, self.takes_adapters, self.refusal = base, base, takes_adapters, refusal
        self.answer = [300, 301, 302]
        self.says_tokens = True
        self.loaded: list[tuple[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.restarts: list[int] = []
        """After how many requests it is started anew, without the adapters that it had."""

    def __enter__(self) -> "VllmAPI":
        super().__enter__()
        return self

    @property
    def address(self) -> str:
        """What a definition names."""
        return f"{self.url}/v1"

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/models", self._models)
        if self.takes_adapters:
            app.router.add_post("/v1/load_lora_adapter", self._load)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        adapters = [{"id": name, "root": path, "parent": self.base} for name, path in self.loaded]
        return web.json_response({"data": [{"id": self.base, "root": self.root, "parent": None}, *adapters]})

    async def _load(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        problem = "Both 'lora_name' and 'lora_path' must be provided." if not name or not path else self.refusal
        if name in [known for known, _ in self.loaded]:
            problem = f"The lora adapter '{name}' has already been loaded."
        if problem:
            return web.json_response({"error": {"message": problem, "code": 400}}, status=400)
        self.loaded.append((name, path))
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.text())
        if self.restarts and len(self.asked) >= self.restarts[0]:
            self.restarts.pop(0)
            self.loaded.clear()
        if body["model"] not in (self.base, *(name for name, _ in self.loaded)):
            problem = {"message": f"The model `{body['model']}` does not exist.", "code": 404}
            return web.json_response({"error": problem}, status=404)
        self.asked.append(body)
        end = body.get("stop_token_ids", [])[:1]
        tokens = {"token_ids": [*self.answer, *end]} if self.says_tokens else {}
        choice = {"index": 0, "text": "", "finish_reason": "stop", **tokens}
        wanted = {"logprobs": {"token_logprobs": [-0.5]}} if "logprobs" in body else {}
        return web.json_response({"object": "text_completion", "choices": [choice | wanted]})
