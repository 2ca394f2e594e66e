"""MMD: the maximum mean discrepancy of the features of both domains becomes small."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from sktransfer.adaptation.alignments.alignment import AlignedBatch, Alignment

__all__ = ["MMD", "mmd_loss"]

_BANDWIDTHS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, in medians of the distance


class MMD(Alignment):
    """Minimises `mmd_loss`."""

    def loss(self, batch: AlignedBatch) -> tuple[Tensor, dict[str, float]]:
        """Compute the squared discrepancy, times lambda."""
        distance = mmd_loss(*batch.halves)
        return batch.strength * distance, {"domain_loss": float(distance.detach())}


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Compute the squared maximum mean discrepancy of the features of both domains.

    The unbiased estimate of equation 3 of [1]_, with the mean of five Gaussian kernels whose widths
    are a quarter to four times the median distance of the rows, as in deep adaptation networks [2]_.
    It may be slightly negative where the domains are alike.

    Parameters
    ----------
    source, target : Tensor of shape (batch, d)
        At least two rows each; the numbers of rows may differ.

    Returns
    -------
    Tensor of shape (), dtype float32

    References
    ----------
    .. [1] Gretton et al., "A kernel two-sample test", JMLR 13, 2012.
    .. [2] Long, Cao, Wang, Jordan, "Learning transferable features with deep adaptation networks",
       ICML 2015.

    Examples
    --------
    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> abs(mmd_loss(x[:100], x[100:])) < 0.02 < 0.5 < mmd_loss(x[:100], x[100:] + 5)
    tensor(True)
    """
    rows = torch.cat([source, target]).float()
    squared = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    n, m = len(source), len(target)
    off_diagonal = ~torch.eye(n + m, dtype=torch.bool, device=rows.device)
    median = squared.detach()[off_diagonal].median().clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-squared / (2 * w * w * median)) for w in _BANDWIDTHS]).mean(0)
    kernel = kernel * off_diagonal  # (n + m, n + m)
    within_source = kernel[:n, :n].sum() / (n * (n - 1))
    within_target = kernel[n:, n:].sum() / (m * (m - 1))
    return within_source + within_target - 2 * kernel[:n, n:].mean()
