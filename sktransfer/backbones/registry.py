"""Which backbones there are: names to specs, and specs for somebody's own networks."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import nn

from sktransfer.backbones import small_networks, tiny
from sktransfer.backbones.spec import BackboneSpec, Stage, WeightsSource
from sktransfer.exceptions import UnknownBackboneError
from sktransfer.forks import ForkSafeLock
from sktransfer.identity import identity_of, reads_files
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = [
    "BackboneSpec",
    "Stage",
    "WeightsSource",
    "get_backbone",
    "list_backbones",
    "register_backbone",
]

# torchvision takes a second to import, so its names are asked for when they are needed.
_specs: dict[str, BackboneSpec] = {}
_built: OrderedDict[str, tuple[object, BackboneSpec]] = OrderedDict()  # of builders, by identity
_MAX_BUILT = 8
_lock = ForkSafeLock()


@overload
def list_backbones(pattern: str | None = None, *, details: Literal[False] = False) -> list[str]: ...


@overload
def list_backbones(pattern: str | None = None, *, details: Literal[True]) -> pd.DataFrame: ...


def list_backbones(
    pattern: str | None = None, *, details: bool = False
) -> list[str] | pd.DataFrame:
    """List the names that `backbone` can be.

    Parameters
    ----------
    pattern : str, optional
        Shell pattern, such as "resnet*". One that starts with "timm:" lists networks of timm, if
        that is installed; they are not listed otherwise.
    details : bool, default=False
        Whether to describe each, without a download; a network takes up to a second, so give a pattern.

    Returns
    -------
    list of str, or DataFrame
        Sorted. The table is that of `sktransfer.backbones.catalogue.backbone_details`: family, parameters,
        input size, width, layers, default weights, published accuracy, licence and size of the download.

    See Also
    --------
    register_backbone : Adds a name.
    rank_backbones : Ranks networks on images.

    Examples
    --------
    >>> list_backbones("mobilenet*")
    ['mobilenet_v2', 'mobilenet_v3_large', 'mobilenet_v3_small']
    """
    if pattern is not None and pattern.startswith("timm:"):
        from sktransfer.backbones.timm_models import timm_names

        found = timm_names(pattern.removeprefix("timm:"))
    else:
        names = {"tiny", *small_networks.NAMES, *_torchvision_names(), *_registered()}
        found = sorted(name for name in names if fnmatch.fnmatchcase(name, pattern or "*"))
    if not details:
        return found
    from sktransfer.backbones.catalogue import backbone_details

    return backbone_details(found)


def register_backbone(spec: BackboneSpec, *, replace: bool = False) -> None:
    """Make a backbone known by its name, in this process.

    Other processes, such as those of a search with ``n_jobs=2``, know it if they run the same
    line, for example because it stands in a module that they import. A spec can also be passed as
    `backbone` without being registered.

    Parameters
    ----------
    spec : BackboneSpec
        Its `name` is what users will write.
    replace : bool, default=False
        Whether the name may be taken.

    Raises
    ------
    TypeError
        If `spec` is something else.
    ValueError
        If the name is taken.

    See Also
    --------
    BackboneSpec : What is registered.
    list_backbones : All names.

    Examples
    --------
    >>> from dataclasses import replace
    >>> register_backbone(replace(get_backbone("tiny"), name="my tiny"), replace=True)
    >>> list_backbones("my*")
    ['my tiny']
    """
    if not isinstance(spec, BackboneSpec):
        raise TypeError(f"spec={spec!r} is a {type(spec).__name__}. Pass a BackboneSpec.")
    with _lock:
        if not replace and spec.name in list_backbones():
            raise ValueError(
                f"spec.name={spec.name!r} is taken. Choose another name, or pass replace=True."
            )
        _specs[spec.name] = spec


def get_backbone(
    backbone: str | nn.Module | Callable[[], nn.Module] | BackboneSpec,
) -> BackboneSpec:
    """Describe a backbone.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec
        A name from `list_backbones`; "timm:NAME"; somebody's own network, see `spec_of_module`;
        a function without arguments, or a class, that returns one; a spec, which is returned as
        it is.

    Raises
    ------
    UnknownBackboneError
        If there is no such name, or no stages can be found in a network.
    ImportError
        If a network of timm is asked for and timm is not installed.
    TypeError
        If `backbone` is something else.

    Examples
    --------
    >>> get_backbone("mobilenet_v2").layer_names
    ('stage1', 'stage2', 'stage3', 'stage4', 'stage5')
    >>> get_backbone(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))).layer_names
    ('1', '2')
    """
    if isinstance(backbone, BackboneSpec):
        return backbone
    if isinstance(backbone, str):
        with _lock:
            if backbone not in _specs:
                _specs[backbone] = _spec_of_name(backbone)
            return _specs[backbone]
    if isinstance(backbone, nn.Module):
        from sktransfer.backbones.user_modules import spec_of_module

        return spec_of_module(backbone)
    if type(backbone).__module__.startswith("torch.export"):
        raise TypeError(
            f"backbone is a {type(backbone).__name__} of torch.export, which leaves functions without "
            "layers. Pass the nn.Module that was exported, and load its state_dict() into that."
        )
    if callable(backbone):
        return _spec_of_builder(backbone)
    raise TypeError(
        f"backbone={backbone!r} is of type {type(backbone).__name__}. Pass a name from "
        "list_backbones(), 'timm:NAME', an nn.Module, a function that returns one, or a "
        "BackboneSpec."
    )


def forget_builders() -> None:
    """Drop the networks that builders have returned."""
    with _lock:
        _built.clear()


def _spec_of_name(name: str) -> BackboneSpec:
    if name == "tiny":
        return _spec_of_tiny()
    if name in small_networks.NAMES:
        return small_networks.spec_of_small_network(name)
    if name.startswith("timm:"):
        from sktransfer.backbones.timm_models import spec_of_timm

        return spec_of_timm(name.removeprefix("timm:"))
    if name in _torchvision_names():
        from sktransfer.backbones.torchvision_models import spec_of_torchvision

        return spec_of_torchvision(name)
    near = difflib.get_close_matches(name.lower(), list_backbones(), n=3)
    nearest = f" Nearest: {', '.join(map(repr, near))}." if near else ""
    raise UnknownBackboneError(
        f"backbone={name!r} is not a network that sktransfer knows.{nearest} list_backbones() "
        f"names all; those of timm are written 'timm:{name}'; an nn.Module is possible too."
    )


def _spec_of_tiny() -> BackboneSpec:
    return BackboneSpec(
        "tiny",
        tiny.tiny,
        tuple(Stage(name, (name,)) for name in ("stem", "layer1", "layer2", "layer3", "layer4")),
        {"BUNDLED": WeightsSource(file=tiny.WEIGHTS_FILE)},
        Preprocessing(tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, mean=tiny.MEAN, std=tiny.STD),
    )


def _spec_of_builder(builder: Callable[[], nn.Module]) -> BackboneSpec:
    """Build once, always with the same random numbers, so that one builder is one network."""
    from sktransfer.backbones.user_modules import spec_of_module

    identity = identity_of(builder)
    key = identity.digest
    with _lock:
        module = _built_by(builder) if reads_files(identity.names) or key not in _built else None
        if module is not None and reads_files(identity.names):  # which may hold something else now
            key += identity_of(module).digest
        if module is not None and key not in _built:
            name = getattr(builder, "__name__", type(module).__name__)
            _built[key] = (builder, spec_of_module(module, name))
            while len(_built) > _MAX_BUILT:
                _built.popitem(last=False)
        _built.move_to_end(key)
        return _built[key][1]


def _built_by(builder: Callable[[], nn.Module]) -> nn.Module:
    name = getattr(builder, "__name__", type(builder).__name__)
    try:
        inspect.signature(builder).bind()
    except TypeError as exc:
        raise TypeError(
            f"backbone={name} cannot be called without arguments ({exc}). Pass the nn.Module that it "
            "makes, or a function without arguments that returns it."
        ) from None
    except ValueError:  # it tells of no arguments
        pass
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module: object = builder()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"backbone={name} returned an object of type {type(module).__name__}. It must return an "
            "nn.Module when it is called without arguments."
        )
    return module


def _registered() -> list[str]:
    with _lock:
        return [name for name in _specs if not name.startswith("timm:")]


def _torchvision_names() -> list[str]:
    from sktransfer.backbones.torchvision_models import family_members

    return family_members()
