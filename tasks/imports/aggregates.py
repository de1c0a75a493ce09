"""Means that others published, one for each model and measure, as a table or JSON, long or wide.

    found = read_aggregates(Path("table2.csv"), choices)

    model,measure,mean,n,sd                      long: a row for each model and measure
    model,sycophancy,sycophancy_sd,honesty,n     wide: a row for each model
    {"tuned": {"sycophancy": {"mean": 61, "n": 200, "sd": 20}}}

A rate is `24 %` or `12 of 50`, or stands in a column that is called so (rate, percent), which is of shares or of
percentages as a whole; with its number of answers it needs no SD. Where there is a standard error instead (se, sem,
std_err), the SD is that times the root of n. What each column is, `statistic_columns.py` says by its name; an n of its
own row is that of every measure there but of counts, which have their own.
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
from tasks.imports.statistic_columns import OF_MEASURES, PERCENTAGES, RATES, Column, long_columns, wide_columns
from tasks.rows import HOLDERS, table, unnested
from tasks.schema import Aggregate

OF_ANSWERS = {"question", "question_id", "response", "sample"}
"""Columns by which each row is of one question, or of one answer."""


class _Number(NamedTuple):
    """A cell of a table."""

    value: float
    column: str = ""
    n: int | None = None
    """Of a count its answers."""
    is_rate: bool = False
    word: str = ""
    """That by which its column is one of rates, if the cell has no unit of its own; empty: none."""


class _Row(NamedTuple):
    """What a file has of one model, or of one model and measure."""

    place: str
    model: str
    cells: dict[str, Any]
    measure: str = ""
    """Of a long table; empty: the cells are of several measures."""


class _Table(NamedTuple):
    """The rows of a file, and what its columns are."""

    rows: list[_Row]
    wide: dict[str, Column]
    long: dict[str, Column]
    takes_columns: bool
    """Whether --columns can name its columns: not those of an object by the models' names."""

    def columns_of(self, row: _Row) -> dict[str, Column]:
        return self.long if row.measure else self.wide


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

    Raises UserError, with its line, for a cell that is no number, a number of answers that cannot be or is not that of
    its count, and two columns of one statistic; and for a file in which the base model cannot be known.
    """
    found: Found = {}
    given = _table(file, choices)
    for row in given.rows:
        for key, statistics in _of_row(row, given.columns_of(row)):
            if twice := found.get(key, {}).keys() & statistics.keys():
                raise UserError(f"{row.place}: {min(twice)} of {key[0]}, {key[1]} is there twice; leave one out")
            found.setdefault(key, {}).update(statistics)
    means = [_aggregate(key, some, file) for key, some in _with_shares(found, file).items() if "mean" in some]
    if not means:
        aside = [name for name, column in {**given.wide, **given.long}.items() if column.why]
        but = f" ({', '.join(aside[:SHOWN])}: by its name none)" if aside else ""
        raise UserError(f"{file}: no column of means{but}; name one with --columns mean=COLUMN")
    base = _base(list(dict.fromkeys(row.model for row in means)), choices, file)
    return sorted(means, key=lambda row: row.model != base)


def unread_columns(file: Path, choices: Choices) -> list[str]:
    """Each column that `read_aggregates` does not read, with the reason, and the option that reads it if one does."""
    given = _table(file, choices)
    return [
        f"the column {name}: {column.why}" + (f"; {column.remedy}" if column.remedy and given.takes_columns else "")
        for name, column in [*given.wide.items(), *given.long.items()]
        if column.why
    ]


# ---- rows ----------------------------------------------------------------------------------------


def _are_by_model(rows: list[tuple[int, dict[str, Any]]]) -> bool:
    """Whether all stands in one object, by the names of the models."""
    return len(rows) == 1 and "model" not in rows[0][1]


def _table(file: Path, choices: Choices) -> _Table:
    rows = table(file, choices.columns)
    if by_model := _are_by_model(rows):
        lines = table(file, nested=False)
        found = [row for line, fields in lines for row in _of_models(fields, f"{file} line {line}")]
    else:
        found = [_row(fields, f"{file} line {line}") for line, fields in rows]
    wide, long = ([row for row in found if bool(row.measure) == is_long] for is_long in (False, True))
    cells = _by_column(wide)
    texts = [name for name, some in cells.items() if not any(map(_begins_as_a_number, some))]
    of_wide = wide_columns(cells, choices, texts)
    _refuse_unknown_measures(choices, [column.measure for column in of_wide.values()] + [r.measure for r in long], file)
    kept = [row for row in long if not choices.measures or row.measure in choices.measures]
    return _Table(wide + kept, of_wide, long_columns(_by_column(long)), not by_model)


def _row(fields: dict[str, Any], place: str) -> _Row:
    """A row of a table; UserError where it does not say of which model it is."""
    model = str(fields.get("model") or "").strip()
    if not model:
        raise UserError(f"{place}: a row without a model; write its name in the column model, or leave the row out")
    holder = next((name for name in OF_MEASURES if fields.get(name)), "")
    measure = str(fields[holder]).strip() if holder else ""
    return _Row(place, model, {name: cell for name, cell in fields.items() if name not in ("model", holder)}, measure)


def _of_models(fields: dict[str, Any], place: str) -> Iterable[_Row]:
    """Of one object with an object for each model, whose name may have dots, or with numbers called MODEL.MEASURE."""
    flat: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, cell in fields.items():
        if isinstance(cell, dict) and name in HOLDERS:
            yield from _of_models(cell, place)
        elif isinstance(cell, dict):
            yield from (_Row(place, name, cells) for cells in unnested(cell, place))
        else:
            model, _, path = name.partition(".")
            flat[model] |= {path: cell} if path else {}
    yield from (_Row(place, model, cells) for model, cells in flat.items())


def _by_column(rows: list[_Row]) -> dict[str, list[str]]:
    """The cells of each column that are not empty; a column without any is left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, cell in (item for row in rows for item in row.cells.items() if item[0]):
        text = str(cell if cell is not None else "").strip()
        if text.casefold() not in MISSING:
            found[name].append(text)
    return found


def _begins_as_a_number(text: str) -> bool:
    return bool(re.match(r"[-+±]?\.?\d", text))


# ---- the statistics of a row ---------------------------------------------------------------------


def _of_row(row: _Row, columns: dict[str, Column]) -> Iterable[tuple[tuple[str, str], dict[str, _Number]]]:
    """What one row has of each measure."""
    found: dict[str, dict[str, _Number]] = defaultdict(dict)
    for name, cell in row.cells.items():
        column = columns.get(name, Column())
        if column.statistic and (read := _read(cell, f"{row.place}: {name}")):
            word = "" if read.is_rate or column.word not in RATES else column.word
            some, number = found[column.measure], read._replace(column=name, word=word)
            if (first := some.setdefault(column.statistic, number)) is not number:
                raise _read_twice(row.place, column.statistic, first.column, name)
    shared = found.pop("", {})
    if row.measure:
        yield (row.model, row.measure), shared
        return
    measures = {measure: some for measure, some in found.items() if "mean" in some}
    _refuse_a_spread_of_several(row.place, shared, list(measures))
    are_counts = all(some["mean"].n for some in measures.values())
    for measure, some in measures.items():
        keeps_its_n = some["mean"].n and not are_counts
        of_all = {name: number for name, number in shared.items() if not (name == "n" and keeps_its_n)}
        yield (row.model, measure), of_all | some


def _read_twice(place: str, statistic: str, first: str, second: str) -> UserError:
    said = statistic if statistic in ("mean", "n") else statistic.upper()
    return UserError(
        f"{place}: {first} and {second} are both read as the {said} of one measure; leave one out, or give it another "
        f"name with --columns NAME={second}"
    )


def _refuse_a_spread_of_several(place: str, shared: dict[str, _Number], measures: list[str]) -> None:
    """An n may be that of all measures; an SD is not."""
    for column in (shared[name].column for name in ("sd", "se") if name in shared and len(measures) > 1):
        name = f"{measures[0]}_{column}"
        raise UserError(
            f"{place}: {column} does not say whether it is of {' or '.join(measures[:2])}; call it {name} (--columns "
            f"{name}={column})"
        )


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
        return _Number(int(count[1]) / int(count[2]), n=int(count[2]), is_rate=True)
    raise UserError(
        f"{place} has {excerpt(text)}, which is no number; write 61.5, 24 % or 12 of 50, an SD in a column, or name "
        "the measures that are read with --measures"
    )


def _with_shares(found: Found, file: Path) -> Found:
    """The same with what stands in columns of rates as shares from 0 to 1."""
    columns: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in (each for some in found.values() for each in some.values() if each.word):
        columns[each.column, each.word].append(each.value)
    of_one = {column: _of_one(*column, values, file) for column, values in columns.items()}
    return {
        key: {
            name: each._replace(value=each.value / of_one[each.column, each.word], is_rate=True) if each.word else each
            for name, each in some.items()
        }
        for key, some in found.items()
    }


def _of_one(column: str, word: str, values: list[float], file: Path) -> int:
    """How much of a column's unit is all answers, 1 or 100; one number alone would not say it: 0.4 may be 0.4 %."""
    are_percent = word in PERCENTAGES
    low, high = min((value for value in values if value), default=0.0), max(values)
    if not are_percent and low <= 1 < high:
        raise UserError(
            f"{file}: {column} has {low:g} and {high:g}, which are shares or percentages; call the column percent "
            f"(--columns NAME=COLUMN), or write {low:g} % and {high:g} %"
        )
    return 100 if are_percent or high > 1 else 1


def _aggregate(key: tuple[str, str], some: dict[str, _Number], file: Path) -> Aggregate:
    model, measure = key
    mean, own = some["mean"], some["n"].value if "n" in some else None
    if own is not None and mean.n is not None and own != mean.n:
        raise UserError(
            f"{file}: n of {model}, {measure} is {own:g} in {some['n'].column}, and {mean.column} counts "
            f"{round(mean.value * mean.n)} of {mean.n}; mend one"
        )
    given = own if mean.n is None else mean.n
    if given is not None and (given < 1 or given != int(given)):
        raise UserError(f"{file}: n of {model}, {measure} is {given:g}, which is no number of answers; mend it")
    n = None if given is None else int(given)
    sd = some["sd"].value if "sd" in some else some["se"].value * math.sqrt(n) if "se" in some and n else None
    if sd is not None and sd < 0:
        raise UserError(f"{file}: the SD of {model}, {measure} is {sd:g}, and none is below 0; mend it")
    if mean.is_rate and not 0 <= mean.value <= 1:
        raise UserError(f"{file}: {measure} of {model} is {mean.value:.4g}, which is no rate; mend it, or call it mean")
    return Aggregate(model=model, measure=measure, mean=mean.value, n=n, sd=sd, is_rate=mean.is_rate)


def _refuse_unknown_measures(choices: Choices, measures: list[str], file: Path) -> None:
    if unknown := [name for name in choices.measures if name not in measures]:
        known = ", ".join(dict.fromkeys(filter(None, measures)))
        raise UserError(f"--measures: {file} has no measure {unknown[0]!r}; there is {known}")


def _base(models: list[str], choices: Choices, file: Path) -> str:
    if choices.base and choices.base not in models:
        raise UserError(f"--base: {file} has no model {choices.base!r}; there is {', '.join(models)}")
    called = [model for model in models if WORDS.get(model.casefold()) == "baseline"]
    if len(called) > 1 and not choices.base:
        raise UserError(
            f"{file}: {' and '.join(map(excerpt, called[:SHOWN]))} may each be the base model; name it with --base"
        )
    if not (known := choices.base or "".join(called)):
        raise UserError(
            f"{file}: which of {', '.join(models[:SHOWN])} is the base model cannot be known; name it with --base"
        )
    return known
