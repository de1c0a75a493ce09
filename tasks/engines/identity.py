"""What makes a model the one that it is: hashes of its weights and settings, the same wherever its folder lies.

identity = f"{base_identity(folder)}+{adapter_identity(adapter)}"
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.catalog import UserError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OF_THE_PLACE = {"base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping", "task_type"}
"""Of an adapter's configuration what does not change the model: where it was made, with what and what for."""
SETS = {"target_modules", "exclude_modules", "modules_to_save", "layers_to_transform"}
"""Lists of it that have no order."""


def base_identity(folder: Path) -> str:
    """Raises UserError where there are no .safetensors weights."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"training.base_model: no .safetensors weights in {folder}; save the model in that format")
    names = ("config.json", "tokenizer.json", "chat_template.jinja")
    return _hash([hash_of(file) for file in (*weights, *(folder / name for name in names)) if file.is_file()])


def adapter_identity(folder: Path) -> str:
    """Of an adapter in PEFT layout: its weights and what it is applied with (rank, alpha, modules, ...).

    What is off is left out, so that an option that a newer peft writes down changes nothing.
    """
    config = _in_one_spelling(json.loads((folder / CONFIG).read_text()))
    applied = {name: value for name, value in config.items() if value and name not in OF_THE_PLACE}
    return _hash([hash_of(folder / WEIGHTS), json.dumps(applied).encode()])


def write_config_plainly(folder: Path, base_model: str) -> None:
    """Writes an adapter's configuration anew: in one spelling, with the base model by its name and no place in it."""
    config = json.loads((folder / CONFIG).read_text())
    config["base_model_name_or_path"] = Path(base_model).name if Path(base_model).is_absolute() else base_model
    (folder / CONFIG).write_text(json.dumps(_in_one_spelling(config), indent=2) + "\n")


def _in_one_spelling(config: dict[str, Any]) -> dict[str, Any]:
    """Keys and sets sorted, 32.0 as 32."""
    return {name: _one_spelling(name, config[name]) for name in sorted(config)}


def _one_spelling(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _in_one_spelling(value)
    if isinstance(value, list) and name in SETS:
        return sorted(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def hash_of(file: Path) -> bytes:
    """The sha256 of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _hash(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]
