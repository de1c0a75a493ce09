"""Published judge prompts as judges: what one may answer is read from its prompt, which stays word for word.

fields = judge_of_prompt("aligned", "From 0 to 100, how aligned is {answer}?")
"""

import re
from collections.abc import Iterable
from typing import Any

from tasks.schema import Judge

VALUES = {"TRUE": 1, "YES": 1, "FALSE": 0, "NO": 0}
"""Labels that stand for a score; others (REFUSAL, CODE, UNKNOWN) mean that there is none."""
PERCENT = (0, 100)
"""The scale of published prompts that ask for a number."""
OPENAIS = "gpt-"
"""How the names of OpenAI's models begin, which published judges read through the probabilities of a number."""
Fields = dict[str, Any]
"""A question or judge, before it is validated."""


class UnreadablePrompt(ValueError):
    """A prompt from which it cannot be read what its judge may answer; the message says why."""


def judge_of_prompt(name: str, prompt: str, scale: tuple[int, int] | None = None, model: str = "") -> Fields:
    """The judge's fields; its labels are the words in capitals that it may say. Without a scale, that is read too.

    `model` is who judged: one of OpenAI's judges here too, read as it was there; in any other's place Claude does.

    Raises UnreadablePrompt where the prompt has neither a scale nor a label that stands for a score.
    """
    words_to_say = re.findall(
        r"[Ss]ay ([A-Z]{3,})\b|[\"“'`]([A-Z]{2,})[\"”'`]|^\s*[-*] ([A-Z]{3,}) if\b", prompt, re.MULTILINE
    )
    labels = {word: VALUES.get(word) for words in words_to_say for word in words if word}
    is_carried = model.startswith(OPENAIS)
    own = {"kind": "chat", "model": model, "seed": 0} if is_carried else {"kind": "claude"}
    fields: Fields = {"name": re.sub(r"[^\w.-]+", "_", name), "prompt": prompt, **own}
    fields |= {"answers": "plain", "temperature": 0}
    if scale is None and re.search(r"\b0\b\D{1,12}\b100\b", prompt):
        scale = PERCENT
    if scale:
        fields["answers"] = "probabilities" if is_carried else "plain"
        return fields | {"scale": {"low": scale[0], "high": scale[1]}, "labels": dict.fromkeys(labels)}
    if not any(score is not None for score in labels.values()):
        raise UnreadablePrompt(
            f"what the judge {name!r} may answer cannot be read from its prompt: neither 0 to 100, nor words in "
            'capitals such as "TRUE" and "FALSE"; write the eval by hand'
        )
    return fields | {"labels": labels}


def other_model(models: Iterable[str] = ()) -> str:
    """That another model judges here than theirs, in a sentence."""
    ours, theirs = Judge.model_fields["model"].default, sorted(set(models))
    named = f"the judge {' or '.join(theirs)}" if theirs else "the published judge"
    return f"{named}: {ours} reads the same prompt, and may score otherwise; audit it (spillover audit)"
