"""Findings: what the interval of an effect says, in words.

    headline(run.estimates())

"No effect" is said where the whole interval lies within the equivalence margin; of an interval that holds 0 and reaches
beyond the margin it is said that there is not enough data.
"""

from typing import Literal, NamedTuple

from tasks.estimates.wording import number, signed
from tasks.schema import Effect

Verdict = Literal[
    "changed", "changed little", "perhaps", "no effect", "not enough data", "no change seen", "no interval"
]
IN_TIERS: dict[Verdict, str] = {
    "changed": "a change",
    "changed little": "a change too small to matter",
    "perhaps": "perhaps a change",
    "no effect": "no effect",
    "not enough data": "not enough data",
    "no change seen": "no change seen",
    "no interval": "no interval",
}
"""How a verdict reads in front of the tiers that it holds for."""
SIGNIFICANT = 0.05
MAX_SENTENCES = 4
"""Measures that a headline speaks of; of the others it says how many there are."""


def verdict(effect: Effect) -> Verdict:
    """What the 95 % interval for these questions shows.

    changed: it leaves 0 out; changed little: it does, within the equivalence margin; perhaps: it does, but Holm's p is
    not below 0.05. no effect: it holds 0 and lies within the margin; not enough data: it holds 0 and reaches beyond;
    no change seen: it holds 0, and the measure has no margin.

    A 95 % interval within the margin is stricter than the 90 % that two one-sided tests at 5 % ask for (D. J.
    Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
    """
    low, high, margin = effect.ci_low_fixed_questions, effect.ci_high_fixed_questions, effect.equivalence_margin
    if low is None or high is None:
        return "no interval"
    is_within = margin is not None and -margin < low and high < margin
    if low > 0 or high < 0:
        if effect.p_fixed_questions_holm is not None and effect.p_fixed_questions_holm >= SIGNIFICANT:
            return "perhaps"
        return "changed little" if is_within else "changed"
    return "no change seen" if margin is None else "no effect" if is_within else "not enough data"


class Finding(NamedTuple):
    """What one measure shows, in words."""

    whole: str
    """Over all questions."""
    tiers: str
    """The same by tier; empty where there is one tier only."""


def headline(effects: list[Effect]) -> str:
    """What changed, in plain words: a sentence or two for each of the first measures."""
    found = findings(effects)
    left = len(found) - MAX_SENTENCES
    more = [f"The table has {left} more measures."] if left > 0 else []
    return " ".join([f"{finding.whole} {finding.tiers}".strip() for finding in found[:MAX_SENTENCES]] + more)


def findings(effects: list[Effect]) -> list[Finding]:
    """What each measure shows over all questions, and by tier."""
    measures = dict.fromkeys((effect.eval, effect.measure) for effect in effects)
    has_several_evals = len({evaluation for evaluation, _ in measures}) > 1
    return [
        _finding(
            [e for e in effects if (e.eval, e.measure) == (evaluation, measure)],
            f"{measure} ({evaluation})" if has_several_evals else measure,
        )
        for evaluation, measure in measures
    ]


def _finding(effects: list[Effect], name: str) -> Finding:
    """Of one measure; the last of its rows of tiers is that over all questions."""
    *tiers, whole = [effect for effect in effects if not effect.is_of_question and not effect.is_slope]
    return Finding(_sentence(whole, name), f"By tier: {_by_tier(tiers)}." if tiers else "")


def _sentence(effect: Effect, name: str) -> str:
    difference, margin = effect.difference, number(effect.equivalence_margin)
    if difference is None:
        return f"{name} could not be compared: {effect.note_fixed_questions}."
    by = signed(difference)
    span = f"95 % {signed(effect.ci_low_fixed_questions)} to {signed(effect.ci_high_fixed_questions)}"
    moved = f"from {number(effect.baseline)} to {number(effect.finetuned)}, by {by}"
    rose = f"{name} {'rose' if difference > 0 else 'fell'} {moved} ({span})"
    detectable = effect.detectable_fixed_questions
    unclear = f"({by}, {span}{f'; this run would have found {number(detectable)}' if detectable else ''})"
    return {
        "changed": f"After the fine-tune {rose}.",
        "changed little": f"After the fine-tune {rose}, less than the {margin} that would matter.",
        "perhaps": f"Perhaps {rose}: once p is adjusted for all that was compared, that is not told from no change.",
        "no change seen": f"No change was seen in {name} {unclear}.",
        "no effect": f"{name} shows no effect as large as {margin} ({by}, {span}).",
        "not enough data": f"There is not enough data to tell {name} from no change {unclear}.",
        "no interval": f"{name} went {moved}, without an interval: {effect.note_fixed_questions}.",
    }[verdict(effect)]


def _by_tier(tiers: list[Effect]) -> str:
    """The tiers with their differences, those of one verdict together."""
    groups: dict[Verdict, list[str]] = {}
    for effect in tiers:
        groups.setdefault(verdict(effect), []).append(f"{effect.tier} {signed(effect.difference)}".strip())
    return "; ".join(f"{words} in {', '.join(groups[v])}" for v, words in IN_TIERS.items() if v in groups)
