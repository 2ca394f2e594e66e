"""The student: a network whose scores are its own vector and what it predicts of the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from sktransfer.training.network import TransferNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StudentNetwork", "mix_weights", "start_at_least_squares"]

_SHRINKAGE = 0.1  # penalty of the least squares, in units of the number of rows


class StudentNetwork(TransferNetwork):
    """A backbone whose pooled features predict the vectors of a teacher by a head.

    Its parameters are those of :class:`~sktransfer.training.network.TransferNetwork`.
    """

    def scores(self, features: Tensor) -> Tensor:
        """Put standardised features and prediction side by side, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            own = self.standardize(features.float())
            return torch.cat([own, self.head(own)], 1)  # (batch, n_features + n_outputs)


def start_at_least_squares(head: nn.Module, features: Tensor, vectors: Tensor) -> None:
    """Let a head that starts at zero give the linear prediction that suits the start best.

    A head without knowledge would send gradients without sense through the backbone first.

    Parameters
    ----------
    head : nn.Module
        Head that `make_head` made. Somebody's own, whose last layer is no linear one of zeros, is left alone.
    features : Tensor of shape (n_rows, n_features)
        Standardised features of the network as it starts.
    vectors : Tensor of shape (n_rows, n_outputs)
        Standardised vectors of the teacher.
    """
    parts = list(head) if isinstance(head, nn.Sequential) else [head]
    if not parts or not isinstance(parts[-1], nn.Linear) or bool(parts[-1].weight.any()):
        return
    was_training = head.training
    with torch.no_grad():
        hidden = nn.Sequential(*parts[:-1]).eval()(features)
        ridge = Ridge(alpha=_SHRINKAGE * len(hidden))
        ridge.fit(hidden.cpu().numpy(), vectors.cpu().numpy())
        parts[-1].weight.copy_(torch.from_numpy(ridge.coef_).reshape(parts[-1].weight.shape))
        if parts[-1].bias is not None:
            parts[-1].bias.copy_(torch.as_tensor(ridge.intercept_))
    head.train(was_training)


def mix_weights(network: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Blend the parameters of a network with those that it started from [1]_.

    Parameters
    ----------
    network : nn.Module
        The network; is changed in place, but for its buffers.
    start : mapping of str to Tensor
        Parameters of the start, by their names; of those that trained at least.
    share : float
        Weight of the network as it is; the start has the rest.

    References
    ----------
    .. [1] Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, equation 1.

    Examples
    --------
    >>> network = nn.Linear(1, 1, bias=False)
    >>> with torch.no_grad():
    ...     _ = network.weight.fill_(4.0)
    >>> mix_weights(network, {"weight": torch.zeros(1, 1)}, 0.25)
    >>> network.weight.item()
    1.0
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in start:
                parameter.lerp_(start[name].to(parameter.device), 1 - share)
