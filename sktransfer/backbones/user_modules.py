"""Describe somebody's own `nn.Module`: find its stages by sending one image through it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from sktransfer.backbones.last_map import (
    branches,
    copy_with_last_map,
    ends_with,
    last_maps,
    layout_of,
    place_for,
    prefix_tokens,
)
from sktransfer.backbones.recording import Call, Key, Recording, record
from sktransfer.backbones.spec import BackboneSpec, Stage, WeightsSource
from sktransfer.backbones.tracing import Run, cut_at, trace, units_around
from sktransfer.backbones.usable_modules import refuse_unusable, unwrapped
from sktransfer.exceptions import UnknownBackboneError
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["spec_of_module"]

_Result = TypeVar("_Result")

_IMAGENET: dict[str, object] = {
    "input_size": (3, 224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bilinear",
}
_SIZE_NAMES = ("image_size", "img_size")  # attributes of modules with a fixed input
_COLOURS = 3
_SIZES = (224, 299, 256, 192, 128, 96, 64, 48, 32, 28)  # tried in this order


def spec_of_module(module: nn.Module, name: str | None = None) -> BackboneSpec:
    """Describe a network.

    An instance of a class of torchvision or timm has the stages of these. Of any other the
    children, those of its `features` or those of a `Sequential`, whose outputs are maps make up
    the stages, before pooling and classifier. A stage starts at a child with weights and takes in
    the norms, activations and poolings that follow; its name is the path of its last module. The
    last stage ends with the last map from which the classifier is computed. Where that is not the
    output of a module that runs once, a module named ``last_map`` that puts it out is added to
    the copy. A wrapper of `torch.compile` or `nn.DataParallel` is taken off.

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
        If the network does not run on images of three channels, no module puts out its last
        map, its features depend on the other images of a batch, or it is no network of Python
        modules with values.
    """
    module = unwrapped(module)
    name = name or type(module).__name__
    refuse_unusable(module, name)
    preprocessing = _own_preprocessing(module)
    origin = type(module).__module__
    spec = None
    if origin.startswith("torchvision.models."):
        from sktransfer.backbones.torchvision_models import spec_of_torchvision_module

        size = _first_size(module, name, preprocessing, _run)[1]
        own = preprocessing or Preprocessing.from_timm(_IMAGENET)
        spec = spec_of_torchvision_module(module, own.with_size(size))
    elif origin.startswith("timm.models.") and _is_whole(module):
        from sktransfer.backbones.timm_models import spec_of_timm_module

        size = _first_size(module, name, preprocessing, _run)[1]
        build = partial(copy.deepcopy, module)
        spec = spec_of_timm_module(
            module, name, build, {"default": WeightsSource(load=build)}, size
        )
    if spec is None:
        spec = _traced_spec(module, name, preprocessing)
    return replace(spec, name=name, build_is_random=False)


def _traced_spec(module: nn.Module, name: str, preprocessing: Preprocessing | None) -> BackboneSpec:
    seen, size = _first_size(module, name, preprocessing, record)
    key = _last_map(seen, name)
    last = ends_with(seen, key)
    place = None if last else place_for(seen, key, module)
    if not last and place is None:
        raise UnknownBackboneError(
            f"backbone={name}: no module that runs once puts out the last map before the "
            f"classifier, of the shape {tuple(seen.tensors[key].shape)}; a function makes it. Call a "
            "module of its own, nn.Identity(), with that map in `forward`, or pass a BackboneSpec."
        )
    build: Callable[[], nn.Module] = partial(copy.deepcopy, module)
    if place is not None:
        last = [place.path]
        build = partial(copy_with_last_map, module, place)
        module = build()
        seen = _recorded(module, size)
    calls, taps = _ends_of_stages(seen, module, last)
    tap = taps[-1]
    stages, resumable = cut_at(_runs(calls), taps)
    paths = [call.path for call in calls]
    heads = [path for path in units_around(module, taps, seen.times())
             if path not in paths or paths.index(path) > paths.index(tap)]  # fmt: skip
    shape = next(call.shape for call in calls if call.path == tap)
    layout = layout_of(shape)
    assert layout is not None  # `last_maps` has looked
    return BackboneSpec(
        name,
        build,
        tuple(Stage(stage[-1], tuple(stage)) for stage in stages),
        {"default": WeightsSource(load=build)},
        (preprocessing or Preprocessing.from_timm(_IMAGENET)).with_size(size),
        layout=layout,
        prefix_tokens=_prefix_tokens(seen, shape[1], name) if layout == "tokens" else 0,
        classifier=heads[-1] if heads else "",
        auxiliary=tuple(heads[:-1]),
        resumable=resumable,
    )


def _is_whole(module: nn.Module) -> bool:
    """Tell a network of timm from what timm makes of one for its maps only."""
    return hasattr(module, "pretrained_cfg") and hasattr(module, "forward_features")


def _own_preprocessing(module: nn.Module) -> Preprocessing | None:
    own = getattr(module, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return own
    config = getattr(module, "default_cfg", None)
    return Preprocessing.from_timm({**_IMAGENET, **config}) if isinstance(config, dict) else None


def _last_map(seen: Recording, name: str) -> Key:
    maps = last_maps(seen)
    if not maps:
        raise UnknownBackboneError(
            f"backbone={name} has no child module that puts out a map of the shape (batch, "
            "channels, height, width) or tokens, on which its output depends. Pass a BackboneSpec "
            "that names its stages."
        )
    made = sorted((call.path for call in seen.calls if call.output in maps), key=len)
    twice = next((path for path in made if path and made.count(path) > 1), None)
    if twice is not None:
        raise UnknownBackboneError(
            f"backbone={name} runs its module {twice!r} {made.count(twice)} times for one image, so "
            "no single map leads to its output. Pass that module itself, or a BackboneSpec."
        )
    others = branches(seen, maps)
    if others:
        shapes = [tuple(seen.tensors[key].shape) for key in (*others, maps[-1])]
        raise UnknownBackboneError(
            f"backbone={name} computes its output from maps of branches side by side, of the shapes "
            f"{', '.join(map(str, shapes))}, and features are those of one. Pass one of the branches, "
            "or a BackboneSpec that names its stages."
        )
    return maps[-1]


def _prefix_tokens(seen: Recording, n_tokens: int, name: str) -> int:
    number = prefix_tokens(seen, n_tokens)
    if number is None:
        raise UnknownBackboneError(
            f"backbone={name} puts out {n_tokens} tokens, and no map that it computes has about as "
            "many cells. Pass a BackboneSpec with the layout and the number of prefix tokens."
        )
    return number


def _first_size(
    module: nn.Module,
    name: str,
    preprocessing: Preprocessing | None,
    run: Callable[[nn.Module, int], _Result],
) -> tuple[_Result, int]:
    """Run a copy at the first size that the network takes, without values where possible."""
    problem = Exception()
    sizes = _possible_sizes(module, preprocessing)
    for device in ("meta", "cpu"):
        network = copy.deepcopy(module).to(device, torch.float32)
        for size in sizes:
            result = _attempt(network, size, run)
            if not isinstance(result, Exception):
                return result, size
            problem = result if size == sizes[0] else problem
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    channels = "" if first is None or first.in_channels == _COLOURS else (
        f"Its first convolution takes {first.in_channels} channel(s), and images have 3. "
    )  # fmt: skip
    raise UnknownBackboneError(
        f"backbone={name} does not run on images of the shape (1, 3, {sizes[0]}, {sizes[0]}): "
        f"{str(problem).rstrip('.')}. {channels}Set its attribute `preprocessing` to a Preprocessing of the size it "
        "takes, or pass a BackboneSpec."
    ) from problem


def _attempt(
    network: nn.Module, size: int, run: Callable[[nn.Module, int], _Result]
) -> _Result | Exception:
    try:
        return run(network, size)
    except (
        RuntimeError, TypeError, ValueError, LookupError, AssertionError, AttributeError
    ) as exc:  # fmt: skip
        return exc


def _possible_sizes(module: nn.Module, preprocessing: Preprocessing | None) -> list[int]:
    """List the sizes that a network tells, and if it tells none for sure, the usual ones."""
    if isinstance(getattr(module, "preprocessing", None), Preprocessing):
        assert preprocessing is not None  # it is that one
        return [preprocessing.crop]
    own = [getattr(part, name, None) for part in module.modules() for name in _SIZE_NAMES]
    sides = [size[0] if isinstance(size, tuple | list) and size else size for size in own]
    told = [side for side in sides if isinstance(side, int) and side > 0]
    first = [preprocessing.crop] if preprocessing is not None else []
    return list(dict.fromkeys([*told[:2], *first, *_SIZES]))


def _run(network: nn.Module, size: int) -> list[Run]:
    return trace(network, (), size)


def _recorded(module: nn.Module, size: int) -> Recording:
    try:
        return record(copy.deepcopy(module).to("meta"), size)
    except (RuntimeError, TypeError, ValueError):  # an operation without a rule for shapes
        return record(copy.deepcopy(module).to("cpu", torch.float32), size)


def _ends_of_stages(
    seen: Recording, module: nn.Module, last: Sequence[str]
) -> tuple[list[Call], list[str]]:
    """Go down from the network until several units with weights put out maps.

    Parameters
    ----------
    seen : Recording
        Recording of the network.
    module : nn.Module
        The network.
    last : sequence of str
        Modules, one in another, that put out the last map.

    Returns
    -------
    calls : list of Call
        The units' own, in the order in which they ended.
    ends : list of str
        Paths of units; the last is one of `last`.
    """
    best: list[str] = []
    container: str | None = _first_container(module, last)
    while container is not None:
        prefix = f"{container}." if container else ""
        tap = min((path for path in last if path.startswith(prefix)), key=_depth)
        ends = _ends_in(seen, module, prefix, tap)
        if len(ends) > len(best):
            best = ends
        if len(ends) > 1:
            break
        around = {path[len(prefix) :].partition(".")[0] for path in last
                  if path.startswith(prefix) and "." in path[len(prefix) :]}  # fmt: skip
        container = next((prefix + child for child in sorted(around)), None)
    return _calls_of_units(seen, module, best), best


def _depth(path: str) -> int:
    return path.count(".")


def _ends_in(seen: Recording, module: nn.Module, prefix: str, tap: str) -> list[str]:
    """List the ends of the stages that the children of one module make."""
    parts = module.get_submodule(prefix.removesuffix(".")).named_children()
    children = [prefix + child for child, _ in parts if not tap.startswith(f"{prefix}{child}.")]
    maps = _maps_until(_calls_of_units(seen, module, [*children, tap]), tap, prefix)
    weighty = [any(p.dim() > 1 for p in module.get_submodule(path).parameters()) for path in maps]
    # Each unit with weights, and those without that follow it, make a stage.
    return [*(maps[i - 1] for i in range(1, len(maps)) if weighty[i] and any(weighty[:i])), tap]


def _calls_of_units(seen: Recording, module: nn.Module, taps: Sequence[str]) -> list[Call]:
    units = set(units_around(module, taps, seen.times()))
    return [call for call in seen.calls if call.path in units]


def _maps_until(calls: Sequence[Call], tap: str, prefix: str) -> list[str]:
    """List what puts out a map in the axes of the last one; a shared ReLU has no place of its own."""
    paths = [call.path for call in calls]
    last = calls[paths.index(tap)]
    layout = layout_of(last.shape)
    return [
        call.path
        for call in calls[: paths.index(tap) + 1]
        if (call.path.startswith(prefix) or call.path == tap)
        and paths.count(call.path) == 1
        and layout_of(call.shape) == layout
        and (layout != "tokens" or call.shape[1] == last.shape[1])
    ]


def _first_container(module: nn.Module, last: Sequence[str]) -> str:
    features = getattr(module, "features", None)
    inside = any(path.startswith("features.") for path in last)
    return "features" if inside and isinstance(features, nn.Module) else ""


def _runs(calls: Sequence[Call]) -> list[Run]:
    """Say of each call whether it took what the one before it put out."""
    before = [None, *(call.output for call in calls[:-1])]
    return [
        Run(call.path, call.shape, call.taken is not None and call.taken == last, None)
        for call, last in zip(calls, before, strict=True)
    ]
