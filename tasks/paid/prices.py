"""What tokens cost, from data/prices.yaml: dated, with their source. A price that is not there is unknown, never 0.

cost = dollars("tinker", "meta-llama/Llama-3.3-70B-Instruct", train=1_200_000)
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, data_folder, read_fields

LETTERS_A_TOKEN = 4
"""Of English, roughly: tokens are estimated so where no tokenizer is within reach."""


class CostRange(NamedTuple):
    """US dollars of a part of a run before it is made; None where a price is unknown."""

    expected: float | None
    most: float | None
    """If every text were as long as it may be."""


def prices(service: str, model: str, address: str = "") -> dict[str, float]:
    """US dollars for a million tokens of each kind that has a known price.

    What runs at an address of one's own has the prices that stand under that address, or else none that are known.
    """
    return _table().get(address or service, {}).get(model, {})


def batch_prices(known: dict[str, float]) -> dict[str, float]:
    """The same for what is asked in batches: batch_input and batch_output, and tokens of a cache at the share of input.

    Without these two nothing is known, but that what is free stays so.
    """
    if known and not any(known.values()):
        return known
    if not {"input", "output", "batch_input", "batch_output"} <= known.keys():
        return {}
    share = known["batch_input"] / known["input"] if known["input"] else 0.0
    cached: dict[str, float] = {kind: share * known[kind] for kind in ("cache_write", "cache_read") if kind in known}
    return {"input": known["batch_input"], "output": known["batch_output"], **cached}


def cost(known: dict[str, float], tokens: dict[str, int] | None) -> float | None:
    """US dollars for these tokens by kind, or None where a price or the tokens are unknown; what is free stays so."""
    if tokens is None:
        return 0.0 if known and not any(known.values()) else None
    if any(kind not in known for kind, count in tokens.items() if count):
        return None
    return sum(known[kind] * count for kind, count in tokens.items() if count) / 1e6


def dollars(service: str, model: str, address: str = "", **tokens: int) -> float | None:
    """The cost of these tokens by kind (train, prefill, sample; input, output), or None where a price is unknown."""
    return cost(prices(service, model, address), tokens)


def _table() -> dict[str, Any]:
    file = data_folder() / "prices.yaml"
    return _read(file, file.stat().st_mtime_ns) if file.is_file() else {}


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int) -> dict[str, Any]:
    """By service, or address as a definition has it, and model; the date of a price is for people."""
    table = {service.rstrip("/"): models or {} for service, models in read_fields(file).items()}
    if wrong := [service for service, models in table.items() if not isinstance(models, dict)]:
        raise UserError(f"{file}: {wrong[0]} has no models; write a model and its prices below it, indented")
    return {
        service: {model: _checked(known, f"{file}: {service}, {model}") for model, known in models.items()}
        for service, models in table.items()
    }


def _checked(known: Any, place: str) -> dict[str, float]:
    if not isinstance(known, dict):
        raise UserError(f"{place}: {known!r} are no prices; write them as {{input: 3.00, output: 15.00}}")
    for kind, price in known.items():
        is_number = isinstance(price, int | float) and not isinstance(price, bool)
        if kind != "as_of" and not (is_number and 0 <= price < math.inf):
            raise UserError(
                f"{place}: {price!r} is no price of {kind}; write US dollars for a million tokens, 0 or more"
            )
    return {kind: price for kind, price in known.items() if kind != "as_of"}
