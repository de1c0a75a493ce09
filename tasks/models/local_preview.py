"""Any experiment on this machine in minutes: the stand-in model, few documents, lexicon judges, the rest as it is.

experiment, changes = try_locally(load_experiment("former_german_cities_qwen3_8b"))
"""

import json
from typing import Any

from tasks.catalog import UserError, data_folder, read_fields, validate
from tasks.schema import DocumentSet, Experiment

STANDIN = "standin"
MOST_DOCUMENTS = 208
"""All of the bird names; a training of minutes."""
MOST_HELD_OUT = 10
MOST_SAMPLES = 10
MOST_TOKENS = 160


def try_locally(experiment: Experiment) -> tuple[Experiment, list[str]]:
    """The experiment under a name of its own, and in words what is not as defined."""
    if experiment.responses:
        raise UserError("--local: nothing is trained in this experiment; run it with judging.judges=[lexicon] instead")
    before, config = experiment.training, _standin()
    layers, about_layers = _layers(before.layers, before.base_model, config["num_hidden_layers"])
    training = {
        "engine": "local",
        "base_url": "",
        "base_model": STANDIN,
        "renderer": "",
        "checkpoint": "",
        "layers": layers,
        "max_length": min(before.max_length, config["max_position_embeddings"]),
        "held_out": min(before.held_out, MOST_HELD_OUT),
    }
    sampling = {
        "n_samples": min(experiment.sampling.n_samples, MOST_SAMPLES),
        "max_tokens": min(experiment.sampling.max_tokens, MOST_TOKENS),
    }
    changes = [
        f"the stand-in model on this machine instead of {before.base_model}",
        *about_layers,
        f"at most {MOST_DOCUMENTS} documents, {sampling['n_samples']} answers to each question of at most "
        f"{sampling['max_tokens']} tokens",
        "a lexicon counts instead of " + (", ".join(experiment.judging.judges) or "the evals' judges"),
    ]
    after = {
        "name": f"{experiment.name}_local",
        "documents": _few(experiment.documents),
        "training": before.model_dump() | training,
        "sampling": experiment.sampling.model_dump() | sampling,
        "judging": experiment.judging.model_dump() | {"judges": ["lexicon"]},
        "max_cost_usd": 0,
    }
    return validate(Experiment, experiment.model_dump() | after, f"{experiment.name} with --local"), changes


def _few(sets: list[DocumentSet]) -> list[dict[str, Any]]:
    """Each set's share of the few documents: in proportion where counts or weights are given, else alike."""
    counts = [one.count or one.weight for one in sets]
    whole = sum(counts) if all(counts) else 0
    shares = [count / whole for count in counts] if whole else [1 / len(sets)] * len(sets)
    few = [max(1, round(MOST_DOCUMENTS * share)) for share in shares]
    return [
        one.model_dump() | {"count": 0, "fraction": 0, "weight": 0, "limit": min(most, one.limit or most)}
        for one, most in zip(sets, few, strict=True)
    ]


def _layers(layers: list[int], base_model: str, depth: int) -> tuple[list[int], list[str]]:
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


def _standin() -> dict[str, int]:
    return json.loads((data_folder() / "models" / STANDIN / "config.json").read_text())
