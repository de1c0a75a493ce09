"""Engines train a LoRA and sample a model; `engine.py` says what each can do, `get_engine` chooses one."""

from tasks.engines.engine import Engine
from tasks.schema import Training


def get_engine(training: Training, today: str = "", sampled_at: str = "") -> Engine:
    """The engine of a run that began on this date (2026-07-31), where its chat format prints one; else of today.

    `sampled_at` is the address that samples what is trained here (sampling.base_url).
    """
    if training.engine == "local" and sampled_at:
        from tasks.engines.vllm_adapters import VllmAdaptersEngine

        return VllmAdaptersEngine(training, today, sampled_at)
    if training.engine == "local":
        from tasks.engines.local import LocalEngine

        return LocalEngine(training, today)
    if training.engine == "served":
        from tasks.engines.chat_completions import ChatCompletionsEngine

        return ChatCompletionsEngine(training)
    from tasks.engines.tinker import TinkerEngine

    return TinkerEngine(training, today)
