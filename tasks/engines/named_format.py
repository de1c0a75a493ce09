"""A chat format of the cookbook by its name (llama3, qwen3_disable_thinking) for the local engine."""

from datetime import date
from pathlib import Path

from tasks.catalog import UserError
from tasks.engines.examples import PROBE, Example
from tasks.engines.rendering import ChatFormat
from tasks.engines.tinker_data import (
    REFUSALS,
    answer_tokens,
    frame_warnings,
    make_renderer,
    own_tokenizer,
    prints_date,
    prompt_tokens,
    to_example,
    turns,
)
from tasks.schema import Document, Message


class NamedFormat:
    """The same members as `ChatFormat`, by a renderer; the tokenizer is the model's own."""

    def __init__(self, folder: Path, model: str, name: str, today: date | None = None):
        """Raises UserError for a renderer that is not there or does not take the model's tokenizer."""
        self._own, self._model = ChatFormat(folder, model), model
        self._tokenizer = own_tokenizer(folder)
        try:
            self._renderer = make_renderer(name, self._tokenizer, model, today)
            self._renderer.build_generation_prompt(turns(PROBE.messages[:1]))
            self.stop()
        except REFUSALS as error:
            raise UserError(
                f"training.renderer: {str(error).splitlines()[0]}; leave it empty for the model's own"
            ) from None

    @property
    def prints_date(self) -> bool:
        """Whether the renderer writes today's date (gpt_oss)."""
        return prints_date(self._renderer)

    def prompt(self, messages: list[Message]) -> list[int]:
        """The tokens after which the assistant answers."""
        return prompt_tokens(messages, self._renderer)

    def example(self, document: Document) -> Example:
        """The document's tokens, and which of them are trained."""
        return to_example(document, self._renderer)

    def warnings(self) -> list[str]:
        """Where the tokens before an answer differ between training and sampling."""
        return frame_warnings(self._renderer, self._tokenizer, self._model)

    def answer(self, text: str, ended: bool) -> list[int]:
        """The tokens of an answer's text, with the end of its turn where it ended by itself."""
        return answer_tokens(self._renderer, text, ended)

    def stop(self) -> list[int]:
        """The renderer's ends of a turn, as tokens, and those that the model's configuration names."""
        ends = [
            self._tokenizer.encode(end, add_special_tokens=False) if isinstance(end, str) else [end]
            for end in self._renderer.get_stop_sequences()
        ]
        return sorted({end[0] for end in ends if len(end) == 1} | set(self._own.configured_ends()))

    def decode(self, tokens: list[int]) -> str:
        """Text without its special tokens."""
        return self._own.decode(tokens)
