"""Means that others published, one for each model and measure, as a table or JSON, long or wide.

    found = read_aggregates(Path("table2.csv"), choices)

    model,measure,mean,n,sd                      long: a row for each model and measure
    model,sycophancy,sycophancy_sd,honesty,n     wide: a row for each model
    {"tuned": {"sycophancy": {"mean": 61, "n": 200, "sd": 20}}}

A rate is `24 %` or `12 of 50`, or stands in a column that is called so (rate, percent), which is of shares or of
percentages as a whole; with its number of answers it needs no SD. Where there is a standard error instead (se, sem,
stderr), the SD is that times the root of n.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, excerpt
from tasks.imports.choices import Choices
from tasks.imports.model_rows import SHOWN, WORDS, number
from tasks.imports.scores import COUNT, MISSING, PERCENT
from tasks.rows import HOLDERS, table, unnested
from tasks.schema import Aggregate

PERCENTAGES = {"percent", "percentage", "pct"}
RATES = {"rate", "fraction", "proportion"} | PERCENTAGES
STATISTICS = {
    "mean": {"mean", "avg", "average", "value", "score"} | RATES,
    "n": {"n", "count", "num", "size", "samples", "answers"},
    "sd": {"sd", "std", "stdev", "stddev"},
    "se": {"se", "sem", "stderr"},
}
"""What a column, or the last word of its name, is of several answers."""
OF_MEASURES = ("measure", "trait", "metric", "judge", "eval")
"""What a column of the measures' names is called."""
OF_ANSWERS = {"question", "question_id", "response", "sample"}
"""Columns by which each row is of one question, or of one answer."""


class _Number(NamedTuple):
    """A cell of a table."""

    value: float
    n: int | None = None
    """Of a count its answers."""
    is_rate: bool = False
    rates: str = ""
    """The column of rates that it stands in without a unit of its own; empty: none."""


Found = dict[tuple[str, str], dict[str, _Number]]
"""By model and measure, and then by statistic."""


def are_aggregates(file: Path, choices: Choices) -> bool:
    """Whether a file has no rows of single answers, but one of each model, or of each model and measure."""
    rows = table(file, choices.columns)
    if any(OF_ANSWERS & fields.keys() for _, fields in rows):
        return False
    if _are_by_model(rows):
        return all("." in name for name in rows[0][1])
    keys = [(fields.get("model"), *(fields.get(name) for name in OF_MEASURES)) for _, fields in rows]
    return len(set(keys)) == len(keys) > 1 and all(fields.get("model") for _, fields in rows)


def read_aggregates(file: Path, choices: Choices) -> list[Aggregate]:
    """Those of a file, the base model's first.

    Raises UserError, with its line, for a cell that is no number, a number of answers that cannot be, and a file in
    which the base model cannot be known.
    """
    found: Found = {}
    rows = table(file, choices.columns)
    for line, fields in table(file, nested=False) if _are_by_model(rows) else rows:
        for key, statistics in _of_row(fields, f"{file} line {line}", choices):
            if twice := found.get(key, {}).keys() & statistics.keys():
                raise UserError(f"{file} line {line}: {min(twice)} of {key[0]}, {key[1]} is there twice; leave one out")
            found.setdefault(key, {}).update(statistics)
    means = [_aggregate(key, some, file) for key, some in _with_shares(found, file).items() if "mean" in some]
    if not means:
        raise UserError(f"{file}: no column of means; name one with --columns mean=COLUMN")
    base = _base(list(dict.fromkeys(row.model for row in means)), choices, file)
    return sorted(means, key=lambda row: row.model != base)


def _are_by_model(rows: list[tuple[int, dict[str, Any]]]) -> bool:
    """Whether all stands in one object, by the names of the models."""
    return len(rows) == 1 and "model" not in rows[0][1]


def _of_row(
    fields: dict[str, Any], place: str, choices: Choices
) -> Iterable[tuple[tuple[str, str], dict[str, _Number]]]:
    """What one row has of each model and measure."""
    holder = next((name for name in OF_MEASURES if fields.get(name)), "")
    model = str(fields.get("model") or "").strip()
    if not model:
        yield from _of_models(fields, place)
        return
    cells = {name: cell for name, cell in fields.items() if name and name not in ("model", *OF_MEASURES)}
    if holder:
        yield (model, str(fields[holder]).strip()), _statistics(cells, place)
        return
    if alone := next((name for name in cells if _statistic(name) == "mean"), ""):
        yield (model, alone), _statistics(cells, place)
    every = {name: number for name, number in _statistics(cells, place).items() if name != "mean"}
    for measure, some in _by_measure(cells, choices).items():
        yield (model, measure), every | _statistics(some, place, measure)


def _of_models(fields: dict[str, Any], place: str) -> Iterable[tuple[tuple[str, str], dict[str, _Number]]]:
    """Of one object with an object for each model, whose name may have dots, or with numbers called MODEL.MEASURE."""
    for name, cell in fields.items():
        if isinstance(cell, dict) and name in HOLDERS:
            yield from _of_models(cell, place)
        elif isinstance(cell, dict):
            for cells in unnested(cell, place):
                yield from _of_paths(name, cells, place)
        else:
            model, _, path = name.partition(".")
            yield from _of_paths(model, {path: cell} if path else {}, place)


def _of_paths(model: str, cells: dict[str, Any], place: str) -> Iterable[tuple[tuple[str, str], dict[str, _Number]]]:
    """Of one model: MEASURE, or MEASURE.mean."""
    for path, cell in cells.items():
        measure, _, last = path.rpartition(".")
        if measure and _statistic(last):
            yield (model, measure), _statistics({last: cell}, place, measure)
        else:
            yield (model, path), _statistics({"mean": cell}, place)


def _statistic(word: str) -> str:
    return next((name for name, words in STATISTICS.items() if word.casefold() in words), "")


def _statistics(cells: dict[str, Any], place: str, measure: str = "") -> dict[str, _Number]:
    """The statistics among the cells that are called as one; of a wide table those of one measure."""
    found = {}
    for name, cell in cells.items():
        if (statistic := _statistic(name)) and (read := _read(cell, f"{place}: {name}")):
            is_open = name.casefold() in RATES and not read.is_rate
            found[statistic] = read._replace(rates=f"{measure} {name}".strip()) if is_open else read
    return found


def _by_measure(cells: dict[str, Any], choices: Choices) -> dict[str, dict[str, Any]]:
    """The cells of each measure of a wide row, each under the name of its statistic."""
    found: dict[str, dict[str, Any]] = {}
    for name, cell in cells.items():
        words = re.split(r"[_. ]", name)
        last = words[-1] if len(words) > 1 and _statistic(words[-1]) else ""
        measure = name[: -len(last) - 1] if last else name
        if not _statistic(name) and (not choices.measures or measure in choices.measures):
            found.setdefault(measure, {})[last or "mean"] = cell
    return {measure: some for measure, some in found.items() if "mean" in map(_statistic, some)}


def _read(cell: Any, place: str) -> _Number | None:
    """A number, a percentage or a count; None for an empty cell, UserError for anything else."""
    text = str(cell if cell is not None else "").strip()
    if text.casefold() in MISSING:
        return None
    if (value := number(cell)) is not None:
        return _Number(value)
    if percent := PERCENT.fullmatch(text):
        return _Number(float(percent[1]) / 100, is_rate=True)
    if (count := COUNT.fullmatch(text)) and 0 < int(count[2]) >= int(count[1]):
        return _Number(int(count[1]) / int(count[2]), int(count[2]), is_rate=True)
    raise UserError(
        f"{place} has {excerpt(text)}, which is no number; write 61.5, 24 % or 12 of 50, and an SD in a column"
    )


def _with_shares(found: Found, file: Path) -> Found:
    """The same with what stands in columns of rates as shares from 0 to 1."""
    columns: dict[str, list[float]] = defaultdict(list)
    for each in (each for some in found.values() for each in some.values() if each.rates):
        columns[each.rates].append(each.value)
    of_one = {column: _of_one(column, values, file) for column, values in columns.items()}
    return {
        key: {
            name: each._replace(value=each.value / of_one[each.rates], is_rate=True) if each.rates else each
            for name, each in some.items()
        }
        for key, some in found.items()
    }


def _of_one(column: str, values: list[float], file: Path) -> int:
    """How much of a column's unit is all answers, 1 or 100; one number alone would not say it: 0.4 may be 0.4 %."""
    are_percent = column.split()[-1].casefold() in PERCENTAGES
    low, high = min((value for value in values if value), default=0.0), max(values)
    if not are_percent and low <= 1 < high:
        raise UserError(
            f"{file}: {column} has {low:g} and {high:g}, which are shares or percentages; call the column percent "
            f"(--columns NAME=COLUMN), or write {low:g} % and {high:g} %"
        )
    return 100 if are_percent or high > 1 else 1


def _aggregate(key: tuple[str, str], some: dict[str, _Number], file: Path) -> Aggregate:
    model, measure = key
    mean, given = some["mean"], some["n"].value if "n" in some else some["mean"].n
    if given is not None and (given < 1 or given != int(given)):
        raise UserError(f"{file}: n of {model}, {measure} is {given:g}, which is no number of answers; mend it")
    n = None if given is None else int(given)
    sd = some["sd"].value if "sd" in some else some["se"].value * math.sqrt(n) if "se" in some and n else None
    if sd is not None and sd < 0:
        raise UserError(f"{file}: the SD of {model}, {measure} is {sd:g}, and none is below 0; mend it")
    if mean.is_rate and not 0 <= mean.value <= 1:
        raise UserError(f"{file}: {measure} of {model} is {mean.value:.4g}, which is no rate; mend it, or call it mean")
    return Aggregate(model=model, measure=measure, mean=mean.value, n=n, sd=sd, is_rate=mean.is_rate)


def _base(models: list[str], choices: Choices, file: Path) -> str:
    if choices.base and choices.base not in models:
        raise UserError(f"--base: {file} has no model {choices.base!r}; there is {', '.join(models)}")
    known = choices.base or next((model for model in models if WORDS.get(model.casefold()) == "baseline"), "")
    if not known:
        raise UserError(
            f"{file}: which of {', '.join(models[:SHOWN])} is the base model cannot be known; name it with --base"
        )
    return known
