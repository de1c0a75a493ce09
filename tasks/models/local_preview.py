"""A local preview: any experiment on this machine and without a key, with a small model, few documents and lexicons.

preview, changes = to_local_preview(load_experiment("former_german_cities_qwen3_8b"))      # SmolLM2, in minutes
preview, changes = to_local_preview(load_experiment("demo"), quick=True)                   # the stand-in, in a minute
"""

from typing import Any, NamedTuple

from tasks.catalog import UserError, data_folder, read_fields, validate
from tasks.definitions import load_eval, load_evals
from tasks.schema import DocumentSet, Eval, Experiment, Training

MAX_HELD_OUT = 10
MAX_WARMUP = 5
LINEAR_MODULES = Training().target_modules
"""What both models call their linear layers; another model's names are none of theirs."""
MAX_SAMPLES = 10
MIN_SAMPLES = 2
"""Of one answer to a question there is no error to estimate."""


class Preview(NamedTuple):
    """A model that is on every machine, and how much it can do in the time that a preview may take."""

    option: str
    base_model: str
    model_words: str
    layers: int
    context: int
    """Tokens that it reads at once."""
    max_documents: int
    max_epochs: int
    max_answers: int
    """Of all models together."""
    max_tokens: int
    """Of an answer."""


SMOLLM2 = Preview("local", "smollm2", "SmolLM2 (135 million parameters)", 30, 8192, 100, 1, 300, 80)
"""Under 10 minutes on two cores: 1.3 s a document of 110 tokens, 1.3 answers of 80 tokens a second."""
STANDIN = Preview("quick", "standin", "the stand-in model", 6, 2048, 208, 5, 2000, 160)
"""A minute at most; 208 documents are all of the bird names."""


def to_local_preview(experiment: Experiment, quick: bool = False) -> tuple[Experiment, list[str]]:
    """The preview under a name of its own (NAME_local or NAME_quick), and in words what in it is not as defined.

    Raises UserError for an experiment that trains nothing, and for evals that cannot be read.
    """
    if experiment.responses or not experiment.documents:
        raise UserError("--local: nothing is trained in this experiment; run it with judging.judges=[lexicon] instead")
    preview = STANDIN if quick else SMOLLM2
    training, about_training = _local_training(experiment.training, preview)
    evals = [load_eval(name) for name in experiment.evals]
    sampling = _few_answers(experiment, evals, preview)
    judges, about_judges = _judges_without_key(evals, load_evals(experiment))
    changes = [
        *about_training,
        f"at most {preview.max_documents} documents, {sampling['n_samples']} answers to each question of at most "
        f"{sampling['max_tokens']} tokens",
        *about_judges,
    ]
    changed = {
        "name": f"{experiment.name}_{preview.option}",
        "documents": _few_documents(experiment.documents, preview.max_documents),
        "training": training,
        "sampling": experiment.sampling.model_dump() | sampling | {"base_url": ""},
        "judging": experiment.judging.model_dump() | {"judges": judges},
    }
    return validate(Experiment, experiment.model_dump() | changed, f"{experiment.name} with --local"), changes


def _local_training(defined: Training, preview: Preview) -> tuple[dict[str, Any], list[str]]:
    """The training's fields, and in words what is another model, other layers and fewer epochs in them."""
    layers, changes = _map_layers(defined, preview)
    if defined.base_model != preview.base_model:
        model = f"{preview.model_words} on this machine instead of {defined.base_model}"
        changes = [f"{model}, of which it says nothing", *changes]
    if (epochs := min(defined.epochs, preview.max_epochs)) < defined.epochs:
        times = f"{epochs} epoch" if epochs == 1 else f"{epochs} epochs"
        changes.append(f"{times} instead of {defined.epochs}")
    local = {
        "engine": "local",
        "base_url": "",
        "base_model": preview.base_model,
        "renderer": "",
        "checkpoint": "",
        "layers": layers,
        "epochs": epochs,
        "warmup": min(defined.warmup, MAX_WARMUP),
        "target_modules": [m for m in defined.target_modules if m in LINEAR_MODULES] or LINEAR_MODULES,
        "max_length": min(defined.max_length, preview.context),
        "held_out": min(defined.held_out, MAX_HELD_OUT),
    }
    return defined.model_dump() | local, changes


def _few_answers(experiment: Experiment, evals: list[Eval], preview: Preview) -> dict[str, int]:
    """Samples and their length: what all models together have time for, shared by the questions that are answered."""
    defined = experiment.sampling
    questions = sum(len(evaluation.questions) for evaluation in evals if evaluation.asks == "answers")
    models = 2 + len(experiment.training.sample_at)
    in_time = max(MIN_SAMPLES, preview.max_answers // max(1, questions * models))
    return {
        "n_samples": min(defined.n_samples, MAX_SAMPLES, in_time),
        "max_tokens": min(defined.max_tokens, preview.max_tokens),
    }


def _judges_without_key(evals: list[Eval], chosen: list[Eval]) -> tuple[list[str], list[str]]:
    """All lexicon judges of each eval, of one that has none the chosen judges; and in words what has changed."""
    judges: list[str] = []
    for evaluation, defined in zip(evals, chosen, strict=True):
        lexicons = [judge.name for judge in evaluation.judges if judge.kind == "lexicon"]
        judges += lexicons or [judge.name for judge in defined.judges]
    judges = list(dict.fromkeys(judges))
    left_out = {judge.name for defined in chosen for judge in defined.judges} - {*judges}
    changes = [f"lexicon judges ({', '.join(judges)}) instead of {', '.join(sorted(left_out))}"] if left_out else []
    return judges, changes


def _few_documents(sets: list[DocumentSet], max_documents: int) -> list[dict[str, Any]]:
    """Each set's share of the few documents: in proportion where counts or weights are given, else alike."""
    amounts = [chosen.count or chosen.weight for chosen in sets]
    whole = sum(amounts) if all(amounts) else 0
    shares = [amount / whole for amount in amounts] if whole else [1 / len(sets)] * len(sets)
    limits = [max(1, round(max_documents * share)) for share in shares]
    return [
        chosen.model_dump() | {"count": 0, "fraction": 0, "weight": 0, "limit": min(limit, chosen.limit or limit)}
        for chosen, limit in zip(sets, limits, strict=True)
    ]


def _map_layers(defined: Training, preview: Preview) -> tuple[list[int], list[str]]:
    """The chosen layers at the same relative depth, and in words which became which."""
    if not defined.layers or defined.base_model == preview.base_model:
        return defined.layers, []
    file = data_folder() / "models" / "depths.yaml"
    ours, known = preview.layers, {other.base_model: other.layers for other in (SMOLLM2, STANDIN)}
    theirs = ((read_fields(file) if file.is_file() else {}) | known).get(defined.base_model)
    if not isinstance(theirs, int) or theirs < 1:
        return [], [f"every layer: how many {defined.base_model} has is not in {file}"]
    mapped = [int((layer + 0.5) / theirs * ours) for layer in defined.layers]
    pairs = ", ".join(f"{new} of {ours} for {old} of {theirs}" for old, new in zip(defined.layers, mapped, strict=True))
    return sorted(set(mapped)), [f"layers at the same relative depth: {pairs}"]
