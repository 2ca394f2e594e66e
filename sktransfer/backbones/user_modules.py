"""Describe somebody's own `nn.Module`: find its stages by sending one image through it."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sktransfer.backbones.spec import BackboneSpec, Stage, WeightsSource
from sktransfer.backbones.tracing import Run, cut_at, trace, units_around
from sktransfer.exceptions import UnknownBackboneError
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["spec_of_module"]

_IMAGENET: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bilinear",
}
_SIZES = (224, 299, 256, 192, 128, 96, 64, 48, 32, 28)  # tried in this order


def spec_of_module(module: nn.Module, name: str | None = None) -> BackboneSpec:
    """Describe a network.

    An instance of a class of torchvision or timm has the stages of these. Of any other the
    children, those of its `features` or those of a `Sequential`, whose outputs are maps of four
    axes make up the stages, before pooling and classifier. A stage starts at a child with weights
    and takes in the norms, activations and poolings that follow; its name is the path of its last
    module. Functions that `forward` applies in between, and modules that it calls more than once,
    cannot be seen, so what they do is not part of a stage.

    Images are preprocessed as the module's attribute `preprocessing`, a `Preprocessing`, says, or
    its `default_cfg`, a dictionary as timm's; else for ImageNet, at the first of the sizes 224,
    299, 256, 192, 128, 96, 64, 48, 32 and 28 that the network takes.

    Parameters
    ----------
    module : nn.Module
        Is copied, not changed.
    name : str, optional
        Name of the spec; None means the class.

    Raises
    ------
    UnknownBackboneError
        If the network does not run on images of three channels, or no child puts out a map.
    """
    name = name or type(module).__name__
    preprocessing = _own_preprocessing(module)
    origin = type(module).__module__
    spec = None
    if origin.startswith("torchvision.models."):
        from sktransfer.backbones.torchvision_models import spec_of_torchvision_module

        spec = spec_of_torchvision_module(
            module, preprocessing or Preprocessing.from_timm(_IMAGENET)
        )
    elif origin.startswith("timm.models.") and hasattr(module, "pretrained_cfg"):
        from sktransfer.backbones.timm_models import spec_of_timm_module

        build = partial(copy.deepcopy, module)
        spec = spec_of_timm_module(module, name, build, {"default": WeightsSource(load=build)})
    if spec is None:
        spec = _traced_spec(module, name, preprocessing)
    return replace(spec, name=name, build_is_random=False)


def _traced_spec(module: nn.Module, name: str, preprocessing: Preprocessing | None) -> BackboneSpec:
    sizes = _SIZES if preprocessing is None else (preprocessing.crop,)
    runs, maps, size = _find_maps(module, name, sizes)
    taps = _ends_of_stages(module, maps)
    stages, resumable = cut_at(runs, taps)
    build = partial(copy.deepcopy, module)
    paths = [run.path for run in runs]
    heads = [path for path in units_around(module, taps)
             if path not in paths or paths.index(path) > paths.index(taps[-1])]  # fmt: skip
    return BackboneSpec(
        name,
        build,
        tuple(Stage(stage[-1], tuple(stage)) for stage in stages),
        {"default": WeightsSource(load=build)},
        preprocessing or Preprocessing.from_timm(_IMAGENET).with_size(size),
        classifier=heads[-1] if heads else "",
        auxiliary=tuple(heads[:-1]),
        resumable=resumable,
    )


def _own_preprocessing(module: nn.Module) -> Preprocessing | None:
    own = getattr(module, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return own
    config = getattr(module, "default_cfg", None)
    return Preprocessing.from_timm({**_IMAGENET, **config}) if isinstance(config, dict) else None


def _find_maps(
    module: nn.Module, name: str, sizes: Sequence[int]
) -> tuple[list[Run], list[Run], int]:
    """Go down from the network until several children put out maps."""
    best: tuple[list[Run], list[Run], int] | None = None
    container: str | None = _first_container(module)
    while container is not None:
        prefix = f"{container}." if container else ""
        parts = dict(module.get_submodule(container).named_children())
        children = [prefix + child for child in parts]
        runs, size = _trace_at_first_size(module, name, units_around(module, children), sizes)
        maps = _before_pooling(module, [run for run in runs if run.path.startswith(prefix)])
        if maps and (best is None or len(maps) > len(best[1])):
            best = runs, maps, size
        if len(maps) > 1:
            break
        # A network in a wrapper puts out no map, one in a Sequential a single one.
        candidates = [prefix + child for child, part in parts.items()
                      if isinstance(part, nn.Sequential) or (not maps and any(part.children()))]  # fmt: skip
        container = candidates[0] if candidates else None
    if best is None:
        raise UnknownBackboneError(
            f"backbone={name} has no child module that puts out a map of the shape (batch, "
            "channels, height, width). Pass a BackboneSpec that names its stages."
        )
    return best


def _first_container(module: nn.Module) -> str:
    features = getattr(module, "features", None)
    return "features" if isinstance(features, nn.Module) and any(features.children()) else ""


def _trace_at_first_size(
    module: nn.Module, name: str, units: list[str], sizes: Sequence[int]
) -> tuple[list[Run], int]:
    """Trace at the first size that the network takes, without values where that is possible."""
    problem: Exception | None = None
    for device in ("meta", "cpu"):
        network = copy.deepcopy(module).to(device, torch.float32)
        for size in sizes:
            try:
                return trace(network, units, size), size
            except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as exc:  # noqa: PERF203 - each size is tried
                problem = problem if device == "meta" and problem else exc
    raise UnknownBackboneError(
        f"backbone={name} does not run on images of the shape (1, 3, {sizes[0]}, {sizes[0]}): "
        f"{problem} Set its attribute `preprocessing` to a Preprocessing of the size it takes, "
        "or pass a BackboneSpec."
    ) from problem


def _before_pooling(module: nn.Module, runs: list[Run]) -> list[Run]:
    maps: list[Run] = []
    for run in runs:
        unit = module.get_submodule(run.path)
        if isinstance(unit, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            break
        if maps and (len(run.shape) != 4 or _is_global_pooling(maps[-1].shape, run.shape)):
            break
        if len(run.shape) == 4:
            maps.append(run)
    times = Counter(run.path for run in runs)
    return [run for run in maps if times[run.path] == 1]  # a shared ReLU has no place of its own


def _is_global_pooling(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Tell pooling from a stride, which takes two cells to one."""
    return after[2:] == (1, 1) and max(before[2:]) > 2


def _ends_of_stages(module: nn.Module, maps: list[Run]) -> list[str]:
    """Take the last of each child with weights and the modules without that follow it."""
    weighty = [
        any(p.dim() > 1 for p in module.get_submodule(run.path).parameters()) for run in maps
    ]
    ends = [maps[i - 1].path for i in range(1, len(maps)) if weighty[i] and any(weighty[:i])]
    return [*ends, maps[-1].path]
