"""What a column of published means is by its name: a mean, its n, SD or SE, and of which measure; or none of these.

    found = wide_columns(["formality", "formality_std_dev", "n", "seed"], choices)
    found["formality_std_dev"]     # Column("formality", "sd", "stddev")
    found["n"]                     # Column("", "n", "n"): of every measure of its row
    found["seed"].why              # "by its name it is no mean, n, SD or SE"
    long_columns(["mean", "std_dev", "ci_low"])

The statistic is said by the last words of a name (formality_std_dev), or by the first (sd_formality).
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from tasks.imports.choices import Choices
from tasks.imports.score_columns import may_hold_scores
from tasks.rows import KNOWN_COLUMNS

PERCENTAGES = {"percent", "percentage", "pct"}
RATES = {"rate", "fraction", "proportion"} | PERCENTAGES
OF_MEASURES = ("measure", "trait", "metric", "judge", "eval")
"""What a column of the measures' names is called."""
AVERAGES = {"mean", "avg", "average"}
COUNTED = {
    f"{word}{ending}"
    for word in ("sample", "answer", "response", "completion", "generation", "observation", "trial")
    for ending in ("", "s")
}
OF_HOW_MANY = {"n", "num", "number", "numberof", "numof", "total", "count"}
STATISTICS = {
    "mean": AVERAGES
    | {"value", "score"}
    | RATES
    | {f"{mean}{what}" for mean in AVERAGES for what in ("score", "rating")},
    "n": {"n", "count", "num", "size", "samples", "answers", "responses", "completions", "generations", "observations"}
    | {"nobs", "total", "ntotal", "totaln"}
    | {f"{many}{what}" for many in OF_HOW_MANY for what in COUNTED}
    | {f"{what}{many}" for many in ("n", "count", "size", "total") for what in COUNTED},
    "sd": {"sd", "std", "stdev", "stddev", "stddeviation", "standarddev", "standarddeviation"},
    "se": {"se", "sem", "stderr", "stderror", "standarderr", "standarderror", "standarderrorofmean"},
}
"""What a column, or the last words of its name without what joins them, is of several answers."""
OTHERS = {
    "median",
    "medianscore",
    "minscore",
    "maxscore",
    "variance",
    "iqr",
    "percentile",
    "quantile",
    "moe",
    "marginoferror",
}
OTHERS |= {
    "pvalue",
    "pval",
    "pvalueadj",
    "padj",
    "padjusted",
    "pcorrected",
    "adjp",
    "adjustedp",
    "qvalue",
    "qval",
    "zscore",
}
OTHERS |= {"significant", "significance", "effectsize", "cohend", "cohensd", "hedgesg", "lowerlimit", "upperlimit"}
OTHERS |= {"epochs", "params", "parameters", "nquestions", "nitems", "nprompts", "nseeds", "nruns", "nmodels"}
OTHERS |= {f"{test}{what}" for test in "tzf" for what in ("value", "stat", "statistic")}
"""The same of what is read as nothing."""
OTHERS_OF_A_MEASURE = {
    "low",
    "high",
    "lower",
    "upper",
    "lo",
    "hi",
    "min",
    "max",
    "minimum",
    "maximum",
    "range",
    "var",
    "mode",
    "sigma",
}
OTHERS_OF_A_MEASURE |= {"p", "q", "t", "z", "d", "df", "delta", "diff", "difference", "change", "sum", "rank"}
"""Words that say so of a measure that is there, and may else be of a measure's name."""
BARE = {"size", "total"}
"""Words for an n that without a measure may be the model's size, or the sum of all measures."""
OF_INTERVALS = {"ci", "cis", "conf", "confint", "interval", "bound", "lcl", "ucl", "lb", "ub"}
MORE_OF_INTERVALS = {"confidence", "low", "high", "lower", "upper", "lo", "hi", "min", "max", "limit", "half", "width"}
"""Words that the name of an interval, or of its end, is made of: one of the former, and any of the latter."""
STEMS = STATISTICS["mean"] | {*OF_MEASURES, "answer", "response", "rating"}
"""What a statistic of a long table may be said to be of: score_sd."""
MOST_WORDS = 5
"""Of a statistic's name."""
NO_STATISTIC = "by its name it is no mean, n, SD or SE"


class Column(NamedTuple):
    """What a column is."""

    measure: str = ""
    """Empty: of every measure of its row."""
    statistic: str = ""
    """A name in STATISTICS; empty: it is not read."""
    word: str = ""
    """By which it is known, in small letters."""
    why: str = ""
    """Why it is not read."""
    remedy: str = ""
    """An option that reads it."""


class _Said(NamedTuple):
    """A statistic in a column's name, and what else the name says."""

    stem: str
    kind: str
    """A name in STATISTICS; other: one that is not read; perhaps: the same, of a measure that is there."""
    word: str
    is_first: bool = False
    """Whether it is said by the first words."""


def wide_columns(names: Collection[str], choices: Choices, texts: Collection[str] = ()) -> dict[str, Column]:
    """Those of a table with a row for each model; `texts` are columns without a number."""
    named = {*choices.measures, *choices.columns, *choices.scales, *choices.margins}
    found = {name: Column(why=why) for name in names if (why := _of_no_measure(name, named, texts))}
    rest = [name for name in names if name not in found]
    known = {*rest} | {said.stem for name in rest for said in _readings(name) if said.kind == "mean"}
    others = [name for name in rest if name not in named and _is_other(name, known)]
    found |= {name: Column(why=NO_STATISTIC, remedy=_as_a_measure(name)) for name in others}
    rest = [name for name in rest if name not in others]
    spreads = {name: said for name in rest if name not in choices.measures and (said := _spread(name))}
    stems = {said.stem for said in spreads.values()}
    found |= {name: _mean(name, stems, choices) for name in rest if name not in spreads}
    measures = {column.measure for column in found.values() if column.statistic}
    found |= {name: _of_measure(name, said, measures, named) for name, said in spreads.items()}
    return {name: _unless_left_out(found[name], choices) for name in names}


def long_columns(names: Collection[str]) -> dict[str, Column]:
    """Those of a table with a row for each model and measure."""
    return {name: _long(name) for name in names}


def _long(name: str) -> Column:
    for said in _readings(name):
        if said.kind in STATISTICS and (_joined(said.stem) in STEMS if said.stem else said.word != "size"):
            return Column("", said.kind, said.word)
    return Column(why=NO_STATISTIC, remedy=f"--columns sd={name} (or mean=, n=, se=) says that it is one")


# ---- names ---------------------------------------------------------------------------------------


def _words(name: str) -> list[re.Match[str]]:
    """The words of a name, also of one with capitals within (stdDev); numbers are none."""
    return list(re.finditer(r"[^\W\d_](?:(?<![a-z])[A-Z]|[^\W\d_A-Z])*", name))


def _joined(name: str) -> str:
    return "".join(word[0] for word in _words(name)).casefold()


def _readings(name: str) -> list[_Said]:
    """What the last words say, and what the first do, of each the most words; the one that counts more is the first.

    The first words of sd_score say more than the last one. Of a name that ends with a number (score_1) the last words
    say only that it is something else (ci_95).
    """
    words = _words(name)
    parts = [word[0].casefold() for word in words]
    sizes = range(min(MOST_WORDS, len(words)), 0, -1)
    last = next((size for size in sizes if _kind(parts[-size:])), 0)
    first = next((size for size in sizes if size < len(words) and _kind(parts[:size])), 0)
    found = []
    if last:
        stem = name[: words[-last].start()].rstrip("_. -([/:") if last < len(words) else ""
        found.append(_Said(stem, _kind(parts[-last:]), "".join(parts[-last:])))
        if stem and name[-1].isdigit() and found[0].kind in STATISTICS:
            found = []
    if first:
        said = _Said(name[words[first - 1].end() :].lstrip("_. -"), _kind(parts[:first]), "".join(parts[:first]), True)
        is_more = said.kind in ("sd", "se", "other") or (first + last == len(words) and said.kind != "mean")
        found.insert(0 if found and found[0].kind == "mean" and found[0].stem and is_more else len(found), said)
    return found


def _kind(words: list[str]) -> str:
    joined = "".join(words)
    if joined in OTHERS or ({*words} & OF_INTERVALS and {*words} <= OF_INTERVALS | MORE_OF_INTERVALS):
        return "other"
    statistic = next((name for name, known in STATISTICS.items() if joined in known), "")
    return statistic or ("perhaps" if joined in OTHERS_OF_A_MEASURE else "")


# ---- a wide table --------------------------------------------------------------------------------


def _of_no_measure(name: str, named: Collection[str], texts: Collection[str]) -> str:
    if name in KNOWN_COLUMNS:
        return "it is not taken as a measure"
    return "no number stands in it" if name in texts and name not in named else ""


def _is_other(name: str, known: Collection[str]) -> bool:
    """Whether it is a median, an end of an interval or the like, or tells rows apart."""
    is_quantile = bool(re.search(r"\d\s*%$", name)) or not _words(name)
    if is_quantile or not may_hold_scores(name):
        return True
    for said in _readings(name):
        stem = said.stem.rstrip("_. -0123456789")
        is_there = not said.stem or {said.stem, stem, *_without_mean(said.stem)} & {*known}
        if said.kind == "other" or (said.kind == "perhaps" and is_there) or (not said.stem and said.word in BARE):
            return True
        if said.kind == "n" and said.is_first and said.stem not in known:  # n_tokens, n_unscored
            return True
        if said.kind in STATISTICS:
            return False
    return False


def _spread(name: str) -> _Said | None:
    """Its n, SD or SE."""
    for said in _readings(name):
        if said.kind == "mean" and not said.is_first:
            return None
        if said.kind in ("n", "sd", "se"):
            return said
    return None


def _mean(name: str, stems: Collection[str], choices: Choices) -> Column:
    """A mean, whose measure is called as the column without the word for it; mean_a only where sd_a or n_a is there."""
    for said in _readings(name):
        if name in choices.measures or said.kind != "mean" or not said.stem:
            continue
        if not said.is_first or (said.word in AVERAGES and said.stem in stems):
            return Column(said.stem, "mean", said.word)
    return Column(name, "mean", next((said.word for said in _readings(name) if not said.stem), "mean"))


def _of_measure(name: str, said: _Said, measures: Collection[str], named: Collection[str]) -> Column:
    """An n, SD or SE of a measure that is there, or of all of them."""
    of = [stem for stem in (said.stem, *_without_mean(said.stem)) if stem in measures]
    if of or not said.stem:
        return Column(of[0] if of else "", said.kind, said.word)
    if name in named:
        return Column(name, "mean", "mean")
    return Column(why=f"there is no mean of {said.stem}", remedy=_as_a_measure(name))


def _without_mean(stem: str) -> list[str]:
    """What formality_mean is the mean of: its n may be called formality_mean_n."""
    return [said.stem for said in _readings(stem) if said.kind == "mean" and said.stem]


def _unless_left_out(column: Column, choices: Choices) -> Column:
    if choices.measures and column.measure and column.measure not in choices.measures:
        return Column(column.measure, why="--measures leaves it out")
    return column


def _as_a_measure(name: str) -> str:
    return f"--columns {name}={name} reads it as a measure"
