"""Brings an adapter from a Tinker server to this machine, in PEFT layout: adapter_config.json and its weights."""

import json
import tarfile
import tempfile
import warnings
from pathlib import Path

import httpx
from safetensors import safe_open
from tinker_cookbook import weights

from tasks.catalog import UserError

FILES = ("adapter_config.json", "adapter_model.safetensors")


def download_state(path: str, url: str, folder: Path) -> None:
    """From hosted Tinker: its service turns a training state into files; the cookbook fetches them."""
    if not path:
        raise UserError("export: the service gives out training states, and this run's checkpoint.json names none")
    with warnings.catch_warnings():
        # The cookbook's own use of the SDK, deprecated there: https://github.com/thinking-machines-lab/tinker-cookbook
        warnings.simplefilter("ignore", FutureWarning)
        weights.download(tinker_path=path, output_dir=str(folder), base_url=url)
    _refuse_another_layout(path, folder)


def download_archive(path: str, url: str, folder: Path) -> None:
    """From a server of one's own: one archive of the weights that are sampled from."""
    run, *_, name = path.removeprefix("tinker://").split("/")
    address = f"{url}/api/v1/training_runs/{run}/checkpoints/{name}/archive"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as archive:
        with httpx.stream("GET", address, follow_redirects=True, timeout=60) as answer:
            answer.raise_for_status()
            for some in answer.iter_bytes():
                archive.write(some)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).name in FILES:
                    (folder / Path(member.name).name).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
    _refuse_another_layout(path, folder)
    _name_the_modules(folder)


def _name_the_modules(folder: Path) -> None:
    """Names in adapter_config.json the modules that the weights are of: without, PEFT takes two and drops the rest."""
    config, weights_file = (folder / name for name in FILES)
    with safe_open(weights_file, "pt") as weights:
        modules = sorted({key.split(".lora_")[0].rsplit(".", 1)[-1] for key in weights.keys() if ".lora_" in key})  # noqa: SIM118
    fields = json.loads(config.read_text())
    config.write_text(json.dumps(fields | {"target_modules": modules, "task_type": "CAUSAL_LM"}, indent=1) + "\n")


def _refuse_another_layout(path: str, folder: Path) -> None:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(f"export: what the service gave of {path} has no {missing[0]}, so it is no PEFT adapter")
