"""A local preview: any experiment on this machine in minutes, with the stand-in model, few documents and a lexicon.

preview, changes = to_local_preview(load_experiment("former_german_cities_qwen3_8b"))
"""

import json
from typing import Any

from tasks.catalog import UserError, data_folder, read_fields, validate
from tasks.schema import DocumentSet, Experiment, Training

STANDIN = "standin"
MAX_DOCUMENTS = 208
"""All of the bird names; a training of minutes."""
MAX_HELD_OUT = 10
MAX_SAMPLES = 10
MAX_TOKENS = 160


def to_local_preview(experiment: Experiment) -> tuple[Experiment, list[str]]:
    """The preview under a name of its own, and in words what in it is not as defined.

    Raises UserError for an experiment that trains nothing.
    """
    if experiment.responses:
        raise UserError("--local: nothing is trained in this experiment; run it with judging.judges=[lexicon] instead")
    defined, depth = experiment.training, _standin_config()["num_hidden_layers"]
    layers, about_layers = _map_layers(defined.layers, defined.base_model, depth)
    sampling = {
        "n_samples": min(experiment.sampling.n_samples, MAX_SAMPLES),
        "max_tokens": min(experiment.sampling.max_tokens, MAX_TOKENS),
    }
    changes = [
        f"the stand-in model on this machine instead of {defined.base_model}",
        *about_layers,
        f"at most {MAX_DOCUMENTS} documents, {sampling['n_samples']} answers to each question of at most "
        f"{sampling['max_tokens']} tokens",
        "a lexicon counts instead of " + (", ".join(experiment.judging.judges) or "the evals' judges"),
    ]
    changed = {
        "name": f"{experiment.name}_local",
        "documents": _few_documents(experiment.documents),
        "training": defined.model_dump() | _local_training(defined) | {"layers": layers},
        "sampling": experiment.sampling.model_dump() | sampling,
        "judging": experiment.judging.model_dump() | {"judges": ["lexicon"]},
        "max_cost_usd": 0,
    }
    return validate(Experiment, experiment.model_dump() | changed, f"{experiment.name} with --local"), changes


def _local_training(defined: Training) -> dict[str, Any]:
    return {
        "engine": "local",
        "base_url": "",
        "base_model": STANDIN,
        "renderer": "",
        "checkpoint": "",
        "max_length": min(defined.max_length, _standin_config()["max_position_embeddings"]),
        "held_out": min(defined.held_out, MAX_HELD_OUT),
    }


def _few_documents(sets: list[DocumentSet]) -> list[dict[str, Any]]:
    """Each set's share of the few documents: in proportion where counts or weights are given, else alike."""
    amounts = [chosen.count or chosen.weight for chosen in sets]
    whole = sum(amounts) if all(amounts) else 0
    shares = [amount / whole for amount in amounts] if whole else [1 / len(sets)] * len(sets)
    limits = [max(1, round(MAX_DOCUMENTS * share)) for share in shares]
    return [
        chosen.model_dump() | {"count": 0, "fraction": 0, "weight": 0, "limit": min(limit, chosen.limit or limit)}
        for chosen, limit in zip(sets, limits, strict=True)
    ]


def _map_layers(layers: list[int], base_model: str, depth: int) -> tuple[list[int], list[str]]:
    """The layers at the same relative depth, and in words which became which."""
    if not layers:
        return [], []
    file = data_folder() / "models" / "depths.yaml"
    known = read_fields(file).get(base_model) if file.is_file() else None
    if not isinstance(known, int) or known < 1:
        return [], [f"every layer: how many {base_model} has is not in {file}"]
    mapped = [int((layer + 0.5) / known * depth) for layer in layers]
    pairs = ", ".join(f"{mine} of {depth} for {theirs} of {known}" for theirs, mine in zip(layers, mapped, strict=True))
    return sorted(set(mapped)), [f"layers at the same relative depth: {pairs}"]


def _standin_config() -> dict[str, int]:
    return json.loads((data_folder() / "models" / STANDIN / "config.json").read_text())
