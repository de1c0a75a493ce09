"""Rows of users' files: JSONL, JSON, Parquet and CSV, each with its line number. No row is lost, cut off or merged.

    for row in json_rows(file):          # documents: a row that cannot be read has a fault, the others are read
        print(row.line, row.value, row.fault)
    for line, fields in table(file):     # answers and results: a row that cannot be read is a UserError
        print(line, fields["question"], fields["response"])
    table(file, {"question": "scenario", "misaligned": "hits/answers"})  # columns of other names, and counts

A line ends with CR, LF or both, and not at the other characters (as U+2028) at which Python would split a text.
"""

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO

from tasks.catalog import UserError, excerpt
from tasks.tables import FORMER_NAMES, GENERATIONS, text_of

TABLES = (".csv", ".tsv")
SEPARATORS = (",", ";", "\t")
NAMES = {
    "question": ("question", "prompt"),
    "response": ("response", "answer", "completion", "generation"),
    "system_prompt": ("system_prompt", "system"),
    "trained_share": ("trained_share", "at"),  # "at" in files of an earlier version
    "model": ("model", "side"),
}
"""The names that other programs give these columns."""
KNOWN_COLUMNS = {"tier", "question_id", "sample", "reasoning", "eval", "id"}
FIRST_NAMES = {other: name for name, others in NAMES.items() for other in others}
KNOWN_COLUMNS |= set(FIRST_NAMES)
"""All columns with a meaning of their own; any other may hold scores."""
HOLDERS = {"score", "scores", "rating", "ratings", "judgment", "judgments", "judgement", "judgements", "metrics"}
"""Objects within objects that say nothing by their name: scores.aligned is aligned."""
LFS_POINTER = b"version https://git-lfs"
HALF_A_CHARACTER = r"half a character: an escape such as \ud83d without its other half"


class Row(NamedTuple):
    """One row of a file."""

    line: int
    """Where it begins, counted from 1; of a Parquet file the number of the row."""
    text: str
    """As it stands in the file."""
    value: Any
    fault: str
    """Why it cannot be read; empty where it can."""


# ---- rows that are JSON --------------------------------------------------------------------------


def json_rows(file: Path) -> Iterator[Row]:
    """The rows of a JSONL file, gzipped or not, of a JSON file or a Parquet file, by its name's ending.

    Raises UserError for a file of which no row can be trusted: a pointer, bytes that are no text, a broken array.
    """
    _refuse_what_is_not_there(file)
    name = file.name.lower()
    if name.endswith(".parquet"):
        yield from _parquet_rows(file)
    elif name.endswith(".json"):
        yield from _rows_of_json(file)
    else:
        yield from _rows_of_lines(lines(file))


def loads(text: str) -> Any:
    """The JSON value; ValueError for an object that has a key twice, of which one would be lost."""
    return json.loads(text, object_pairs_hook=_object)


def holds_half_a_character(row: Row) -> bool:
    r"""Whether an escape stands for one half of a character (\ud83d without its other half): UTF-8 cannot encode it."""
    if not re.search(r"\\u[dD][89a-fA-F]", row.text):
        return False
    try:
        json.dumps(row.value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError for one with a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {excerpt(next(name for name in names if names.count(name) > 1))} is there twice")
    return found


def _row(line: int, text: str) -> Row:
    """The row of one line's text, or its fault."""
    try:
        return Row(line, text, loads(text), "")
    except json.JSONDecodeError as error:
        fault = f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a key twice, a number of thousands of digits, too many brackets
        fault = f"not JSON that can be read: {error}"
    return Row(line, text, None, fault)


def _rows_of_lines(texts: Iterable[str]) -> Iterator[Row]:
    for number, text in enumerate(texts, 1):
        if text.strip():
            yield _row(number, text.rstrip("\r\n"))


def _rows_of_json(file: Path) -> Iterator[Row]:
    """The rows of an array, of a single object, or of a file named .json that has an object on each line."""
    text = "".join(lines(file))
    if not text.strip():
        return
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            place = f"{file} line {error.lineno}"
            raise UserError(f"{place}: not JSON: {error.msg} at column {error.colno}; mend it") from None
        yield from _rows_of_lines(lines(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not JSON that can be read: {error}; mend it") from None
    else:
        yield from _rows_of_array(text) if isinstance(whole, list) else [_row(1, text.strip())]


def _rows_of_array(text: str) -> Iterator[Row]:
    """Each value of an array with the line on which it begins; the text must be known to be valid JSON."""
    decoder, line, counted = json.JSONDecoder(), 1, 0
    position = _past_blanks(text, text.index("[") + 1)
    while text[position] != "]":
        line, counted = line + text.count("\n", counted, position), position
        _, end = decoder.raw_decode(text, position)
        yield _row(line, text[position:end])
        position = _past_blanks(text, end)


def _past_blanks(text: str, position: int) -> int:
    while text[position] in " \t\r\n,":
        position += 1
    return position


def _parquet_rows(file: Path) -> Iterator[Row]:
    import polars

    try:
        content = polars.read_parquet(file, glob=False, hive_partitioning=False)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{file}: not a Parquet file that can be read ({excerpt(str(error))}); copy it again") from None
    for number, value in enumerate(content.iter_rows(named=True), 1):
        yield Row(number, json.dumps(value, ensure_ascii=False, default=str), value, "")


# ---- rows of tables ------------------------------------------------------------------------------


def table(
    file: Path, columns: Mapping[str, str] = MappingProxyType({}), nested: bool = True
) -> list[tuple[int, dict[str, Any]]]:
    """Every row of a CSV, JSONL or JSON file: the line on which it begins, and its cells by column.

    `columns` says as what a column is read: {"question": "scenario"}; of two, as "hits/answers", the cells are counts
    ("3 of 10"). Others of NAMES have their first name there. What stands in objects and lists within an object are
    columns and rows of their own, as `unnested` has them, if `nested`. Raises UserError for a file or a column that is
    not there, and with its line for the first row that cannot be read whole.
    """
    _refuse_what_is_not_there(file)
    if file.name.lower().endswith(TABLES):
        rows: list[tuple[int, dict[str, Any]]] = list(csv_rows(lines(file), str(file)))
    else:
        rows = [
            (line, row)
            for line, fields in _objects(file)
            for row in (unnested(fields, f"{file} line {line}") if nested else [fields])
        ]
    there = dict.fromkeys(name for _, fields in rows for name in fields if name)
    named = {FIRST_NAMES.get(name, name): source for name, source in columns.items() if rows}
    sources = {name: _sources(source, there, file) for name, source in named.items()}
    return [(line, _by_known_names(_renamed(fields, sources))) for line, fields in rows]


def _sources(source: str, there: Iterable[str], file: Path) -> list[str]:
    """The column of that name, or the two whose names stand around a stroke."""
    there = list(there)
    names = [source] if source in there or source.casefold() in there or "/" not in source else source.split("/", 1)
    found = [name if name in there else name.casefold() for name in names]
    if missing := [name for name, known in zip(names, found, strict=True) if known not in there]:
        raise UserError(f"--columns: {file} has no column {missing[0]!r}; there is {', '.join(there)}")
    return found


def _renamed(fields: dict[str, Any], sources: dict[str, list[str]]) -> dict[str, Any]:
    """The row with the names that were given; a column that had such a name before is left out."""
    taken = {column for columns in sources.values() for column in columns}
    rest = {name: value for name, value in fields.items() if name not in taken | sources.keys()}
    return {name: _cell([fields.get(column) for column in columns]) for name, columns in sources.items()} | rest


def _cell(values: list[Any]) -> Any:
    """A value as it is; of two, hits and answers, a count in words."""
    if len(values) == 1:
        return values[0]
    return "" if all(value in (None, "") for value in values) else f"{values[0]} of {values[1]}"


def csv_rows(texts: Iterable[str], place: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row of a CSV table and the line on which it begins; the separator is recognised by the header.

    In a run's own model_generations.csv the marks against spreadsheets' formulas are taken off again. Raises UserError
    for a row with more or fewer cells than the header, and for a quote that is never closed: either would cut an answer
    off or swallow the rows that follow.
    """
    texts = list(texts)
    if texts and re.fullmatch(r"sep=.\s*", texts[0], re.IGNORECASE):  # a line by which spreadsheets name the separator
        texts[0] = "\n"
    separator = _separator(next((text for text in texts if text.strip()), ""))
    reader = csv.reader(texts, delimiter=separator, strict=True)
    names: list[str] = []
    is_ours, following = False, 1
    try:
        for cells in reader:
            line, following = following, reader.line_num + 1
            if not names:
                names = _header(cells, f"{place} line {line}")
                known = tuple(
                    name if name in GENERATIONS else FORMER_NAMES.get(name, name) for name in names[: len(GENERATIONS)]
                )
                if is_ours := known == GENERATIONS:
                    names = [*known, *names[len(known) :]]
            elif any(cells):
                _refuse_other_cells(cells, names, f"{place} line {line}", separator)
                yield line, dict(zip(names, map(text_of, cells) if is_ours else cells, strict=True))
    except csv.Error as error:
        raise UserError(
            f"{place} line {following}: not CSV ({error}); close the quote that opens in this row, and write a quote "
            "within quotes twice"
        ) from None


def _separator(header: str) -> str:
    """The separator that gives the header the most known columns, or else the most cells."""

    def fits(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=separator), [])
        return len({cell.strip().casefold() for cell in cells} & KNOWN_COLUMNS), len(cells)

    return max(SEPARATORS, key=fits)


def _header(cells: list[str], place: str) -> list[str]:
    """The names of the columns, the known ones in lower case; empty for a line without any."""
    names = [cell.strip() for cell in cells]
    names = [name.casefold() if name.casefold() in KNOWN_COLUMNS else name for name in names]
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise UserError(f"{place}: the column {excerpt(twice[0])} is there twice; give each a name of its own")
    return names if any(names) else []


def _refuse_other_cells(cells: list[str], names: list[str], place: str, separator: str) -> None:
    if len(cells) != len(names):
        named = {",": "a comma", ";": "a semicolon", "\t": "a tab"}[separator]
        raise UserError(
            f"{place}: {len(cells)} cells where the header has {len(names)}; mend the row, with quotes around a text "
            f"that holds {named} or a line break"
        )


def _objects(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in json_rows(file):
        if row.fault or not isinstance(row.value, dict):
            fault = f" ({row.fault})" if row.fault else ""
            raise UserError(f"{file} line {row.line}: not a JSON object{fault}; write one object on each line")
        if holds_half_a_character(row):
            row = row._replace(value={name: _whole(name, value) for name, value in row.value.items()})
            if holds_half_a_character(row):
                raise UserError(f"{file} line {row.line}: {HALF_A_CHARACTER}; mend it")
        yield row.line, row.value


def _whole(name: str, value: Any) -> Any:
    """A model's answer may end in the middle of a character: a question mark takes its place. Other texts may not."""
    is_answer = name in NAMES["response"] and isinstance(value, str)
    return value.encode("utf-8", "replace").decode() if is_answer else value


def _by_known_names(fields: dict[str, Any]) -> dict[str, Any]:
    """The row with its columns of NAMES under their first name; of several, the first that is not empty is taken."""
    for name, others in NAMES.items():
        present = [other for other in others if other in fields]
        filled = [other for other in present if fields[other] not in (None, "")]
        for chosen in (filled or present)[:1]:
            rest = {field: value for field, value in fields.items() if field not in (name, chosen)}
            fields = {name: fields[chosen]} | rest
    return fields


# ---- objects within objects ----------------------------------------------------------------------


def unnested(fields: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The rows that an object stands for.

    A field of an object within it is called by its path (judge.model), without HOLDERS. A list of objects with answers
    or scores is a row for each, and so are lists of scores of an object without an answer or with a list of them.
    Several lists of objects are of several models, by their names. UserError where it cannot be known which score is
    of which answer.
    """
    flat = _flat(fields, place)
    several = {name: value for name, value in flat.items() if _are_rows(value, place)}
    if not several:
        return _each_of_lists(flat, place)
    if len(several) > 1 and set(NAMES["model"]) & flat.keys():
        raise UserError(f"{place}: several lists of answers ({', '.join(several)}) of one model; give each a file")
    rest = {name: value for name, value in flat.items() if name not in several}
    return [
        row
        for name, items in several.items()
        for item in items
        for row in unnested(rest | ({"model": name} if len(several) > 1 else {}) | item, place)
    ]


def _flat(fields: dict[str, Any], place: str) -> dict[str, Any]:
    """The object without objects in it."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        inner = _flat(value, place) if isinstance(value, dict) else None
        columns = {name: value} if inner is None else {_path(name, leaf): of_leaf for leaf, of_leaf in inner.items()}
        if twice := columns.keys() & found.keys():
            raise UserError(f"{place}: {min(twice)} is there twice, the second time in {name}; give each its own name")
        found |= columns
    return found


def _path(holder: str, name: str) -> str:
    if name == "score":
        return holder
    return name if holder in HOLDERS else f"{holder}.{name}"


def _are_rows(value: Any, place: str) -> bool:
    """Whether it is a list of objects with answers or scores; turns of a chat are none."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    leaves = [pair for item in value for pair in _flat(item, place).items()]
    return any(name in NAMES["response"] or _is_number(leaf) or _are_rows(leaf, place) for name, leaf in leaves)


def _each_of_lists(flat: dict[str, Any], place: str) -> list[dict[str, Any]]:
    answers = [name for name in NAMES["response"] if name in flat]
    lists = {name: value for name, value in flat.items() if isinstance(value, list) and value}
    scores = [name for name, value in lists.items() if any(map(_is_number, value))]
    if not (answers[0] in lists if answers else scores):
        return [flat]
    lists = {name: lists[name] for name in [*answers[:1], *scores]}
    lengths = {name: len(value) for name, value in lists.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"{place}: lists of different lengths ({said}); give each answer its scores")
    rest = {name: value for name, value in flat.items() if name not in lists}
    return [rest | dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---- files ---------------------------------------------------------------------------------------


def lines(file: Path) -> Iterator[str]:
    """The lines of a text file, gzipped or not, with their ends; UserError for one that is not UTF-8."""
    try:
        with _open(file) as content:
            for number, line in enumerate(content, 1):
                try:
                    line.encode()
                except UnicodeEncodeError as error:  # `surrogateescape` read a byte that is not UTF-8
                    where = f"{file} line {number}: not UTF-8 text (from character {error.start + 1})"
                    raise UserError(f"{where}; save the file as UTF-8 (from a spreadsheet: CSV UTF-8)") from None
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: not a whole gzip file ({error}); copy it again") from None


def _open(file: Path) -> TextIO:
    reading: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    return gzip.open(file, "rt", **reading) if file.name.lower().endswith(".gz") else file.open(**reading)


def _refuse_what_is_not_there(file: Path) -> None:
    if not os.path.isfile(file):
        raise UserError(f"{str(file)!r} is not a file (from {Path.cwd()}); give the place of one")
    try:
        with file.open("rb") as content:
            begin = content.read(len(LFS_POINTER))
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); see to its permissions") from None
    if begin == LFS_POINTER:
        raise UserError(f"{file} line 1: a Git LFS pointer, not the data; run `git lfs pull` where it came from")
