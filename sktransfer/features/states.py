"""What a stage puts out: as the state from which the next goes on, as a map of places, and pooled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sktransfer.exceptions import UnknownPoolingError
from sktransfer.features.pooling import POOLINGS, WHOLE_STATE, pool_map

if TYPE_CHECKING:
    from torch import Tensor

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["as_map", "as_state", "cells_of", "check_token", "pool_output", "pool_state"]


def as_map(output: Tensor, spec: BackboneSpec) -> Tensor:
    """View what a stage puts out as a map (batch, channels, height, width).

    Tokens that stand for no place in the image are left out; the others become a square grid, or one
    column if they make none.
    """
    return cells_of(as_state(output, spec), spec)


def as_state(output: Tensor, spec: BackboneSpec) -> Tensor:
    """View all that a stage puts out as a tensor of four axes, from which the next stage can go on.

    A map (batch, channels, height, width), or all tokens in one column, (batch, channels, tokens, 1).
    """
    if output.dim() == 2:  # a vector is a map of one cell
        return output[:, :, None, None]
    if output.dim() == 3:
        return output.mT[..., None]
    return output.permute(0, 3, 1, 2) if spec.layout == "nhwc" else output


def cells_of(state: Tensor, spec: BackboneSpec) -> Tensor:
    """View the part of a state that stands for places in the image as a map."""
    if spec.layout != "tokens" or state.shape[3] != 1:
        return state
    cells = state[:, :, spec.prefix_tokens :]
    side = math.isqrt(cells.shape[2])
    is_square = side * side == cells.shape[2]
    return cells[..., 0].reshape(*cells.shape[:2], side, side) if is_square else cells


def pool_output(output: Tensor, spec: BackboneSpec, how: str) -> Tensor:
    """Pool what a stage puts out to one vector per image, see `pool_state`."""
    return pool_state(as_state(output, spec), spec, how)


def pool_state(state: Tensor, spec: BackboneSpec, how: str) -> Tensor:
    """Pool a state to one vector per image.

    Parameters
    ----------
    state : Tensor of shape (batch, channels, height, width)
        See `as_state`.
    spec : BackboneSpec
        Description of the network.
    how : str
        A pooling, of which "token" and "tokenavg" read the class token, the first of all tokens; or
        `WHOLE_STATE`, which keeps everything.
    """
    if how == WHOLE_STATE:
        return state.flatten(1).clone(memory_format=torch.contiguous_format)
    pooled = [
        POOLINGS[part].reduce(state[:, :, :1])
        if POOLINGS[part].of_token
        else pool_map(cells_of(state, spec), part)
        for part in POOLINGS[how].parts
    ]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)


def check_token(spec: BackboneSpec, how: str) -> None:
    """Refuse a pooling of the class token for a network that has none.

    Raises
    ------
    UnknownPoolingError
        Naming the poolings that the network has.
    """
    if spec.class_token or not any(POOLINGS[part].of_token for part in POOLINGS[how].parts):
        return
    possible = [
        name
        for name, pooling in POOLINGS.items()
        if not any(POOLINGS[part].of_token for part in pooling.parts)
    ]
    raise UnknownPoolingError(
        f"pooling={how!r}: {spec.name} has no class token. Choose one of: "
        f"{', '.join(map(repr, possible))}."
    )
