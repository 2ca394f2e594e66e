"""The classification networks of torchvision, one row a family.

The stages of a family, by the names that users write:

=================================  ==============================================================
ResNet, ResNeXt, Wide ResNet       stem, layer1 .. layer4
RegNet, DenseNet                   stem, block1 .. block4
ShuffleNet v2                      stem, block1 .. block3
ConvNeXt, Swin, MaxViT             stem, stage1 .. stage4
ViT                                stage1 .. stage4, equal numbers of blocks
VGG, SqueezeNet                    block1 .. block5, block1 .. block4: up to each max-pool
AlexNet                            block1 .. block5: one a convolution
MobileNet, MNASNet, EfficientNet   stage1 .. stage5: one a resolution
Inception v3                       stem, conv, mixed5, mixed6, mixed7
GoogLeNet                          stem, conv, inception3, inception4, inception5
=================================  ==============================================================

The last stage ends where the classifier's global pooling begins: it holds the last 1x1 convolution
of MobileNet, MNASNet, EfficientNet and ShuffleNet, the last norm of Swin and ViT, and the last
ReLU of DenseNet. torchvision applies the latter as a function, so here a module that does the same
is appended; it has no parameters, and the function that follows changes nothing more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torchvision
from torch import nn

from sktransfer.backbones.spec import (
    BackboneSpec,
    Layout,
    Stage,
    WeightsSource,
    build_without_values,
)
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["family_members", "spec_of_torchvision", "spec_of_torchvision_module"]


def family_members(name: str | None = None) -> list[str]:
    """List the networks of the family of `name`, or of all families that are known here."""
    families = _FAMILIES if name is None else {_family_name(_builder(name))}
    names = torchvision.models.list_models(module=torchvision.models)
    return [other for other in names if _family_name(_builder(other)) in families]


def spec_of_torchvision(name: str) -> BackboneSpec:
    """Describe the network that torchvision calls `name`, with its published weights."""
    entries = torchvision.models.get_model_weights(name)
    weights = {entry.name: _source(name, entry) for entry in (entries.DEFAULT, *entries)}
    preprocessing = weights[entries.DEFAULT.name].preprocessing
    assert preprocessing is not None  # `_source` has read it
    return _describe(name, partial(_build, name), _builder(name), weights, preprocessing)


def spec_of_torchvision_module(
    module: nn.Module, preprocessing: Preprocessing
) -> BackboneSpec | None:
    """Describe somebody's instance of a class of torchvision; None if it is not one.

    A module whose stages were taken out or renamed is not one either.
    """
    if _family_name(type(module)) not in _FAMILIES:
        return None
    build = partial(_prepared_copy, module)
    weights = {"default": WeightsSource(load=build)}
    try:
        return _describe(type(module).__name__, build, type(module), weights, preprocessing)
    except (AttributeError, KeyError, IndexError):
        return None


def _describe(
    name: str,
    build: Callable[[], nn.Module],
    origin: object,
    weights: dict[str, WeightsSource],
    preprocessing: Preprocessing,
) -> BackboneSpec:
    family = _FAMILIES[_family_name(origin)]
    module = build_without_values(build)
    stages = tuple(Stage(key, tuple(paths)) for key, paths in family.stages(module).items())
    for stage in stages:
        for path in stage.modules:
            module.get_submodule(path)  # a family's row that does not fit raises AttributeError
    return BackboneSpec(
        name,
        build,
        stages,
        weights,
        preprocessing,
        layout=family.layout,
        prefix_tokens=family.prefix_tokens,
        class_token=family.prefix_tokens > 0,
        classifier=family.classifier,
        auxiliary=family.auxiliary,
    )


def _source(name: str, entry: Any) -> WeightsSource:
    """Read one row of torchvision's enumeration of weights."""
    preprocessing = Preprocessing.from_torchvision(entry.transforms())
    build = None
    if _family_name(_builder(name)) == "vision_transformer":  # holds one position for each patch
        build = partial(_build, name, image_size=preprocessing.crop)
    return WeightsSource(url=entry.url, build=build, preprocessing=preprocessing)


def _build(name: str, **options: Any) -> nn.Module:
    """Build with random weights; all heads are there, as in the published files."""
    family = _FAMILIES[_family_name(_builder(name))]
    module: nn.Module = torchvision.models.get_model(
        name, weights=None, **family.options, **options
    )
    return _prepared(module)


def _prepared_copy(module: nn.Module) -> nn.Module:
    return _prepared(copy.deepcopy(module))


def _prepared(module: nn.Module) -> nn.Module:
    """Give DenseNet's last ReLU a module, so that it can be tapped."""
    if _family_name(type(module)) == "densenet":
        # Not nn.ReLU: that needs its output for the gradient, and the function that follows
        # overwrites it. A threshold needs its input.
        module.get_submodule("features").add_module("relu5", nn.Threshold(0.0, 0.0))
    return module


def _builder(name: str) -> object:
    builder: object = torchvision.models.get_model_builder(name)
    return builder


def _family_name(origin: object) -> str:
    """Name the file of torchvision in which a builder or class is defined."""
    package, _, file = str(getattr(origin, "__module__", "")).rpartition(".")
    return file if package == "torchvision.models" else ""


def _children(module: nn.Module, parent: str) -> list[str]:
    return [f"{parent}.{name}" for name, _ in module.get_submodule(parent).named_children()]


def _named(**stages: str) -> Callable[[nn.Module], dict[str, list[str]]]:
    """Stages written out, the paths of each separated by spaces."""
    return lambda _: {name: paths.split() for name, paths in stages.items()}


def _in_pairs(module: nn.Module) -> dict[str, list[str]]:
    """ConvNeXt, Swin: a patch layer, blocks, then three times a down-sampling layer and blocks."""
    paths = _children(module, "features")
    stages = {"stem": paths[:1], "stage1": paths[1:2]}
    for i, start in enumerate(range(2, len(paths), 2), start=2):
        stages[f"stage{i}"] = paths[start : start + 2]
    if hasattr(module, "norm"):
        stages[f"stage{len(stages) - 1}"].append("norm")
    return stages


def _by_resolution(
    parent: str, prefix: str = "stage"
) -> Callable[[nn.Module], dict[str, list[str]]]:
    """Start a stage at each unit with weights and a stride, end it after a pooling."""

    def stages(module: nn.Module) -> dict[str, list[str]]:
        groups: list[list[str]] = [[]]
        for path in _children(module, parent):
            unit = module.get_submodule(path)
            pools = not any(True for _ in unit.parameters()) and _strides(unit)
            if groups[-1] and _strides(unit) and not pools:
                groups.append([])
            groups[-1].append(path)
            if pools:
                groups.append([])
        return {f"{prefix}{i}": group for i, group in enumerate(filter(None, groups), start=1)}

    return stages


def _by_convolution(module: nn.Module) -> dict[str, list[str]]:
    """AlexNet, whose max-pools are too few."""
    groups: list[list[str]] = []
    for path in _children(module, "features"):
        if isinstance(module.get_submodule(path), nn.Conv2d):
            groups.append([])
        groups[-1].append(path)
    return {f"block{i}": group for i, group in enumerate(groups, start=1)}


def _strides(unit: nn.Module) -> bool:
    strides = (getattr(part, "stride", 1) for part in unit.modules())
    return any(stride not in (1, (1, 1)) for stride in strides)


def _densenet_stages(_: nn.Module) -> dict[str, list[str]]:
    groups = [["features.conv0", "features.norm0", "features.relu0", "features.pool0"]]
    for i in range(1, 5):
        before = [f"features.transition{i - 1}"] if i > 1 else []
        groups.append([*before, f"features.denseblock{i}"])
    groups[-1] += ["features.norm5", "features.relu5"]
    return dict(zip(("stem", "block1", "block2", "block3", "block4"), groups, strict=True))


def _maxvit_stages(module: nn.Module) -> dict[str, list[str]]:
    blocks = _children(module, "blocks")
    return {"stem": ["stem"]} | {f"stage{i}": [path] for i, path in enumerate(blocks, start=1)}


def _vit_stages(module: nn.Module) -> dict[str, list[str]]:
    blocks = _children(module, "encoder.layers")
    size = -(-len(blocks) // 4)
    stages = {f"stage{i + 1}": blocks[i * size : (i + 1) * size] for i in range(4)}
    stages = {name: paths for name, paths in stages.items() if paths}  # of four blocks or more
    list(stages.values())[-1].append("encoder.ln")
    return stages


@dataclass(frozen=True)
class _Family:
    """What the networks of one file of torchvision have in common."""

    stages: Callable[[nn.Module], dict[str, list[str]]]
    classifier: str = "classifier"
    auxiliary: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    layout: Layout = "nchw"
    prefix_tokens: int = 0


def _numbered(names: Iterable[str], paths: str) -> dict[str, str]:
    return {name: paths.format(i) for i, name in enumerate(names, start=1)}


# The published weights of both Inceptions expect the pixels that their own first step rescales.
_INCEPTION_OPTIONS = {"aux_logits": True, "transform_input": True, "init_weights": True}

_FAMILIES = {
    "alexnet": _Family(_by_convolution),
    "convnext": _Family(_in_pairs),
    "densenet": _Family(_densenet_stages),
    "efficientnet": _Family(_by_resolution("features")),
    "googlenet": _Family(
        _named(
            stem="conv1 maxpool1",
            conv="conv2 conv3 maxpool2",
            inception3="inception3a inception3b maxpool3",
            inception4="inception4a inception4b inception4c inception4d inception4e maxpool4",
            inception5="inception5a inception5b",
        ),
        classifier="fc",
        auxiliary=("aux1", "aux2"),
        options=_INCEPTION_OPTIONS,
    ),
    "inception": _Family(
        _named(
            stem="Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1",
            conv="Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2",
            mixed5="Mixed_5b Mixed_5c Mixed_5d",
            mixed6="Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e",
            mixed7="Mixed_7a Mixed_7b Mixed_7c",
        ),
        classifier="fc",
        auxiliary=("AuxLogits",),
        options=_INCEPTION_OPTIONS,
    ),
    "maxvit": _Family(_maxvit_stages),
    "mnasnet": _Family(_by_resolution("layers")),
    "mobilenetv2": _Family(_by_resolution("features")),
    "mobilenetv3": _Family(_by_resolution("features")),
    "regnet": _Family(
        _named(
            stem="stem",
            **_numbered(("block1", "block2", "block3", "block4"), "trunk_output.block{}"),
        ),
        classifier="fc",
    ),
    "resnet": _Family(
        _named(
            stem="conv1 bn1 relu maxpool",
            **_numbered(("layer1", "layer2", "layer3", "layer4"), "layer{}"),
        ),
        classifier="fc",
    ),
    "shufflenetv2": _Family(
        _named(stem="conv1 maxpool", block1="stage2", block2="stage3", block3="stage4 conv5"),
        classifier="fc",
    ),
    "squeezenet": _Family(_by_resolution("features", "block")),
    "swin_transformer": _Family(_in_pairs, classifier="head", layout="nhwc"),
    "vgg": _Family(_by_resolution("features", "block")),
    "vision_transformer": _Family(
        _vit_stages, classifier="heads", layout="tokens", prefix_tokens=1
    ),
}
