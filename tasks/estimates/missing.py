"""What is missing: judgments that failed, could not be read, were cut off or refused, and statements without a score.

for missing in missing_by_judge(run.judgments()):
    print(missing.sentence)         # claude: 12 of 240 judgments are missing (9 failed, 3 cut off)
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tasks.schema import FAILED_STATES, Eval, Judgment, Likelihood, State

IN_WORDS: dict[State, str] = {"failed": "failed", "unreadable": "unreadable", "truncated": "cut off"}


class Missing(NamedTuple):
    """What is missing of one judge of one eval."""

    eval: str
    judge: str
    asked: int
    """Judgments, without those that only_if spared."""
    states: Counter[State]
    """How many of them ended in each state."""

    @property
    def total(self) -> int:
        """Judgments in a failed state; a refusal is a result and is none of them."""
        return sum(self.states[state] for state in FAILED_STATES)

    @property
    def share(self) -> float:
        """The total as a share of what was asked, from 0 to 1: what judging.max_unscored limits."""
        return self.total / self.asked if self.asked else 0.0

    @property
    def sentence(self) -> str:
        """What is missing, and how often the judge refused; empty where it is nothing."""
        kinds = ", ".join(f"{self.states[state]:,} {IN_WORDS[state]}" for state in FAILED_STATES if self.states[state])
        missing = f"{self.total:,} of {self.asked:,} judgments are missing ({kinds})" if kinds else ""
        refused = f"{self.states['refused']:,} of {self.asked:,} answers it refused to judge"
        said = ", and ".join(filter(None, (missing, refused if self.states["refused"] else "")))
        return f"{self.judge}: {said}." if said else ""


def missing_by_judge(judgments: Iterable[Judgment]) -> list[Missing]:
    """One for each eval and judge, in the order in which they judged."""
    states: dict[tuple[str, str], Counter[State]] = {}
    for judgment in judgments:
        counts = states.setdefault((judgment.eval, judgment.judge), Counter())
        counts.update([judgment.state] if _was_asked(judgment) else [])
    return [Missing(*key, counts.total(), counts) for key, counts in states.items()]


def unscored_statements(evals: Iterable[Eval], likelihoods: Sequence[Likelihood]) -> str:
    """A sentence for each eval that asks choices and has statements without a score after the whole training."""
    return " ".join(filter(None, (_unscored(one, likelihoods) for one in evals if one.asks == "choices")))


def _unscored(evaluation: Eval, likelihoods: Iterable[Likelihood]) -> str:
    scored = {row.question_id for row in likelihoods if row.eval == evaluation.name and row.trained_share == 1}
    asked = len(evaluation.questions)
    why = "since a model began its answer with neither Yes nor No"
    missing = f"{evaluation.name}: {asked - len(scored):,} of {asked:,} statements have no score, {why}."
    return missing if len(scored) < asked else ""


def missing_in_words(judgments: Iterable[Judgment]) -> str:
    """A sentence for each judge of which something is missing; empty where nothing is."""
    return " ".join(missing.sentence for missing in missing_by_judge(judgments) if missing.sentence)


def _was_asked(judgment: Judgment) -> bool:
    """Whether only_if let the answer be judged: else there is neither a reply nor a label."""
    return judgment.state != "not scored" or bool(judgment.raw or judgment.label)
