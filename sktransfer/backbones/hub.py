"""Ask whether the weights of a network of timm can be had, before its loader tries for a minute."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cache_of_hub", "cached", "reachable"]

_FILES = ("model.safetensors", "pytorch_model.bin")  # names that timm looks for
_TIMEOUT_S = 10.0


def reachable(repository: str, files: Sequence[str] = _FILES) -> bool:
    """Tell whether a repository of the Hugging Face hub is in its cache or its server answers.

    `huggingface_hub` tries a server that is not there six times for each file, for a minute in
    all; here it is asked once.

    Parameters
    ----------
    repository : str
        Identifier such as "timm/resnet18.a1_in1k".
    files : sequence of str
        Names of files, any of which will do.
    """
    if cached(repository, files):
        return True
    hub: Any = importlib.import_module("huggingface_hub")
    name, options = _address(repository)
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(name, files[0], **options), timeout=_TIMEOUT_S)
    except hub.errors.HfHubHTTPError:  # it answers, if only that it has another file
        return True
    except Exception:  # noqa: BLE001 - of the HTTP library, which differs between versions
        return False
    return True


def cached(repository: str, files: Sequence[str] = _FILES) -> bool:
    """Tell whether the hub's cache on this machine holds one of the files of a repository."""
    hub: Any = importlib.import_module("huggingface_hub")
    name, options = _address(repository)
    return any(isinstance(hub.try_to_load_from_cache(name, file, **options), str) for file in files)


def cache_of_hub() -> tuple[str, list[str]]:
    """Return the folder of the hub's cache on this machine, and the repositories that it holds."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    folder = Path(constants.HF_HUB_CACHE)
    return str(folder), sorted(
        entry.name.removeprefix("models--").replace("--", "/") for entry in folder.glob("models--*")
    )


def _address(repository: str) -> tuple[str, dict[str, str]]:
    """Split an identifier into a name and, as the hub's functions take it, a revision."""
    name, _, revision = repository.partition("@")
    return name, {"revision": revision} if revision else {}
