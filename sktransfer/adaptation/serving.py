"""Serving: what both heads read, for rows of the target and for rows of the source."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from sktransfer.adaptation.norms import set_statistics
from sktransfer.exceptions import ImageDecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sktransfer.adaptation.heads import AdaptationHead
    from sktransfer.preprocessing import Preprocessing
    from sktransfer.training.portable_network import TrainedNetwork

__all__ = ["head_in_float64", "hidden_values", "network_of_source", "refuse_unread"]


def head_in_float64(trained: TrainedNetwork) -> AdaptationHead:
    """Copy the heads in float64, so that a row's result does not depend on the rows beside it."""
    head = copy.deepcopy(trained.network.head).cpu().double().eval()
    return cast("AdaptationHead", head)


def hidden_values(
    trained: TrainedNetwork, head: AdaptationHead, features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Compute what both heads read from pooled features, (n_rows, width), in float64."""
    standardize = trained.network.standardize
    with torch.inference_mode():
        values = torch.from_numpy(features).double()
        values = (values - standardize.mean.cpu()) * standardize.inverse.cpu()
        hidden: NDArray[np.float64] = head.hidden(values).numpy()
    return hidden


def network_of_source(
    trained: TrainedNetwork,
    statistics: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    preprocessing: Preprocessing | None,
) -> TrainedNetwork:
    """Make the network that normalises as the source needs it; its weights are the same.

    Parameters
    ----------
    trained : TrainedNetwork
        The network of the target.
    statistics : mapping of str to pair of ndarray
        Mean and variance of the source, by the path of a BatchNorm.
    preprocessing : Preprocessing or None
        Preprocessing of the source, if it has one of its own.
    """
    network = copy.deepcopy(trained.network).cpu()
    tensors = {
        path: (torch.from_numpy(mean), torch.from_numpy(var))
        for path, (mean, var) in statistics.items()
    }
    set_statistics(network, tensors)
    if preprocessing is not None:
        network.preprocessing = preprocessing
    return trained.with_network(network)


def refuse_unread(values: NDArray[np.float64], advice: str) -> None:
    """Refuse rows of NaN, whose images could not be read.

    Raises
    ------
    ImageDecodeError
        Naming the first row, with `advice`.
    """
    rows = np.flatnonzero(np.isnan(values).any(1))
    if len(rows):
        raise ImageDecodeError(
            f"image {rows[0]} of {len(values)} cannot be read (of {len(rows)}), and {advice}"
        )
