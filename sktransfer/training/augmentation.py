"""Augmentation: other views of the same images, a whole batch at a time, on bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from sktransfer.parameters import check_choice
from sktransfer.randomness import seeded_everywhere

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AUGMENTATIONS", "Augmentation", "resolve_augmentation"]

AUGMENTATIONS = ("auto", "light", "strong")
"""What `augmentation` can be, beside None and a function."""

if TYPE_CHECKING:
    Augmentation: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
else:
    Augmentation = object

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's


def resolve_augmentation(augmentation: object, *, trunk_is_frozen: bool) -> Augmentation | None:
    """Find what is done to a batch of images, or None for nothing.

    Parameters
    ----------
    augmentation : {"auto", "light", "strong"}, None or callable
        "auto" is nothing where a trunk is frozen, so that it runs once, and "light" where all
        trains. A callable takes one image (3, height, width), uint8, and returns one like it; it is
        called image by image, because random transforms draw once a call.
    trunk_is_frozen : bool
        Whether some stage does not train.

    Raises
    ------
    ValueError
        If it is another string.
    TypeError
        If it is something else.

    Examples
    --------
    >>> images = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    >>> light = resolve_augmentation("light", trunk_is_frozen=False)
    >>> light(images, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 8, 8, 3])
    """
    if augmentation is None:
        return None
    if isinstance(augmentation, str):
        check_choice("augmentation", augmentation, AUGMENTATIONS)
        if augmentation == "auto":
            return None if trunk_is_frozen else _LIGHT
        return _LIGHT if augmentation == "light" else _STRONG
    if not callable(augmentation):
        raise TypeError(
            f"augmentation={augmentation!r} is a {type(augmentation).__name__}. Pass 'auto', "
            "'light', 'strong', None, or a function on uint8 tensors (3, height, width)."
        )
    return _ImageByImage(augmentation)


@dataclass(frozen=True)
class _Jitter:
    """Flip, crop, turn and recolour each image by an own draw.

    Parameters
    ----------
    area : float
        Smallest part of the area that a crop keeps.
    degrees : float
        Largest angle of a turn, to either side.
    colour : float
        Largest change of brightness, contrast and saturation, as a factor around 1.
    erased : float
        Part of the images from which a square of a quarter of the side is cut out.
    """

    area: float
    degrees: float
    colour: float
    erased: float

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Map (batch, height, width, 3), uint8, to the same."""
        draw = torch.rand(len(batch), 12, generator=generator)
        grid = _grid(draw, batch.shape[1:3], self.area, math.radians(self.degrees))
        values = batch.permute(0, 3, 1, 2).float()  # (batch, 3, height, width)
        values = F.grid_sample(
            values, grid.to(batch.device), padding_mode="reflection", align_corners=False
        )
        values = _recolour(values, draw[:, 6:9].to(batch.device), self.colour)
        if self.erased:
            values = _erase(values, draw[:, 9:].to(batch.device), self.erased)
        return values.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class _ImageByImage:
    """Somebody's function, with random numbers that the seed decides."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        with seeded_everywhere(seed):
            views = [self.function(image) for image in batch.permute(0, 3, 1, 2)]
        for view in views:
            if not isinstance(view, Tensor) or view.dtype != torch.uint8:
                raise TypeError(
                    f"augmentation returned {getattr(view, 'dtype', type(view).__name__)}. It must "
                    "return a uint8 tensor of the shape that it was given."
                )
            if view.shape != (3, *batch.shape[1:3]):
                raise ValueError(
                    f"augmentation returned the shape {tuple(view.shape)}. It must return the shape "
                    f"that it was given, {(3, *batch.shape[1:3])}."
                )
        return torch.stack(views).permute(0, 2, 3, 1)


_LIGHT = _Jitter(area=0.75, degrees=0.0, colour=0.1, erased=0.0)
_STRONG = _Jitter(area=0.4, degrees=15.0, colour=0.4, erased=0.25)


def _grid(draw: Tensor, size: torch.Size, area: float, radians: float) -> Tensor:
    """Draw where each pixel comes from: (batch, height, width, 2), in -1..1."""
    zoom = torch.sqrt(area + (1 - area) * draw[:, 0])  # side of the crop
    stretch = torch.exp((draw[:, 1] - 0.5) * math.log(4 / 3) * 2 * (1 - area))
    width = (zoom * stretch.sqrt()).clamp(max=1)
    height = (zoom / stretch.sqrt()).clamp(max=1)
    flip = torch.where(draw[:, 2] < 0.5, -1.0, 1.0)
    angle = (2 * draw[:, 3] - 1) * radians
    shift_x, shift_y = ((2 * draw[:, i] - 1) * (1 - side) for i, side in ((4, width), (5, height)))
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([flip * width * cos, -height * sin, shift_x], 1),
        torch.stack([flip * width * sin, height * cos, shift_y], 1),
    ]
    return F.affine_grid(torch.stack(rows, 1), [len(draw), 3, *size], align_corners=False)


def _recolour(values: Tensor, draw: Tensor, most: float) -> Tensor:
    """Change saturation, contrast and brightness of each image."""
    saturation, contrast, brightness = (
        1 + most * (2 * draw[:, i, None, None, None] - 1) for i in range(3)
    )
    weights = values.new_tensor(_GREY)[:, None, None]
    grey = (values * weights).sum(1, keepdim=True)  # (batch, 1, height, width)
    values = torch.lerp(grey.expand_as(values), values, saturation)
    mean = grey.mean((2, 3), keepdim=True)
    return (values - mean) * contrast * brightness + mean * brightness


def _erase(values: Tensor, draw: Tensor, part: float) -> Tensor:
    """Fill a square of some images with their mean."""
    height, width = values.shape[2:]
    rows = torch.arange(height, device=values.device)[:, None] / height
    columns = torch.arange(width, device=values.device)[None] / width
    top, left = (0.75 * draw[:, i, None, None] for i in (1, 2))
    inside = (rows >= top) & (rows < top + 0.25) & (columns >= left) & (columns < left + 0.25)
    inside &= draw[:, 0, None, None] < part  # (batch, height, width)
    return torch.where(inside[:, None], values.mean((1, 2, 3), keepdim=True), values)
