"""What a recommendation rests on, in words: a sentence each for size, similarity and choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sktransfer.advice.layer_probes import Probes
    from sktransfer.training.freezing import Strategy

__all__ = ["SIMILAR_GAIN", "Verdict", "reasons"]

SIMILAR_GAIN = 0.3
"""Share of the errors of raw pixels that the features of similar images get right, at least."""


@dataclass(frozen=True)
class Verdict:
    """What the measurements amount to.

    Attributes
    ----------
    strategy, layer, pooling : str
        Recommended strategy, stage and pooling.
    few, similar : bool
        The images are few for this network, and similar to what it knows.
    paid, n_stages : int
        So many of the last stages the images pay for, of so many.
    """

    strategy: Strategy
    layer: str
    pooling: Literal["avg", "max"]
    few: bool
    similar: bool
    paid: int
    n_stages: int

    @property
    def size(self) -> str:
        """Of the data: "few" or "many"."""
        return "few" if self.few else "many"

    @property
    def similarity(self) -> str:
        """Of the images to what the network knows: "similar" or "different"."""
        return "similar" if self.similar else "different"

    @property
    def trains_network(self) -> bool:
        """More than a classifier on top is trained."""
        return self.strategy != "frozen"

    @property
    def n_trainable(self) -> int:
        """How many of the last stages to train."""
        return {"frozen": 0, "partial": self.paid}.get(self.strategy, self.n_stages)


def reasons(
    figures: dict[str, float],
    verdict: Verdict,
    probes: Probes,
    few_per_class: int,
    parameters_per_image: int,
) -> tuple[str, ...]:
    """Say what was measured and what follows; the figures are those of `recommend_strategy`."""
    return (
        _on_size(figures, verdict, few_per_class, parameters_per_image),
        _on_similarity(figures, verdict, probes),
        _on_strategy(verdict, probes),
        _on_layer(verdict, probes),
        _on_pooling(verdict, probes),
    )


def _on_size(
    figures: dict[str, float], verdict: Verdict, few_per_class: int, per_image: int
) -> str:
    start = (
        f"Size: {figures['n_images']:,.0f} images in {figures['n_classes']:.0f} classes, "
        f"{figures['images_per_class']:.0f} a class (smallest {figures['smallest_class']:.0f}). "
    )
    payable = (
        f"At {per_image:,} trained parameters an image they pay for {verdict.paid} of the "
        f"{verdict.n_stages} stages "
        f"(the last has {figures['parameters_last_stage']:,.0f} parameters, all have "
        f"{figures['parameters']:,.0f})"
    )
    if not verdict.few:
        return f"{start}{payable}: many."
    if figures["images_per_class"] < few_per_class:
        return f"{start}That is less than {few_per_class} a class: few."
    return f"{start}{payable}: few."


def _on_similarity(figures: dict[str, float], verdict: Verdict, probes: Probes) -> str:
    text = (
        f"Similarity: on {figures['n_probed']:,.0f} images, a linear classifier gets "
        f"{figures['last_accuracy']:.1%} right with features of the last stage, "
        f"{figures['pixels_accuracy']:.1%} with raw pixels, and the largest class has "
        f"{figures['chance']:.1%}. The features get {max(figures['gain'], 0):.0%} of the rest right "
    )
    text += f"({SIMILAR_GAIN:.0%} or more would be similar)" if not verdict.similar else ""
    if not probes.last_is_within_error:
        text += f", and {probes.best_layer} is better than the last stage"
    return f"{text.rstrip()}: {verdict.similarity}."


def _on_strategy(verdict: Verdict, probes: Probes) -> str:
    why = {
        "frozen": "keep the network frozen and train a classifier on its features",
        "partial": f"train the last {verdict.n_trainable} stage(s) and the head, the rest stays frozen",
        "full": "train the whole network from its pre-trained weights, at a low rate",
        "scratch": "no layer beats raw pixels, and there are images enough to train from random weights",
    }[verdict.strategy]
    text = (
        f"Strategy: {verdict.strategy!r}, because the images are {verdict.size} and "
        f"{verdict.similarity}: {why}."
    )
    if not verdict.trains_network and not probes.beats_pixels:
        text += (
            " No layer clearly beats a linear classifier on raw pixels, so try another network too."
        )
    return text


def _on_layer(verdict: Verdict, probes: Probes) -> str:
    layer = verdict.layer
    best = f"{probes.best_layer} has the highest accuracy, {probes.best_accuracy:.1%}"
    if verdict.trains_network:
        return f"Layer: {layer}, the last, because the network is trained; as they are, {best}."
    if layer == probes.best_layer:
        return f"Layer: {layer}; it has the highest accuracy, {probes.best_accuracy:.1%}."
    if probes.last_is_within_error:
        return f"Layer: {layer}, the last; {best}, but not beyond the error."
    return f"Layer: {layer}; {best}, but not beyond the error, and LogME prefers {layer}."


def _on_pooling(verdict: Verdict, probes: Probes) -> str:
    layer, pooling = verdict.layer, verdict.pooling
    rows = probes.table[probes.table["layer"] == layer].set_index("pooling")["accuracy"]
    text = f"Pooling: {pooling!r} ({layer}: average {rows['avg']:.1%}, maximum {rows['max']:.1%})"
    if rows[pooling] < rows.max():
        return f"{text}; the difference is within the error."
    kind = "all over the image" if pooling == "avg" else "in small parts of it"
    return f"{text}, as for patterns {kind}."
