"""The skorch net of an adaptation: one step learns the labels of the source and brings domains together."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sktransfer.adaptation.collapse import Signs, Watch
from sktransfer.adaptation.losses import (
    coral_loss,
    domain_accuracy,
    domain_loss,
    entropy_loss,
    mmd_loss,
    two_or_more,
)
from sktransfer.adaptation.norms import DomainSwitch, kept_statistics
from sktransfer.adaptation.reversal import reversal_strength, reverse_gradient
from sktransfer.exceptions import TrainingError, TrainingWarning
from sktransfer.training.loop import TransferNet
from sktransfer.training.losses import weighted_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sktransfer.adaptation.heads import AdaptationHead

__all__ = ["AdaptationNet", "AdaptationRecord", "Objective", "StepPlan"]

Objective: TypeAlias = Literal["reversal", "alternating", "coral", "mmd"]

_CHECKED_STEPS = 20  # with a lambda above zero, in which the domain head must pass a gradient on


@dataclass(frozen=True)
class StepPlan:
    """What a step does.

    Parameters
    ----------
    objective : {"reversal", "alternating", "coral", "mmd"}
        What brings the domains together.
    lambda_max, gamma : float
        See `reversal.reversal_strength`.
    entropy_weight : float
        What the entropy of predictions for the target counts beside what brings the domains together.
    n_steps : int
        Of the whole training.
    n_sources : int
        How many domains, the first ones, are sources.
    max_grad_norm : float or None
        Longer gradients are scaled down; those of the domain head by themselves.
    switch : DomainSwitch
        Of the network's norms.
    domain_optimizer : torch.optim.Optimizer or None, default=None
        With the objective "alternating", of the domain head.
    """

    objective: Objective
    lambda_max: float
    gamma: float
    entropy_weight: float
    n_steps: int
    n_sources: int
    max_grad_norm: float | None
    switch: DomainSwitch
    domain_optimizer: torch.optim.Optimizer | None = None


class AdaptationNet(TransferNet):
    """A net whose batches are half source and half target.

    Parameters
    ----------
    module : TransferNetwork
        Its head is an `AdaptationHead`.
    plan : StepPlan
        What a step does.
    watch : Watch
        Looks for a collapse.
    **params : dict
        See `TransferNet`.
    """

    def __init__(
        self,
        module: Any,
        *,
        plan: StepPlan | None = None,
        watch: Watch | None = None,
        **params: Any,
    ) -> None:
        super().__init__(module, **params)
        self.plan, self.watch = plan, watch

    def train_step_single(self, batch: Any, **_: Any) -> dict[str, Any]:
        """Compute the gradients of one step; nothing, if the training has been given up."""
        assert self.plan is not None  # only nets that are to be used, not trained, have none
        self._set_training(True)
        inputs, target = batch
        n_source = len(target) // 2
        if self._is_over():
            return self._nothing(target[:n_source])
        with self._halves(n_source):
            step = self._step(inputs, target, n_source)
        self.step_ += 1
        return step

    def begin(self) -> None:
        """Start counting steps and collecting what they give."""
        self.step_, self.n_checked_ = 0, 0
        self.seen_: list[dict[str, float]] = []
        self.notes_: list[str] = []

    def _step(self, inputs: dict[str, Tensor], target: Tensor, n_source: int) -> dict[str, Any]:
        network, plan, watch = self.module_, self.plan, self.watch
        assert plan is not None
        assert watch is not None
        head: AdaptationHead = network.head
        strength = watch.strength * reversal_strength(
            self.step_ / plan.n_steps, plan.lambda_max, plan.gamma
        )
        with self._autocast():
            features = network.features(inputs["inputs"])
        hidden = head.hidden(network.standardize(features.float()))  # (2 * n_source, width)
        every_score = head.label(hidden)
        scores = every_score[:n_source]
        label_loss = weighted_loss(
            self.criterion_, scores, target[:n_source], inputs["weight"][:n_source]
        )
        self._passed: list[Tensor] = []
        joined = head.joined(hidden, every_score)
        between, seen = self._between(joined, inputs["domain"], n_source, strength)
        if plan.entropy_weight:
            entropy = entropy_loss(every_score[n_source:])
            between = between + plan.entropy_weight * strength * entropy
            seen["target_entropy"] = float(entropy.detach())
        (label_loss + between).backward()  # type: ignore[no-untyped-call]
        self._check_gradient(hidden, strength)
        norm = self._clip()
        signs = Signs(
            loss=float(label_loss.detach() + between.detach()) + 0 * norm,  # NaN if the norm is
            label_loss=float(label_loss.detach()),
            deviation=float(hidden.detach().std(0, correction=0).mean()),
        )
        if not self._is_good(signs):
            return self._nothing(scores.detach())
        self.seen_.append({"label_loss": signs.label_loss, "lambda": strength, **seen})
        return {"loss": label_loss.detach(), "y_pred": scores.detach()}

    def _nothing(self, y_pred: Tensor) -> dict[str, Any]:
        """Let the optimiser change nothing."""
        for parameter in self.module_.parameters():
            parameter.grad = None
        return {"loss": torch.tensor(self.seen_[-1]["label_loss"] if self.seen_ else 0.0),
                "y_pred": y_pred}  # fmt: skip

    def _between(
        self, hidden: Tensor, domains: Tensor, n_source: int, strength: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Compute what is added to the label loss, and what is worth knowing of it."""
        assert self.plan is not None
        if self.plan.objective in ("coral", "mmd"):
            measure = coral_loss if self.plan.objective == "coral" else mmd_loss
            distance = measure(hidden[:n_source], hidden[n_source:])
            return strength * distance, {"domain_loss": float(distance.detach())}
        if self.plan.objective == "alternating":
            return self._alternating(hidden, domains, n_source, strength)
        logits = self.module_.head.domain(self._watched(reverse_gradient(hidden, strength)))
        loss = domain_loss(logits, domains, n_source)
        return loss, _told(loss, logits, domains)

    def _alternating(
        self, hidden: Tensor, domains: Tensor, n_source: int, strength: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Train the domain head on the features as they are; then take it as given, inverted."""
        assert self.plan is not None
        optimizer = self.plan.domain_optimizer
        assert optimizer is not None
        head = self.module_.head.domain
        logits = head(hidden.detach())
        loss = domain_loss(logits, domains, n_source)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._follow_rate(optimizer)
        self._clip_norm(list(head.parameters()))
        optimizer.step()
        with kept_statistics(head), _constant(head):
            # Reversed with minus lambda, the gradient passes with plus lambda.
            given = head(self._watched(reverse_gradient(hidden, -strength)))
        inverted = _inverted_loss(given, n_source, self.plan.n_sources)
        return inverted, _told(loss, logits, domains)

    def _watched(self, features: Tensor) -> Tensor:
        """Note the gradient that the domain head passes on, in the first steps."""
        if self.n_checked_ < _CHECKED_STEPS:
            features = features.view_as(features)
            features.register_hook(self._passed.append)  # type: ignore[no-untyped-call]
        return features

    def _check_gradient(self, hidden: Tensor, strength: float) -> None:
        """Refuse a domain head from which features cannot learn anything."""
        if not self._passed or strength == 0:
            return
        self.n_checked_ += 1
        if not self._passed[0].any() and hidden.detach().std(0).any():
            raise TrainingError(
                "the domain head passes no gradient on to the features, so they cannot adapt: its "
                "output does not depend on them. It must give logits, one for two domains; a "
                "softmax over one unit is constant. Correct domain_head, or pass the widths of its "
                "hidden layers, such as (100,)."
            )

    def _is_good(self, signs: Signs) -> bool:
        """Look for a collapse, and return to a good state if there is one; else keep this one."""
        assert self.watch is not None
        optimizers = self._every_optimizer()
        problem = self.watch.problem(signs)
        if problem is None:
            if self.watch.is_due(self.step_):
                self.watch.keep(self.module_, optimizers)
            return True
        if self.step_ == 0:
            raise TrainingError(
                f"{problem} in the first step. Lower lr and backbone_lr, and look for values that "
                "are no numbers in X."
            )
        goes_on = self.watch.recover(self.module_, optimizers)
        self.notes_.append(f"step {self.step_}: {problem}")
        end = (
            f"lambda and rates are now {self.watch.strength:g} times what was asked for."
            if goes_on
            else "this was the last of several times, so the training ends there."
        )
        warnings.warn(
            f"{problem} at step {self.step_} of {self._n_steps}: the training went back to its last "
            f"good state, and {end} A lower lr or lambda_max may keep it from collapsing.",
            TrainingWarning,
            stacklevel=2,
        )
        return False

    @property
    def _n_steps(self) -> int:
        assert self.plan is not None
        return self.plan.n_steps

    def _is_over(self) -> bool:
        return self.watch is not None and self.watch.n_recoveries > self.watch.max_recoveries

    def _every_optimizer(self) -> list[torch.optim.Optimizer]:
        own = None if self.plan is None else self.plan.domain_optimizer
        return [self.optimizer_] if own is None else [self.optimizer_, own]

    def _follow_rate(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the domain head the rate of the other heads."""
        rate = next(g["lr"] for g in self.optimizer_.param_groups if g.get("part") == "head")
        for group in optimizer.param_groups:
            group["lr"] = rate

    def _clip(self) -> float:
        """Clip the domain head by itself, so that neither task shortens the other's gradient."""
        domain = self.module_.head.domain
        of_domain = [] if domain is None else list(domain.parameters())
        kept = {id(parameter) for parameter in of_domain}
        others = [p for p in self.module_.parameters() if id(p) not in kept]
        norm = self._clip_norm(others)
        if self.plan is not None and self.plan.domain_optimizer is None and of_domain:
            norm += self._clip_norm(of_domain)
        return norm

    def _clip_norm(self, parameters: list[nn.Parameter]) -> float:
        assert self.plan is not None
        limit = math.inf if self.plan.max_grad_norm is None else self.plan.max_grad_norm
        given = [parameter for parameter in parameters if parameter.grad is not None]
        return float(nn.utils.clip_grad_norm_(given, limit)) if given else 0.0

    def _autocast(self) -> Any:
        device = torch.device(self.device).type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")

    @contextmanager
    def _halves(self, n_source: int) -> Iterator[None]:
        assert self.plan is not None
        self.plan.switch.n_source = n_source
        try:
            yield
        finally:
            self.plan.switch.n_source = None


class AdaptationRecord(Callback):  # type: ignore[misc] # skorch is untyped
    """Write what the steps of each epoch gave into skorch's history."""

    def on_train_begin(self, net: AdaptationNet, **_: Any) -> None:
        """Start counting steps."""
        net.begin()

    def on_batch_begin(self, net: AdaptationNet, training: bool = False, **_: Any) -> None:
        """Lower the rates after a recovery; this comes after their schedule."""
        if training and net.watch is not None and net.watch.strength != 1:
            for group in net.optimizer_.param_groups:
                group["lr"] *= net.watch.strength

    def on_epoch_end(self, net: AdaptationNet, **_: Any) -> None:
        """Record averages, lambda as it is at the end, and what has collapsed."""
        for name in net.seen_[-1] if net.seen_ else ():
            values = [seen[name] for seen in net.seen_]
            value = values[-1] if name == "lambda" else sum(values) / len(values)
            net.history.record(name, value)
        if net.notes_:
            net.history.record("collapsed", "; ".join(net.notes_))
        net.seen_, net.notes_ = [], []
        if net._is_over():
            net.stops_ = True


@contextmanager
def _constant(module: nn.Module) -> Iterator[None]:
    """Compute no gradients of a module's parameters, only those that pass through it."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _inverted_loss(logits: Tensor, n_source: int, n_sources: int) -> Tensor:
    """Compute how far rows of the source are from looking like the target, and the other way round.

    With two domains this is `domain_loss` with exchanged labels.
    """
    share = two_or_more(logits.float()).log_softmax(1)
    as_source = share[:, :n_sources].logsumexp(1)
    as_target = share[:, n_sources:].logsumexp(1)
    return -(as_target[:n_source].mean() + as_source[n_source:].mean())


def _told(loss: Tensor, logits: Tensor, domains: Tensor) -> dict[str, float]:
    accuracy = domain_accuracy(logits.detach(), domains)
    return {"domain_loss": float(loss.detach()), "domain_accuracy": float(accuracy)}
