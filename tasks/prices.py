"""What tokens cost, from data/prices.yaml: dated, with their source. A price that is not there is unknown, never 0.

cost = dollars("tinker", "meta-llama/Llama-3.3-70B-Instruct", train=1_200_000)
"""

import yaml

from tasks.catalog import data_folder


def dollars(service: str, model: str, **tokens: int) -> float | None:
    """The cost of these tokens by kind (train, prefill, sample; input, output), or None where a price is unknown."""
    file = data_folder() / "prices.yaml"
    table = yaml.safe_load(file.read_text()) if file.is_file() else {}
    prices = table.get(service, {}).get(model, {})
    if any(kind not in prices for kind, count in tokens.items() if count):
        return None
    return sum(prices[kind] * count for kind, count in tokens.items() if count) / 1e6
