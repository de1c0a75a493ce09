"""What an engine is: it trains a LoRA and samples a model, and a stage knows no more of it than this protocol."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tasks.catalog import UserError
from tasks.schema import Checkpoint, Document, Ended, Eval, Message, Sampling

Progress = Callable[[int, int, str], None]
"""What a training calls after each optimizer step: steps done, steps in all, and words such as "steps, loss 2.41"."""
Written = Callable[[int], None]
"""What a sampling may call while answers are written: tokens so far, those of unfinished answers too."""


class NoLogprobs(UserError):
    """A service has no probabilities of tokens."""


class Request(NamedTuple):
    """One answer to be sampled."""

    tokens: list[int]
    """The rendered prompt."""
    seed: int
    """Of this answer alone, so that no answer depends on what else is asked."""


class Paid(NamedTuple):
    """What an answer took, as a service counts and charges it."""

    prefill: int
    """Tokens of its prompt; 0 where another answer to the same request has them."""
    usd: float | None
    """None where a price, or a count, is unknown."""


class Reply(NamedTuple):
    """One sampled answer, and whether the model ended it by itself."""

    request: int
    """Its place among the requests."""
    text: str
    tokens: int
    """How many the model wrote."""
    state: Ended
    paid: Paid | None = None
    """None: all tokens of its request, at the engine's price."""


class Text(NamedTuple):
    """An answer whose probability is wanted, behind its prompt; both as tokens."""

    prompt: list[int]
    answer: list[int]


class Engine(Protocol):
    """Bound to one base model; nothing is loaded before it is needed.

    Every member raises UserError for what its user can mend; what a stage hears while it waits comes by `progress`.
    """

    is_remote: bool
    """Whether another machine does the work, so that sampling need not wait for a training to end."""

    @property
    def today(self) -> str:
        """The date that the model's chat format prints (2026-07-31), in training and sampling alike, or nothing."""

    async def preflight(self) -> None:
        """Raises UserError for whatever can be known to be wrong before documents are read, in seconds."""

    def warnings(self) -> list[str]:
        """What is odd about how this model is trained and asked, a sentence each; it can be run all the same."""

    def check(self, documents: list[Document]) -> int:
        """How many tokens the documents have; raises UserError for whatever would stop a training, before it starts."""

    def price(self, **tokens: int) -> float | None:
        """US dollars for so many tokens of each kind (train, prefill, sample); None where a price is unknown."""

    def untuned(self) -> Checkpoint:
        """The base model as it is."""

    def adapted(self, path: str) -> Checkpoint:
        """The base model with an adapter that exists already: a folder, or a path of the server."""

    def render(self, messages: list[Message]) -> list[int]:
        """The tokens after which the model answers; raises UserError for turns that its chat format does not take."""

    def stop(self) -> list[int] | list[str]:
        """The tokens, or texts, that end an answer."""

    async def train(
        self,
        documents: list[Document],
        held_out: list[Document],
        seed: int,
        folder: Path,
        progress: Progress,
    ) -> Checkpoint:
        """Trains a LoRA into the folder, or goes on with what a kill left there; its curve is metrics.jsonl.

        `held_out` documents have their loss measured before the first step and after the last. A loss that is no
        finite number is a UserError.
        """

    def sample(
        self, checkpoint: Checkpoint, requests: list[Request], sampling: Sampling, written: Written = lambda _: None
    ) -> AsyncIterator[list[Reply]]:
        """Replies as they come, in any order, each with its place among the requests."""

    def answer_tokens(self, text: str, ended: bool) -> list[int]:
        """An answer's text as tokens, with the end of the turn where the model ended it by itself."""

    def logprobs(self, checkpoint: Checkpoint, texts: list[Text]) -> AsyncIterator[Sequence[tuple[int, float | None]]]:
        """The summed logprob of each answer's tokens, in nats, with its place among the texts; in any order.

        None: the answer, Yes or No, is too unlikely for the service to say how unlikely it is, and so is the other.
        """

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Writes the adapter to the folder, in PEFT layout."""


def check_questions(engine: Engine, evals: list[Eval], sampling: Sampling) -> None:
    """Raises UserError for a question that the model cannot be asked, with its system prompt, in its chat format."""
    for evaluation in evals:
        for question in evaluation.questions:
            try:
                engine.render(question.messages(sampling))
            except UserError as problem:
                raise UserError(f"question {question.id!r} of the eval {evaluation.name!r}: {problem}") from None
