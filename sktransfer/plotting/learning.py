"""`FeatureLearningCurveDisplay`: would more images help? A learning curve on stored features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.utils import check_random_state

from sktransfer.docstrings import documented
from sktransfer.features.pipelines import split_pipeline
from sktransfer.labels import as_label_array
from sktransfer.plotting.canvas import ACCENT, MUTED, plain_text
from sktransfer.plotting.display import Display
from sktransfer.plotting.scoring import folds_of, is_classification, name_of_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FeatureLearningCurveDisplay", "Gain"]

_N_SIZES = 6
_LAST = 3  # sizes from which the trend at the end is read
_WORTH = 0.005  # what a doubling must add to be called a help


class Gain(NamedTuple):
    """What a doubling of the images would add to the score, as far as the curve tells."""

    mean: float
    """Slope over the last sizes, for each doubling of the images, averaged over the folds."""
    error: float
    """Standard error of this average; folds share images, so it is a little too small."""


@documented
class FeatureLearningCurveDisplay(Display):
    """Score over the number of training images, and what a doubling of them would add.

    Make it with :meth:`from_estimator`; draw it again with :meth:`plot`. The network sees each
    image once, whatever the number of folds and sizes.

    Parameters
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Numbers of training images, rising.
    train_scores, test_scores : ndarray of shape (n_sizes, n_folds)
        Scores of every size and fold.
    score_name : str, default="Score"
        Name of the scores.

    See Also
    --------
    LayerSweepDisplay : Which layer tells most.

    Notes
    -----
    The trend is a straight line in the logarithm of the number of images, fitted to the last three
    sizes, and no trend leads above a score of 1 if none is above it. Curves flatten, so it says what
    a doubling would add at most, rather than at least.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=500))
    >>> display = FeatureLearningCurveDisplay.from_estimator(model, X[:200], y[:200], cv=3)
    >>> display.train_sizes[-1]
    np.int64(133)
    >>> "twice as many change the score by about" in display.verdict
    True
    """

    def __init__(
        self,
        train_sizes: NDArray[np.int64],
        train_scores: NDArray[np.float64],
        test_scores: NDArray[np.float64],
        *,
        score_name: str = "Score",
    ) -> None:
        self.train_sizes = train_sizes
        self.train_scores = train_scores
        self.test_scores = test_scores
        self.score_name = score_name

    @property
    def gain(self) -> Gain:
        """What a doubling of the images would add."""
        doublings = np.log2(self.train_sizes[-_LAST:])
        slopes = np.polyfit(doublings, self.test_scores[-_LAST:], 1)[0]  # (folds,)
        error = slopes.std(ddof=1) / np.sqrt(len(slopes)) if len(slopes) > 1 else np.nan
        mean, last = float(slopes.mean()), float(self.test_scores[-1].mean())
        if self.test_scores.max() <= 1.0:  # the most that scores of scikit-learn can be
            mean = min(mean, 1.0 - last)
        return Gain(mean, float(error))

    @property
    def verdict(self) -> str:
        """Whether more images would help, in words."""
        mean, error = self.gain
        shown = round(mean, 3) + 0.0  # no minus before a zero
        change = f"twice as many change the score by about {shown:+.3f} (± {error:.3f})"
        if mean >= _WORTH and mean > 2 * error:
            return f"More images would help: {change}, if the trend lasts."
        if mean + 2 * error < 2 * _WORTH:
            return f"More images would hardly help: {change}."
        return f"It is unclear whether more images help: {change}."

    @classmethod
    def from_estimator(
        cls,
        estimator: object,
        X: object,
        y: ArrayLike,
        *,
        train_sizes: Sequence[int] | None = None,
        cv: int | Any = 5,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        random_state: int | None = 0,
        ax: Axes | None = None,
    ) -> FeatureLearningCurveDisplay:
        """Train on more and more images of each fold's training part, and draw the scores.

        Parameters
        ----------
        estimator : Pipeline
            It stays as it is. If it begins with a :class:`~sktransfer.DeepFeatureTransformer`, the
            features are computed once; anything else is trained from the images for each size.
        X : images
            Whatever `estimator` takes.
        y : array-like of shape (n_images,)
            Labels, or values of a regression.
        train_sizes : sequence of int, default=None
            Numbers of training images. None takes up to six, each about 1.7 times the last, up to
            all that the smallest fold has. Each part has the classes' proportions.
        cv : int or splitter, default=5
            An int gives that many shuffled folds, stratified for classes.
        scoring : str, callable or None, default=None
            As in `cross_validate`.
        n_jobs : int or None, default=None
            As in `cross_validate`.
        random_state : int or None, default=0
            Seed of the folds and of their parts.
        ax : Axes, default=None
            None makes a new figure.

        Returns
        -------
        FeatureLearningCurveDisplay

        Raises
        ------
        ValueError
            If `train_sizes` asks for more images than a fold has, or there are too few images.
        """
        labels = as_label_array(y)
        features, rest = split_pipeline(estimator)
        rows = X if features is None else features.transform(X)
        folds = folds_of(cv, labels, random_state)
        ordered = [(_mixed(train, labels, random_state), test) for train, test in folds]
        n_all = max(_n_until_all_classes(labels[train]) for train, _ in ordered)
        sizes = _sizes(train_sizes, min(len(train) for train, _ in folds), labels, n_all)
        scores = cross_validate(
            clone(estimator if features is None else rest),
            rows,
            labels,
            cv=[(train[:size], test) for size in sizes for train, test in ordered],
            scoring=scoring,
            n_jobs=n_jobs,
            return_train_score=True,
            error_score="raise",
        )
        shape = len(sizes), len(folds)
        display = cls(
            sizes,
            scores["train_score"].reshape(shape),
            scores["test_score"].reshape(shape),
            score_name=name_of_score(scoring, labels),
        )
        return display.plot(ax)

    def _draw(self, ax: Axes) -> None:
        """Draw both curves with the standard deviation over the folds, and the trend."""
        sizes, kinds = (
            self.train_sizes,
            (
                ("in training", self.train_scores, MUTED, "s"),
                ("on images held out", self.test_scores, ACCENT, "o"),
            ),
        )
        for name, scores, color, marker in kinds:
            mean, spread = scores.mean(1), scores.std(1)
            ax.fill_between(sizes, mean - spread, mean + spread, color=color, alpha=0.18, lw=0)
            ax.plot(sizes, mean, marker=marker, color=color, ms=5, mew=0, label=name)
        last = self.test_scores[-1].mean()
        ax.plot(
            [sizes[-1], 2 * sizes[-1]],
            [last, last + self.gain.mean],
            ":",
            color=ACCENT,
            label="trend, twice as many",
        )
        ax.set_xscale("log", base=2)
        ticks = [*_spread_out(sizes), 2 * sizes[-1]]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.grid(axis="y", alpha=0.25)
        ax.set_title(self.verdict.split(":")[0], loc="left", fontsize="medium")
        ax.set_xlabel("Training images")
        ax.set_ylabel(plain_text(self.score_name))
        ax.legend(frameon=False, loc="best")


def _sizes(
    train_sizes: Sequence[int] | None, n_most: int, y: NDArray[np.generic], n_all: int
) -> NDArray[np.int64]:
    n_least = 2 * len(np.unique(y)) if is_classification(y) else 4
    if train_sizes is None:
        if n_most < 2 * n_least:
            raise ValueError(
                f"a fold has {n_most} training images, and a learning curve needs {2 * n_least} "
                "or more here. Pass more images, or more folds."
            )
        start = max(n_least, n_all, n_most / 1.7 ** (_N_SIZES - 1))
        usual: NDArray[np.int64] = np.geomspace(start, n_most, _N_SIZES).round().astype(np.int64)
        return usual[np.diff(usual, prepend=0) > 0]
    sizes = np.array(sorted(set(train_sizes)), np.int64)
    if len(sizes) < 2 or sizes[0] < 1 or sizes[-1] > n_most:
        raise ValueError(
            f"train_sizes={train_sizes!r} is not possible. Pass two or more different sizes from 1 "
            f"to {n_most}, the number of training images of the smallest fold."
        )
    return sizes


def _mixed(
    rows: NDArray[np.intp], y: NDArray[np.generic], random_state: int | None
) -> NDArray[np.intp]:
    """Shuffle rows so that each beginning of them has the classes' proportions."""
    shuffled: NDArray[np.intp] = check_random_state(random_state).permutation(rows)
    if not is_classification(y):
        return shuffled
    place = np.empty(len(rows))
    for label in np.unique(y[shuffled]):
        own = np.flatnonzero(y[shuffled] == label)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return shuffled[np.argsort(place, kind="stable")]


def _n_until_all_classes(y: NDArray[np.generic]) -> int:
    """Count the labels from the first up to the first one of the class that appears last."""
    if not is_classification(y):
        return 1
    return 1 + int(np.unique(y, return_index=True)[1].max())


def _spread_out(sizes: NDArray[np.int64]) -> list[int]:
    """Leave out sizes whose numbers would overlap on an axis in powers of two."""
    kept = [int(sizes[-1])]
    for size in sizes[-2::-1]:
        if size * 1.4 < kept[0]:
            kept.insert(0, int(size))
    return kept
