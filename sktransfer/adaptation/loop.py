"""The loop of an adaptation: a step learns the labels of the source and aligns the domains."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sktransfer.adaptation.alignments import AlignedBatch
from sktransfer.adaptation.alignments.reversal import reversal_strength
from sktransfer.adaptation.collapse import Signs
from sktransfer.adaptation.logits import entropy_loss, mean_prediction_entropy
from sktransfer.exceptions import TrainingError, TrainingWarning
from sktransfer.features.device import resolve_device
from sktransfer.training.loop import TransferNet
from sktransfer.training.targets import RowLoss, weighted_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sktransfer.adaptation.alignments import Alignment
    from sktransfer.adaptation.collapse import CollapseDetector
    from sktransfer.adaptation.heads import AdaptationHead
    from sktransfer.adaptation.norms import DomainSwitch
    from sktransfer.training.targets import ClassTarget

__all__ = ["AdaptationNet", "AdaptationRecord", "StepPlan", "net_of"]


@dataclass(frozen=True)
class StepPlan:
    """Constants of all steps of a training.

    Parameters
    ----------
    alignment : Alignment
        Brings the domains together.
    lambda_max, gamma : float
        See `reversal_strength`.
    entropy_weight, diversity_weight : float
        Weights of the entropy of predictions for the target, and of that of their mean, relative to
        lambda.
    n_steps : int
        Steps of the whole training.
    n_sources : int
        Number of domains, the first ones, that are sources.
    max_grad_norm : float or None
        Length to which longer gradients are scaled down; those of the domain classifier by
        themselves.
    switch : DomainSwitch
        Switch of the network's norms.
    detector : CollapseDetector
        Looks for a collapse.
    """

    alignment: Alignment
    lambda_max: float
    gamma: float
    entropy_weight: float
    diversity_weight: float
    n_steps: int
    n_sources: int
    max_grad_norm: float | None
    switch: DomainSwitch
    detector: CollapseDetector


class AdaptationNet(TransferNet):
    """A net whose batches are half source and half target.

    Parameters
    ----------
    module : TransferNetwork
        Its head is an `AdaptationHead`.
    plan : StepPlan, optional
        Constants of the steps; a net that is used and not trained has none.
    **params : dict
        See `TransferNet`.
    """

    def __init__(self, module: Any, *, plan: StepPlan | None = None, **params: Any) -> None:
        super().__init__(module, **params)
        self.plan = plan

    def train_step_single(self, batch: Any, **_: object) -> dict[str, Any]:
        """Compute the gradients of one step; nothing, if the training has been given up."""
        assert self.plan is not None
        assert self.stream is not None
        self._set_training(True)
        inputs, target = batch
        n_source = len(target) // 2
        if self.plan.detector.has_given_up:
            return self._nothing(target[:n_source])
        with _halves(self.plan.switch, n_source), self.stream.lent():
            step = self._step(self.plan, inputs, target, n_source)
        self.step_ += 1
        return step

    def begin(self) -> None:
        """Start counting steps and collecting their records."""
        self.step_ = 0
        self.seen_: list[dict[str, float]] = []
        self.notes_: list[str] = []

    def _step(
        self, plan: StepPlan, inputs: dict[str, Tensor], target: Tensor, n_source: int
    ) -> dict[str, Any]:
        network = self.module_
        head: AdaptationHead = network.head
        strength = plan.detector.strength * reversal_strength(
            self.step_ / plan.n_steps, plan.lambda_max, plan.gamma
        )
        with self.autocast():
            features = network.features(inputs["inputs"])
        hidden = head.hidden(network.standardize(features.float()))  # (2 * n_source, width)
        every_score = head.label(hidden)
        scores = every_score[:n_source]
        label_loss = weighted_loss(
            self.criterion_, scores, target[:n_source], inputs["weight"][:n_source]
        )
        alignment_loss, seen = plan.alignment.loss(
            AlignedBatch(
                head.joined(hidden, every_score),
                inputs["domain"],
                n_source,
                plan.n_sources,
                strength,
                self._head_rate(),
                head.domain,
            )
        )
        if plan.entropy_weight:
            entropy = entropy_loss(every_score[n_source:])
            alignment_loss = alignment_loss + plan.entropy_weight * strength * entropy
            seen["target_entropy"] = float(entropy.detach())
        if plan.diversity_weight:
            diversity = mean_prediction_entropy(every_score[n_source:])
            alignment_loss = alignment_loss - plan.diversity_weight * strength * diversity
            seen["target_diversity"] = float(diversity.detach())
        (label_loss + alignment_loss).backward()  # type: ignore[no-untyped-call]
        plan.alignment.check_gradient(hidden, strength)
        norm = self._clip(plan)
        signs = Signs(
            loss=float(label_loss.detach() + alignment_loss.detach()) + 0 * norm,  # NaN if norm is
            label_loss=float(label_loss.detach()),
            deviation=float(hidden.detach().std(0, correction=0).mean()),
        )
        if not self._is_good(plan, signs):
            return self._nothing(scores.detach())
        self.seen_.append({"label_loss": signs.label_loss, "lambda": strength, **seen})
        return {"loss": label_loss.detach(), "y_pred": scores.detach()}

    def _nothing(self, y_pred: Tensor) -> dict[str, Any]:
        """Let the optimiser change nothing."""
        for parameter in self.module_.parameters():
            parameter.grad = None
        loss = self.seen_[-1]["label_loss"] if self.seen_ else 0.0
        return {"loss": torch.tensor(loss), "y_pred": y_pred}

    def _is_good(self, plan: StepPlan, signs: Signs) -> bool:
        """Look for a collapse, and return to a good state if there is one; else keep this one."""
        detector = plan.detector
        optimizers = [self.optimizer_, *plan.alignment.optimizers()]
        problem = detector.problem(signs)
        if problem is None:
            if detector.is_due(self.step_):
                detector.keep(self.module_, optimizers)
            return True
        if self.step_ == 0:
            raise TrainingError(
                f"{problem} in the first step. Lower lr and backbone_lr, and look for values that "
                "are no numbers in X."
            )
        goes_on = detector.recover(self.module_, optimizers)
        self.notes_.append(f"step {self.step_}: {problem}")
        end = (
            f"lambda and rates are now {detector.strength:g} times what was asked for."
            if goes_on
            else "this was the last of several times, so the training ends there."
        )
        warnings.warn(
            f"{problem} at step {self.step_} of {plan.n_steps}: the training went back to its last "
            f"good state, and {end} A lower lr or lambda_max may keep it from collapsing.",
            TrainingWarning,
            stacklevel=2,
        )
        return False

    def _head_rate(self) -> float:
        groups = self.optimizer_.param_groups
        return float(next(group["lr"] for group in groups if group.get("part") == "head"))

    def _clip(self, plan: StepPlan) -> float:
        """Clip the domain classifier by itself, so that neither task shortens the other's gradient."""
        classifier = self.module_.head.domain
        of_classifier = [] if classifier is None else list(classifier.parameters())
        kept = {id(parameter) for parameter in of_classifier}
        others = [p for p in self.module_.parameters() if id(p) not in kept]
        norm = _clip_norm(others, plan.max_grad_norm)
        if of_classifier and not plan.alignment.optimizers():
            norm += _clip_norm(of_classifier, plan.max_grad_norm)
        return norm


def net_of(network: nn.Module, target: ClassTarget, device: str | torch.device) -> AdaptationNet:
    """Wrap a trained network in a net that is used and not trained."""
    net = AdaptationNet(
        network,
        target=target,
        criterion=RowLoss(target),
        device=str(resolve_device(device)),
        verbose=0,
    )
    return net.initialize()  # type: ignore[no-any-return] # skorch is untyped


class AdaptationRecord(Callback):  # type: ignore[misc] # skorch is untyped
    """Write the records of the steps of each epoch into skorch's history."""

    def on_train_begin(self, net: AdaptationNet, **_: object) -> None:
        """Start counting steps."""
        net.begin()

    def on_batch_begin(self, net: AdaptationNet, training: bool = False, **_: object) -> None:
        """Lower the rates after a recovery; this comes after their schedule."""
        if training and net.plan is not None and net.plan.detector.strength != 1:
            for group in net.optimizer_.param_groups:
                group["lr"] *= net.plan.detector.strength

    def on_epoch_end(self, net: AdaptationNet, **_: object) -> None:
        """Record averages, lambda as it is at the end, and what has collapsed."""
        for name in net.seen_[-1] if net.seen_ else ():
            values = [seen[name] for seen in net.seen_]
            value = values[-1] if name == "lambda" else sum(values) / len(values)
            net.history.record(name, value)
        if net.notes_:
            net.history.record("collapsed", "; ".join(net.notes_))
        net.seen_, net.notes_ = [], []
        if net.plan is not None and net.plan.detector.has_given_up:
            net.stops_ = True


@contextmanager
def _halves(switch: DomainSwitch, n_source: int) -> Iterator[None]:
    """Tell the norms which rows are of the source."""
    switch.n_source = n_source
    try:
        yield
    finally:
        switch.n_source = None


def _clip_norm(parameters: list[nn.Parameter], max_norm: float | None) -> float:
    with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
    limit = math.inf if max_norm is None else max_norm
    return float(nn.utils.clip_grad_norm_(with_gradient, limit)) if with_gradient else 0.0
