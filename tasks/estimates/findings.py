"""Findings: what the interval of an effect says, in words.

    headline(run.estimates())

"No effect" is said where the whole interval lies within the equivalence margin; of an interval that holds 0 and reaches
beyond the margin it is said that there is not enough data.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from tasks.estimates.measures import BOTH_MODELS
from tasks.estimates.wording import beside, listed, moved, number, signed, span
from tasks.schema import Compared, Effect

Verdict = Literal[
    "changed",
    "changed little",
    "perhaps",
    "no effect",
    "not enough data",
    "no change seen",
    "no interval",
    "not tested",
]
IN_TIERS: dict[Verdict, str] = {
    "changed": "a change",
    "changed little": "a change too small to matter",
    "perhaps": "perhaps a change",
    "no effect": "no effect",
    "not enough data": "not enough data",
    "no change seen": "no change seen",
    "no interval": "no interval",
    "not tested": "nats a token",
}
"""How a verdict reads in front of the tiers that it holds for."""
IN_PROSE = {"yes": "yes-saying", "log_odds": "log-odds of choice"}
"""What a measure without a judge is called in a sentence, where its name would be read as a word of it."""
MOVED: tuple[Verdict, ...] = ("changed", "changed little", "perhaps")
SIGNIFICANT = 0.05
MAX_IN_ONE_LINE = 2
"""Changed measures of which a headline can be read as one sentence."""
MAX_NUMBERS = 4
"""Changed measures whose numbers a headline gives; of the others it gives the names."""


class Evidence(NamedTuple):
    """The interval that an effect is judged by: that for these questions, or where there is none, that for new ones."""

    low: float | None
    high: float | None
    p_holm: float | None
    detectable: float | None
    called: str
    """What stands in front of the interval."""
    note: str
    """What the interval rests on, or that it is approximate; empty: nothing."""

    @classmethod
    def of(cls, effect: Effect) -> "Evidence":
        """Without limits where the effect has neither interval."""
        e, seeds = effect, " and seeds" if isinstance(effect, Compared) and effect.runs > 1 else ""
        if e.ci_low_fixed_questions is None and e.ci_low_new_questions is not None:
            new = e.ci_low_new_questions, e.ci_high_new_questions, e.p_new_questions_holm, e.detectable_new_questions
            return cls(*new, f"95 % for new questions{seeds}", e.note_new_questions)
        low, high = e.ci_low_fixed_questions, e.ci_high_fixed_questions
        known = low, high, e.p_fixed_questions_holm, e.detectable_fixed_questions
        return cls(*known, f"95 % for these questions{seeds}", "" if low is None else e.note_fixed_questions)

    @property
    def span(self) -> str:
        """The interval in words."""
        return f"{self.called} {span(self.low, self.high)}{f', {self.note}' if self.note else ''}"


def verdict(effect: Effect) -> Verdict:
    """What the 95 % interval shows: for these questions, or where there is none for new ones.

    changed: it leaves 0 out; changed little: it does, within the equivalence margin; perhaps: it does, but Holm's p is
    not below 0.05. no effect: it holds 0 and lies within the margin; not enough data: it holds 0 and reaches beyond;
    no change seen: it holds 0, and the measure has no margin. not tested: the effect says why.

    A 95 % interval within the margin is stricter than the 90 % that two one-sided tests at 5 % ask for (D. J.
    Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
    """
    evidence, margin = Evidence.of(effect), effect.equivalence_margin
    if effect.note_test:
        return "not tested"
    if evidence.low is None or evidence.high is None:
        return "no interval"
    is_within = margin is not None and -margin < evidence.low and evidence.high < margin
    if evidence.low > 0 or evidence.high < 0:
        if evidence.p_holm is not None and evidence.p_holm >= SIGNIFICANT:
            return "perhaps"
        return "changed little" if is_within else "changed"
    return "no change seen" if margin is None else "no effect" if is_within else "not enough data"


class Finding(NamedTuple):
    """What one measure shows, in words."""

    measure: str
    """Its name, with that of its eval where another eval has one of that name."""
    effect: Effect
    """Over all questions."""
    tiers: str
    """The same by tier, in words; empty where there is one tier only."""

    @property
    def verdict(self) -> Verdict:
        """What it shows over all questions."""
        return verdict(self.effect)

    @property
    def has_moved(self) -> bool:
        """Whether its interval leaves 0 out."""
        return self.verdict in MOVED

    @property
    def whole(self) -> str:
        """A sentence on all questions, for a measure that stands alone."""
        return _sentence(self.effect, self.measure)


def headline(effects: list[Effect]) -> str:
    """What changed, on which measures, and what did not, in a sentence; with one measure alone also by tier.

    Of drift it says the size in a sentence of its own, since there is no test of it.
    """
    found = findings(effects)
    if len(found) == 1:
        return f"{found[0].whole} {found[0].tiers}".strip()
    return " ".join(_sentences(found))


def headline_lines(effects: list[Effect]) -> list[str]:
    """The headline; where more than two measures changed, a line for each of them before what is said of the rest."""
    found = findings(effects)
    moved = sorted((finding for finding in found if finding.has_moved), key=lambda f: MOVED.index(f.verdict))
    if len(moved) <= MAX_IN_ONE_LINE:
        return [line] if (line := headline(effects)) else []
    lines = [CLAUSES[finding.verdict]([finding]) for finding in moved[:MAX_NUMBERS]]
    if others := moved[MAX_NUMBERS:]:
        lines.append(f"{_names(others)} changed too{', or perhaps' * any(f.verdict == 'perhaps' for f in others)}")
    rest = [finding for finding in found if not finding.has_moved]
    return [f"{line[0].upper()}{line[1:]}." for line in lines] + _sentences(rest, "As to the rest, ")


def _sentences(found: list[Finding], begins: str = "") -> list[str]:
    alone = [finding for finding in found if is_of_one_model(finding.effect)]
    tested = [finding for finding in found if finding.verdict != "not tested" and finding not in alone]
    sizes = [finding.whole for finding in found if finding.verdict == "not tested" and finding not in alone]
    said = [tested[0].whole] if len(tested) == 1 else [_together(tested, begins)] if tested else []
    return said + ([_of_one_model(alone)] if alone else []) + sizes


def findings(effects: list[Effect]) -> list[Finding]:
    """What each measure shows over all questions, and by tier."""
    measures = list(dict.fromkeys((effect.eval, effect.measure) for effect in effects))
    names = [measure for _, measure in measures]
    return [
        _finding(
            [e for e in effects if (e.eval, e.measure) == (evaluation, measure)],
            f"{measure} ({evaluation})" if names.count(measure) > 1 else measure,
        )
        for evaluation, measure in measures
    ]


def _finding(effects: list[Effect], name: str) -> Finding:
    """Of one measure; the last of its rows of tiers is that over all questions."""
    if effects[0].model == BOTH_MODELS:
        name = IN_PROSE.get(name, name)
    *tiers, whole = [effect for effect in effects if not effect.is_of_question and not effect.is_slope]
    return Finding(name, whole, f"By tier: {_by_tier(tiers)}." if tiers and not is_of_one_model(whole) else "")


def is_of_one_model(effect: Effect) -> bool:
    """Whether there is a mean after the fine-tune and nothing to compare it with."""
    return effect.difference is None and effect.finetuned is not None


def _of_one_model(found: list[Finding]) -> str:
    """Their means after the fine-tune, each with its intervals."""
    means = [f"{finding.measure} is {number(finding.effect.finetuned)}{_level(finding.effect)}" for finding in found]
    return f"There is nothing to compare with ({why_no_interval([f.effect for f in found])}): {listed(means)}."


def _level(effect: Effect) -> str:
    """Both intervals of the mean after the fine-tune, as far as there are any."""
    intervals = {
        "for these questions": (effect.finetuned_low, effect.finetuned_high),
        "for new questions": (effect.finetuned_low_new_questions, effect.finetuned_high_new_questions),
    }
    spans = [f"{whose} {number(low)} to {number(high)}" for whose, (low, high) in intervals.items() if low is not None]
    return f" (95 % {', '.join(spans)})" if spans else ""


# ---- several measures in one sentence ------------------------------------------------------------


def _together(found: list[Finding], begins: str = "") -> str:
    """The measures of one verdict beside each other: first what changed, then what did not."""
    by_verdict: dict[Verdict, list[Finding]] = {}
    for finding in found:
        by_verdict.setdefault(finding.verdict, []).append(finding)
    clauses = [clause(by_verdict[v]) for v, clause in CLAUSES.items() if v in by_verdict]
    if any(finding.has_moved for finding in found):
        otherwise = "After the fine-tune "
    else:
        otherwise = "Nothing could be tested: " if by_verdict.keys() == {"no interval"} else "No change was found: "
    return f"{begins or otherwise}{'; '.join(clauses)}."


def _changed(found: list[Finding]) -> str:
    """With numbers, as far as they can still be read."""
    shown, others = found[:MAX_NUMBERS], found[MAX_NUMBERS:]
    more = f"; {_names(others)} changed too" if others else ""
    phrased, named = _split(shown)
    does = [f"the model {listed([_does(finding) for finding in phrased])}"] if phrased else []
    return " and ".join(does + ([listed([_moved(finding) for finding in named])] if named else [])) + more


def _does(finding: Finding) -> str:
    """What the model does more, or less, behind `the model`."""
    effect = finding.effect
    means = " to ".join(moved(effect.baseline, effect.finetuned))
    return f"{effect.in_words} {_more(effect)} ({finding.measure} {means}, {_by(effect)})"


def _moved(finding: Finding) -> str:
    """The same of a measure for which there are no words."""
    effect = finding.effect
    means = f"from {' to '.join(moved(effect.baseline, effect.finetuned))}"
    return f"{finding.measure} {_rose(effect)} {means} ({_by(effect)})"


def _by(effect: Effect) -> str:
    """The change, told from its interval and from the means."""
    evidence = Evidence.of(effect)
    return f"by {beside(effect.difference, evidence.low, evidence.high)}, {evidence.span}"


def _more(effect: Effect) -> str:
    return "more" if (effect.difference or 0) > 0 else "less"


def _rose(effect: Effect) -> str:
    return "rose" if (effect.difference or 0) > 0 else "fell"


def _split(found: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Those with words for what the model does, and those with a name alone."""
    return [f for f in found if f.effect.in_words], [f for f in found if not f.effect.in_words]


def _doing(found: list[Finding]) -> str:
    """What the model does, each with the name of its measure."""
    return f"the model {listed([f'{finding.effect.in_words} ({finding.measure})' for finding in found])}"


def _unclear(found: list[Finding]) -> str:
    phrased, named = _split(found)
    parts = [f"{_doing(phrased)} more or less"] if phrased else []
    parts += [f"{_names(named)} changed"] if named else []
    return f"there is not enough data to tell whether {', or whether '.join(parts)}"


def _unmoved(found: list[Finding]) -> str:
    phrased, named = _split(found)
    parts = [f"{_doing(phrased)} about as much as before"] if phrased else []
    parts += [f"{_names(named)} {_verb(named, 'shows', 'show')} no effect that would matter"] if named else []
    return "; ".join(parts)


CLAUSES: dict[Verdict, Callable[[list[Finding]], str]] = {
    "changed": _changed,
    "changed little": lambda found: f"{_changed(found)}, by less than would matter",
    "perhaps": lambda found: f"perhaps {_changed(found)}, though not once p is adjusted for all comparisons",
    "no effect": _unmoved,
    "not enough data": _unclear,
    "no change seen": lambda found: f"no change was seen in {_names(found)}",
    "no interval": lambda found: f"{_names(found, with_sizes=True)} {_no_interval(found)}",
}
"""What is said of the measures of each verdict, in the order in which it is said."""


def _names(found: list[Finding], with_sizes: bool = False) -> str:
    sizes = [
        f" ({signed(f.effect.difference)})" if with_sizes and f.effect.difference is not None else "" for f in found
    ]
    return listed([finding.measure + size for finding, size in zip(found, sizes, strict=True)])


def _no_interval(found: list[Finding]) -> str:
    """With the reasons, each once."""
    because = f" ({reasons})" if (reasons := why_no_interval([finding.effect for finding in found])) else ""
    return f"{_verb(found, 'has', 'have')} no interval{because}"


def _verb(found: list[Finding], singular: str, plural: str) -> str:
    return singular if len(found) == 1 else plural


def why_no_interval(effects: list[Effect]) -> str:
    """Why there is neither interval, each reason once."""
    return "; ".join(dict.fromkeys(n for e in effects for n in (e.note_fixed_questions, e.note_new_questions) if n))


# ---- one measure ---------------------------------------------------------------------------------


def _sentence(effect: Effect, name: str) -> str:
    difference, margin, evidence = effect.difference, number(effect.equivalence_margin), Evidence.of(effect)
    if is_of_one_model(effect):
        return _of_one_model([Finding(name, effect, "")])
    if difference is None:
        return f"{name} could not be compared: {effect.note_fixed_questions}."
    by, limits = beside(difference, evidence.low, evidence.high), evidence.span
    went = f"from {' to '.join(moved(effect.baseline, effect.finetuned))}, by {by}"
    does = f"the model {effect.in_words} {_more(effect)}: " if effect.in_words else ""
    rose = f"{does}{name} {_rose(effect)} {went} ({limits})"
    whether = f"whether the model {effect.in_words} more or less" if effect.in_words else f"{name} from no change"
    found = f"; this run would have found {number(evidence.detectable)}" if evidence.detectable else ""
    unclear = f"({f'{name} ' if effect.in_words else ''}{by}, {limits}{found})"
    return {
        "changed": f"After the fine-tune {rose}.",
        "changed little": f"After the fine-tune {rose}, less than the {margin} that would matter.",
        "perhaps": f"Perhaps {rose}; once p is adjusted for all that was compared, that is not told from no change.",
        "no change seen": f"No change was seen in {name} {unclear}.",
        "no effect": f"{name} shows no effect as large as {margin} ({by}, {limits}).",
        "not enough data": f"There is not enough data to tell {whether} {unclear}.",
        "no interval": f"{name} went {went}, without an interval: {why_no_interval([effect])}.",
        "not tested": _size(difference, name, evidence),
    }[verdict(effect)]


def _size(difference: float, name: str, evidence: Evidence) -> str:
    """Of drift."""
    of_eval = name.partition(" ")[2]
    answers = f"The fine-tuned answers {of_eval}".strip()
    how = f"{'likelier' if difference >= 0 else 'less likely'} by {number(abs(difference))} nats a token"
    span = f" ({evidence.span})" if evidence.low is not None else ""
    return f"{answers} are {how}{span} under the fine-tuned model than under the base model."


def _by_tier(tiers: list[Effect]) -> str:
    """The tiers with their differences, those of one verdict together."""
    groups: dict[Verdict, list[str]] = {}
    for effect in tiers:
        groups.setdefault(verdict(effect), []).append(f"{effect.tier} {signed(effect.difference)}".strip())
    return "; ".join(f"{words} in {', '.join(groups[v])}" for v, words in IN_TIERS.items() if v in groups)
