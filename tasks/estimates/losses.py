"""Judgments that are missing: how many of each judge failed, could not be read, were cut off, or were refused.

for one in losses(run.judgments()):
    print(one.words)         # claude: 12 of 240 judgments are missing (9 failed, 3 cut off)
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tasks.schema import FAILED_STATES, Judgment, State

IN_WORDS: dict[State, str] = {"failed": "failed", "unreadable": "unreadable", "truncated": "cut off"}


class Losses(NamedTuple):
    """Of one judge of one eval."""

    eval: str
    judge: str
    asked: int
    """Judgments without those that only_if spared."""
    states: Counter[State]

    @property
    def lost(self) -> int:
        return sum(self.states[state] for state in FAILED_STATES)

    @property
    def share(self) -> float:
        return self.lost / self.asked if self.asked else 0.0

    @property
    def words(self) -> str:
        """What is missing, in a sentence; nothing where nothing is."""
        kinds = ", ".join(f"{self.states[state]:,} {IN_WORDS[state]}" for state in FAILED_STATES if self.states[state])
        missing = f"{self.lost:,} of {self.asked:,} judgments are missing ({kinds})" if kinds else ""
        refused = f"{self.states['refused']:,} of {self.asked:,} answers it refused to judge"
        said = ", and ".join(filter(None, (missing, refused if self.states["refused"] else "")))
        return f"{self.judge}: {said}." if said else ""


def losses(judgments: Iterable[Judgment]) -> list[Losses]:
    """Of each judge, in the order in which they judged."""
    states: dict[tuple[str, str], Counter[State]] = {}
    for one in judgments:
        counts = states.setdefault((one.eval, one.judge), Counter())
        counts.update([one.state] if _was_asked(one) else [])
    return [Losses(*key, counts.total(), counts) for key, counts in states.items()]


def losses_in_words(judgments: Iterable[Judgment]) -> str:
    """A sentence for each judge that lost something; nothing where none did."""
    return " ".join(one.words for one in losses(judgments) if one.words)


def _was_asked(one: Judgment) -> bool:
    """Whether only_if let it be judged: else nothing was said of it."""
    return one.state != "not scored" or bool(one.raw or one.label)
