"""Attention in bfloat16 on a CPU: two matrix products and a softmax, a few heads at a time.

torch's fused attention multiplies blocks that are too small for the processor's bfloat16 products, and takes nearly
twice as long. It keeps the scores in float32 and here they are rounded, so that what comes out has to be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SplitAttention", "attend"]

_AT_ONCE = 2**19  # scores, which then stay in the processor's cache


class SplitAttention(nn.Module):
    """A network whose attention is computed by `attend` where that can be.

    Parameters
    ----------
    network : nn.Module
        From a batch to a sequence of tensors.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.n_calls = 0

    def forward(self, batch: Tensor) -> Sequence[Tensor]:
        """Run the network, and count in `n_calls` how often it attends."""
        with _Split() as mode:
            out: Sequence[Tensor] = self.network(batch)
        self.n_calls = mode.n_calls
        return out


class _Split(TorchFunctionMode):
    """Hands torch's attention without masks over to `attend`."""

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        kwargs = kwargs or {}
        attends = func is F.scaled_dot_product_attention and len(args) >= 3
        if attends and _is_plain(*args, **kwargs):
            self.n_calls += 1
            return attend(args[0], args[1], args[2], kwargs.get("scale"))
        return func(*args, **kwargs)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Average values by the softmax of the products of queries and keys [1]_.

    Parameters
    ----------
    query : Tensor of shape (batch, heads, n_queries, width)
        Queries, of any floating dtype.
    key : Tensor of shape (batch, heads, n_keys, width)
        Keys, of the same dtype.
    value : Tensor of shape (batch, heads, n_keys, n_out)
        Values, of the same dtype.
    scale : float or None, default=None
        Factor of the products; None means one over the square root of the width.

    Returns
    -------
    Tensor of shape (batch, heads, n_queries, n_out)
        Same dtype; scores are rounded to it.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NIPS 2017, equation 1.

    Examples
    --------
    >>> q, k, v = torch.randn(3, 2, 6, 5, 8, generator=torch.manual_seed(0))
    >>> torch.allclose(attend(q, k, v), F.scaled_dot_product_attention(q, k, v), atol=1e-6)
    True
    """
    n_images, n_heads, n_queries, width = query.shape
    factor = width**-0.5 if scale is None else scale
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))  # (heads of all, ...)
    out = query.new_empty(len(query), n_queries, value.shape[-1])
    some = max(1, _AT_ONCE // (n_queries * key.shape[1]))
    nothing = query.new_zeros(1)
    for start in range(0, len(query), some):
        heads = slice(start, start + some)
        scores = torch.baddbmm(nothing, query[heads], key[heads].mT, beta=0, alpha=factor)
        torch.bmm(scores.softmax(-1), value[heads], out=out[heads])
    return out.reshape(n_images, n_heads, n_queries, -1)


def _is_plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,  # noqa: ARG001 - any
    enable_gqa: bool = False,
) -> bool:
    same_heads = query.shape[:2] == key.shape[:2] == value.shape[:2]
    plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
    return plain and query.dim() == 4 and same_heads
