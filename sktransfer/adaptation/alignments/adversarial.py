"""Adversarial alignment: a domain classifier, and features that make its task hard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sktransfer.adaptation.alignments.alignment import Alignment
from sktransfer.exceptions import TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sktransfer.training.settings import TrainingSettings

__all__ = ["Adversarial"]

_CHECKED_STEPS = 20  # with a lambda above zero, in which the classifier must pass a gradient on


class Adversarial(Alignment):
    """An alignment by a domain classifier, whose gradient is watched in the first steps."""

    has_domain_classifier: ClassVar[bool] = True

    def start(self, classifier: nn.Module | None, settings: TrainingSettings) -> None:  # noqa: ARG002
        """Begin to watch."""
        self._passed: list[Tensor] = []
        self._n_checked = 0

    def watched(self, features: Tensor) -> Tensor:
        """Note the gradient that the domain classifier passes on to features."""
        self._passed = []
        if self._n_checked < _CHECKED_STEPS:
            features = features.view_as(features)
            features.register_hook(self._passed.append)  # type: ignore[no-untyped-call]
        return features

    def check_gradient(self, features: Tensor, strength: float) -> None:
        """Refuse a domain classifier that passes no gradient on.

        Raises
        ------
        TrainingError
            Saying what the classifier must give.
        """
        if not self._passed or strength == 0:
            return
        self._n_checked += 1
        if not self._passed[0].any() and features.detach().std(0).any():
            raise TrainingError(
                "the domain head passes no gradient on to the features, so they cannot adapt: its "
                "output does not depend on them. It must give logits, one for two domains; a "
                "softmax over one unit is constant. Correct domain_head, or pass the widths of its "
                "hidden layers, such as (100,)."
            )
