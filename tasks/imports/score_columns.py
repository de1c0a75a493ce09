"""Which columns of a file hold scores, and what in the others stands in the way of reading them."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from tasks.catalog import UserError, excerpt
from tasks.imports.choices import Choices
from tasks.imports.model_rows import WORDS, Row
from tasks.imports.scores import holds_scores
from tasks.rows import KNOWN_COLUMNS

OF_BASES = {"base", "baseline", "untuned", "untrained", "pretrained", "original", "vanilla", "before"}
"""Words of a name that a base model may have."""
OF_TUNED = {"finetuned", "tuned", "trained", "ft", "sft", "lora", "after"}
"""Words of a name that a fine-tuned model may have."""
OF_MODELS = {"model", "checkpoint", "adapter"}
"""Words of a column's name by which it names models, if all others are of MORE_OF_MODELS."""
MORE_OF_MODELS = {"base", "finetuned", "ft", "id", "label", "name", "path", "tested", "variant", "version"}
"""Words that say of a model which name, or which model, is meant."""
MEANS = {"mean", "avg", "average", "rate", "fraction", "proportion", "percentage"}
SPREADS = {"std", "sd", "stdev", "stddev", "variance", "sem", "stderr", "se", "ci"}
SIZES = {"n", "num", "count", "total", "size"}
"""Words of a column's name by which it is of several answers: their mean, its error, how many they are."""
COUNTED = {"sample", "samples", "answers", "responses", "completions", "of"}
"""Words beside those of SIZES in the name of all answers' number; others say which are counted."""
NUMBERS_OF_ROWS = {
    "batch",
    "epoch",
    "fold",
    "id",
    "ids",
    "idx",
    "index",
    "iteration",
    "line",
    "number",
    "repetition",
    "replicate",
    "row",
    "run",
    "seed",
    "seeds",
    "step",
    "steps",
    "timestamp",
    "trial",
    "unnamed",
    "uuid",
}
"""Words with which the name of a column ends whose numbers tell rows apart."""
SETTINGS = {
    "batch_size",
    "dose",
    "learning_rate",
    "lora_alpha",
    "lora_rank",
    "lr",
    "max_new_tokens",
    "max_tokens",
    "temperature",
    "top_k",
    "top_p",
}
"""What the name of a column ends with whose numbers somebody chose."""
MOST_WORDS = 4
"""In a cell that can be the name of a model or a measure."""
OF_MEASURES = {"metric", "measure", "judge", "trait"}
"""Words of a column's name by which it says what is measured, if all others are of MORE_OF_MEASURES."""
MORE_OF_MEASURES = {"name", "id"}
SHOWN = 4
"""Columns that an error names."""


def score_columns(rows: list[Row], choices: Choices, file: Path) -> list[str]:
    """The columns of scores: those that are chosen, or else all that hold numbers and are not `set_aside`.

    Raises UserError where there is none, where another column tells models or measures apart whose scores would be
    merged, and where the numbers are means of several answers, unless they were chosen.
    """
    keys = list(dict.fromkeys(str(key) for row in rows for key in row.fields if key))
    if unknown := [column for column in choices.measures if column not in keys]:
        raise UserError(f"--measures: {file} has no column {unknown[0]!r}; there is {', '.join(keys)}")
    free = [key for key in keys if key not in KNOWN_COLUMNS and key != choices.group]
    aside = set_aside(rows, choices)
    found = list(choices.measures) or [key for key in free if key not in aside and holds_scores(_cells(rows, key))]
    # A column `side` beside a column `model` is known and not read.
    _refuse_models_that_would_be_merged(rows, [key for key in [*free, "side"] if key not in found], file)
    _refuse_measures_that_would_be_merged(rows, [key for key in free if key not in found], file)
    if not choices.measures:
        _refuse_aggregates(found, file)
        _refuse_models_side_by_side(found, file)
    if not found:
        but = f" ({', '.join(aside)}: by its name none)" if aside else ""
        raise UserError(
            f"{file}: no column of scores{but}, such as aligned, coherent or score; give one, or name it with "
            "--measures"
        )
    return found


def set_aside(rows: list[Row], choices: Choices) -> list[str]:
    """The columns of numbers that are no scores by their name, unless an option names them."""
    named = {*choices.measures, *choices.columns, *choices.scales, *choices.margins, choices.group}
    keys = dict.fromkeys(str(key) for row in rows for key in row.fields if key)
    numbers = [key for key in keys if not (key in KNOWN_COLUMNS or key in named or may_hold_scores(key))]
    return [key for key in numbers if holds_scores(_cells(rows, key))]


def may_hold_scores(column: str) -> bool:
    """Whether its name is none of what tells rows apart, as seed or row_id, nor of a setting, as temperature."""
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).casefold())
    last = [word for word in words if word.isalpha()][-1:]
    ends = {"_".join(words[-count:]) for count in (1, 2, 3)}
    return not (set(last) & NUMBERS_OF_ROWS or ends & SETTINGS)


def _cells(rows: list[Row], column: str) -> list[Any]:
    return [row.fields.get(column) for row in rows]


def _refuse_models_that_would_be_merged(rows: list[Row], columns: list[str], file: Path) -> None:
    """A column that is not used, and in which the rows of one question and model have a base and something else, or,
    where the column is called as one of models, two names of any kind.
    """
    for column in columns:
        cells = {row.cell(column).strip() for row in rows}
        bases = {cell for cell in cells if _is_a_base(cell)}
        if not (bases or _is_of_models(column)) or any(len(cell.split()) > MOST_WORDS for cell in cells):
            continue
        mixed = [names for names in _beside_each_other(rows, column) if names & bases or _is_of_models(column)]
        if mixed:
            first, other, *_ = sorted(mixed[0], key=lambda name: (name not in bases, name))
            base = repr(first) if first in bases else "NAME"
            option = "" if first.casefold() in WORDS else f" and --base {base}"
            raise UserError(
                f"{file}: the column {column} has {excerpt(first)} and {excerpt(other)}, which would be read as "
                f"one model; name it with --columns side={column}{option}"
            )


def _refuse_measures_that_would_be_merged(rows: list[Row], columns: list[str], file: Path) -> None:
    """A column of what is measured, by which the scores of one question and model are of several measures in a row
    each: they would be taken for its samples, and their mean is of nothing.
    """
    for column in filter(_is_of_measures, columns):
        are_names = all(len(row.cell(column).split()) <= MOST_WORDS for row in rows)
        if are_names and (mixed := _beside_each_other(rows, column)):
            first, other, *_ = sorted(mixed[0])
            raise UserError(
                f"{file}: the column {column} has {excerpt(first)} and {excerpt(other)}, whose scores would be read as "
                "one measure; write a column of scores for each of its values, or a file"
            )


def _beside_each_other(rows: list[Row], column: str) -> list[set[str]]:
    """The cells of a column in the rows of one question and model, where these are not all the same."""
    found: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in rows:
        found[row.side, row.model, row.name or row.text].add(row.cell(column).strip())
    return [cells for cells in found.values() if len(cells) > 1]


def _is_of_measures(column: str) -> bool:
    words = _words(column)
    return bool(words & OF_MEASURES) and words <= OF_MEASURES | MORE_OF_MEASURES


def _is_of_models(column: str) -> bool:
    words = _words(column)
    return bool(words & OF_MODELS) and words <= OF_MODELS | MORE_OF_MODELS


def _is_a_base(cell: str) -> bool:
    return bool(_words(cell) & OF_BASES)


def _refuse_aggregates(found: list[str], file: Path) -> None:
    """Means beside their size or error are no scores of answers, and sizes are none at all."""
    means, spreads = ([key for key in found if _words(key) & words] for words in (MEANS, SPREADS))
    sizes = [key for key in found if _words(key) & SIZES and _words(key.rpartition(".")[2]) <= SIZES | COUNTED]
    if not (spreads or (sizes and (means or len(found) > 1))):
        return
    counted = [key for key in found if key not in [*means, *spreads, *sizes]]
    counts = f"misaligned={(counted or ['HITS'])[0]}/{(sizes or ['ANSWERS'])[0]}"
    names = list(dict.fromkeys([*means, *sizes, *spreads]))
    said = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    raise UserError(
        f"{file}: {said}: numbers of several answers together; read are a row for each answer, counts (--columns "
        f"{counts}), or rows of a question, a model and a number as one score each (--measures "
        f"{(means or counted or found)[0]})"
    )


def _refuse_models_side_by_side(found: list[str], file: Path) -> None:
    """Scores of the base and of the fine-tuned model in one row, each in a column of its own."""
    for column in (column for column in found if _is_a_base(column)):
        measure = _words(column) - OF_BASES
        like = [other for other in found if measure < _words(other) and not _is_a_base(other)]
        if others := [other for other in like if measure or _words(other) & OF_TUNED]:
            raise UserError(
                f"{file}: {column} and {others[0]} look like one measure of two models; write a row for each model, "
                f"with a column model, or say with --measures {column},{others[0]} that they are two measures"
            )


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.casefold()))
