"""Decoders: from the maps of a backbone to a score for each class at each cell of a fine grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sktransfer.parameters import check_choice
from sktransfer.segmentation.grids import Grid, resample
from sktransfer.training.heads import Standardizer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DECODERS", "Decoder", "check_decoder", "make_decoder"]

DECODERS: Final = ("fcn32s", "fcn16s", "fcn8s", "deconv", "fpn", "unet")
"""The decoders that have a name."""

_WIDTH: Final = 64
_GROUPS: Final = 8


class Decoder(nn.Module):
    """A module from the maps of a pyramid, fine to coarse, to scores at the places of `grid`.

    Parameters
    ----------
    grid : Grid
        Places of the scores.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    standardises: ClassVar[bool] = False
    """Whether `measure` does anything; only in heads without a norm of their own."""

    def measure(self, maps: Sequence[Tensor]) -> None:
        """Standardise by some maps from now on."""

    def start_at(self, prior: Tensor) -> None:
        """Let the first scores be those of what is known before any image is seen."""
        last = [part for part in self.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
        if last and last[-1].bias is not None and last[-1].bias.shape == prior.shape:
            with torch.no_grad():
                last[-1].weight.mul_(0.1)
                last[-1].bias.copy_(prior)


class SkipDecoder(Decoder):
    """A linear score of each map at its own stride, upsampled and added, as in FCN [1]_.

    Linear scores and bilinear upsampling commute, so no map is ever upsampled itself.

    References
    ----------
    .. [1] Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR
       2015, section 4.2.
    """

    standardises = True

    def __init__(self, widths: Sequence[int], grids: Sequence[Grid], n_out: int) -> None:
        super().__init__(grids[0])
        self.grids = tuple(grids)
        self.norms = nn.ModuleList(Standardizer(width) for width in widths)
        self.scores = nn.ModuleList(nn.Conv2d(width, n_out, 1) for width in widths)
        for score in self.scores:
            nn.init.zeros_(score.weight)  # type: ignore[arg-type] # ModuleList is untyped
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]

    def measure(self, maps: Sequence[Tensor]) -> None:
        """Standardise each channel by its mean and deviation over the cells of some maps."""
        for norm, feature_map in zip(self.norms, maps[-len(self.norms) :], strict=True):
            norm.fit(feature_map.movedim(1, -1).flatten(0, -2))  # type: ignore[operator]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map (batch, width, height, width) of each stride to scores at the finest used one."""
        used = maps[-len(self.scores) :]
        scores: Tensor | None = None
        for at in reversed(range(len(used))):
            cells = self.norms[at](used[at].movedim(1, -1)).movedim(-1, 1)
            own: Tensor = self.scores[at](cells)
            if scores is not None:
                own = own + resample(
                    scores, self.grids[at + 1], self.grids[at], (own.shape[2], own.shape[3])
                )
            scores = own
        assert scores is not None  # there is at least one map
        return scores


class DeconvDecoder(Decoder):
    """The last map, enlarged by one transposed convolution for each halving of the network.

    Each starts as bilinear upsampling does.
    """

    standardises = True

    def __init__(self, width: int, grid: Grid, n_out: int) -> None:
        n_halvings = max(1, round(grid.stride).bit_length() - 1)
        stride, offset = grid.stride, grid.offset
        for _ in range(n_halvings):
            stride, offset = stride / 2, offset - stride / 4
        super().__init__(Grid(stride, offset))
        sizes = [max(16, 128 >> step) for step in range(n_halvings)]
        self.norm = Standardizer(width)
        self.reduce = nn.Conv2d(width, sizes[0], 1)
        widths = [*sizes[1:], n_out]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1)
            for before, after in zip(sizes, widths, strict=True)
        )
        for up in self.ups:
            _start_bilinear(up)  # type: ignore[arg-type] # ModuleList is untyped

    def measure(self, maps: Sequence[Tensor]) -> None:
        """Standardise each channel of the last map."""
        self.norm.fit(maps[-1].movedim(1, -1).flatten(0, -2))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the last map to scores at every pixel."""
        values: Tensor = self.reduce(self.norm(maps[-1].movedim(1, -1)).movedim(-1, 1))
        for up in self.ups:
            values = up(F.relu(values))
        return values


class PyramidDecoder(Decoder):
    """A feature pyramid: each finer, less specific map is enriched by the coarser ones [1]_.

    One linear layer scores the sum of its levels at the finest stride. Linear scores and upsampling
    commute, so each level is scored at its own stride, and its scores are upsampled.

    References
    ----------
    .. [1] Lin, Dollar, Girshick, He, Hariharan, Belongie, "Feature pyramid networks for object
       detection", CVPR 2017, section 3.
    """

    def __init__(self, widths: Sequence[int], grids: Sequence[Grid], n_out: int) -> None:
        super().__init__(grids[0])
        self.grids = tuple(grids)
        self.laterals = nn.ModuleList(_unit(width, _WIDTH, 1) for width in widths)
        self.smooth = nn.ModuleList(_unit(_WIDTH, _WIDTH, 3) for _ in widths)
        self.score = nn.Conv2d(_WIDTH, n_out, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the pyramid to scores at the finest stride."""
        size = (maps[0].shape[2], maps[0].shape[3])
        above: Tensor | None = None
        total: Tensor | None = None
        for at in reversed(range(len(maps))):
            level: Tensor = self.laterals[at](maps[at])
            if above is not None:
                shape = (level.shape[2], level.shape[3])
                level = level + resample(above, self.grids[at + 1], self.grids[at], shape)
            above = level
            bias = self.score.bias if total is None else None
            scores = F.conv2d(self.smooth[at](level), self.score.weight, bias)
            scores = resample(scores, self.grids[at], self.grids[0], size)
            total = scores if total is None else total + scores
        assert total is not None  # there is at least one map
        return total


class UnetDecoder(Decoder):
    """Coarse maps are upsampled, joined with the next finer ones, and convolved, as in U-Net [1]_.

    References
    ----------
    .. [1] Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
       segmentation", MICCAI 2015.
    """

    def __init__(self, widths: Sequence[int], grids: Sequence[Grid], n_out: int) -> None:
        super().__init__(grids[0])
        self.grids = tuple(grids)
        self.last = _unit(widths[-1], _WIDTH, 1)
        self.joins = nn.ModuleList(_unit(_WIDTH + width, _WIDTH, 3) for width in widths[:-1])
        self.score = nn.Conv2d(_WIDTH, n_out, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the pyramid to scores at the finest stride."""
        values: Tensor = self.last(maps[-1])
        for at in reversed(range(len(self.joins))):
            size = (maps[at].shape[2], maps[at].shape[3])
            values = resample(values, self.grids[at + 1], self.grids[at], size)
            values = self.joins[at](torch.cat([values, maps[at].to(values.dtype)], 1))
        scores: Tensor = self.score(values)
        return scores


class _UsersDecoder(Decoder):
    """Somebody's own module; the places of its scores follow from their number."""

    def __init__(self, module: nn.Module, grids: Sequence[Grid], widths: Sequence[int]) -> None:
        super().__init__(grids[0])
        self.module = module
        side = 4 * round(grids[-1].stride)
        sizes = [max(1, round(side / grid.stride)) for grid in grids]
        maps = [torch.zeros(2, width, n, n) for width, n in zip(widths, sizes, strict=True)]
        with torch.no_grad():
            given = module.eval()(maps)
        n_cells = given.shape[-1]
        stride = side / n_cells
        grid = Grid(stride, grids[0].offset - (grids[0].stride - stride) / 2)
        self.grid = grids[sizes.index(n_cells)] if n_cells in sizes else grid

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        scores: Tensor = self.module(list(maps))
        return scores


def check_decoder(name: str, head: object) -> None:
    """Refuse what is neither the name of a decoder nor callable.

    Raises
    ------
    ValueError, TypeError
        Naming what is possible.
    """
    if isinstance(head, str):
        check_choice(name, head, DECODERS)
    elif not callable(head) or isinstance(head, nn.Module):
        raise TypeError(
            f"{name}={head!r} is a {type(head).__name__}. Pass one of {', '.join(map(repr, DECODERS))}, "
            "or a function (widths, strides, out_features) that returns an nn.Module on the list of "
            "maps."
        )


def make_decoder(head: Any, widths: Sequence[int], grids: Sequence[Grid], n_out: int) -> Decoder:
    """Build a decoder with weights from torch's own random numbers.

    Parameters
    ----------
    head : str or callable
        See `check_decoder`.
    widths : sequence of int
        Channels of the maps, fine to coarse.
    grids : sequence of Grid
        Places of their cells.
    n_out : int
        Number of classes.

    Raises
    ------
    TypeError
        If a callable returns no module.
    """
    if not isinstance(head, str):
        module = head(list(widths), [round(grid.stride) for grid in grids], n_out)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"head returned an object of type {type(module).__name__}. It must return an nn.Module that maps the "
                "list of maps to scores (batch, out_features, height, width)."
            )
        return _UsersDecoder(module, grids, widths)
    if head.startswith("fcn"):
        n_maps = min(len(widths), {"fcn32s": 1, "fcn16s": 2, "fcn8s": 3}[head])
        return SkipDecoder(widths[-n_maps:], grids[-n_maps:], n_out)
    if head == "deconv":
        return DeconvDecoder(widths[-1], grids[-1], n_out)
    return (PyramidDecoder if head == "fpn" else UnetDecoder)(widths, grids, n_out)


def _unit(n_in: int, n_out: int, side: int) -> nn.Sequential:
    """Chain a convolution, a norm that needs no batch, and a ReLU."""
    convolution = nn.Conv2d(n_in, n_out, side, padding=side // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, n_out), nn.ReLU())


def _start_bilinear(up: nn.ConvTranspose2d) -> None:
    """Let a transposed convolution mix channels at random and upsample each bilinearly."""
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    mix = torch.randn(up.in_channels, up.out_channels) * (2 / up.in_channels) ** 0.5
    with torch.no_grad():
        up.weight.copy_(mix[:, :, None, None] * (ramp[:, None] * ramp)[None, None])
        if up.bias is not None:
            up.bias.zero_()
