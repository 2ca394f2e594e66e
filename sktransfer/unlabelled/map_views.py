"""Views of stored maps: a part of each map, mirrored or not, so that no image runs twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["cut_maps"]

_SHARES = (5 / 8, 3 / 4, 1.0)  # of height and width that a view keeps


def cut_maps(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Cut one part out of all maps of a batch, and mirror half of them.

    Parameters
    ----------
    maps : Tensor of shape (batch, channels, height, width)
        Maps whose cells stand for places in the image.
    generator : torch.Generator
        Decides size and place of the part, and which maps are mirrored.

    Returns
    -------
    Tensor of shape (batch, channels, smaller height, smaller width)

    Examples
    --------
    >>> views = cut_maps(torch.rand(4, 3, 8, 8), torch.Generator().manual_seed(0))
    >>> views.shape[:2], set(views.shape[2:]) <= {5, 6, 8}
    (torch.Size([4, 3]), True)
    """
    share = _SHARES[_draw(len(_SHARES), generator)]
    height, width = (max(1, math.ceil(share * side)) for side in maps.shape[2:])
    top = _draw(maps.shape[2] - height + 1, generator)
    left = _draw(maps.shape[3] - width + 1, generator)
    part = maps[:, :, top : top + height, left : left + width]
    mirrored = torch.rand(len(maps), generator=generator).to(maps.device) < 0.5
    return torch.where(mirrored[:, None, None, None], part.flip(3), part)


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator))
