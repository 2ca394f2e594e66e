"""What a backbone is: how to build it, its stages from input to output, and its weights."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sktransfer.backbones.side_inputs import Given, side_inputs_of
from sktransfer.backbones.tracing import trace
from sktransfer.identity import Identity, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sktransfer.backbones.side_inputs import GivenTo
    from sktransfer.preprocessing import Preprocessing

__all__ = [
    "BackboneLike",
    "BackboneSpec",
    "Layout",
    "Stage",
    "WeightsSource",
    "build_without_values",
]

Layout: TypeAlias = Literal["nchw", "nhwc", "tokens"]

BackboneLike: TypeAlias = "str | nn.Module | Callable[[], nn.Module] | BackboneSpec"
"""The ways in which a user may say which network is meant."""


@dataclass(frozen=True)
class Stage:
    """A run of modules at whose end features can be tapped.

    Parameters
    ----------
    name : str
        Name that users write in `layers`.
    modules : tuple of str
        Dotted paths in the network, run one after another. The stage's output is that of the last.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of one name come from: a file, an address, or a library's own loader.

    Parameters
    ----------
    url : str, optional
        Address; the file is kept in torch's cache folder under the last part of it.
    file : Path, optional
        A file on this machine.
    load : callable, optional
        Returns the network with its weights.
    build : callable, optional
        Returns the network for `url` or `file` where it differs from the spec's, for example a
        vision transformer for larger images.
    preprocessing : Preprocessing, optional
        Preprocessing that these weights were trained with; None means the spec's.
    """

    url: str | None = None
    file: Path | None = None
    load: Callable[[], nn.Module] | None = None
    build: Callable[[], nn.Module] | None = None
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class BackboneSpec:
    """Description of a network; cheap to make, holds no weights.

    Parameters
    ----------
    name : str
        Name for `backbone`.
    build : callable
        Returns the network with random weights, without a download.
    stages : tuple of Stage
        From input to output; pooling and classifier are not part of any. Together they hold every
        parameter that features depend on, where that is possible.
    weights : mapping of str to WeightsSource
        The first is the default, unless `default_weights` says otherwise. May be empty.
    preprocessing : Preprocessing
        Preprocessing of the default weights.
    layout : {"nchw", "nhwc", "tokens"}, default="nchw"
        Axes of what the stages put out; "tokens" is (batch, tokens, channels).
    prefix_tokens : int, default=0
        Number of tokens at the front that stand for no place in the image.
    class_token : bool, default=False
        Whether the first of these is the class token, in which a transformer gathers the image.
    patch : int, default=1
        Side in pixels of the patches that the network cuts images into, and that sides of images have to
        be multiples of.
    classifier : str, default="fc"
        Path of the classifier. A file may lack its weights, or have other classes.
    auxiliary : tuple of str, default=()
        Paths of other heads that features do not depend on.
    resumable : bool, default=True
        Whether the network's own forward, from the end of any stage on, is the modules of the
        later stages one after another. Nothing is said of what comes before the first stage.
    with_side_inputs : tuple of str, default=()
        Paths of those among these that get more than the output of the module before, which is the
        same for all images of a size, such as rotary positions.
    default_weights : str, optional
        Name in `weights`.
    build_is_random : bool, default=True
        False where `build` copies somebody's module, weights and all; then ``weights="random"``
        resets each of its modules.

    See Also
    --------
    register_backbone : Gives it a name.

    Examples
    --------
    >>> from sktransfer.backbones import get_backbone
    >>> spec = get_backbone("resnet18")
    >>> spec.layer_names
    ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
    >>> spec.widths
    (64, 64, 128, 256, 512)
    >>> spec.stages[0].modules
    ('conv1', 'bn1', 'relu', 'maxpool')
    """

    name: str
    build: Callable[[], nn.Module]
    stages: tuple[Stage, ...]
    weights: Mapping[str, WeightsSource] = field(hash=False)
    preprocessing: Preprocessing
    layout: Layout = "nchw"
    prefix_tokens: int = 0
    class_token: bool = False
    patch: int = 1
    classifier: str = "fc"
    auxiliary: tuple[str, ...] = ()
    resumable: bool = True
    with_side_inputs: tuple[str, ...] = ()
    default_weights: str | None = None
    build_is_random: bool = True

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the stages from input to output."""
        return tuple(stage.name for stage in self.stages)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, read once from a forward pass that computes shapes only."""
        ends = [stage.modules[-1] for stage in self.stages]
        runs = trace_shapes(self.build, ends, self.preprocessing.crop)
        channels = {run.path: run.shape[1 if self.layout == "nchw" else -1] for run in runs}
        return tuple(channels[end] for end in ends)

    @property
    def identity(self) -> Identity:
        """Identity of what it says and of what its functions do now."""
        return identity_of(tuple(getattr(self, part.name) for part in fields(self)))

    def is_head(self, key: str) -> bool:
        """Tell whether a name of a parameter or buffer belongs to the classifier or another head.

        Examples
        --------
        >>> from sktransfer.backbones import get_backbone
        >>> get_backbone("resnet18").is_head("fc.weight")
        True
        """
        heads = (self.classifier, *self.auxiliary)
        return any(key == head or key.startswith(f"{head}.") for head in heads if head)

    def sequence(
        self,
        module: nn.Module,
        start: int = 0,
        stop: int | None = None,
        given: GivenTo | None = None,
    ) -> nn.Sequential:
        """Chain the stages from `start` up to, not including, `stop`.

        Parameters
        ----------
        module : nn.Module
            The network that `build` or `load_backbone` returned. Its modules are shared.
        start, stop : int
            Slice of `stages`.
        given : mapping of str to SideInputs, optional
            Side inputs of modules by their paths, see `side_inputs`.

        Returns
        -------
        nn.Sequential
            Equal to the network's own forward if `resumable` and `start` is not 0.
        """
        paths = [path for stage in self.stages[start:stop] for path in stage.modules]
        parts = {path: module.get_submodule(path) for path in paths}
        given = given or {}
        return nn.Sequential(
            *(Given(part, given[path]) if path in given else part for path, part in parts.items())
        )

    def side_inputs(self, module: nn.Module, size: int) -> GivenTo:
        """Find what the network gives its stages besides maps, for images of a size in pixels."""
        if not self.with_side_inputs:
            return {}
        return side_inputs_of(module, self.with_side_inputs, size)


def build_without_values(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose parameters have shapes but, where that is possible, no memory.

    Buffers that are computed when the network is built have their values.
    """
    try:
        with torch.random.fork_rng(devices=[]), _EmptyIsMeta():
            return build()
    except (RuntimeError, TypeError, ValueError):  # a builder that looks at the values it makes
        with torch.random.fork_rng(devices=[]):
            return build()


def trace_shapes(
    build: Callable[[], nn.Module], paths: list[str], size: int, n_images: int = 1
) -> Any:
    """Trace a network, see `trace`, without computing any values where that is possible."""
    try:
        return trace(build_without_values(build).to("meta"), paths, size, n_images)
    except (RuntimeError, TypeError, ValueError):  # an operation without a rule for shapes
        with torch.random.fork_rng(devices=[]):
            return trace(build().cpu(), paths, size, n_images)


class _EmptyIsMeta(TorchFunctionMode):
    """Put what `torch.empty` makes, all large parameters, on the meta device.

    ``with torch.device("meta")`` would also take the small tensors from which RegNet computes its
    widths.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)
