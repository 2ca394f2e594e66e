"""Hand-made descriptors of images: what `tiny` learns to tell from its pooled features.

Shape, texture and colour as computer vision measured them before it learned to: histograms of oriented gradients
[1]_, energies of oriented band-pass filters (the first order of scattering [2]_), colour histograms [3]_ and the
colour layout. Masked prediction of the first has pre-trained large networks [4]_.

References
----------
.. [1] Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
.. [2] Bruna, Mallat, "Invariant scattering convolution networks", IEEE TPAMI, 2013, equation 6.
.. [3] Swain, Ballard, "Color indexing", IJCV, 1991.
.. [4] Wei et al., "Masked feature prediction for self-supervised visual pre-training", CVPR 2022.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

N_DESCRIPTORS = 360
"""Columns of `describe`."""

SIDE = 32
"""Images are first resized to this side, in pixels."""


def describe(images: Tensor) -> Tensor:
    """Describe images by one vector each, which a mirror image shares.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width), float in 0..1
        RGB.

    Returns
    -------
    Tensor of shape (n, 360), float32
        Cells of the left and the right half are averaged with each other's mirror image.
    """
    images = images.float()
    if images.shape[-2:] != (SIDE, SIDE):
        images = F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
    oriented = [oriented_gradients(images), *filter_energies(images)]
    folded = [_fold(cells, _mirrored_bins(cells)) for cells in oriented]
    folded += [_fold(colour_layout(images)), colour_histogram(images)]
    return torch.cat([part.flatten(1) for part in folded], 1)


def oriented_gradients(images: Tensor, grid: int = 4, n_bins: int = 8) -> Tensor:
    """Share the gradient's magnitude among orientations in each cell of a grid: (n, n_bins, grid, grid).

    Orientations count modulo 180 degrees; square roots of shares of the whole image are returned.
    """
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    right = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]) / 2
    down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]) / 2
    place = torch.atan2(down, right).remainder(math.pi) * (n_bins / math.pi)  # (n, 1, h, w)
    distance = (place - torch.arange(n_bins, device=images.device)[:, None, None]).abs()
    share = (1 - torch.minimum(distance, n_bins - distance)).clamp(min=0)  # (n, n_bins, h, w)
    cells = F.adaptive_avg_pool2d(share * torch.hypot(right, down), grid)
    total = cells.square().sum((1, 2, 3), keepdim=True).sqrt() / grid
    return (cells / (total + 0.01)).sqrt()


def filter_energies(
    images: Tensor, grid: int = 2, scales: tuple[int, ...] = (1, 2, 4), n_orientations: int = 6
) -> list[Tensor]:
    """Average the modulus of oriented filters over each cell of a grid, as logarithms.

    Returns
    -------
    list of Tensor of shape (n, n_orientations, grid, grid)
        One for each scale, which is the number of pixels that are first averaged to one.
    """
    grey = images.mean(1, keepdim=True)
    filters = _gabor_pairs(n_orientations).to(images)
    radius = filters.shape[-1] // 2
    energies = []
    for scale in scales:
        reduced = F.avg_pool2d(grey, scale) if scale > 1 else grey
        parts = F.conv2d(F.pad(reduced, (radius,) * 4, mode="replicate"), filters)
        modulus = torch.hypot(parts[:, 0::2], parts[:, 1::2])  # (n, n_orientations, h, w)
        energies.append((F.adaptive_avg_pool2d(modulus, grid) + 0.01).log())
    return energies


def colour_histogram(images: Tensor, n_levels: int = 4) -> Tensor:
    """Count the pixels near each colour of a cube, as square roots of shares: (n, n_levels ** 3).

    A pixel between colours is shared by up to eight of them.
    """
    levels = torch.linspace(0, 1, n_levels, device=images.device)[:, None]
    red, green, blue = (
        (1 - (images[:, i].flatten(1)[:, None] - levels).abs() * (n_levels - 1)).clamp(min=0)
        for i in range(3)
    )  # (n, n_levels, pixels)
    pairs = (red[:, :, None] * green[:, None]).flatten(1, 2)  # (n, n_levels ** 2, pixels)
    return (pairs @ blue.mT / red.shape[-1]).flatten(1).clamp(min=0).sqrt()


def colour_layout(images: Tensor, grid: int = 4) -> Tensor:
    """Average each cell of a grid in RGB and in opponent colours: (n, 6, grid, grid)."""
    red, green, blue = F.adaptive_avg_pool2d(images, grid).unbind(1)
    opponent = (red + green + blue, red - green, red + green - 2 * blue)
    return torch.stack([red, green, blue, *opponent], 1)


def _fold(cells: Tensor, order: Tensor | None = None) -> Tensor:
    """Average cells (n, channels, height, width) with those of the mirror image."""
    mirrored = cells.flip(3) if order is None else cells.flip(3)[:, order]
    return (cells + mirrored) / 2


def _mirrored_bins(cells: Tensor) -> Tensor:
    """Name the channel that each orientation takes in a mirror image: angles change their sign."""
    return -torch.arange(cells.shape[1], device=cells.device) % cells.shape[1]


def _gabor_pairs(n_orientations: int, radius: int = 4, sigma: float = 1.3) -> Tensor:
    """Even and odd filters of 1.8 radians a pixel in turn, without a mean: (2 * n_orientations, 1, side, side)."""
    axis = torch.arange(-radius, radius + 1.0)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / (2 * sigma**2))
    filters = []
    for index in range(n_orientations):
        angle = math.pi * index / n_orientations
        phase = 1.8 * (x * math.cos(angle) + y * math.sin(angle))
        even = window * phase.cos()
        filters += [even - window * even.sum() / window.sum(), window * phase.sin()]
    return torch.stack(filters)[:, None]
