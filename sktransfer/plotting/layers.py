"""`LayerSweepDisplay`: how much each layer and pooling of a network tells about the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.backbones.registry import get_backbone
from sktransfer.docstrings import documented
from sktransfer.features.pipelines import split_pipeline
from sktransfer.features.pooling import POOLINGS, check_pooling
from sktransfer.labels import as_label_array
from sktransfer.plotting.canvas import CYCLE, MARKERS, plain_text
from sktransfer.plotting.display import Display
from sktransfer.plotting.scoring import folds_of, is_classification, name_of_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from sktransfer.features.plan import Slot
    from sktransfer.features.transformer import DeepFeatureTransformer

__all__ = ["LayerSweepDisplay", "sweep_layers"]


@documented
class LayerSweepDisplay(Display):
    """Cross-validated score over the layers of a network, one line for each pooling.

    Make it with :meth:`from_estimator`; draw it again with :meth:`plot`.

    Parameters
    ----------
    layers : sequence of str
        From input to output.
    poolings : sequence of str
        One line for each.
    scores : ndarray of shape (n_layers, n_poolings, n_folds)
        Scores of every layer, pooling and fold.
    score_name : str, default="Score"
        Name of the scores.

    Attributes
    ----------
    lines_ : list of Line2D
        One for each pooling.

    See Also
    --------
    FeatureLearningCurveDisplay : Whether more images would help.

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> features = DeepFeatureTransformer("tiny")
    >>> display = LayerSweepDisplay.from_estimator(features, X[:100], y[:100], cv=2)
    >>> display.layers
    ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
    >>> display.scores.shape
    (5, 2, 2)
    >>> display.best[0] in display.layers
    True
    """

    lines_: list[object]

    def __init__(
        self,
        layers: Sequence[str],
        poolings: Sequence[str],
        scores: NDArray[np.float64],
        *,
        score_name: str = "Score",
    ) -> None:
        self.layers = tuple(layers)
        self.poolings = tuple(poolings)
        self.scores = scores
        self.score_name = score_name

    @property
    def best(self) -> tuple[str, str]:
        """Layer and pooling of the highest mean score."""
        means = self.scores.mean(2)
        layer, pooling = np.unravel_index(means.argmax(), means.shape)
        return self.layers[layer], self.poolings[pooling]

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: ArrayLike,
        *,
        layers: Sequence[object] | None = None,
        poolings: Sequence[str] = ("avg", "max"),
        cv: int | Any = 5,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        random_state: int | None = 0,
        ax: Axes | None = None,
    ) -> LayerSweepDisplay:
        """Score every layer and pooling, on features computed in one pass, and draw it.

        Parameters
        ----------
        estimator : Pipeline or DeepFeatureTransformer
            Its transformer says which network, its other steps what is trained on the features;
            without any, a StandardScaler and logistic regression with C=0.01, or ridge regression.
            It stays as it is.
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,)
            Labels, or values of a regression.
        layers : sequence of str or int, default=None
            None is every stage.
        poolings : sequence of str, default=("avg", "max")
            As the transformer's `pooling`.
        cv : int or splitter, default=5
            An int gives that many shuffled folds, stratified for classes.
        scoring : str, callable or None, default=None
            As in `cross_val_score`.
        n_jobs : int or None, default=None
            As in `cross_val_score`.
        random_state : int or None, default=0
            Seed of the folds.
        ax : Axes, default=None
            None makes a new figure.

        Returns
        -------
        LayerSweepDisplay

        Raises
        ------
        TypeError
            If `estimator` does not begin with a DeepFeatureTransformer.
        """
        names, scores = sweep_layers(
            estimator,
            X,
            y,
            layers=layers,
            poolings=poolings,
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        name = name_of_score(scoring, y)
        return cls(names, poolings, scores, score_name=name).plot(ax)

    def _draw(self, ax: Axes) -> None:
        """Draw a line for each pooling, with the standard deviation over the folds."""
        places = np.arange(len(self.layers))
        means, spreads = self.scores.mean(2), self.scores.std(2)  # (layers, poolings)
        self.lines_ = []
        for i, pooling in enumerate(self.poolings):
            color, marker = CYCLE[i % len(CYCLE)], MARKERS[i % len(MARKERS)]
            aside = places + 0.06 * (i - (len(self.poolings) - 1) / 2)
            drawn = ax.errorbar(
                aside,
                means[:, i],
                spreads[:, i],
                color=color,
                marker=marker,
                elinewidth=1,
                ms=6,
                mew=0,
                label=pooling,
            )
            self.lines_.append(drawn.lines[0])
        layer, pooling = self.best
        ax.set_title(
            f"Best: {plain_text(layer)}, {pooling} ({means.max():.3f})",
            loc="left",
            fontsize="medium",
        )
        ax.set_xticks(places, [plain_text(name) for name in self.layers])
        if sum(map(len, self.layers)) > 36:
            ax.tick_params("x", rotation=35)
        ax.grid(axis="y", alpha=0.25)
        ax.set_xlabel("Layer, from input to output")
        ax.set_ylabel(plain_text(self.score_name))
        ax.legend(title="Pooling", frameon=False, loc="best")


def sweep_layers(
    estimator: object,
    X: object,
    y: ArrayLike,
    *,
    layers: Sequence[object] | None = None,
    poolings: Sequence[str] = ("avg", "max"),
    cv: int | Any = 5,
    scoring: str | Callable[..., float] | None = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Score every layer and pooling of a network by cross-validation, without drawing it.

    Parameters
    ----------
    estimator, X, y, layers, poolings, cv, scoring, n_jobs, random_state
        As in :meth:`LayerSweepDisplay.from_estimator`.

    Returns
    -------
    layers : tuple of str
        Names, in the order given.
    scores : ndarray of shape (n_layers, n_poolings, n_folds)
    """
    features, rest = split_pipeline(estimator)
    if features is None:
        raise TypeError(
            f"estimator is a {type(estimator).__name__} that does not begin with features. Pass a "
            "DeepFeatureTransformer, or a Pipeline whose first step is one."
        )
    for pooling in poolings:
        check_pooling(pooling)
    labels = as_label_array(y)
    head = _usual_head(labels) if rest is None else rest
    splits = folds_of(cv, labels, random_state)
    values, slots = _every_slot(features, X, layers, poolings)
    names = tuple(dict.fromkeys(slot.layer for slot in slots))
    scores = [
        [
            cross_val_score(
                clone(head),
                np.hstack([values[slot] for slot in slots if _wanted(slot, name, pooling)]),
                labels,
                cv=splits,
                scoring=scoring,
                n_jobs=n_jobs,
                error_score="raise",
            )
            for pooling in poolings
        ]
        for name in names
    ]
    return names, np.array(scores)


def _every_slot(
    features: DeepFeatureTransformer,
    X: object,
    layers: Sequence[object] | None,
    poolings: Sequence[str],
) -> tuple[dict[Slot, NDArray[np.float32]], tuple[Slot, ...]]:
    """Compute all layers with all poolings, in one pass through the network."""
    if layers is None:
        layers = get_backbone(features.backbone).layer_names
    parts = list(dict.fromkeys(part for pooling in poolings for part in POOLINGS[pooling].parts))
    asked = [layer for layer in layers for _ in parts]
    wide = clone(features).set_params(layers=asked, pooling=parts * len(layers))
    values = wide.fit(X).transform(X)
    plan = wide.plan_
    return {slot: values[:, columns] for slot, columns in plan.columns.items()}, plan.slots


def _wanted(slot: Slot, layer: str, pooling: str) -> bool:
    return slot.layer == layer and slot.pooling in POOLINGS[pooling].parts


def _usual_head(y: NDArray[np.generic]) -> object:
    head = LogisticRegression(C=0.01, max_iter=1000) if is_classification(y) else Ridge(100.0)
    return make_pipeline(StandardScaler(), head)
