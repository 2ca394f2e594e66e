"""Taps: from the names of layers to slots, and hooks that pool while the network runs."""

from __future__ import annotations

import copy
import difflib
import weakref
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sktransfer.backbones.tracing import trace
from sktransfer.exceptions import UnknownBackboneError, UnknownLayerError
from sktransfer.features.plan import Slot
from sktransfer.features.pooling import POOLINGS, check_pooling, pooled_width
from sktransfer.features.states import as_map, check_token, pool_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sktransfer.backbones.spec import BackboneSpec
    from sktransfer.backbones.weights import LoadedBackbone

__all__ = [
    "Tapped",
    "kept_slots",
    "map_shapes",
    "resolve_slots",
    "run_tapped",
    "standard_slots",
]

# Shapes are found by sending something through the network, so they are kept as long as it is.
_known_shapes: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, int], tuple[int, int, int]]] = (
    weakref.WeakKeyDictionary()
)

_LAST_STAGES = 2  # the maps of earlier ones are so large that some poolings would cost time


def resolve_slots(
    loaded: LoadedBackbone, layers: object, pooling: object, size: int
) -> tuple[Slot, ...]:
    """Find the layers of a network that `layers` and `pooling` ask for.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network.
    layers : None, str, negative int or sequence of these
        None is the last stage; a name is one of the spec's `layer_names`, or the dotted path of a
        module that runs once.
    pooling : str or sequence of str
        One for all layers, or one for each.
    size : int
        Side of the network's input in pixels.

    Raises
    ------
    UnknownLayerError
        If the network has no such layer.
    UnknownPoolingError
        If there is no such pooling.
    UnknownBackboneError
        If the network does not take images of this size.
    ValueError
        If nothing is asked for, one thing twice, or the lists have different lengths.
    TypeError
        If `layers` or `pooling` is something else.
    """
    wanted = _as_list("layers", layers)
    names = [_layer_name(loaded, layer, layers) for layer in wanted]
    hows = _as_list("pooling", pooling)
    for how in hows:
        check_pooling(how)
    if not isinstance(pooling, str) and len(hows) != len(names):
        raise ValueError(
            f"pooling={pooling!r} has {len(hows)} entries for {len(names)} layers ({', '.join(names)}). "
            "Pass one pooling for all layers, or a list with one for each."
        )
    hows = hows * len(names) if isinstance(pooling, str) else hows
    pairs = [
        (name, part) for name, how in zip(names, hows, strict=True) for part in POOLINGS[how].parts
    ]
    for (name, part), times in Counter(pairs).items():
        if times > 1:
            raise ValueError(
                f"layers={layers!r} with pooling={pooling!r} ask for {part!r} of {name!r} "
                f"{times} times. Ask for each layer once, and pass 'avgmax' for two poolings of it."
            )
    for _, part in pairs:
        check_token(loaded.spec, part)
    _check_size(loaded, size)
    widths = dict(zip(loaded.spec.layer_names, loaded.spec.widths, strict=True))
    shapes = {name: (width, 1, 1) for name, width in widths.items()}
    traced = {
        name: None for name, part in pairs if POOLINGS[part].keeps_cells or name not in widths
    }
    if traced:
        shapes |= _shapes(loaded, traced, layers, size)
    modules = _modules(loaded.spec)
    return tuple(
        Slot(name, part, modules.get(name, name), pooled_width(part, *shapes[name]))
        for name, part in pairs
    )


def map_shapes(
    loaded: LoadedBackbone, layers: Sequence[str], size: int
) -> dict[str, tuple[int, int, int]]:
    """Find (channels, height, width) of layers' maps, without computing values.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network.
    layers : sequence of str
        Names, as `resolve_slots` gives them.
    size : int
        Side of the network's input in pixels.
    """
    known = _known_shapes.setdefault(loaded.module, {})
    missing = [layer for layer in layers if (layer, size) not in known]
    if missing:
        found = _shapes(loaded, missing, missing, size)
        known |= {(layer, size): shape for layer, shape in found.items()}
    return {layer: known[layer, size] for layer in layers}


def standard_slots(spec: BackboneSpec) -> tuple[Slot, ...]:
    """List what a pass that fills a store computes anyway, because vectors are small.

    What each pooling says of itself: of every stage, or of the last two.
    """
    stages = list(zip(spec.stages, spec.widths, strict=True))
    wanted = (("every stage", stages), ("last stages", stages[-_LAST_STAGES:]))
    return tuple(
        Slot(stage.name, how.name, stage.modules[-1], how.width(width))
        for stored, some in wanted
        for stage, width in some
        for how in POOLINGS.values()
        if how.stored == stored and (spec.class_token or not how.of_token)
    )


def kept_slots(spec: BackboneSpec, asked: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Widen what is asked for to what a store keeps of every image.

    Usually `standard_slots`; for other layers, every pooling of these that is stored anywhere.
    """
    standard = standard_slots(spec)
    places = {(slot.module, slot.pooling) for slot in standard}
    if all((slot.module, slot.pooling) in places for slot in asked):
        return standard
    kept = {*asked, *(other for slot in asked for other in _beside(slot, spec))}
    return tuple(sorted(kept, key=lambda slot: (slot.module, slot.pooling)))


def _beside(slot: Slot, spec: BackboneSpec) -> Iterator[Slot]:
    """List what a pass may compute of the same map at little cost; nothing beside its cells."""
    asked = POOLINGS[slot.pooling]
    if asked.keeps_cells:
        return
    for how in POOLINGS.values():
        if how.stored != "if asked for" and (spec.class_token or not how.of_token):
            yield replace(slot, pooling=how.name, width=how.width(slot.width // asked.factor))


class Tapped(nn.Module):
    """A network that gives pooled vectors of its layers, through hooks put on for each pass.

    Parameters
    ----------
    module : nn.Module
        The network.
    slots : sequence of Slot
        Poolings of layers. The network runs no further than the deepest.
    spec : BackboneSpec
        Description of the network.
    """

    def __init__(self, module: nn.Module, slots: Sequence[Slot], spec: BackboneSpec) -> None:
        super().__init__()
        self.module, self.slots, self.spec = module, tuple(slots), spec

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to vectors (batch, width of the slot), float32."""
        found: dict[Slot, Tensor] = {}

        # Inside the hook, because in-place layers overwrite maps and vectors are small.
        def take(module: str, output: Tensor) -> None:
            for slot in self.slots:
                if slot.module == module:
                    found[slot] = pool_output(output, self.spec, slot.pooling).float()

        taps = {slot.module: partial(take, slot.module) for slot in self.slots}
        with torch.no_grad():
            run_tapped(self.module, batch, taps)
        return tuple(found[slot] for slot in self.slots)


def run_tapped(
    module: nn.Module, image: Tensor, taps: Mapping[str, Callable[[Tensor], None]]
) -> None:
    """Send a batch through a network, hand over the outputs of some modules, and stop there.

    The network runs no further than the last of these modules.

    Parameters
    ----------
    module : nn.Module
        Left as it was, whatever happens.
    image : Tensor of shape (batch, 3, height, width)
        Input of the network.
    taps : mapping of str to callable
        For each path of a module, what takes its output, before a later module can overwrite it.
    """
    with _hooked(module, taps):
        try:
            module(image)
        except _AllTapped:
            return
    raise RuntimeError("the network ended without running all of the layers asked for")


class _AllTapped(Exception):  # noqa: N818 - it signals success
    """Ends a forward pass after its last tap."""


@contextmanager
def _hooked(module: nn.Module, taps: Mapping[str, Callable[[Tensor], None]]) -> Iterator[None]:
    waiting = set(taps)

    def tap(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            taps[path](output)
            waiting.discard(path)
            if not waiting:
                raise _AllTapped

        return hook

    handles = [module.get_submodule(path).register_forward_hook(tap(path)) for path in taps]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _modules(spec: BackboneSpec) -> dict[str, str]:
    return {stage.name: stage.modules[-1] for stage in spec.stages}


def _as_list(name: str, value: Any) -> list[Any]:
    if value is None or isinstance(value, str | Integral):
        return [value]
    try:
        entries = list(value)
    except TypeError as exc:
        raise TypeError(
            f"{name}={value!r} is a {type(value).__name__}. Pass a name or a list of names."
        ) from exc
    if not entries:
        raise ValueError(f"{name}={value!r} is empty. Name at least one.")
    return entries


def _layer_name(loaded: LoadedBackbone, layer: object, layers: object) -> str:
    """Resolve one entry of `layers`."""
    stages = loaded.spec.layer_names
    if layer is None:
        return stages[-1]
    if isinstance(layer, Integral) and not isinstance(layer, bool):
        if -len(stages) <= int(layer) <= -1:
            return stages[int(layer)]
        raise _unknown(loaded, layer, layers, f"Numbers count from the end, -{len(stages)} to -1.")
    if not isinstance(layer, str):
        raise TypeError(
            f"layers={layers!r} holds a {type(layer).__name__}. Layers are names or negative ints."
        )
    if layer in stages:
        return layer
    if not layer or layer not in dict(loaded.module.named_modules()):
        raise _unknown(loaded, layer, layers)
    if loaded.spec.is_head(layer):
        raise _unknown(loaded, layer, layers, "It is the classifier, whose output is no feature.")
    return layer


def _check_size(loaded: LoadedBackbone, size: int) -> None:
    """Refuse images of a size that the network was not made for."""
    usual = loaded.preprocessing.crop
    if size == usual:
        return
    try:
        map_shapes(loaded, loaded.spec.layer_names[-1:], size)
    except (RuntimeError, TypeError, ValueError, AssertionError, LookupError) as exc:
        raise UnknownBackboneError(
            f"image_size={size}: {loaded.spec.name} does not run on images of {size} x {size} pixels "
            f"({str(exc).strip() or type(exc).__name__}). It takes image_size={usual}; "
            "image_size=None is the size that its weights were trained with."
        ) from exc


def _shapes(
    loaded: LoadedBackbone, names: Iterable[str], layers: object, size: int
) -> dict[str, tuple[int, int, int]]:
    """Find (channels, height, width) of layers' maps, without computing values."""
    modules = _modules(loaded.spec)
    paths = list(dict.fromkeys(modules.get(name, name) for name in names))
    try:
        runs = trace(_copied(loaded.module).to("meta"), paths, size)
    except (RuntimeError, TypeError, ValueError):  # an operation without a rule for shapes
        runs = trace(copy.deepcopy(loaded.module), paths, size)
    times = Counter(run.path for run in runs)
    found = {run.path: run.shape for run in runs}
    shapes = {}
    for name in names:
        path = modules.get(name, name)
        if times[path] != 1:
            problem = f"It runs {times[path]} times in one pass; name a module that runs once."
            raise _unknown(loaded, name, layers, problem)
        if len(found[path]) not in (2, 3, 4):
            raise _unknown(loaded, name, layers, "It puts out no map of features.")
        shapes[name] = _cells(found[path], loaded.spec)
    return shapes


def _copied(module: nn.Module) -> nn.Module:
    """Copy the structure; parameters and buffers keep no values."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.to("meta"), requires_grad=False)
    return copy.deepcopy(module, memo)


def _cells(shape: tuple[int, ...], spec: BackboneSpec) -> tuple[int, int, int]:
    viewed = as_map(torch.empty(shape, device="meta"), spec)
    return viewed.shape[1], viewed.shape[2], viewed.shape[3]


def _unknown(
    loaded: LoadedBackbone, layer: object, layers: object, why: str = ""
) -> UnknownLayerError:
    name, stages = loaded.spec.name, loaded.spec.layer_names
    near = difflib.get_close_matches(str(layer), stages, n=1) or [stages[-1]]
    return UnknownLayerError(
        f"layers={layers!r} asks for {layer!r}, which {name} does not have. Layers from input to "
        f"output: {', '.join(stages)}. {why or f'Nearest: {near[0]!r}.'}"
    )
