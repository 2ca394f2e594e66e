"""Statistics of BatchNorm, taken anew after weights have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sktransfer.torch_internals import is_batchnorm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sktransfer.training.network import TransferNetwork

__all__ = ["renew_statistics"]


def renew_statistics(network: TransferNetwork, batches: Iterable[Tensor]) -> None:
    """Take the statistics of each BatchNorm that trains as the mean over batches.

    While weights change, running statistics lag behind, and augmented views are not what the network
    is going to see. All else stays in inference mode, and BatchNorm of frozen stages as it is.

    Parameters
    ----------
    network : TransferNetwork
        Is in inference mode afterwards.
    batches : iterable of Tensor
        Inputs of the network, as they come in use; a batch of one is not possible.
    """
    network.train()
    norms = [module for module in network.modules() if is_batchnorm(module) and module.training]
    network.eval()
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for inputs in batches if norms else ():
            network.features(inputs.to(device))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()
