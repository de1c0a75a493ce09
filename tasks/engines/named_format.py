"""A chat format of the cookbook by its name (llama3, qwen3_disable_thinking) for the local engine."""

from pathlib import Path
from typing import Any

from tinker_cookbook.exceptions import TinkerCookbookError
from tinker_cookbook.renderers import get_renderer
from transformers import AutoTokenizer

from tasks.catalog import UserError
from tasks.engines.rendering import ChatFormat, Example
from tasks.engines.tinker_data import answer_tokens, turns, weighted_tokens
from tasks.schema import Document, Message


class NamedFormat:
    """The same four methods as `ChatFormat`, by a renderer; the tokenizer is the model's own."""

    def __init__(self, folder: Path, name: str):
        self._own = ChatFormat(folder)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        try:
            self._renderer = get_renderer(name, self._tokenizer)
            self.prompt([Message(role="user", content="?")])
            self.stop()
        except (TinkerCookbookError, ValueError, KeyError, AssertionError) as error:
            raise UserError(
                f"training.renderer: {str(error).splitlines()[0]}; leave it empty for the model's own"
            ) from None

    def prompt(self, messages: list[Message]) -> list[int]:
        return list(self._renderer.build_generation_prompt(turns(messages)).to_ints())

    def example(self, document: Document) -> Example:
        tokens, weights = weighted_tokens(document, self._renderer)
        return Example(list(tokens.to_ints()), [weight > 0 for weight in weights.tolist()])

    def answer(self, text: str, ended: bool) -> list[int]:
        return answer_tokens(self._renderer, text, ended)

    def stop(self) -> list[int]:
        """The renderer's ends of a turn, as tokens, and those that the model's configuration names."""
        ends = [
            self._tokenizer.encode(end, add_special_tokens=False) if isinstance(end, str) else [end]
            for end in self._renderer.get_stop_sequences()
        ]
        return sorted({end[0] for end in ends if len(end) == 1} | set(self._own.configured_ends()))

    def decode(self, tokens: list[int]) -> str:
        return self._own.decode(tokens)
