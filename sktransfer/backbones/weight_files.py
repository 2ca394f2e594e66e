"""Files of weights: fetch one, read it, and check that it fits a network."""

from __future__ import annotations

import difflib
import http.client
import pickle
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sktransfer.backbones.registry import get_backbone, list_backbones
from sktransfer.backbones.spec import build_without_values
from sktransfer.backbones.weight_values import refuse_odd_kinds
from sktransfer.directories import first_names
from sktransfer.exceptions import (
    SkTransferError,
    WeightsError,
    WeightsMismatchError,
    WeightsNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sktransfer.backbones.spec import BackboneSpec

__all__ = [
    "cached_file",
    "check_fits",
    "download",
    "nearest_name",
    "read_state",
    "without_counters",
]

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which trainers keep weights
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_ENDINGS = (".safetensors", ".pth", ".pt")
_COUNTER = "num_batches_tracked"
_SHOWN = 3
_TIMEOUT_S = 10  # for a server to answer
# How torchvision's published files of DenseNet and ViT spell names that it has changed since.
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


def download(backbone: str, name: str, url: str | None) -> Path:
    """Return the file of named weights in torch's cache folder, fetching it if it is not there.

    Raises
    ------
    WeightsNotFoundError
        If it cannot be fetched.
    WeightsError
        If what came is damaged, as the hash in its name tells.
    """
    if url is None:
        raise WeightsError(f"weights={name!r} of {backbone} have neither file nor address.")
    path = cached_file(url)
    if path.exists():
        return path
    hashed = re.search(r"-([a-f0-9]{8,})\.", path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _announce(backbone, name, url, path)
        torch.hub.download_url_to_file(url, str(path), hashed.group(1) if hashed else None)
    except (OSError, http.client.HTTPException) as exc:
        reason = f"the server answered {exc.code}" if isinstance(exc, HTTPError) else "no network"
        if isinstance(exc, OSError) and exc.filename is not None and not isinstance(exc, HTTPError):
            reason = f"{exc.filename}: {exc.strerror}"
        raise WeightsNotFoundError(
            f"the weights {name} of {backbone} are not in the cache folder and could not be "
            f'downloaded ({reason}). Pass weights="path/to/{backbone}.safetensors", or '
            'backbone="tiny" for the small network that ships with sktransfer; or fetch '
            f"{path.name!r} from {url} elsewhere and put it into {str(path.parent)!r}, which holds "
            f"{_weights_in(path.parent)}."
        ) from exc
    except RuntimeError as exc:
        raise WeightsError(
            f"the weights {name} of {backbone} were damaged on the way from {url}: {exc}. "
            "Try again."
        ) from exc
    return path


def _weights_in(folder: Path) -> str:
    """Name the files of weights in a folder."""
    files = folder.glob("*") if folder.is_dir() else ()
    names = sorted(file.name for file in files if file.suffix in _ENDINGS)
    return first_names(names) if names else "none so far"


def _announce(backbone: str, name: str, url: str, path: Path) -> None:
    """Say on stderr how much will come from where, and fail soon where no server answers."""
    request = Request(url, method="HEAD")
    with suppress(HTTPError), urlopen(request, timeout=_TIMEOUT_S) as answer:
        n_bytes = answer.headers.get("Content-Length")
        size = f", {int(n_bytes) / 1e6:,.0f} MB," if n_bytes else ""
        sys.stderr.write(
            f"Downloading the weights {name} of {backbone}{size} from {url} to {path.parent}\n"
        )


def cached_file(url: str) -> Path:
    """Say where torch's cache folder keeps what came from an address, or would keep it."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, floating ones as float32, by the names a network has for them.

    Parameters
    ----------
    path : Path
        A .safetensors file, or one that `torch.save` wrote: a state dict, also under the key
        "state_dict", "model_state_dict" or "model". Only tensors are read, no code is run.

    Raises
    ------
    WeightsError
        If it cannot be read, or holds something else, or tensors that are sparse, complex or
        quantised.
    """
    if path.is_dir():
        raise WeightsError(
            f"{path} is a folder. Pass the path of the .safetensors, .pth or .pt file in it."
        )
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path, device="cpu")
        else:
            with warnings.catch_warnings():  # torch remarks on odd protocols before it refuses them
                warnings.simplefilter("ignore", UserWarning)
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError,
        LookupError, TypeError, AttributeError,
    ) as exc:  # fmt: skip
        first = (str(exc).strip() or "it ends too early").splitlines()[0]
        if isinstance(exc, pickle.UnpicklingError):  # torch would advise to run what is in the file
            first = "it holds more than tensors, or is no file that torch.save wrote"
        raise WeightsError(
            f"{path} cannot be read as weights ({type(exc).__name__}: {first}). If it was cut "
            "short, fetch it again; if it holds a whole network, save its state_dict() instead."
        ) from exc
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not _only_tensors(content):
        raise WeightsError(
            f"{path} holds a {type(content).__name__} that is not a state dict, names with a "
            "tensor each. Save network.state_dict()."
        )
    refuse_odd_kinds(content, str(path))
    state = content
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {
        _present_name(key): value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }


def check_fits(
    state: Mapping[str, Tensor], module: nn.Module, spec: BackboneSpec, weights: str
) -> dict[str, Tensor]:
    """Compare names and shapes with those of a network.

    Returns
    -------
    dict of str to Tensor
        What fits; heads of another shape are left out.

    Raises
    ------
    WeightsMismatchError
        If anything but heads and counters of batches differs.
    """
    expected = module.state_dict()
    missing, unexpected, reshaped = _differences(state, expected, spec)
    if not (missing or unexpected or reshaped):
        return {
            key: value
            for key, value in state.items()
            if key in expected and value.shape == expected[key].shape
        }
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}" for key in reshaped
    ]
    report = ", ".join(
        f"{len(found)} {what}{_some(found)}"
        for what, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
    )
    fitting = _fitting_backbone(state, spec, weights)
    advice = f"They fit backbone={fitting!r}." if fitting else "Pass weights of this network."
    raise WeightsMismatchError(
        f"weights={weights!r} do not fit {spec.name}, of {len(expected)} entries: {report}. {advice}"
    )


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return the sentence that names the most similar one, or nothing."""
    near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.4)
    return f" Nearest: {near[0]!r}." if near else ""


def without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out BatchNorm's counters of batches, which older files lack and no feature needs."""
    return {key: value for key, value in state.items() if not key.endswith(_COUNTER)}


def _only_tensors(content: dict[object, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _present_name(key: str) -> str:
    for pattern, name in _OLD_NAMES:
        key = pattern.sub(name, key)
    return key


def _differences(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], spec: BackboneSpec
) -> tuple[list[str], list[str], list[str]]:
    """List what is missing, unexpected and of another shape, in the network's order."""
    body = {k: v for k, v in without_counters(expected).items() if not spec.is_head(k)}
    given = {k: v for k, v in without_counters(state).items() if not spec.is_head(k)}
    return (
        [key for key in body if key not in given],
        [key for key in given if key not in body],
        [key for key in body if key in given and given[key].shape != body[key].shape],
    )


def _some(found: list[str]) -> str:
    if not found:
        return ""
    more = ", ..." if len(found) > _SHOWN else ""
    return f" ({', '.join(found[:_SHOWN])}{more})"


def _fitting_backbone(state: Mapping[str, Tensor], spec: BackboneSpec, weights: str) -> str | None:
    """Look for the network a file belongs to: those in the file's name, and relatives."""
    from sktransfer.backbones.torchvision_models import family_members

    names = list_backbones()
    relatives = family_members(spec.name) if spec.name in names and spec.name != "tiny" else []
    named = [name for name in names if name in Path(weights).name]
    for name in dict.fromkeys((*reversed(named), "tiny", *relatives)):
        try:
            other = get_backbone(name)
            module = build_without_values(other.build)
        except (SkTransferError, RuntimeError, ValueError):
            continue
        if name != spec.name and not any(_differences(state, module.state_dict(), other)):
            return name
    return None
