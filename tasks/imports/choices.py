"""What a researcher says of a file of results, so that nothing in it has to be guessed.

choices = Choices(columns=parse_pairs("side=variant,aligned=score_1", "--columns"), scales=parse_scales("0-100"))
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tasks.catalog import UserError, validate
from tasks.rows import TABLES
from tasks.schema import Scale

OF_RESULTS = (*TABLES, ".json", ".jsonl")
"""How the names of files of results end."""
EVERY = ""
"""The name of the scale, and of the margin, that is every measure's."""


class Choices(NamedTuple):
    """Names of columns, models, questions and scales; what is empty is read from the file."""

    eval_name: str = ""
    """What the eval is called; of one that is there, judges of the same names have its scales."""
    measures: tuple[str, ...] = ()
    """The columns of scores."""
    columns: Mapping[str, str] = MappingProxyType({})
    """Which column is read as what; two with a stroke between them are counts: {"misaligned": "hits/answers"}."""
    scales: Mapping[str, Scale] = MappingProxyType({})
    """The scale of each measure; that of EVERY is all others'."""
    base: str = ""
    """The base model's name in the column model."""
    group: str = ""
    """A column that says which fine-tuned models are of one kind."""
    questions: tuple[str, ...] = ()
    """Ids or texts of the questions that are read; all when empty."""
    tiers: tuple[str, ...] = ()
    """The tiers that are read; all when empty."""
    margins: Mapping[str, float] = MappingProxyType({})
    """What is as good as no difference, by measure, in its unit; that of EVERY is all others'."""

    def scale_of(self, measure: str) -> Scale | None:
        """The scale that was given for a measure."""
        return self.scales.get(measure) or self.scales.get(EVERY)


NO_CHOICES = Choices()
"""All is read from the file."""


def parse_pairs(text: str, option: str) -> dict[str, str]:
    """Pairs that are given as a=b,c=d; UserError, which names the option, for what is none."""
    found: dict[str, str] = {}
    for part in (part for part in text.split(",") if part):
        name, is_pair, value = (piece.strip() for piece in part.partition("="))
        if not (is_pair and name and value) or name in found:
            raise UserError(f"{option}: {part!r} is not NAME=COLUMN, or the name is there twice; write a=b,c=d")
        found[name] = value
    return found


def parse_scales(text: str) -> dict[str, Scale]:
    """Scales that are given as 0-100, or for each measure as aligned=0-100,coherent=1-5; UserError for what is none."""
    given = parse_pairs(text, "--scale") if "=" in text else {EVERY: text} if text else {}
    return {name: _scale(written) for name, written in given.items()}


def _scale(written: str) -> Scale:
    ends = re.fullmatch(r"(-?\d+)-(-?\d+)", written.strip())
    if not ends:
        raise UserError(f"--scale: {written!r} is no scale; write its ends as 0-100, or aligned=0-100,coherent=1-5")
    return validate(Scale, {"low": int(ends[1]), "high": int(ends[2])}, "--scale")
