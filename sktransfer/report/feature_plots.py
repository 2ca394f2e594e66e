"""What the features tell: layers, the number of images, and how the classes lie to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.features.pipelines import split_pipeline
from sktransfer.plotting import (
    EmbeddingDisplay,
    FeatureLearningCurveDisplay,
    LayerSweepDisplay,
)
from sktransfer.report.page import Section, paragraphs
from sktransfer.report.pictures import plot_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["evidence_section"]

_MOST_POINTS = 2000  # of an embedding


def evidence_section(
    estimator: Any, X: Any, y: NDArray[np.generic], folds: Any, scoring: Any
) -> Section:
    """Draw what the features of a pipeline tell about the classes.

    Parameters
    ----------
    estimator : Pipeline
        Begins with features.
    X, y : images and ndarray of shape (n_images,)
        Labelled images.
    folds : sequence of (train, test)
        Folds of the comparison.
    scoring : str, callable or None
        Scoring of the comparison.
    """
    import matplotlib.pyplot as plt

    sweep = LayerSweepDisplay.from_estimator(estimator, X, y, cv=folds, scoring=scoring)
    curve = FeatureLearningCurveDisplay.from_estimator(estimator, X, y, cv=folds, scoring=scoring)
    features, _ = split_pipeline(estimator)
    assert features is not None  # the caller has looked
    values = features.transform(X)
    kept = np.random.default_rng(0).permutation(len(values))[:_MOST_POINTS]
    embedding = EmbeddingDisplay.from_features(values[kept], y[kept], method="tsne")
    for display in (sweep, curve, embedding):
        plt.close(display.figure_)
    layer, pooling = sweep.best
    plots = [
        plot_figure(
            sweep.plot,
            f"{sweep.score_name} over the layers of the network, for each pooling; the best is "
            f"{layer} with {pooling}, {sweep.scores.mean(2).max():.3f}.",
            "Each layer and pooling alone, under the head of the best features.",
        ),
        plot_figure(
            curve.plot,
            f"{curve.score_name} over the number of training images: "
            + ", ".join(
                f"{size} images {score:.3f}"
                for size, score in zip(curve.train_sizes, curve.test_scores.mean(1), strict=True)
            )
            + ".",
            curve.verdict,
        ),
        plot_figure(
            embedding.plot,
            "Images as points in a plane by t-SNE of their features, coloured by class.",
            "Images whose features are alike lie near each other (t-SNE); distances between groups "
            "mean nothing.",
        ),
    ]
    where = f"Features of {features._ready()[1].backbone}, without any training of the network."
    return Section(
        "What the features tell",
        paragraphs(where, kind="soft") + f'\n<div class="plots">{"".join(plots)}</div>',
    )
