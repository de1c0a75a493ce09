"""Power: what the data can and cannot show, and how many questions and samples it takes to show more.

    headline(run.estimates())
    plan(Spread(within=0.8, between=0.3), effect=0.25)

"No effect" is said where an interval lies within what is as good as none; an interval that merely holds 0 says that
there is not enough data.
"""

import math
from bisect import bisect_left
from typing import Literal, NamedTuple

from tasks.estimates.intervals import FEWEST_QUESTIONS, POWER, Cell, noncentrality
from tasks.estimates.wording import number, signed
from tasks.schema import SLOPE, Effect

Verdict = Literal[
    "changed", "changed little", "perhaps", "no effect", "not enough data", "not told from none", "no interval"
]
IN_TIERS: dict[Verdict, str] = {
    "changed": "a change",
    "changed little": "a change too small to matter",
    "perhaps": "perhaps a change",
    "no effect": "no effect",
    "not enough data": "not enough data",
    "not told from none": "no change seen",
    "no interval": "no interval",
}
SIGNIFICANT = 0.05
MOST_SENTENCES = 4
SAMPLES = (1, 2, 5, 10, 20, 40, 80)
MOST_QUESTIONS = 10_000


def verdict(effect: Effect) -> Verdict:
    """What an effect's interval for these questions shows; no effect needs an interval within +-`equivalence_margin`.

    A change is one where p is below 0.05 also when it is adjusted for the whole table; else it is one perhaps.

    A 95 % interval is stricter than the 90 % that two one-sided tests at 5 % ask for (D. J. Schuirmann, Journal of
    Pharmacokinetics and Biopharmaceutics 15, 1987).
    """
    low, high, least = effect.ci_low_fixed_questions, effect.ci_high_fixed_questions, effect.equivalence_margin
    if low is None or high is None:
        return "no interval"
    within = least is not None and -least < low and high < least
    if low > 0 or high < 0:
        if effect.p_fixed_questions_holm is not None and effect.p_fixed_questions_holm >= SIGNIFICANT:
            return "perhaps"
        return "changed little" if within else "changed"
    return "not told from none" if least is None else "no effect" if within else "not enough data"


class Finding(NamedTuple):
    """What one measure shows, in words."""

    whole: str
    tiers: str
    """The same by tier; empty where there is one tier only."""


def headline(effects: list[Effect]) -> str:
    """What changed, in plain words: a sentence or two for each of the first measures."""
    found = findings(effects)
    left = len(found) - MOST_SENTENCES
    more = [f"The table has {left} more measures."] if left > 0 else []
    return " ".join([f"{one.whole} {one.tiers}".strip() for one in found[:MOST_SENTENCES]] + more)


def findings(effects: list[Effect]) -> list[Finding]:
    """What each measure shows over all questions, and by tier."""
    measures = dict.fromkeys((effect.eval, effect.measure) for effect in effects)
    several = len({name for name, _ in measures}) > 1
    found = []
    for one in measures:
        mine = [e for e in effects if (e.eval, e.measure) == one and not e.question and e.tier != SLOPE]
        named = f"{one[1]} ({one[0]})" if several else one[1]
        found.append(Finding(_sentence(mine[-1], named), f"By tier: {_by_tier(mine[:-1])}." if mine[:-1] else ""))
    return found


def _sentence(effect: Effect, named: str) -> str:
    d, span = (
        effect.difference,
        f"95 % {signed(effect.ci_low_fixed_questions)} to {signed(effect.ci_high_fixed_questions)}",
    )
    if d is None:
        return f"{named} could not be compared: {effect.note_fixed_questions}."
    moved = f"from {number(effect.baseline)} to {number(effect.finetuned)}, by {signed(d)}"
    found = (
        f"; this run would have found {number(effect.detectable_fixed_questions)}"
        if effect.detectable_fixed_questions
        else ""
    )
    return {
        "changed": f"After the fine-tune {named} {'rose' if d > 0 else 'fell'} {moved} ({span}).",
        "changed little": f"After the fine-tune {named} {'rose' if d > 0 else 'fell'} {moved} ({span}), "
        f"less than the {number(effect.equivalence_margin)} that would matter.",
        "perhaps": f"Perhaps {named} {'rose' if d > 0 else 'fell'} {moved} ({span}): once p is adjusted for all that "
        "was compared, that is not told from no change.",
        "not told from none": f"{named} is not told from no change ({signed(d)}, {span}{found}).",
        "no effect": f"{named} shows no effect as large as {number(effect.equivalence_margin)} ({signed(d)}, {span}).",
        "not enough data": f"There is not enough data to tell {named} from no change ({signed(d)}, {span}{found}).",
        "no interval": f"{named} went {moved}, without an interval: {effect.note_fixed_questions}.",
    }[verdict(effect)]


def _by_tier(tiers: list[Effect]) -> str:
    """The tiers with their differences, those of one verdict together."""
    groups: dict[Verdict, list[str]] = {}
    for e in tiers:
        groups.setdefault(verdict(e), []).append(f"{e.tier} {signed(e.difference)}".strip())
    return "; ".join(f"{words} in {', '.join(groups[v])}" for v, words in IN_TIERS.items() if v in groups)


# ---- how many it takes ----------------------------------------------------------------------------


class Spread(NamedTuple):
    """How much a measure varies, in its own unit, as standard deviations."""

    within: float
    """Of the answers of one model to one question."""
    between: float
    """Of the true difference, from question to question."""


class Needed(NamedTuple):
    """How many questions an effect takes, with so many samples of each model to a question."""

    samples: int
    these: int | None
    """For these questions; None: more than MOST_QUESTIONS."""
    new: int | None
    """To hold for new questions of the kind."""


def spread_of(cells: list[tuple[Cell, Cell]]) -> Spread | None:
    """What a pilot run says of the spread; None where fewer than two questions have
    two scores on each side.

    Within: the mean variance within questions and sides. Between: the variance of the questions' differences, less
    what the answers' own variance adds to it, no less than 0 (the method of moments of a random-effects model).
    """
    cells = [pair for pair in cells if min(cell.n for cell in pair) > 1]
    if len(cells) < 2:
        return None
    variances = [cell.variance for pair in cells for cell in pair]
    noise = math.fsum(cell.variance / cell.n for pair in cells for cell in pair) / len(cells)
    differences = [after.mean - before.mean for before, after in cells]
    mean = math.fsum(differences) / len(differences)
    total = math.fsum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return Spread(math.sqrt(math.fsum(variances) / len(variances)), math.sqrt(max(0.0, total - noise)))


def plan(spread: Spread, effect: float, power: float = POWER) -> list[Needed]:
    """For each number of samples the fewest questions with which a difference of this size is found with this power.

    With n samples of each model to each of G questions the difference of means has, for these questions, the variance
    2 within2 / (n G) and 2 G (n - 1) degrees of freedom; for new questions (between2 + 2 within2 / n) / G and G - 1.
    """
    return [
        Needed(
            n,
            _fewest(2 * spread.within**2 / n, effect, power, 1, 2 * (n - 1), 0) if n > 1 else None,
            _fewest(spread.between**2 + 2 * spread.within**2 / n, effect, power, FEWEST_QUESTIONS, 1, 1),
        )
        for n in SAMPLES
    ]


def _fewest(variance: float, effect: float, power: float, least: int, free: int, lost: int) -> int | None:
    """The fewest questions, each adding `variance` / G2 and `free` degrees of freedom of which `lost` are lost."""

    def finds(count: int) -> bool:
        return noncentrality(free * count - lost, power) * math.sqrt(variance / count) <= effect

    found = bisect_left(range(MOST_QUESTIONS + 1), True, lo=least, key=finds)
    return found if found <= MOST_QUESTIONS else None
