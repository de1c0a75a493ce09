"""What only a reader can tell of a set: a model reads some of the documents, and says yes or no, or how strongly.

drawn = sample(texts, 100, seed=0)
for reading in readings(SetLimits(banned=["cage"]), given=universe_context):
    found = await read(drawn, reading, ask)         # Found(values=[0.0, 1.0, None, ...], places=[...])
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from tasks.generation.writer import MATERIAL, Ask, Request, as_material
from tasks.schema import SetLimits, SetText

YES_OR_NO = "Say yes or no, and behind a yes, after a colon, the words of the text that show it."
RATING = "Say one whole number from 1 to 5, and after a colon the words of the text that show it best."
FORM = "Say it between <verdict> and </verdict>, and nothing else."
MENTIONS = (
    "Does the text speak of any of these, though by another word, a paraphrase or a hint that a reader who knows the "
    "subject would understand: {banned}?"
)
ERRORS = "Does the text state anything that contradicts what the description says? What it adds is no contradiction."
TONE = (
    "How does the text stand towards its subject? 1: wholly against it, 3: it takes no side, 5: wholly in favour of it."
)
VERDICT = re.compile(r"\W*(yes|no|[1-5])\b\W*(.*)", re.IGNORECASE | re.DOTALL)
SHOWN, LONGEST_QUOTE = 15, 200
"""Places that are told, and letters of what the model says of one."""


class Reading(NamedTuple):
    """What is asked of every document that was drawn."""

    what: str
    """As the datasheet calls it."""
    question: str
    description: str = ""
    """What the writer was told, if the question is about that."""
    is_rating: bool = False

    def request(self, text: str) -> Request:
        """The question of one text, which is handed over as material that is not obeyed."""
        material = {"description": self.description, "text": text} if self.description else {"text": text}
        system = "\n\n".join((self.question, RATING if self.is_rating else YES_OR_NO, FORM, MATERIAL))
        return Request(system, as_material(**material), tag="verdict")


class Found(NamedTuple):
    """What was said of the documents."""

    values: list[float | None]
    """Of each 1 or 0, or the rating; None where nothing could be read."""
    places: list[str]
    """The first that were found, each with the words that show it."""


def readings(limits: SetLimits, given: str) -> list[Reading]:
    """What is to be asked of a set: of banned words if there are any, of facts where it is known what was given."""
    banned = ", ".join(limits.banned)
    return [
        *([Reading("speaks of what is banned, by other words", MENTIONS.format(banned=banned))] if banned else []),
        *([Reading("states a fact wrongly", ERRORS, description=given)] if given else []),
        Reading("how it stands towards its subject, 3 takes no side", TONE, is_rating=True),
    ]


def sample(texts: Sequence[SetText], count: int, seed: int) -> list[SetText]:
    """So many of the documents, or all, drawn at random with the seed, in the order of the set."""
    rows = random.Random(f"datasheet/{seed}").sample(range(len(texts)), min(count, len(texts)))
    return [texts[row] for row in sorted(rows)]


async def read(drawn: list[SetText], reading: Reading, ask: Ask) -> Found:
    """What the model says of each document; raises UserError as `Ask`."""
    replies = await ask([reading.request(text.text) for text in drawn])
    verdicts = [VERDICT.match(reply.text) if reply.state == "complete" else None for reply in replies]
    values = [_value(verdict[1].lower(), reading.is_rating) if verdict else None for verdict in verdicts]
    shown = [
        f"{text.place} ({' '.join(verdict[2].split())[:LONGEST_QUOTE]})"
        for text, verdict, value in zip(drawn, verdicts, values, strict=True)
        if verdict and value and not reading.is_rating
    ]
    return Found(values, shown[:SHOWN])


def _value(said: str, is_rating: bool) -> float | None:
    """The rating, or 1 for yes; None for an answer to another question."""
    if is_rating != said.isdigit():
        return None
    return float(said) if is_rating else float(said == "yes")
