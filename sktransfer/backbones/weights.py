"""Weights: from a name, a file or a seed to a verified network, shared inside the process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import xxhash
from sklearn.utils import check_random_state
from torch import Tensor, nn

from sktransfer.backbones.architecture import architecture_of
from sktransfer.backbones.registry import (
    BackboneSpec,
    WeightsSource,
    forget_builders,
    get_backbone,
)
from sktransfer.backbones.spec import build_without_values
from sktransfer.backbones.usable_modules import refuse_unusable, unwrapped
from sktransfer.backbones.weight_files import (
    check_fits,
    download,
    nearest_name,
    read_state,
    without_counters,
)
from sktransfer.backbones.weight_values import refuse_non_finite
from sktransfer.exceptions import WeightsError, WeightsMismatchError, WeightsNotFoundError
from sktransfer.forks import ForkSafeLock
from sktransfer.identity import identity_of, reads_files
from sktransfer.torch_internals import reset_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Hashable, Mapping

    from sktransfer.preprocessing import Preprocessing

__all__ = [
    "LoadedBackbone",
    "WeightsSource",
    "clear_backbones",
    "digest_of",
    "load_backbone",
    "random_backbone",
]

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_MAX_LOADED = 8

_loaded: OrderedDict[Hashable, LoadedBackbone] = OrderedDict()
_lock = ForkSafeLock()


@dataclass(frozen=True)
class LoadedBackbone:
    """A network with its weights. Shared: copy `module` before changing it.

    Parameters
    ----------
    module : nn.Module
        In eval mode, float32, on the CPU, without gradients.
    spec : BackboneSpec
        Description of the network.
    weights : str
        As resolved: a name such as "IMAGENET1K_V2", a path, or "random".
    digest : str
        See `digest_of`.
    preprocessing : Preprocessing
        Preprocessing that these weights were trained with.
    """

    module: nn.Module
    spec: BackboneSpec
    weights: str
    digest: str
    preprocessing: Preprocessing


def load_backbone(
    backbone: str | nn.Module | Callable[[], nn.Module] | BackboneSpec,
    weights: str | os.PathLike[str] = "default",
    *,
    random_state: object = None,
    expected_digest: str | None = None,
) -> LoadedBackbone:
    """Build a network and load its weights.

    The same spec with the same weights, an unchanged file or the same seed, is the same object.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        See `get_backbone`. A module is copied.
    weights : str or path, default="default"
        - "default": those the spec names; a module's own;
        - a name of the spec's, such as "IMAGENET1K_V2", downloaded if need be;
        - the path of a .safetensors, .pth or .pt file. It may lack the classifier or have one with
          other classes; then the classifier of the result is zero;
        - "random".
    random_state : int, RandomState or None, default=None
        Seed of random weights. torch's own random numbers stay as they are.
    expected_digest : str, optional
        Digest that the weights must have.

    Raises
    ------
    WeightsNotFoundError
        If the weights are neither on this machine nor can be downloaded.
    WeightsMismatchError
        If a file does not fit the network, or the digest is another.
    WeightsError
        If there is no such name, or a file cannot be read.
    UnknownBackboneError
        See `get_backbone`.

    Examples
    --------
    >>> tiny = load_backbone("tiny", "random", random_state=0)
    >>> tiny.weights, len(tiny.digest), tiny.module.training
    ('random', 32, False)
    >>> load_backbone("tiny", "random", random_state=0) is tiny
    True
    """
    with _lock:
        loaded = _load(backbone, weights, random_state)
    if expected_digest is not None and loaded.digest != expected_digest:
        raise WeightsMismatchError(
            f"the weights {loaded.weights} of {loaded.spec.name} have changed since they were "
            f"used: their digest is {loaded.digest}, expected {expected_digest}. Restore the "
            "former weights, or fit again."
        )
    return loaded


def clear_backbones() -> None:
    """Forget all loaded networks, to free their memory."""
    with _lock:
        _loaded.clear()
    forget_builders()


def digest_of(state: Mapping[str, Tensor], spec: BackboneSpec | None = None) -> str:
    """Compute a digest of a state dict.

    Parameters
    ----------
    state : mapping of str to Tensor
        On any device.
    spec : BackboneSpec, optional
        Leaves out the weights of its heads, on which features do not depend. Counters of batches
        are always left out.

    Returns
    -------
    str
        32 hexadecimal digits: XXH3-128 of the sorted names, types, shapes and bytes.
    """
    digest = xxhash.xxh3_128()
    for key, value in sorted(without_counters(state).items()):
        if spec is None or not spec.is_head(key):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(backbone: Any, weights: Any, random_state: Any) -> LoadedBackbone:
    if not isinstance(weights, str | Path) and not hasattr(weights, "__fspath__"):
        raise TypeError(
            f"weights={weights!r} is of type {type(weights).__name__}. Pass 'default', a name, a path "
            "or 'random'."
        )
    if isinstance(backbone, nn.Module):
        backbone = unwrapped(backbone)
        refuse_unusable(backbone, type(backbone).__name__)
    # A module, and what a spec builds, can change between two calls.
    identity = identity_of(backbone).digest if isinstance(backbone, nn.Module) else None
    if identity is not None and weights == "default":
        return shared(
            (identity, "default"), lambda: _from_source(get_backbone(backbone), "default")
        )
    spec = get_backbone(backbone)
    identity = identity or spec.identity.digest
    if weights == "random":
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        return _shared_as_made(
            (identity, "random", seed), spec, spec.build, lambda: random_backbone(spec, seed)
        )
    name = _name_of(spec, weights)
    if name is None:
        path = Path(weights).expanduser()
        source = _published_as(spec, path) or WeightsSource(file=path)
        return _from_file(spec, source, path, str(weights), identity)
    source = spec.weights[name]
    if source.load is not None:
        return _shared_as_made(
            (identity, name), spec, source.load, lambda: _from_source(spec, name)
        )
    path = source.file or download(spec.name, name, source.url)
    return _from_file(spec, source, path, name, identity)


def shared(key: Hashable, load: Callable[[], LoadedBackbone]) -> LoadedBackbone:
    """Look up, or load and keep; the one used longest ago goes."""
    if key not in _loaded:
        _loaded[key] = load()
        while len(_loaded) > _MAX_LOADED:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def _shared_as_made(
    key: tuple[Hashable, ...],
    spec: BackboneSpec,
    function: Callable[[], nn.Module],
    load: Callable[[], LoadedBackbone],
) -> LoadedBackbone:
    """Share what a spec's function makes, by what that is if the function may read a file."""
    names = identity_of(function).names if spec.build_is_random else frozenset[str]()
    if not reads_files(names):
        return shared(key, load)
    loaded = load()
    return shared((*key, architecture_of(loaded.module)), lambda: loaded)


def _name_of(spec: BackboneSpec, weights: str | os.PathLike[str]) -> str | None:
    """Resolve a name; None if `weights` is a path."""
    if weights == "default":
        if not spec.weights:
            raise WeightsError(
                f"weights='default' of {spec.name}: none are published. Pass the path of a file, "
                "or weights='random'."
            )
        return spec.default_weights or next(iter(spec.weights))
    if weights in spec.weights:
        return str(weights)
    if not isinstance(weights, str) or Path(weights).suffix in _SUFFIXES or Path(weights).exists():
        return None
    names = ", ".join(map(repr, dict.fromkeys(("default", *spec.weights, "random"))))
    nearest = nearest_name(weights, spec.weights)
    raise WeightsError(
        f"weights={weights!r} is not possible for {spec.name}.{nearest} Possible: {names}, or the "
        "path of a .safetensors, .pth or .pt file."
    )


def _published_as(spec: BackboneSpec, path: Path) -> WeightsSource | None:
    """Recognise a published file by its name, for the preprocessing that belongs to it."""
    sources = spec.weights.values()
    return next((s for s in sources if s.url and s.url.rpartition("/")[2] == path.name), None)


def _from_source(spec: BackboneSpec, name: str) -> LoadedBackbone:
    source = spec.weights[name]
    assert source.load is not None  # the caller has looked
    with torch.random.fork_rng(devices=[]):
        return finished(source.load(), spec, name, source)


def random_backbone(spec: BackboneSpec, seed: int) -> LoadedBackbone:
    """Build a network with random weights that nobody shares, for training from scratch.

    Raises
    ------
    WeightsError
        If somebody's own network has parameters that no module knows how to reset.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        module = spec.build()
        if not spec.build_is_random:
            _reset(module, spec.name)
    return finished(module, spec, "random", WeightsSource())


def _reset(module: nn.Module, name: str) -> None:
    """Give every parameter and statistic of somebody's network its first value again."""
    left = []
    for path, part in module.named_modules():
        reset = reset_of(part)
        if reset is not None:
            reset()
        else:
            left += [
                f"{path}.{key}" if path else key for key, _ in part.named_parameters("", False)
            ]
    if left:
        raise WeightsError(
            f"weights='random' of {name}: no module knows how to reset {left[0]!r} (of "
            f"{len(left)}). Give its owner a method reset_parameters(), or register a "
            "BackboneSpec whose `build` makes random weights."
        )


def _from_file(
    spec: BackboneSpec,
    source: WeightsSource,
    path: Path,
    name: str,
    identity: str,
) -> LoadedBackbone:
    try:
        stat = path.stat()
    except FileNotFoundError as exc:
        raise WeightsNotFoundError(
            f"weights={name!r} of {spec.name}: there is no file {path}. Check the path, or pass "
            "weights='default'."
        ) from exc
    key = (
        identity,
        name,
        path.resolve(),
        stat.st_ino,
        stat.st_ctime_ns,
        stat.st_mtime_ns,
        stat.st_size,
    )
    return _shared_as_made(
        key, spec, source.build or spec.build, lambda: _read(spec, source, path, name)
    )


def _read(spec: BackboneSpec, source: WeightsSource, path: Path, name: str) -> LoadedBackbone:
    state = read_state(path)
    build = source.build or spec.build
    module = build_without_values(build)
    state = check_fits(state, module, spec, name)
    ready = module.state_dict()  # knows versions, without which some of torchvision's refuse it
    ready.clear()
    ready.update(state)
    module.load_state_dict(ready, strict=False, assign=True)
    _zero_heads(module, spec)
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        module = build()  # some buffer that files do not hold has its value only this way
        module.load_state_dict(ready, strict=False)
        _zero_heads(module, spec, set(state))
    return finished(module, spec, name, source)


def _zero_heads(module: nn.Module, spec: BackboneSpec, given: set[str] | None = None) -> None:
    """Give the weights of heads that a file does not hold a value that is not random."""
    for key, value in list(module.state_dict(keep_vars=True).items()):
        if spec.is_head(key) and (value.is_meta if given is None else key not in given):
            path, _, leaf = key.rpartition(".")
            zero: Tensor = torch.zeros(value.shape, dtype=value.dtype)
            wrapped = nn.Parameter(zero) if isinstance(value, nn.Parameter) else zero
            setattr(module.get_submodule(path), leaf, wrapped)


def finished(
    module: nn.Module, spec: BackboneSpec, name: str, source: WeightsSource
) -> LoadedBackbone:
    module = module.cpu().float().eval().requires_grad_(False)
    refuse_non_finite(module, spec, name)
    digest = digest_of(module.state_dict(), spec)
    return LoadedBackbone(module, spec, name, digest, source.preprocessing or spec.preprocessing)
