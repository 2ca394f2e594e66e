"""The networks of timm, an optional library: ``backbone="timm:NAME"``.

Stages end where timm's `feature_info` says, and are named by the paths of these modules. Where
timm pools a later map than the last of these, one more stage ends there; if only norms and
activations lie between, the last stage ends there. Of maps side by side (crossvit, coat) it is the
last one.
"""

from __future__ import annotations

import difflib
import importlib
import math
import warnings
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sktransfer.backbones.hub import cache_of_hub, reachable
from sktransfer.backbones.last_map import Place, add_last_map, last_maps, place_for
from sktransfer.backbones.recording import record
from sktransfer.backbones.spec import (
    BackboneSpec,
    Layout,
    Stage,
    WeightsSource,
    build_without_values,
    trace_shapes,
)
from sktransfer.backbones.tracing import Run, cut_at, units_around
from sktransfer.directories import first_names
from sktransfer.exceptions import UnknownBackboneError, WeightsNotFoundError
from sktransfer.preprocessing import Preprocessing
from sktransfer.torch_internals import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PREFIX", "spec_of_timm", "spec_of_timm_module", "timm_names"]

PREFIX = "timm:"


def timm_names(pattern: str) -> list[str]:
    """List the networks of timm that match a shell pattern, with the prefix."""
    return [PREFIX + name for name in _timm().list_models(pattern)]


def spec_of_timm(name: str) -> BackboneSpec:
    """Describe a network of timm.

    Parameters
    ----------
    name : str
        Without the prefix; "resnet50" or, with a tag of its weights, "resnet50.a1_in1k".

    Raises
    ------
    ImportError
        If timm is not installed.
    UnknownBackboneError
        If timm has no such network or tag.
    """
    timm = _timm()
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        nearest = f" Nearest: {', '.join(repr(PREFIX + other) for other in near)}." if near else ""
        raise UnknownBackboneError(
            f"backbone={PREFIX + name!r} is not a network of timm {timm.__version__}.{nearest} "
            f"list_backbones('{PREFIX}*') lists all."
        )
    build = partial(_create, name)
    try:
        module = build_without_values(build)
    except RuntimeError as exc:
        tags = ", ".join(repr(PREFIX + other) for other in timm.list_pretrained(architecture))
        raise UnknownBackboneError(
            f"backbone={PREFIX + name!r} cannot be built by timm {timm.__version__}: {exc} "
            f"With weights there are: {tags or 'none'}."
        ) from exc
    config: Any = module.pretrained_cfg
    weights = {}
    if config.get("url") or config.get("hf_hub_id") or config.get("file"):
        repository = None if config.get("file") else config.get("hf_hub_id")
        load = partial(_create, name, pretrained=True, repository=repository)
        weights[config.get("tag") or "default"] = WeightsSource(load=load)
    return spec_of_timm_module(module, PREFIX + name, build, weights)


def spec_of_timm_module(
    module: nn.Module,
    name: str,
    build: Callable[[], nn.Module],
    weights: dict[str, WeightsSource],
    size: int | None = None,
) -> BackboneSpec:
    """Describe a network that timm made, and that `build` makes again.

    Parameters
    ----------
    module : nn.Module
        The network; may have no values.
    name : str
        Name of the spec.
    build : callable
        Returns the network with random weights.
    weights : dict of str to WeightsSource
        Those that are published.
    size : int, optional
        Side of the images in pixels; None means what timm says.
    """
    data_config = importlib.import_module("timm.data").resolve_model_data_config(module)
    preprocessing = Preprocessing.from_timm(data_config)
    preprocessing = preprocessing if size is None else preprocessing.with_size(size)
    size = preprocessing.crop
    taps = [entry["module"] for entry in _feature_info(module) if entry.get("module")]
    final = _final(build, taps, size)
    if isinstance(final, Place):
        build = partial(_with_last_map, build, final)
        weights = {
            key: replace(source, load=partial(_with_last_map, source.load, final))
            for key, source in weights.items()
            if source.load is not None
        }
        module = build_without_values(build)
    if final is not None:
        taps.append(final if isinstance(final, str) else final.path)
    units = units_around(module, taps)
    runs = trace_shapes(build, units, size)
    n_axes = next(len(run.shape) for run in reversed(runs) if run.path in taps)
    taps = [run.path for run in runs if run.path in taps and len(run.shape) == n_axes]
    paths, resumable = cut_at(runs, taps)
    later = {path for stage in paths[1:] for path in stage}
    with_side_inputs = [run.path for run in runs if run.side_inputs and run.path in later]
    if resumable and with_side_inputs:  # which must not grow with the batch
        pair = trace_shapes(build, units, size, n_images=2)
        resumable = [run.side_inputs for run in pair] == [run.side_inputs for run in runs]
    config: Any = module.pretrained_cfg
    classifier, *auxiliary = _paths(config.get("classifier"))
    return BackboneSpec(
        name,
        build,
        tuple(Stage(run[-1], tuple(run)) for run in _merge_norm(module, paths)),
        weights,
        preprocessing,
        layout=_layout(module, n_axes),
        prefix_tokens=_prefix_tokens(module, runs, taps[-1]) if n_axes == 3 else 0,
        class_token=n_axes == 3 and _has_class_token(module),
        patch=_patch(module) if n_axes == 3 else 1,
        classifier=classifier,
        auxiliary=tuple(auxiliary),
        resumable=resumable,
        with_side_inputs=tuple(with_side_inputs) if resumable else (),
    )


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as exc:
        raise ImportError(
            "backbones that start with 'timm:' need timm, which is not installed. "
            "Run: pip install timm"
        ) from exc


def _create(name: str, pretrained: bool = False, repository: str | None = None) -> nn.Module:
    """Build a network, with timm's own download and cache for its weights."""
    timm = _timm()
    if repository is not None and not reachable(repository):
        raise _without_network(name, repository)
    try:
        with warnings.catch_warnings():
            # Names such as "xception" are old but are what people know.
            warnings.filterwarnings("ignore", "Mapping deprecated model name", UserWarning)
            module: nn.Module = timm.create_model(
                name, pretrained=pretrained, **_sizes(name.partition(".")[0])
            )
    except OSError as exc:  # huggingface_hub's errors for all that can happen on the way
        if getattr(getattr(exc, "response", None), "status_code", None) in (401, 403):
            raise _needs_login(name, repository) from exc
        raise _without_network(name, repository) from exc
    return module


def _needs_login(name: str, repository: str | None) -> WeightsNotFoundError:
    """Say where to ask for weights that are not given to everybody, and what is."""
    kin = next((other for part, other in _OPEN.items() if part in name), "vit_small_patch14_dinov2")
    page = f"https://huggingface.co/{repository}" if repository else "the page of the weights"
    return WeightsNotFoundError(
        f"the weights of {PREFIX}{name} are given only to who has accepted their licence. Accept it on {page}, "
        "make an access token there, and set the environment variable HF_TOKEN to it; or take "
        f"backbone={PREFIX + kin!r}, which is of the same kind and open."
    )


# Open networks of the kind of those that need a login.
_OPEN = {
    "convnext": "convnext_tiny.fb_in22k",
    "vit_large": "vit_large_patch14_dinov2",
    "vit_base": "vit_base_patch14_dinov2",
}


@lru_cache(maxsize=64)
def _sizes(architecture: str) -> dict[str, bool]:
    """Let a transformer take images of another size than it was built for, where timm can.

    Position embeddings are resampled, and the windows of Swin are padded.
    """
    module = build_without_values(partial(_timm().create_model, architecture))
    if getattr(getattr(module, "patch_embed", None), "strict_img_size", None) is True and (
        type(module).__name__ == "SwinTransformer"
    ):
        return {"strict_img_size": False}
    of_tokens = hasattr(module, "cls_token") or hasattr(module, "pos_embed")
    switches = of_tokens and getattr(module, "dynamic_img_size", None) is False
    return {"dynamic_img_size": True} if switches else {}


def _without_network(name: str, repository: str | None) -> WeightsNotFoundError:
    advice = ""
    if repository is not None:
        folder, here = cache_of_hub()
        advice = (
            f"; the file is model.safetensors of https://huggingface.co/{repository.partition('@')[0]}, and the "
            f"cache folder {folder!r} holds {first_names(here) if here else 'none so far'}"
        )
    return WeightsNotFoundError(
        f"the weights of {PREFIX}{name} are not in timm's cache folder and could not be "
        f"downloaded (no network). Pass weights='path/to/{name}.safetensors', or "
        f'backbone="tiny" for the small network that ships with sktransfer{advice}.'
    )


def _feature_info(module: nn.Module) -> list[dict[str, Any]]:
    info: Any = getattr(module, "feature_info", None) or []
    return list(info.get_dicts() if hasattr(info, "get_dicts") else info)


def _final(build: Callable[[], nn.Module], taps: list[str], size: int) -> str | Place | None:
    """Find the module that puts out what timm pools, or a place for one; None if a tap does."""
    try:
        module = build_without_values(build).to("meta").eval()
        outputs, result = _features(module, size)
    except (RuntimeError, TypeError, ValueError):  # an operation without a rule for shapes
        with torch.random.fork_rng(devices=[]):
            module = build().cpu().eval()
        outputs, result = _features(module, size)
    # An in-place activation puts out the tensor of the norm before it, in a later version.
    same = [path for path, (output, version) in outputs.items() if output is result
            and version == version_of(result)]  # fmt: skip
    if any(path in taps for path in same):
        return None
    around = [path for path in same if not any(tap.startswith(f"{path}.") for tap in taps)]
    if around:
        return min(around, key=lambda path: path.count("."))
    seen = record(module, size)
    maps = last_maps(seen)
    return place_for(seen, maps[-1], module) if maps else None


def _with_last_map(build: Callable[[], nn.Module], place: Place) -> nn.Module:
    return add_last_map(build(), place)


def _features(module: nn.Module, size: int) -> tuple[dict[str, tuple[Tensor, int]], Tensor]:
    outputs: dict[str, tuple[Tensor, int]] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, Tensor):
                outputs[path] = (output, version_of(output))

        return hook

    handles = [
        part.register_forward_hook(keep(path)) for path, part in module.named_modules() if path
    ]
    some = next(module.parameters())
    image = torch.zeros(1, 3, size, size, device=some.device, dtype=some.dtype)
    try:
        with torch.no_grad():
            result: Tensor = module.forward_features(image)  # type: ignore[operator]
    finally:
        for handle in handles:
            handle.remove()
    return outputs, result


def _merge_norm(module: nn.Module, stages: Sequence[list[str]]) -> list[list[str]]:
    """Join a last stage of norms and activations only to the one before."""
    *before, last = stages
    parts = [module.get_submodule(path) for path in last]
    if before and not any(p.dim() > 1 for part in parts for p in part.parameters()):
        return [*before[:-1], [*before[-1], *last]]
    return [*before, last]


def _layout(module: nn.Module, n_axes: int) -> Layout:
    if n_axes == 3:
        return "tokens"
    return "nhwc" if str(getattr(module, "output_fmt", "")).endswith("NHWC") else "nchw"


def _prefix_tokens(module: nn.Module, runs: Sequence[Run], tap: str) -> int:
    """Count the tokens that stand for no cell of the square grid, where timm does not say it."""
    n_tokens = next(run.shape[1] for run in runs if run.path == tap)
    stated = getattr(module, "num_prefix_tokens", None)
    return n_tokens - math.isqrt(n_tokens) ** 2 if stated is None else int(stated)


def _has_class_token(module: nn.Module) -> bool:
    """Tell whether the first token of a network of timm is its class token."""
    return isinstance(getattr(module, "cls_token", None), torch.Tensor)


def _patch(module: nn.Module) -> int:
    """Return the side of a patch, where images of other sizes are possible at all; otherwise 1."""
    size = getattr(getattr(module, "patch_embed", None), "patch_size", 1)
    side = max(size) if isinstance(size, tuple) else size
    return int(side) if getattr(module, "dynamic_img_size", False) else 1


def _paths(classifier: str | Sequence[str] | None) -> list[str]:
    if not classifier:
        return [""]
    return [classifier] if isinstance(classifier, str) else list(classifier)
