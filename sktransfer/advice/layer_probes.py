"""Layer probes: what a linear classifier makes of each stage and pooling, on the same folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from sktransfer.backbones.registry import get_backbone
from sktransfer.features.pooling import POOLINGS
from sktransfer.ranking.logme import logme
from sktransfer.ranking.transferability import linear_probe

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sktransfer.features.transformer import DeepFeatureTransformer
    from sktransfer.raw_pixels import PixelTransformer

__all__ = ["Probes", "probe_layers", "standard_error"]

_POOLINGS = POOLINGS["avgmax"].parts  # of each layer, in this order


@dataclass(frozen=True, eq=False)
class Probes:
    """Accuracies of all stages and poolings, and what follows from them.

    Parameters
    ----------
    table : DataFrame
        See `sktransfer.advice.Recommendation.probes`.
    folds : ndarray of shape (n_rows, n_folds)
        Accuracy of each row of the table in each fold.
    pixels : ndarray of shape (n_folds,)
        Accuracy of raw pixels.
    """

    table: pd.DataFrame
    folds: NDArray[np.float64]
    pixels: NDArray[np.float64]

    @property
    def choice(self) -> tuple[str, Literal["avg", "max"]]:
        """Layer and pooling: the last layer, unless an earlier one is distinguishably better.

        Of what is not distinguishable then, LogME's favourite. LogME alone, among all of these, took
        earlier layers where few images distinguish hardly anything, and lost up to .22 by it.
        """
        tied = self.table[self.table["within_error"]]
        last = tied[tied["layer"] == self.table["layer"].iloc[-1]]
        return self._favourite(last if len(last) else tied)

    @property
    def last_choice(self) -> tuple[str, Literal["avg", "max"]]:
        """The last layer, and the pooling of higher accuracy there; the average if they tie."""
        average, maximum = self.folds[-2:]
        better = (maximum - average).mean() > standard_error(maximum - average)
        return str(self.table["layer"].iloc[-1]), "max" if better else "avg"

    @property
    def best_layer(self) -> str:
        """Layer of the highest accuracy."""
        return str(self.table["layer"].iloc[self._best])

    @property
    def best_accuracy(self) -> float:
        """The highest accuracy."""
        return float(self.table["accuracy"].max())

    @property
    def last_accuracy(self) -> float:
        """Accuracy of the last layer, with the better pooling."""
        return float(self._last["accuracy"].max())

    @property
    def logme_last(self) -> float:
        """LogME of the last layer, with the better pooling."""
        return float(self._last["logme"].max())

    @property
    def logme_best(self) -> float:
        """The highest LogME."""
        return float(self.table["logme"].max())

    @property
    def last_is_within_error(self) -> bool:
        """Whether no earlier layer is distinguishably better than the last."""
        return bool(self._last["within_error"].any())

    @property
    def beats_pixels(self) -> bool:
        """Whether the best layer is better than raw pixels by more than the standard error."""
        difference = self.folds[self._best] - self.pixels
        return bool(difference.mean() > standard_error(difference))

    @property
    def _best(self) -> int:
        return int(self.table["accuracy"].to_numpy().argmax())

    @property
    def _last(self) -> pd.DataFrame:
        return self.table.iloc[-len(_POOLINGS) :]

    @staticmethod
    def _favourite(rows: pd.DataFrame) -> tuple[str, Literal["avg", "max"]]:
        place = int(rows["logme"].to_numpy().argmax())
        is_max = str(rows["pooling"].iloc[place]) == "max"
        return str(rows["layer"].iloc[place]), "max" if is_max else "avg"


def probe_layers(
    features: DeepFeatureTransformer,
    pixels: PixelTransformer,
    X: object,
    codes: NDArray[np.intp],
    folds: object,
) -> Probes:
    """Cross-validate a linear classifier on every stage and pooling, and on raw pixels.

    Parameters
    ----------
    features : DeepFeatureTransformer
        Is fitted; its `layers` and `pooling` play no part.
    pixels : PixelTransformer
        The baseline.
    X : images
        Go through the network once.
    codes : ndarray of shape (n_images,), dtype intp
        Labels from 0.
    folds : splitter
        The same for all.
    """
    import pandas as pd

    layers = get_backbone(features.backbone).layer_names
    every = clone(features).set_params(layers=list(layers), pooling="avgmax")
    values = every.fit(X).transform(X)  # one pass, with or without a store
    rows, scores = [], []
    for slot, columns in every.plan_.columns.items():
        part = values[:, columns]
        scores.append(cross_val_score(linear_probe(), part, codes, cv=folds))
        rows.append(
            {
                "layer": slot.layer,
                "pooling": slot.pooling,
                "accuracy": float(scores[-1].mean()),
                "std": float(scores[-1].std()),
                "logme": logme(part, codes),
            }
        )
    table, by_fold = pd.DataFrame(rows), np.array(scores)
    best = by_fold[by_fold.mean(1).argmax()]
    table["within_error"] = [
        bool((best - own).mean() <= standard_error(best - own)) for own in by_fold
    ]
    baseline = cross_val_score(linear_probe(), pixels.fit_transform(X), codes, cv=folds)
    features.fit(X)
    return Probes(table, by_fold, baseline)


def standard_error(differences: NDArray[np.float64]) -> float:
    """Estimate the error of a mean over folds, which share images, as Nadeau and Bengio (2003) do.

    Their equation for the corrected variance: ``(1 / k + n_test / n_train) s^2`` for k folds.

    Examples
    --------
    >>> round(standard_error(np.array([0.0, 0.1, 0.0, 0.1, 0.05])), 3)
    0.034
    """
    k = len(differences)
    return float(np.sqrt((1 / k + 1 / (k - 1)) * differences.var(ddof=1)))
