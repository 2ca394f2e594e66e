"""Freezing: from a strategy to what trains, at which rate, and what stays in inference mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from sktransfer.parameters import check_choice, check_integer
from sktransfer.torch_internals import is_batchnorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from sktransfer.backbones.spec import BackboneSpec

__all__ = [
    "STRATEGIES",
    "Strategy",
    "first_trained_stage",
    "freeze",
    "has_training_batchnorm",
    "head_groups",
    "parameter_groups",
    "set_modes",
    "trained_parameters",
]

Strategy: TypeAlias = Literal["scratch", "full", "frozen", "partial"]

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)


def first_trained_stage(strategy: str, n_trainable: object, spec: BackboneSpec) -> int:
    """Find the first stage that trains; ``len(spec.stages)`` if none does.

    Parameters
    ----------
    strategy : {"scratch", "full", "frozen", "partial"}
        The strategy of transfer.
    n_trainable : int
        With "partial", how many stages train, counted from the last.
    spec : BackboneSpec
        The network.

    Raises
    ------
    ValueError
        If there is no such strategy, or the network has fewer stages.
    TypeError
        If `n_trainable` is no whole number.

    Examples
    --------
    >>> from sktransfer.backbones import get_backbone
    >>> [first_trained_stage(strategy, 2, get_backbone("tiny")) for strategy in STRATEGIES]
    [0, 0, 5, 3]
    """
    check_choice("strategy", strategy, STRATEGIES)
    n_stages = len(spec.stages)
    if strategy in ("scratch", "full"):
        return 0
    if strategy == "frozen":
        return n_stages
    n_trained = check_integer(
        "n_trainable", n_trainable, 1, "stages that train, counted from the last"
    )
    if n_trained > n_stages:
        raise ValueError(
            f"n_trainable={n_trained} is more than the {n_stages} stages of {spec.name}, from "
            f"input to output: {', '.join(spec.layer_names)}. Pass at most {n_stages}, or "
            "strategy='full'."
        )
    return n_stages - n_trained


def trained_parameters(
    backbone: nn.Module, spec: BackboneSpec, first: int
) -> Iterator[tuple[str, nn.Parameter, int]]:
    """List what trains of a backbone: names, parameters, and how many stages lie behind each.

    Parameters
    ----------
    backbone : nn.Module
        The network; its heads never train.
    spec : BackboneSpec
        Description of the network.
    first : int
        First stage that trains. 0 includes what belongs to no stage, such as the embedding of
        positions of a vision transformer, which counts as one stage before the first.
    """
    for name, parameter in backbone.named_parameters():
        if spec.is_head(name):
            continue
        stage = _stage_of(name, spec)
        if stage >= first or first == 0:
            yield name, parameter, len(spec.stages) - 1 - stage


def freeze(backbone: nn.Module, spec: BackboneSpec, first: int) -> None:
    """Let gradients be computed for the stages from `first` on, and for nothing before them."""
    backbone.requires_grad_(False)
    for _, parameter, _ in trained_parameters(backbone, spec, first):
        parameter.requires_grad_(True)


def set_modes(
    backbone: nn.Module, spec: BackboneSpec, first: int, *, freeze_batchnorm: bool
) -> None:
    """Put trained stages in training mode, and all else in inference mode.

    Frozen means frozen: neither statistics of BatchNorm nor dropout of a frozen stage change
    anything. Call it after ``backbone.train()``, which knows nothing of stages.

    Parameters
    ----------
    backbone : nn.Module
        The network.
    spec : BackboneSpec
        Description of the network.
    first : int
        First stage that trains.
    freeze_batchnorm : bool
        Whether BatchNorm keeps its statistics in trained stages too; its scale and shift train.
    """
    backbone.train(first == 0)
    for stage in spec.stages[first:]:
        for path in stage.modules:
            backbone.get_submodule(path).train()
    if freeze_batchnorm:
        for module in backbone.modules():
            if is_batchnorm(module) and module.running_mean is not None:
                module.eval()


def has_training_batchnorm(network: nn.Module) -> bool:
    """Tell whether some BatchNorm takes its statistics from the batch."""
    return any(is_batchnorm(module) and module.training for module in network.modules())


def parameter_groups(
    backbone: nn.Module,
    spec: BackboneSpec,
    first: int,
    heads: nn.Module,
    *,
    lr: float,
    backbone_lr: float,
    weight_decay: float,
    layer_decay: float | None = None,
) -> list[dict[str, object]]:
    """Group parameters by rate, for an optimiser of torch.

    Scales, shifts and biases, all of one axis, have no weight decay.

    Parameters
    ----------
    backbone, spec, first
        As in `trained_parameters`.
    heads : nn.Module
        Heads, which train at `lr`.
    lr, backbone_lr : float
        Learning rates of the heads and of the last stage.
    weight_decay : float
        Weight decay of everything with two axes or more.
    layer_decay : float in (0, 1], optional
        Factor of the rate for each stage that lies behind [1]_.

    Returns
    -------
    list of dict
        With "params", "lr", "weight_decay", and "part", "head" or "backbone".

    References
    ----------
    .. [1] Howard, Ruder, "Universal language model fine-tuning for text classification", ACL 2018,
       section 3.2, there with a factor of 1 / 2.6.
    """
    groups: dict[tuple[str, float, bool], list[nn.Parameter]] = {}
    for _, parameter, depth in trained_parameters(backbone, spec, first):
        rate = backbone_lr * (layer_decay or 1.0) ** depth
        groups.setdefault(("backbone", rate, parameter.dim() > 1), []).append(parameter)
    return head_groups(heads, lr, weight_decay) + _as_groups(groups, weight_decay)


def head_groups(heads: nn.Module, lr: float, weight_decay: float) -> list[dict[str, object]]:
    """Group the parameters of heads, as `parameter_groups` does."""
    groups: dict[tuple[str, float, bool], list[nn.Parameter]] = {}
    for parameter in heads.parameters():
        groups.setdefault(("head", lr, parameter.dim() > 1), []).append(parameter)
    return _as_groups(groups, weight_decay)


def _as_groups(
    groups: dict[tuple[str, float, bool], list[nn.Parameter]], weight_decay: float
) -> list[dict[str, object]]:
    return [
        {
            "params": parameters,
            "lr": rate,
            "weight_decay": weight_decay if decays else 0.0,
            "part": part,
        }
        for (part, rate, decays), parameters in groups.items()
    ]


def _stage_of(name: str, spec: BackboneSpec) -> int:
    """Find the stage of a parameter; -1 if it belongs to none."""
    for index, stage in enumerate(spec.stages):
        if any(name.startswith(f"{path}.") or name == path for path in stage.modules):
            return index
    return -1
