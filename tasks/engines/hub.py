"""Models of Hugging Face by their ids: found before any work, fetched when they are needed, kept in its own cache.

model = find("unsloth/Llama-3.2-1B-Instruct")
folder = fetch(model, weights=True)
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from httpx import HTTPError
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils.tqdm import disable_progress_bars

from tasks.catalog import UserError

SMALL = ["*.json", "*.jinja", "*.model"]
WEIGHTS = [*SMALL, "*.safetensors"]


class HubModel(NamedTuple):
    """A model at one commit: the weights behind a name can change, those of a commit cannot."""

    name: str
    commit: str


def find(name: str) -> HubModel:
    """The model as it is now, or as it was kept when the hub cannot be reached. UserError for one that is not there."""
    with plain_errors(name):
        try:
            info = HfApi(endpoint=_endpoint()).model_info(name, timeout=10)
        except (OSError, HTTPError) as error:
            if isinstance(error, RepositoryNotFoundError) or not (kept := _kept(name)):
                raise
            return HubModel(name, kept.name)
    if not any(file.rfilename.endswith(".safetensors") for file in info.siblings or []):
        raise UserError(f"training.base_model: {name!r} has no .safetensors weights; use a model that has")
    return HubModel(name, str(info.sha))


def fetch(model: HubModel, weights: bool) -> Path:
    """The folder of the model's configuration and tokenizer, with its weights where they are asked for."""
    disable_progress_bars()  # they would tear the stages' own
    with plain_errors(model.name):
        folder = snapshot_download(
            model.name,
            revision=model.commit,
            allow_patterns=WEIGHTS if weights else SMALL,
            endpoint=_endpoint(),
        )
    return Path(folder)


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """A model that is gated, missing or out of reach is one sentence."""
    try:
        yield
    except HFValidationError:
        raise UserError(
            f"training.base_model: {name!r} is neither a folder nor a model id of Hugging Face; write owner/name"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"training.base_model: {name!r} is gated; accept its terms at https://huggingface.co/{name} and set "
            "HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"training.base_model: no model {name!r} on this machine or at Hugging Face; check the name, or set "
            "HF_TOKEN if it is private"
        ) from None
    except (LocalEntryNotFoundError, OSError, HTTPError) as error:
        raise UserError(
            f"training.base_model: {name!r} is not on this machine and Hugging Face cannot be reached "
            f"({type(error).__name__}); check the network, or give the model's folder"
        ) from None


def _kept(name: str) -> Path | None:
    """The folder of the latest fetch with weights, if there is one; it is called by its commit."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    kept = [place for place in folder.glob("*") if any(place.glob("*.safetensors"))]
    return max(kept, key=lambda place: place.stat().st_mtime, default=None)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None
