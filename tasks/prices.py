"""What tokens cost, from data/prices.yaml: dated, with their source. A price that is not there is unknown, never 0.

cost = dollars("tinker", "meta-llama/Llama-3.3-70B-Instruct", train=1_200_000)
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tasks.catalog import data_folder


def prices(service: str, model: str, address: str = "") -> dict[str, float]:
    """US dollars for a million tokens of each kind that has a known price.

    What runs at an address of one's own has the prices that stand under that address, or else none that are known.
    """
    return _table().get(address or service, {}).get(model, {})


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
def _read(file: Path, changed: int) -> dict[str, Any]:
    return yaml.safe_load(file.read_text()) or {}
